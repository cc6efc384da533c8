"""Diagnostics: data, catalogue of codes, rendering. Imported by every stage; imports only `bmc.source`.

`bmc.errors.render`, `bmc.errors.json_form` and `bmc.errors.catalogue` are imported by those who print.
"""

from bmc.errors.diagnostic import BmcError, CompilerBug, Diagnostic, Label, Level, Suggestion
from bmc.errors.nearest_name import nearest, nothing_else_near

__all__ = ["BmcError", "CompilerBug", "Diagnostic", "Label", "Level", "Suggestion", "nearest", "nothing_else_near"]

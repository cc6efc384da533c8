"""Diagnostics: data, catalogue of codes, rendering. Imported by every stage; imports only `bmc.source`."""

from bmc.errors.diagnostic import BmcError, CompilerBug, Diagnostic, Label, Level, Suggestion

__all__ = ["BmcError", "CompilerBug", "Diagnostic", "Label", "Level", "Suggestion"]

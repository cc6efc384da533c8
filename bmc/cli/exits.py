"""Exit codes: what kind of thing went wrong.

In: diagnostics. Out: the code with which the process ends. Guaranteed: one table says which codes are of the source, of the command
line, of data and runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bmc.errors import Diagnostic

__all__ = ["BUG", "DONE", "INTERRUPTED", "RUN", "SOURCE", "USAGE", "exit_code"]

DONE: Final = 0
SOURCE: Final = 1
USAGE: Final = 2
RUN: Final = 3
BUG: Final = 125
INTERRUPTED: Final = 130

_USAGE: Final = frozenset(
    {"E0207", "E0208", "E0701", "E0702", "E0706", "E0732", "E0733", "E0807", "E0808", "E0812", "E0817", "E0819"}
)
"""What the command line named is not there: a file, a block, a setting, a source of data, a format; or cannot be made."""

_OF_GENERATION: Final = "E0834"
"""A setting of `generate --set`, which shows besides where the source draws."""

_ROWS_DO_NOT_SPLIT: Final = "E0814"
"""Found when the program is compiled for its shards, but of the source."""


def exit_code(diagnostics: Sequence[Diagnostic]) -> int:
    """By the first error: SOURCE for codes below E0720 and of IR text, RUN above."""
    first = next((d for d in diagnostics if d.level == "error"), None)
    if first is None:
        return DONE
    if first.code == _ROWS_DO_NOT_SPLIT:
        return SOURCE
    if first.code == _OF_GENERATION or (first.code in _USAGE and not first.labels):
        return USAGE
    return RUN if "E0720" <= first.code < "E0750" or "E0760" <= first.code < "E0900" else SOURCE

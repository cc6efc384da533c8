"""What commands print: diagnostics on standard error, results on standard output.

In: diagnostics, texts. Out: text, coloured on a terminal unless NO_COLOR is set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from bmc.errors import Diagnostic
from bmc.errors.render import render_all

__all__ = ["coloured", "note", "print_diagnostics", "result"]


def coloured(stream: TextIO) -> bool:
    """Whether escapes are welcome there."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def print_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    """All of them, with carets, on standard error."""
    if diagnostics:
        sys.stderr.write(render_all(tuple(diagnostics), coloured(sys.stderr)).encode("utf-8", "replace").decode())
        sys.stderr.flush()


def result(text: str) -> None:
    """One or more lines of a result on standard output."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def note(text: str) -> None:
    """One line for the reader of standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()

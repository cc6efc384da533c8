"""The report of a bug of ours: what happened, in a file, and how to make it happen again.

In: the command line and the exception. Out: a folder with `report.txt`, the IR text or source that reproduces it, and the text
for the user that names it.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from bmc.errors import CompilerBug
from bmc.version import version

__all__ = ["report_crash"]


def report_crash(args: Sequence[str], error: BaseException) -> str:
    """Write the report; returns what to print. A report that cannot be written is printed whole."""
    command = f"bmc {shlex.join(args)}"
    repeat = command
    lines = [f"bmc {version()}, Python {platform.python_version()}, {platform.platform()}", f"in {os.getcwd()}: {command}", ""]
    lines.extend(traceback.format_exception(error))
    text = "\n".join(lines)
    try:
        folder = Path(tempfile.mkdtemp(prefix="bmc-crash-"))
        report = folder / "report.txt"
        report.write_text(text, encoding="utf-8", errors="backslashreplace")
        if isinstance(error, CompilerBug) and error.reproduction:
            name = "input.bmir" if error.reproduction.lstrip().startswith(("function", "locations")) else "input.bm"
            (folder / name).write_text(error.reproduction, encoding="utf-8", errors="surrogatepass")
            if name == "input.bmir":
                repeat = f"bmc dump {shlex.quote(str(folder / name))} --after {error.stage}"
        where = f"report: {report}"
    except OSError as failure:
        where = f"{text}\n(the report could not be written to a file: {failure})"
    summary = str(error) if isinstance(error, CompilerBug) else f"{type(error).__name__}: {error}"
    first = summary.strip().split("\n")[0] if summary.strip() else type(error).__name__
    shown = f"internal error: {first}\n  This is a bug of bmc, not of your program.\n  {where}\n  to repeat it: {repeat}"
    return shown.encode(sys.stderr.encoding or "utf-8", "backslashreplace").decode(sys.stderr.encoding or "utf-8")

"""The command line: `bmc COMMAND ...`. See docs/cli.md.

In: the arguments of a process. Out: results on standard output, progress and diagnostics on standard error, an exit code.
Guaranteed: no traceback reaches the user; each command imports what it needs and no more, since start-up is part of its time.
"""

from bmc.cli.main import main

__all__ = ["main"]

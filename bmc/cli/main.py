"""From arguments to an exit code.

In: the arguments. Out: never returns: SystemExit with a code of `bmc.cli.exits`. Guaranteed: the user's errors are printed with
their spans; anything unexpected becomes a crash report in a file and the command that repeats it, never a bare traceback.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import FrameType
from typing import NoReturn, TextIO

import click

from bmc.cli.exits import BUG, DONE, INTERRUPTED, RUN, USAGE, exit_code
from bmc.cli.group import bmc
from bmc.cli.output import note, print_diagnostics
from bmc.errors import BmcError

__all__ = ["main"]

_OF_THE_SYSTEM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE)
"""A disk that is full or fails, too many open files: nothing of ours."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line `args` (the process's by default) and exit."""
    # A compiler's objects live as long as their stage: looking for garbage among them at every 700th takes a sixth of the time.
    gc.set_threshold(50_000, 20, 20)
    given = list(sys.argv[1:] if args is None else args)
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        _write_anything(stream)
    try:
        with _ended_like_ctrl_c():
            code = _run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output is gone (`bmc dump ... | head`): nothing is left to say, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    except OSError as error:
        note(f"error: cannot write the output: {error.strerror or error}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = RUN
    gc.freeze()  # the interpreter's last look for garbage need not walk over all that was made
    if args is None and "pyarrow" in sys.modules:
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End the process without Arrow's last words: while one of its threads is still being started, they are an abort (one exit in a
    hundred after a damaged Arrow file). Nothing of ours waits for the end: files are whole, workers gone when a command is done."""
    with suppress(OSError):
        sys.stdout.flush()
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def _open_closed() -> None:
    """Standard streams that the caller closed (`<&-`) read and write nothing; files that are opened do not take their place."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - as long as the process
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Signals that ask for the end are interrupts: what is half written is taken away. One that is ignored (`nohup`) stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            before[number] = signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    # A second one ends the process at once: raised while threads of Arrow are waited for, it would end in a crash.
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt


def _write_anything(stream: TextIO) -> None:
    """Text that the terminal's encoding lacks is written with escapes, not refused."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _run(args: list[str]) -> int:
    try:
        # Not `bmc.main`: it ends the process itself when a pipe is closed.
        with bmc.make_context("bmc", args) as context:
            code = bmc.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except BmcError as error:
        print_diagnostics(error.diagnostics)
        return exit_code(error.diagnostics)
    except click.ClickException as error:
        error.show()
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        note("\ninterrupted")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in _OF_THE_SYSTEM:
            note(f"error: {error.strerror}{f': {error.filename}' if error.filename else ''}")
            return RUN
        return _bug(args, error)
    except MemoryError:
        note("error: there is not enough memory for this")
        return RUN
    except Exception as error:  # noqa: BLE001 - the top: what nobody expected is our bug, and is reported as one
        return _bug(args, error)
    return code if isinstance(code, int) else DONE


def _bug(args: list[str], error: Exception) -> int:
    # Never needed but here: what it imports takes as long as the rest of this package.
    note(import_module("bmc.cli.crash").report_crash(args, error))
    return BUG

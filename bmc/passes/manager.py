"""Runs passes: what a pass is, what happens between two of them, and what is left behind when one fails.

In: a function and a list of passes. Out: the function after all of them. Guaranteed: between passes one callback
sees the function (to verify, print or time it); what a pass requires holds before it and what it ensures after it;
any failure, of a pass or of a check, ends in CompilerBug that names the pass, shows the IR around the failure, and
says which command repeats it from a file.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from types import TracebackType

from bmc.errors import BmcError, CompilerBug
from bmc.ir import Function, Module, Operation
from bmc.ir.text import excerpt, print_function, print_module
from bmc.passes.verify import verify
from bmc.record import record

__all__ = [
    "Observer",
    "Pass",
    "PassRun",
    "Property",
    "Recorder",
    "Snapshot",
    "check_after",
    "observers",
    "run_pipeline",
    "write_after_all",
]


@record(frozen=True)
class Property:
    """Something that holds of a function, or not: `violation` gives the first operation against it, with a reason;
    None if it holds.
    """

    name: str
    violation: Callable[[Function], tuple[str, Operation | None] | None]


@record(frozen=True)
class Pass:
    """One pass. Its name is its flag (`--after NAME`), its module and its function.

    requires, ensures: what must hold before, and holds after. optional: programs are right without it, only slower.
    stage: the stage of `bmc dump` that shows what the pass makes. refusal: what the pass raises when a program, though
    right, cannot be (rows that mix where shards are on): not a bug, and passed on.
    """

    name: str
    purpose: str
    run: Callable[[Function], Function]
    requires: tuple[Property, ...] = ()
    ensures: tuple[Property, ...] = ()
    optional: bool = False
    stage: str = "grad"
    refusal: type[Exception] = BmcError


@record(frozen=True)
class PassRun:
    """One pass that has just run: what went in, what came out, and in which time."""

    number: int
    of: Pass
    before: Function
    after: Function
    seconds: float

    @property
    def changed(self) -> bool:
        """Whether the pass gave another graph; passes give back the same function if there is nothing to do."""
        return self.after is not self.before


Observer = Callable[[PassRun], None]


def check_after(run: PassRun) -> None:
    """The observer that verifies what a pass made. Raises CompilerBug."""
    if run.changed:
        verify(run.after, run.of.name)


def observers(*all_of: Observer) -> Observer:
    """One observer that calls several, in order."""

    def observe(run: PassRun) -> None:
        for observer in all_of:
            observer(run)

    return observe


def run_pipeline(
    function: Function,
    passes: Sequence[Pass],
    disabled: Collection[str] = (),
    observer: Observer = check_after,
    crash_directory: Path | None = None,
    number: int = 0,
) -> Function:
    """`function` after all `passes` but the `disabled` ones.

    Raises ValueError if a pass of `disabled` is not optional or not there; CompilerBug if a pass fails.
    `crash_directory` gets the input of the pass that failed; None: no file is written, and the bug carries the text
    alone. `number`: of the passes that ran on the function before, so that observers count on.
    """
    optional = {p.name for p in passes if p.optional}
    if unknown := sorted(set(disabled) - optional):
        raise ValueError(f"no optional pass is called {', '.join(unknown)}; there are {', '.join(sorted(optional))}")
    for current in passes:
        if current.name in disabled:
            continue
        number += 1
        function = _run(function, number, current, observer, crash_directory)
    return function


def _run(function: Function, number: int, current: Pass, observer: Observer, crash_directory: Path | None) -> Function:
    after: Function | None = None
    try:
        _hold(function, current.requires, "requires")
        start = perf_counter()
        after = current.run(function)
        seconds = perf_counter() - start
        observer(PassRun(number, current, function, after, seconds))
        _hold(after, current.ensures, "ensures")
    except (BmcError, current.refusal):
        raise
    except CompilerBug as bug:
        raise _report(function, current, bug.message, crash_directory) from bug
    except Exception as error:
        shown = excerpt(function, _at_work(function, error.__traceback__))
        raise _report(function, current, f"{type(error).__name__}: {error}\n{shown}", crash_directory) from error
    return after


def _hold(function: Function, properties: Sequence[Property], relation: str) -> None:
    for prop in properties:
        violation = prop.violation(function)
        if violation is not None:
            reason, op = violation
            raise CompilerBug("properties", f"it {relation} {prop.name!r}: {reason}\n{excerpt(function, op)}")


def _at_work(function: Function, trace: TracebackType | None) -> Operation | None:
    """The operation that failed: the local `op` of the innermost frame that has one of the function's."""
    own = set(function.ops)
    found = None
    while trace is not None:
        candidate = trace.tb_frame.f_locals.get("op")
        if isinstance(candidate, Operation) and candidate in own:
            found = candidate
        trace = trace.tb_next
    return found


def _report(function: Function, current: Pass, message: str, directory: Path | None) -> CompilerBug:
    text = print_function(function, with_locs=True)
    message = f"pass {current.name} failed on function {function.name!r}: {message}"
    if directory is not None:
        path = directory / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', function.name)}-{current.name}.bmir"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
        except OSError as error:
            message += f"\nits input could not be written to {path}: {error.strerror}"
        else:
            message += f"\nto repeat it: bmc dump {shlex.quote(str(path))} --stage {current.stage} --after {current.name}"
    return CompilerBug(current.name, message, text)


@record(frozen=True)
class Snapshot:
    """A function as it was after a pass; `name` is the pass's, `input` before the first."""

    number: int
    name: str
    function: Function
    seconds: float


@dataclass(eq=False)
class Recorder:
    """An observer that keeps every version of a function."""

    snapshots: list[Snapshot] = field(default_factory=list)

    def __call__(self, run: PassRun) -> None:
        if not self.snapshots:
            self.snapshots.append(Snapshot(run.number - 1, "input", run.before, 0.0))
        self.snapshots.append(Snapshot(run.number, run.of.name, run.after, run.seconds))


def write_after_all(directory: Path, recorders: Sequence[Recorder], with_locs: bool = False) -> list[Path]:
    """Write `NN-pass.bmir` for each pass: a module of all functions that ran it, in order. Raises OSError."""
    versions: dict[tuple[int, str], list[Function]] = {}
    for recorder in recorders:
        for snapshot in recorder.snapshots:
            versions.setdefault((snapshot.number, snapshot.name), []).append(snapshot.function)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for (number, name), functions in sorted(versions.items(), key=lambda item: item[0]):
        path = directory / f"{number:02}-{name}.bmir"
        path.write_text(print_module(Module(tuple(functions)), with_locs), encoding="utf-8", errors="surrogatepass")
        paths.append(path)
    return paths

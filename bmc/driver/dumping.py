"""Every stage of the compiler as text.

    ast → graph → grad → fused → memory → llvm → asm

In: a source, or IR text (`.bmir`) that compilation goes on from; a stage, or a pass. Out: text. Guaranteed: text of the stages
graph, grad and fused, and after any pass, parses back to the same IR; IR text is verified before anything is done with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from bmc.codegen.target import compile_object, host_target
from bmc.driver import run_errors
from bmc.driver.gathering import batch_function
from bmc.driver.load import SourceText, load_unit
from bmc.driver.lower import Lowered, lower_part, write_llvm
from bmc.driver.plan_text import plan_text
from bmc.driver.session import shards_of
from bmc.driver.syntax_text import syntax_text
from bmc.errors import BmcError
from bmc.frontend.syntax.parse import parse
from bmc.frontend.unit import NEXT_STEP
from bmc.ir import Function, Module
from bmc.ir.text import print_module
from bmc.ops.parse_text import parse_module
from bmc.passes.cut_levels import cut_rows
from bmc.passes.manager import Pass, check_after, run_pipeline
from bmc.passes.phase_text import phases_as_module
from bmc.passes.pipeline import GRAPH_PASSES, INCREMENTAL_PASSES, SHARD_PASSES
from bmc.passes.verify import check_module
from bmc.record import record
from bmc.source import SourceFile
from bmc_runtime.atomic import write_bytes

__all__ = ["STAGES", "dump_ir", "dump_source", "pass_names", "write_passes"]

_CUT = re.compile(r"\.(rows|finish)(\.\d+)*$")

STAGES = ("ast", "graph", "grad", "fused", "memory", "llvm", "asm")


@record(frozen=True)
class _Version:
    """All functions as they are after a pass; `lowered` from the last pass on."""

    name: str
    functions: tuple[Function, ...]


def pass_names() -> tuple[str, ...]:
    """What `--after` takes."""
    later = (*INCREMENTAL_PASSES, *SHARD_PASSES)
    return (*(p.name for p in GRAPH_PASSES), "split_rows", *(p.name for p in later), "split_phases", "fuse")


def dump_source(source: SourceText, stage: str, after: str | None = None, with_locs: bool = False) -> str:
    """The text of a stage, or of what a pass gives. Raises BmcError."""
    if stage == "ast" and after is None:
        tree, diagnostics = parse(source.main)
        if diagnostics:
            raise BmcError(diagnostics)
        return syntax_text(tree, with_locs)
    return _dump(*_functions(source), stage, after, with_locs)


def dump_ir(file: SourceFile, stage: str, after: str | None = None, with_locs: bool = False) -> str:
    """The same from IR text. Raises BmcError: the text is wrong, or the stage comes before it."""
    if stage == "ast":
        raise BmcError(run_errors.no_such_choice("stage of IR text", stage, STAGES[1:]))
    functions, sharded = _functions_of_ir(file)
    keys = [p.key for f in functions for p in f.params] + [r.key for f in functions for r in f.results]
    if (stage != "graph" or after is not None) and any(key.startswith("phase.") for key in keys):
        # A phase that waits for sums over shards is no function that could be cut into phases again.
        raise BmcError(run_errors.no_such_choice("stage or pass of phases", after or stage, ("graph",)))
    return _dump(functions, sharded, stage, after, with_locs)


def write_passes(source: SourceText | SourceFile, directory: Path, with_locs: bool = False) -> list[Path]:
    """`NN-pass.bmir` for what each pass gives, `00-input.bmir` first. Raises BmcError."""
    functions, sharded = _functions(source) if isinstance(source, SourceText) else _functions_of_ir(source)
    paths = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for number, version in enumerate(_versions(functions, sharded)):
            paths.append(directory / f"{number:02}-{version.name}.bmir")
            text = print_module(Module(version.functions), with_locs)
            write_bytes(paths[-1], text.encode("utf-8", "surrogatepass"))
    except OSError as error:
        raise BmcError(run_errors.cannot_write(str(directory), error.strerror or str(error))) from None
    return paths


def _functions(source: SourceText) -> tuple[tuple[Function, ...], bool]:
    """The functions of a program, the gathering of batches among them, and whether its rows are summed by shards."""
    unit = load_unit(source)
    functions: list[Function] = []
    for function in unit.module.functions:
        functions.append(function)
        if function.name == "train":
            functions.append(batch_function(function))
    shards, accumulate = shards_of(unit)
    return tuple(functions), shards > 1 or accumulate > 1


def _functions_of_ir(file: SourceFile) -> tuple[tuple[Function, ...], bool]:
    """IR text does not say how many shards there are."""
    module = parse_module(file)
    check_module(module)
    return module.functions, False


def _dump(functions: tuple[Function, ...], sharded: bool, stage: str, after: str | None, with_locs: bool) -> str:
    if after is not None:
        # Asking for the pass that sums by shards asks for shards.
        for version in _versions(functions, sharded or after in [p.name for p in SHARD_PASSES], after):
            if version.name == after:
                return print_module(Module(version.functions), with_locs)
        raise BmcError(run_errors.no_such_choice("pass", after, pass_names()))
    if stage == "graph":
        return print_module(Module(functions), with_locs)
    if stage == "grad":
        return print_module(Module(_graphs(functions, sharded)), with_locs)
    if stage not in STAGES:
        raise BmcError(run_errors.no_such_choice("stage", stage, STAGES))
    lowered = [lower_part(graph) for graph in _graphs(functions, sharded)]
    if stage == "fused":
        return print_module(_phases(lowered, fused=True), with_locs)
    if stage == "memory":
        return "\n".join(plan_text(item.memory.plan) for item in lowered)
    target = host_target()
    text = str(write_llvm(lowered, target))
    return text if stage == "llvm" else compile_object(text, target, assembly=True).decode()


def _phases(lowered: Sequence[Lowered], fused: bool) -> Module:
    modules = [phases_as_module(item.graph, item.fused if fused else item.phases) for item in lowered]
    return Module(tuple(f for m in modules for f in m.functions))


def _graphs(functions: tuple[Function, ...], sharded: bool) -> tuple[Function, ...]:
    """The functions after all graph passes."""
    return _graph_versions(functions, sharded, None)[-1].functions


def _versions(functions: tuple[Function, ...], sharded: bool, upto: str | None = None) -> list[_Version]:
    """The functions before the first and after each pass; not beyond the first pass called `upto`."""
    versions = _graph_versions(functions, sharded, upto)
    if versions[-1].name != upto:
        lowered = [lower_part(f) for f in versions[-1].functions]
        versions.append(_Version("split_phases", _phases(lowered, fused=False).functions))
        versions.append(_Version("fuse", _phases(lowered, fused=True).functions))
    return versions


def _graph_versions(functions: tuple[Function, ...], sharded: bool, upto: str | None) -> list[_Version]:
    versions = [_Version("input", functions)]

    def step(name: str, change: Callable[[Function], Sequence[Function]]) -> bool:
        """Whether to go on."""
        changed = tuple(after for before in versions[-1].functions for after in change(before))
        versions.append(_Version(name, changed))
        return name != upto

    for current in GRAPH_PASSES:
        if not step(current.name, lambda f, p=current: (_run(p, f),)):  # type: ignore[misc]
            return versions
    if not step("split_rows", _parts):
        return versions
    whole = set(functions)
    cut = {f for f in versions[-1].functions if f not in whole and _CUT.search(f.name)}
    if cut:
        # Both parts are simplified again: the cut leaves operations behind that only one of them needs.
        versions[-1] = _Version("split_rows", tuple(
            run_pipeline(f, GRAPH_PASSES) if f in cut else f for f in versions[-1].functions
        ))  # fmt: skip
    for current in INCREMENTAL_PASSES if any(f.name == NEXT_STEP for f in functions) or upto == "incremental" else ():
        simplified = (current, *GRAPH_PASSES)
        if not step(current.name, lambda f, p=simplified: (run_pipeline(f, p) if f.name == NEXT_STEP else f,)):  # type: ignore[misc]
            return versions
    for current in SHARD_PASSES if sharded else ():
        if not step(current.name, lambda f, p=current: (_run(p, f) if f.name == "train" else f,)):  # type: ignore[misc]
            return versions
    return versions


def _run(current: Pass, function: Function) -> Function:
    return run_pipeline(function, (current,), (), check_after)


def _parts(function: Function) -> Sequence[Function]:
    """The parts of a function that mixes rows; a part that is cut already stays."""
    mixes = function.name == "eval" or function.name.startswith("fit.")
    # What comes from later text is cut already: `.rows`, `.finish`, and their phases `.rows.0`, ...
    return cut_rows(function) if mixes and function.row is not None and not _CUT.search(function.name) else (function,)

"""From IR functions to a program: the compiler's back half on one page.

    graph passes → [eval, fit: split into rows and finish] → phases → kernels → memory plan → LLVM IR → object code

In: the functions of a `Unit`. Out: `Lowered` functions, each stage kept for `dump`, and a `Program` for the runtime.
Guaranteed: equal kernels are emitted once for the whole program.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from bmc.codegen.cache import ObjectCache, compiler_identity
from bmc.codegen.contract import vector_bytes_of
from bmc.codegen.phases import LlvmModule, PhaseWriter, empty_module
from bmc.codegen.target import Target, compile_object
from bmc.driver.gathering import batch_function
from bmc.ir import Function, Module, Operation
from bmc.ir.text import print_module
from bmc.passes.check_memory import check_memory
from bmc.passes.fuse import fuse_phases
from bmc.passes.fusion.kernels import kernel_key
from bmc.passes.manager import Observer, check_after, run_pipeline
from bmc.passes.phase import Phase
from bmc.passes.pipeline import GRAPH_PASSES, SHARD_PASSES
from bmc.passes.plan_memory import MemoryPlan, plan_memory
from bmc.passes.split_phases import split_phases
from bmc.passes.split_rows import split_rows
from bmc.record import record
from bmc_runtime.plan import FunctionPlan, Program

__all__ = ["Lowered", "Options", "lower_function", "lower_part", "lower_unit", "program_of", "write_llvm"]


@record(frozen=True, eq=False)
class Lowered:
    """One function on its way down: `graph` after the graph passes, `phases` before and `fused` after fusion, `memory` planned."""

    name: str
    graph: Function
    phases: tuple[Phase, ...]
    fused: tuple[Phase, ...]
    memory: MemoryPlan


@record(frozen=True)
class Options:
    """`sharded`: rows are summed shard by shard (`shards` or `accumulate` above 1). `disabled`: optional passes left out."""

    sharded: bool = False
    disabled: tuple[str, ...] = ()
    crash_directory: Path | None = None


def lower_function(function: Function, options: Options, observer: Observer = check_after) -> list[Lowered]:
    """Lower one function, or the two parts of one that mixes rows (`fit.*`, `eval`)."""
    graph = run_pipeline(function, GRAPH_PASSES, options.disabled, observer, options.crash_directory)
    if function.name.startswith("fit.") or function.name == "eval":
        parts = [
            run_pipeline(part, GRAPH_PASSES, options.disabled, observer, options.crash_directory) for part in split_rows(graph)
        ]
    elif function.name == "train":
        passes = SHARD_PASSES if options.sharded else ()
        parts = [run_pipeline(graph, passes, (), observer, options.crash_directory)]
    else:
        parts = [graph]
    return [lower_part(part) for part in parts]


def lower_part(graph: Function) -> Lowered:
    """Lower a function after the graph passes, none of whose operations mixes rows that a per-shard step must keep apart."""
    phases = split_phases(graph)
    fused = fuse_phases(graph, phases)
    memory = plan_memory(graph, fused)
    check_memory(graph, memory.plan, memory.phases, memory.places)
    return Lowered(graph.name, graph, phases, fused, memory)


def lower_unit(module: Module, options: Options, observer: Observer = check_after) -> list[Lowered]:
    """Lower all functions of a unit, and the gathering of batches where it trains."""
    lowered: list[Lowered] = []
    for function in module.functions:
        lowered.extend(lower_function(function, options, observer))
        if function.name == "train":
            lowered.extend(lower_function(batch_function(function), options, observer))
    return lowered


def write_llvm(lowered: Sequence[Lowered], target: Target, key: Callable[[Operation], str] = kernel_key) -> LlvmModule:
    """LLVM IR of all steps."""
    module = empty_module(target.triple)
    writer = PhaseWriter(module, target.fused, key, vector_bytes_of(target.features))
    writer.write_additions()
    for item in lowered:
        for phase in item.memory.native:
            writer.write(phase.symbol, phase.ops, phase.table, item.memory.plan.dims)
    return module


def program_of(
    module: Module, target: Target, options: Options, cache: ObjectCache | None = None, only: Collection[str] | None = None
) -> Program:
    """Compile the functions of a unit (those named in `only`, or all), or find them compiled in the cache."""
    functions = [f for f in module.functions if only is None or f.name in only]
    part = Module(tuple(functions))
    text = ""
    if cache is not None:
        text = f"{compiler_identity()}\n{target.identity}\n{options.sharded} {options.disabled}\n{print_module(part)}"
        found = cache.get(text)
        if found is not None:
            return Program.from_json(*found)
    lowered = lower_unit(part, options)
    plans: Mapping[str, FunctionPlan] = {item.name: item.memory.plan for item in lowered}
    program = Program(plans, compile_object(str(write_llvm(lowered, target)), target))
    if cache is not None:
        cache.put(text, program.plan_json(), program.object_code)
    return program

"""From IR functions to a program: the compiler's back half on one page.

    graph passes → [eval, fit: split into rows and finish] → phases → kernels → memory plan → LLVM IR → object code

In: the functions of a `Unit`. Out: `Lowered` functions, each stage kept for `dump`, and a `Program` for the runtime.
Guaranteed: equal kernels are emitted once for the whole program.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence

from bmc.codegen.contract import vector_bytes_of
from bmc.codegen.phases import LlvmModule, PhaseWriter, empty_module
from bmc.codegen.target import Target, compile_object
from bmc.driver import run_errors
from bmc.driver.compiled import Options
from bmc.driver.gathering import batch_function
from bmc.errors import BmcError
from bmc.frontend.unit import NEXT_STEP
from bmc.ir import Function, Module, Operation
from bmc.passes.check_memory import check_memory
from bmc.passes.cut_levels import cut_rows
from bmc.passes.fuse import fuse_phases
from bmc.passes.fusion.kernels import kernel_key
from bmc.passes.manager import Observer, check_after, run_pipeline
from bmc.passes.memory.loops import with_loops
from bmc.passes.phase import Phase
from bmc.passes.pipeline import GRAPH_PASSES, INCREMENTAL_PASSES, SHARD_PASSES
from bmc.passes.plan_memory import MemoryPlan, plan_memory
from bmc.passes.shard import RowsDoNotSplit
from bmc.passes.split_phases import split_phases
from bmc.record import record, replace
from bmc_runtime.plan import FunctionPlan, Program
from bmc_runtime.reducers.kernels import symbols_of
from bmc_runtime.row_hashes import hashes_rows

__all__ = ["Lowered", "Options", "compile_functions", "lower_function", "lower_part", "lower_unit", "write_llvm"]


@record(frozen=True, eq=False)
class Lowered:
    """One function on its way down: `graph` after the graph passes, `phases` before and `fused` after fusion, `memory` planned."""

    name: str
    graph: Function
    phases: tuple[Phase, ...]
    fused: tuple[Phase, ...]
    memory: MemoryPlan


def lower_function(function: Function, options: Options, observer: Observer = check_after) -> list[Lowered]:
    """Lower one function, or the two parts of one that mixes rows (`fit.*`, `eval`)."""
    graph = run_pipeline(function, GRAPH_PASSES, options.disabled, observer, options.crash_directory)
    if function.name.startswith("fit.") or function.name == "eval":
        parts = [
            run_pipeline(part, GRAPH_PASSES, options.disabled, observer, options.crash_directory) for part in cut_rows(graph)
        ]
    elif function.name == NEXT_STEP:
        again = (*INCREMENTAL_PASSES, *GRAPH_PASSES)  # the parts have constants and moves of their own
        parts = [run_pipeline(graph, again, options.disabled, observer, options.crash_directory)]
    elif function.name == "train":
        passes = SHARD_PASSES if options.sharded else ()
        try:
            parts = [run_pipeline(graph, passes, (), observer, options.crash_directory)]
        except RowsDoNotSplit as refusal:
            raise BmcError(run_errors.rows_do_not_split(refusal.op.name, refusal.op.location.spans)) from None
    else:
        parts = [graph]
    return [lower_part(part) for part in parts]


def lower_part(graph: Function) -> Lowered:
    """Lower a function after the graph passes, none of whose operations mixes rows that a per-shard step must keep apart."""
    phases = split_phases(graph)
    fused = tuple(replace(phase, ops=with_loops(phase.ops)) for phase in fuse_phases(graph, phases))
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
    if hashes_rows(item.name for item in lowered):
        writer.write_hashing()
    writer.write_reducing(symbols_of(step for item in lowered for step in item.memory.plan.steps))
    for item in lowered:
        for phase in item.memory.native:
            writer.write(phase.symbol, phase.ops, phase.table, item.memory.plan.dims)
    return module


def compile_functions(module: Module, target: Target, options: Options) -> Program:
    """Compile all functions of a module into one program."""
    # Graphs are made and dropped in bulk and without cycles that matter: the collector would walk over all of a deep model again
    # and again, and find nothing.
    collecting = gc.isenabled()
    gc.disable()
    try:
        lowered = lower_unit(module, options)
        plans: Mapping[str, FunctionPlan] = {item.name: item.memory.plan for item in lowered}
        return Program(plans, compile_object(str(write_llvm(lowered, target)), target))
    finally:
        if collecting:
            gc.enable()

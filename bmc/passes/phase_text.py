"""Phases as functions of a module, so that they print, parse back, verify and evaluate like any other stage.

In: a function and its phases, before or after fusion. Out: a module of one function a phase, called by the phase's
symbol. Guaranteed: operations and values are those of the phases; what crosses from one phase to the next has one
key in both, `phase.0`, `phase.1`, ... in order of definition; what the function's results say of a value, the phase
that defines it says.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.ir import Function, Module, Parameter, Result, Value
from bmc.passes.phase import Phase

__all__ = ["phases_as_module"]


def phases_as_module(function: Function, phases: Sequence[Phase]) -> Module:
    """The module. Each function has the row dim where its phase runs for each shard."""
    params = {param.value: param for param in function.params}
    stated: dict[Value, list[Result]] = {}
    for result in function.results:
        stated.setdefault(result.value, []).append(result)
    read = {value for phase in phases for value in phase.inputs}
    crossing = dict.fromkeys(value for phase in phases for value in phase.outputs if value in read)
    keys = {value: f"phase.{number}" for number, value in enumerate(crossing)}
    functions = []
    for phase in phases:
        inputs = tuple(params.get(value) or Parameter(value, "input", keys[value]) for value in phase.inputs)
        results: list[Result] = []
        for value in phase.outputs:
            results += stated.get(value, ())
            if value in keys:
                results.append(Result(value, "output", keys[value]))
        functions.append(Function(phase.symbol, inputs, phase.ops, tuple(results), function.row))
    return Module(tuple(functions))

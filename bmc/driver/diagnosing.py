"""Where a loss stopped being finite: the failed step once more, operation by operation.

In: the function `train` as elaborated (nothing fused), the arrays of the failed step. Out: a diagnostic with the first
operation whose result was not finite though all that it read was, and its source. Guaranteed: computes what the step computed
before its guard, by the reference of each operator; only this one step is replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bmc.driver import run_errors
from bmc.errors import Diagnostic
from bmc.ir import Function, Operation, Parameter, Value
from bmc.ops.evaluate import bindings_of, evaluate_ops
from bmc.ops.table import definition
from bmc.source import Span
from bmc_runtime.memory import Array

__all__ = ["explain_not_finite"]


def explain_not_finite(
    train: Function, arrays: Mapping[str, Array], dims: Mapping[str, int], spans: Mapping[str, Span], step: int, epoch: int
) -> Diagnostic:
    """`arrays`: every parameter of `train` by key, the rows those of the failed step. `spans`: where weights are declared, by key.
    `step` and `epoch` count from 0."""
    guard = next(op for op in train.ops if definition(op.name).effect)
    ops = _needed(train, guard.operands)
    values: dict[Value, Any] = {p.value: arrays[p.key] for p in train.params}
    bindings = {**bindings_of(train, arrays), **dims}
    with np.errstate(all="ignore"):
        for op in ops:
            evaluate_ops([op], values, bindings, np)
    producers = {value: op for op in ops for value in op.results}
    parameters = {p.value: p for p in train.params}
    at = next((v for v in guard.operands if not _finite(values[v])), None)
    if at is None:
        return run_errors.not_finite(step + 1, epoch + 1, None, "", (), gradient=False)
    while at in producers:
        bad = [v for v in producers[at].operands if not _finite(values[v])]
        if not bad:
            break
        # A NaN tells more than an infinity, which may be meant (a mask).
        at = next((v for v in bad if np.isnan(values[v]).any()), bad[0])
    word = "NaN" if np.isnan(values[at]).any() else "an infinity"
    if at in producers:
        op = producers[at]
        return run_errors.not_finite(step + 1, epoch + 1, op.name, word, op.location.spans, op.location.gradient)
    return _of_parameter(parameters[at], values[at], spans, step, epoch, word)


def _of_parameter(parameter: Parameter, array: Any, spans: Mapping[str, Span], step: int, epoch: int, word: str) -> Diagnostic:
    if parameter.role == "input":
        row = int(np.argwhere(~np.isfinite(array))[0][0]) + 1
        return run_errors.input_not_finite(step + 1, epoch + 1, parameter.key, word, row)
    return run_errors.weight_not_finite(step + 1, epoch + 1, parameter.key, word, spans.get(parameter.key.partition("@")[0]))


def _finite(array: Any) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _needed(function: Function, roots: tuple[Value, ...]) -> list[Operation]:
    """The operations that `roots` depend on, in order."""
    wanted = set(roots)
    kept = []
    for op in reversed(function.ops):
        if any(value in wanted for value in op.results):
            kept.append(op)
            wanted.update(op.operands)
    return kept[::-1]

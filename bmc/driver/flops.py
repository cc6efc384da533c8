"""Floating-point operations of a function's products: 2 for each multiplication and addition.

In: functions, with or without gradients; sizes of open dims. Out: FLOPs. Guaranteed: what stands in the region of a scan counts
once for each turn; a convolution counts its taps, those on padding included, as the product over windows that it becomes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from bmc.ir import Function, Operation, Value
from bmc.ir.dims import evaluate, symbols
from bmc.ops.lowering import Contraction
from bmc.ops.table import definition

__all__ = ["bindings_for", "products", "total", "with_gradients"]


def bindings_for(function: Function, rows: int, dims: Mapping[str, int]) -> dict[str, int]:
    """A size for every open dim: those given, 1 for the others."""
    found: dict[str, int] = {}
    values = [p.value for p in function.params] + [v for op in _all(function.ops) for v in op.results]
    found.update((s, 1) for value in values for dim in value.type.shape for s in symbols(dim))
    found.update((name, size) for name, size in dims.items() if name in found)
    if function.row is not None:
        found[function.row] = rows
    return found


def _all(ops: Sequence[Operation]) -> Iterator[Operation]:
    for op in ops:
        yield op
        for region in op.regions:
            yield from _all(region.ops)


def products(function: Function, bindings: Mapping[str, int]) -> dict[Value, int]:
    """FLOPs of each product, by its result."""
    return dict(_products(function.ops, bindings, 1))


def total(function: Function, bindings: Mapping[str, int]) -> int:
    return sum(flops for _, flops in _products(function.ops, bindings, 1))


def _products(ops: Sequence[Operation], bindings: Mapping[str, int], times: int) -> Iterator[tuple[Value, int]]:
    for op in ops:
        flops = _flops(op, bindings)
        if flops is not None:
            yield op.results[0], times * flops
        turns = times * max(_turns(op, bindings), 0)
        for region in op.regions:
            yield from _products(region.ops, bindings, turns)


def _turns(op: Operation, bindings: Mapping[str, int]) -> int:
    length = getattr(op.attrs, "length", None)
    return evaluate(length, bindings) if op.regions and length is not None else 1


def _flops(op: Operation, bindings: Mapping[str, int]) -> int | None:
    if isinstance(definition(op.name).lowering, Contraction):
        left = op.operands[0].type.shape
        summed = [left[axis] for axis in op.attrs.lhs_contract]  # type: ignore[attr-defined]  # those of `contract`
    elif op.name == "convolution":
        summed = list(op.operands[1].type.shape[:-1])
    else:
        return None
    return 2 * math.prod(max(evaluate(d, bindings), 0) for d in (*op.results[0].type.shape, *summed))


# --- gradients ---------------------------------------------------------------------------------------------------------
def with_gradients(function: Function, learned: set[Value], bindings: Mapping[str, int]) -> dict[Value, int]:
    """FLOPs of each product of a function before autodiff, and of its gradients: as many again for each operand that depends on
    what is learned."""
    found: dict[Value, int] = {}
    _count(function.ops, set(learned), bindings, 1, found)
    return found


def _count(ops: Sequence[Operation], active: set[Value], bindings: Mapping[str, int], times: int, found: dict[Value, int]) -> None:
    """`active` grows by what depends on what is learned."""
    for op in ops:
        depends = [value in active for value in op.operands]
        flops = _flops(op, bindings)
        if flops is not None:
            found[op.results[0]] = times * flops * (1 + sum(depends))
        for region in op.regions:
            turns = times * max(_turns(op, bindings), 0)
            inner = {p for p, moved in zip(region.params, depends, strict=False) if moved}
            while True:  # a carry depends on what the turn before made of it
                inside = set(inner)
                _count(region.ops, inside, bindings, turns, found)
                carried = {p for p, end in zip(region.params[: _carries(op)], region.results, strict=False) if end in inside}
                if carried <= inner:
                    break
                inner |= carried
            depends = [*depends, *(end in inside for end in region.results)]
        if any(depends) and op.name != "stop_gradient":
            active.update(op.results)


def _carries(op: Operation) -> int:
    carries = getattr(op.attrs, "carries", 0)
    return carries if isinstance(carries, int) else 0

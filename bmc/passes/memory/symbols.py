"""The free dims of a function, in the order in which native code receives them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass

from bmc.ir import Function, Operation, Poly
from bmc.ir.dims import symbols
from bmc.passes.phase import Phase

__all__ = ["dims_of"]


def dims_of(function: Function, phases: Sequence[Phase]) -> tuple[str, ...]:
    """The row dim first, the others by name: every symbol of a type or an attribute."""
    found: set[str] = set()
    for param in function.params:
        found.update(name for dim in param.value.type.shape for name in symbols(dim))
    work: list[Operation] = [op for phase in phases for op in phase.ops]
    while work:
        op = work.pop()
        for value in op.results:
            found.update(name for dim in value.type.shape for name in symbols(dim))
        for dim in _dims_in(op.attrs):
            found |= symbols(dim)
        for region in op.regions:
            work.extend(region.ops)
    rest = sorted(found - {function.row or ""})
    return (function.row, *rest) if function.row is not None else tuple(rest)


def _dims_in(attrs: object) -> Iterator[Poly]:
    """Polynomials in an attribute dataclass, inside tuples included."""
    if not is_dataclass(attrs):
        return
    work: list[object] = [getattr(attrs, field.name) for field in fields(attrs)]
    while work:
        item = work.pop()
        if isinstance(item, Poly):
            yield item
        elif isinstance(item, tuple):
            work.extend(item)

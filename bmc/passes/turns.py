"""Passes inside scans: a turn is simplified as a function is.

In: a pass from function to function that keeps parameters and the order of results. Out: the same pass, which goes into
the regions of scans as well. Guaranteed: a function in which nothing changes comes back as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps

from bmc.ir import Function, Operation, Parameter, Region, Result
from bmc.ops.scan_parts import ScanAttrs

__all__ = ["in_turns_too", "turn_after"]


def in_turns_too(apply: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """`apply`, on a function and then on the turns of its scans."""

    @wraps(apply)
    def everywhere(function: Function) -> Function:
        outer = apply(function)
        ops = tuple(_turn(op, outer, everywhere) for op in outer.ops)
        return outer if all(a is b for a, b in zip(ops, outer.ops, strict=True)) else replace(outer, ops=ops)

    return everywhere


def _turn(op: Operation, outer: Function, apply: Callable[[Function], Function]) -> Operation:
    return turn_after(op, outer.name, apply, outer.row) if isinstance(op.attrs, ScanAttrs) else op


def turn_after(op: Operation, name: str, apply: Callable[[Function], Function], row: str | None = None) -> Operation:
    """The scan `op` with `apply` done to its turn as to a function; `op` itself where nothing changes."""
    (region,) = op.regions
    params = tuple(Parameter(value, "input", f"param.{i}") for i, value in enumerate(region.params))
    results = tuple(Result(value, "output", f"result.{i}") for i, value in enumerate(region.results))
    before = Function(f"{name}.turn", params, region.ops, results, row)
    after = apply(before)
    if after is before:
        return op
    turned = Region(region.params, after.ops, tuple(result.value for result in after.results))
    return Operation(op.name, op.operands, op.attrs, op.results, (turned,), op.location)

"""Whether a program can take rows of every length that it is to be padded to.

In: functions with run-time dims of padding in buckets. Out: reports of slices and sizes that some length does not allow: native
code does not look. Guaranteed: each size is tried with the shortest and the longest rows of all buckets, between which it lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from bmc.frontend.bodies.core import Bucketing, Core
from bmc.frontend.errors import data_errors
from bmc.ir import Dim, Function, Operation, Poly
from bmc.ir.dims import evaluate, symbols
from bmc.ops.shape import PadAttrs, SliceAttrs

__all__ = ["check_lengths"]


def check_lengths(core: Core, functions: Sequence[Function], bucketings: Sequence[Bucketing]) -> None:
    """Report each place once where a size is negative for some lengths."""
    ends = {b.symbol: (min(b.bucket, b.most), b.most) for b in bucketings}
    if not ends:
        return
    for function in functions:
        for op in function.ops:
            for size in _sizes(op):
                names = sorted(symbols(size))
                if not names or not set(names) <= set(ends):
                    continue
                for corner in product(*(ends[name] for name in names)):
                    lengths = dict(zip(names, corner, strict=True))
                    if evaluate(size, lengths) < 0:
                        place = next((s for s in op.location.spans if not core.program.is_library(s.file)), None)
                        core.report(data_errors.length_without_size(place or op.location.spans[0], lengths))
                        break


def _sizes(op: Operation) -> Iterator[Poly]:
    """What must not be negative: sizes of results, starts of slices, what they leave behind themselves."""
    found: list[Dim] = [dim for value in op.results for dim in value.type.shape]
    if isinstance(op.attrs, SliceAttrs):
        attrs = op.attrs
        for start, stop, step, dim in zip(attrs.starts, attrs.stops, attrs.steps, op.operands[0].type.shape, strict=True):
            low, high = (start, stop) if step > 0 else (stop + 1, start + 1)
            found += [low, dim - high]
    elif isinstance(op.attrs, PadAttrs):
        found += [*op.attrs.low, *op.attrs.high]
    yield from (dim for dim in found if isinstance(dim, Poly))

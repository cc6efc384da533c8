"""Whether a program can take rows of every length that it is to be padded to.

In: functions with run-time dims of padding in buckets. Out: reports of slices and sizes that some length does not allow: native
code does not look. Guaranteed: each size is tried with the shortest and the longest rows of all buckets, between which it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from bmc.frontend.bodies.core import Bucketing, Core
from bmc.frontend.errors import data_errors
from bmc.ir import Function
from bmc.ir.dims import evaluate, symbols
from bmc.ops.extents import open_extents

__all__ = ["check_lengths"]


def check_lengths(core: Core, functions: Sequence[Function], bucketings: Sequence[Bucketing]) -> None:
    """Report each place once where a size is negative for some lengths."""
    ends = {b.symbol: (min(b.bucket, b.most), b.most) for b in bucketings}
    if not ends:
        return
    for function in functions:
        for op in function.ops:
            for size in open_extents(op):
                names = sorted(symbols(size))
                if not names or not set(names) <= set(ends):
                    continue
                for corner in product(*(ends[name] for name in names)):
                    lengths = dict(zip(names, corner, strict=True))
                    if evaluate(size, lengths) < 0:
                        place = next((s for s in op.location.spans if not core.program.is_library(s.file)), None)
                        core.report(data_errors.length_without_size(place or op.location.spans[0], lengths))
                        break

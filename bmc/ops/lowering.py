"""How an operator becomes code, as data that code generation interprets; nothing here knows LLVM.

A few classes cover all operators:
- `Elementwise`: every result element is a function of the operand elements at the same index (and of the index itself).
- `View`: a re-indexing that is affine per axis (broadcast, transpose, slice, windows); fused into its consumers as an index map.
- `Reshape`: the same row-major elements under another shape; an alias, never code.
- `Reduction`: a fold of one operand over some axes.
- `Contraction`: sums of products.
- `Opaque`: a kernel of its own, by name, in code generation (gather, scatter-add, concat, sort, table look-up).
- `Fused`: a kernel whose code is its region.
- `Loop`: its region once for each slice of its sequences.
- `Host`: a reducer of the runtime, by name; only in fitting.
- `Expanded`: must be gone before code generation; names the pass that removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from bmc.ir import Dim, Operation, TensorType, Value
from bmc.ops.element import Element, ElementBuilder
from bmc.record import record

__all__ = [
    "AxisMap", "Contraction", "Elementwise", "Expanded", "Fused", "Host", "KernelBuilder", "Loop", "Lowering",
    "Opaque", "Reduction", "Reshape", "View",
]  # fmt: skip


class KernelBuilder(ElementBuilder, Protocol):
    """An element builder inside a kernel, which knows the run-time dims. `index(axis)` counts along axis `axis` of
    the operation's result.
    """

    def dim(self, dim: Dim) -> Element:
        """The value of a dim, an i64; of the row dim in a per-shard step: the rows of this shard."""
        ...


@record(frozen=True)
class Elementwise:
    """`emit(b, attrs, *elements) -> element`, or a tuple of elements for several results; `b` is an `ElementBuilder`.

    `cost` is the rough number of machine instructions an element, which fusion weighs against recomputation.
    `indexed`: it calls `b.index`, so that the axes of its result must stay apart in loops. `scalars`: the operands
    that are not element-wise but short vectors read cell by cell; for them `emit` gets a function `cell(i) ->
    element` of a compile-time index.
    """

    emit: Callable[..., Any]
    cost: int = 1
    indexed: bool = False
    scalars: tuple[int, ...] = ()


@record(frozen=True)
class AxisMap:
    """Index of one operand axis: `offset + stride * (index of result axis `axis`)`; axis None: `offset` alone.

    `second`: one more result axis that moves along the same operand axis, by `second_stride`: the cells of a window.
    """

    axis: int | None
    stride: int = 1
    offset: Dim = 0
    second: int | None = None
    second_stride: int = 0


@record(frozen=True)
class View:
    """`index(attrs, operand type, result type)` gives one AxisMap for each operand axis."""

    index: Callable[[Any, TensorType, TensorType], Sequence[AxisMap]]


@record(frozen=True)
class Reshape:
    pass


@record(frozen=True)
class Reduction:
    """A fold with `combine` (an ElementBuilder method name) from `identity` over `attrs.axes`."""

    combine: Literal["add", "maximum", "minimum", "mul"]
    identity: float


@record(frozen=True)
class Contraction:
    pass


@record(frozen=True)
class Opaque:
    """`overwrites`: the operand in whose memory the result may lie, all of it read before or where it is written."""

    kernel: str
    overwrites: int | None = None


@record(frozen=True)
class Fused:
    pass


@record(frozen=True)
class Loop:
    pass


@record(frozen=True)
class Host:
    reducer: str


@record(frozen=True)
class Expanded:
    """`by`: the pass. `into(builder, operation)` builds the operations in its place; None: the pass knows how."""

    by: str
    into: Callable[[Any, Operation], Value] | None = None


Lowering = Elementwise | View | Reshape | Reduction | Contraction | Opaque | Fused | Loop | Host | Expanded

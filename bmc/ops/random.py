"""Random draws: functions of (seed, step, row, element, site), so that neither passes nor workers move them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bmc.ir import Dim, Operation, Poly, Shape, TensorType
from bmc.ir.types import FLOATS
from bmc.ops import philox
from bmc.ops.element import Element
from bmc.ops.lowering import Elementwise, KernelBuilder
from bmc.ops.registry import ULP, NotDifferentiable, Operator, Sample, TypeRuleError
from bmc.ops.sources import check_shape
from bmc.record import record

__all__ = ["CONTROL", "CONTROL_FIRST_ROW", "CONTROL_SEED", "CONTROL_STEP", "OPERATORS", "PlacedRandomAttrs", "RandomAttrs"]

CONTROL = TensorType("i64", (8,))
CONTROL_SEED, CONTROL_STEP, CONTROL_FIRST_ROW = 0, 1, 2


@record(frozen=True)
class RandomAttrs:
    """`site`: the key path of the layer. `rows`: the leading dim is the row dim; draws count rows within the
    effective batch.
    """

    dtype: str
    shape: Shape
    site: str
    rows: bool


@record(frozen=True)
class PlacedRandomAttrs:
    """As RandomAttrs, with the site's hash as a number known at run time: code generation makes it, to share kernels."""

    dtype: str
    shape: Shape
    site: Dim
    rows: bool


AnyRandomAttrs = RandomAttrs | PlacedRandomAttrs


def _infer(types: Sequence[TensorType], attrs: RandomAttrs) -> tuple[TensorType, ...]:
    check_shape(attrs.shape)
    if types[0] != CONTROL:
        raise TypeRuleError(f"the control operand is {types[0]}; wanted: {CONTROL}", 0)
    if attrs.dtype not in FLOATS:
        raise TypeRuleError(f"no random draws of dtype {attrs.dtype}")
    if attrs.rows and not attrs.shape:
        raise TypeRuleError("a scalar has no rows")
    return (TensorType(attrs.dtype, attrs.shape),)


def _rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | None, ...]:
    return (0 if op.attrs.rows else None,)  # type: ignore[attr-defined]


def _place(b: KernelBuilder, attrs: AnyRandomAttrs, control: Callable[[int], Element]) -> tuple[Element, Element]:
    """The row within the effective batch, and the row-major position within the row."""
    first_axis = 1 if attrs.rows else 0
    row = b.add(control(CONTROL_FIRST_ROW), b.index(0)) if attrs.rows else b.constant("i64", 0)
    position: Element | None = None
    for axis in range(first_axis, len(attrs.shape)):
        if position is None:
            position = b.index(axis)
        else:
            size = attrs.shape[axis]
            count = b.constant("i64", size) if isinstance(size, int) else b.dim(size)
            position = b.add(b.mul(position, count), b.index(axis))
    return row, b.constant("i64", 0) if position is None else position


def _emit(method: str) -> Callable[[KernelBuilder, AnyRandomAttrs, Callable[[int], Element]], Element]:
    def emit(b: KernelBuilder, attrs: AnyRandomAttrs, control: Callable[[int], Element]) -> Element:
        row, position = _place(b, attrs, control)
        site = philox.site_hash(attrs.site) if isinstance(attrs, RandomAttrs) else b.dim(attrs.site)
        draw: Element = getattr(b, method)(attrs.dtype, control(CONTROL_SEED), control(CONTROL_STEP), row, position, site)
        return draw

    return emit


def _reference(draw: Callable[..., Any]) -> Callable[[Any, RandomAttrs, Sequence[Any]], Sequence[Any]]:
    def reference(np: Any, attrs: RandomAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
        (control,) = arrays
        seed, step, first = (int(control[i]) for i in (CONTROL_SEED, CONTROL_STEP, CONTROL_FIRST_ROW))
        rows = attrs.shape[0] if attrs.rows else 1
        inner = attrs.shape[1:] if attrs.rows else attrs.shape
        positions = np.arange(int(np.prod(inner, dtype=np.int64)), dtype=np.int64)[None, :]
        row = (np.arange(rows, dtype=np.int64) + (first if attrs.rows else 0))[:, None]
        drawn = draw(np, attrs.dtype, seed, step, row, positions, philox.site_hash(attrs.site))
        return (drawn.reshape(attrs.shape),)

    return reference


def _draw_control(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    seed, step, first = int(rng.integers(0, 2**62)), int(rng.integers(0, 2**20)), int(rng.integers(0, 2**20))
    return [np.array([seed, step, first, 100, 0, 64, 0, 0], dtype=np.int64)]


def _samples() -> Sequence[Sample]:
    b, t = Poly.symbol("B"), Poly.symbol("T")
    shapes: tuple[tuple[Shape, bool], ...] = (
        ((b, 5), True),
        ((b, 3, t), True),
        ((4, 7), False),
        ((), False),
        ((b,), True),
        ((3, 0), False),
    )
    return [
        Sample((CONTROL,), RandomAttrs(dtype, shape, "stage.0.drop", rows), draw=_draw_control)
        for shape, rows in shapes
        for dtype in FLOATS
    ]


def _random(name: str, doc: str, method: str, draw: Callable[..., Any], ulp: ULP, cost: int) -> Operator:
    return Operator(
        name=name,
        doc=doc + " Keyed by seed, step, row and site; the operand is the function's `control`.",
        arity=1,
        attrs=RandomAttrs,
        infer=_infer,
        grad=NotDifferentiable("a draw depends on no tensor"),
        rows=_rows,
        lowering=Elementwise(_emit(method), cost, indexed=True, scalars=(0,)),
        reference=_reference(draw),
        samples=_samples,
        ulp=ulp,
    )


OPERATORS = (
    _random(
        "random_uniform",
        "Uniform in [0, 1), of 24 (f32) or 53 (f64) bits.",
        "uniform",
        philox.uniform,
        ULP(0.0, 0.0),
        40,
    ),
    # The logarithm and the sine of a turn err by 4 units at most, their root and product round.
    _random("random_normal", "Standard normal.", "normal", philox.normal, ULP(5.0, 8.0), 120),
)

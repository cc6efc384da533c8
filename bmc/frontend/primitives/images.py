"""Augmentation: images mirrored and moved at random, row by row, in the data of training steps.

In: images `[B, H, W]` or `[B, H, W, C]` of a data block. Out: what a training step sees; `Trace.plain` has what everything else
sees (fitting, evaluation, prediction). Guaranteed: a draw is a function of seed, step, row and site, and the site is the path of
names by which the output reaches it; what an image becomes is copied from its own cells, so it keeps its dtype and its bits.
"""

from __future__ import annotations

from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Datum, ListValue, Tensor, describe
from bmc.frontend.errors import data_errors, type_errors
from bmc.frontend.primitives.generators import draw
from bmc.ir import TensorType, Value
from bmc.record import replace

__all__ = ["PRIMITIVES"]


def _images(arguments: Arguments) -> tuple[Tensor, int, int]:
    """The images, their height and their width."""
    core, x = arguments.core, arguments.tensor("x")
    if core.trace.name != "data" or core.fitting is None:
        raise Failure(data_errors.augment_outside(arguments.span, arguments.name))
    height, width = x.shape[1:3] if x.rank in (3, 4) else (0, 0)
    if x.dtype == "str" or not isinstance(height, int) or not isinstance(width, int) or not height * width or x.valid is not None:
        wanted = "it takes images of a known size, [B, H, W] or [B, H, W, C]"
        raise Failure(type_errors.operand_type(arguments.where("x"), arguments.name, describe(x), wanted))
    return x, height, width


def _drawn(arguments: Arguments, count: int) -> Value:
    """`count` numbers from 0 to 1 for each row, f64[B, count]."""
    core = arguments.core
    assert core.fitting is not None
    scope = core.fitting.keys
    site = scope.key(scope.default(arguments.name))
    return draw(core, "random_uniform", TensorType("f64", (core.trace.dim_of_rows(), count)), site)


def _augmented(arguments: Arguments, x: Tensor, value: Value, plain: Value) -> Tensor:
    """`value` in training steps, `plain` everywhere else."""
    trace = arguments.core.trace
    trace.plain[value] = plain
    trace.seen_through[value] = plain
    origins = x.origins if value.type.shape == x.shape else ()
    return replace(x, value=value, origins=origins)


def _flip(arguments: Arguments) -> Datum:
    x, _, _ = _images(arguments)
    trace, axis = arguments.core.trace, 1 if arguments.flag("vertical") else 2
    drawn = trace.reshape(_drawn(arguments, 1), x.shape[:1])
    heads = trace.op("compare", drawn, trace.constant(0.5, "f64", x.shape[:1]), predicate="lt")
    size = x.shape[axis]
    mirrored = trace.slice(x.value, axis, size - 1, -1, -1)
    chosen = trace.op("select", trace.op("broadcast", heads, shape=x.shape, axes=(0,)), mirrored, x.value)
    return _augmented(arguments, x, chosen, x.value)


def _offset(arguments: Arguments, drawn: Value, place: int, count: int) -> Value:
    """A whole number below `count` for each row, i32[B]."""
    trace = arguments.core.trace
    rows = drawn.type.shape[:1]
    number = trace.reshape(trace.slice(drawn, 1, place, place + 1), rows)
    scaled = trace.op("floor", trace.op("mul", number, trace.constant(count, "f64", rows)))
    return trace.cast(trace.op("minimum", scaled, trace.constant(count - 1, "f64", rows)), "i32")


def _cut(arguments: Arguments, x: Tensor, pad: int, height: int, width: int) -> Tensor:
    """Parts of `height` x `width` from images with `pad` zeros at each side, each from a place of its own; else from the middle."""
    trace = arguments.core.trace
    rows, tall, wide = x.shape[0], *(int(str(d)) + 2 * pad for d in x.shape[1:3])
    sides = (0, pad, pad, *[0] * (x.rank - 3))
    padded = trace.op("pad", x.value, low=sides, high=sides, interior=(0,) * x.rank, value=0) if pad else x.value
    top, left = (tall - height) // 2, (wide - width) // 2
    plain = trace.slice(trace.slice(padded, 1, top, top + height), 2, left, left + width)
    drawn = _drawn(arguments, 2)
    shape = (rows, height, width)
    index = trace.op("iota", dtype="i32", shape=shape, axis=2)
    for place, axis, count, step in ((0, 1, tall - height + 1, wide), (1, 2, wide - width + 1, 1)):
        offset = trace.op("broadcast", _offset(arguments, drawn, place, count), shape=shape, axes=(0,))
        if axis == 1:
            offset = trace.op("add", offset, trace.op("iota", dtype="i32", shape=shape, axis=1))
        index = trace.op("add", index, trace.op("mul", offset, trace.constant(step, "i32", shape)))
    flat = trace.reshape(index, (rows, height * width))
    channels = x.shape[3:]
    if channels:
        last = (rows, *channels, tall * wide)
        table = trace.reshape(trace.transpose(padded, (0, 3, 1, 2)), last)
        flat = trace.op("broadcast", flat, shape=(rows, *channels, height * width), axes=(0, 2))
        moved = trace.reshape(trace.op("take_along", table, flat), (rows, *channels, height, width))
        value = trace.transpose(moved, (0, 2, 3, 1))
    else:
        value = trace.reshape(trace.op("take_along", trace.reshape(padded, (rows, tall * wide)), flat), shape)
    return _augmented(arguments, x, value, plain)


def _shift(arguments: Arguments) -> Datum:
    x, height, width = _images(arguments)
    by = arguments.integer("by")
    if by < 0:
        raise arguments.wrong("by", "a number of pixels, at least 0")
    return _cut(arguments, x, by, height, width)


def _crop(arguments: Arguments) -> Datum:
    x, height, width = _images(arguments)
    pad = arguments.integer("pad")
    if pad < 0:
        raise arguments.wrong("pad", "a number of pixels, at least 0")
    size = arguments["size"]
    sizes = arguments.integers("size") if isinstance(size, ListValue) else (arguments.positive("size"),) * 2
    if len(sizes) != 2 or not 1 <= sizes[0] <= height + 2 * pad or not 1 <= sizes[1] <= width + 2 * pad:
        raise arguments.wrong("size", f"a size up to {height + 2 * pad} x {width + 2 * pad}")
    return _cut(arguments, x, pad, *sizes)


PRIMITIVES = (
    Primitive("random_flip", "x, vertical = false", "images mirrored at random while training, each row by itself", _flip),
    Primitive(
        "random_shift", "x, by", "images moved by up to `by` pixels each way at random while training, zeros at the edge", _shift
    ),
    Primitive(
        "random_crop", "x, size, pad = 0",
        "parts of `size` from images with `pad` zeros around: at random while training, else the middle", _crop,
    ),
)  # fmt: skip

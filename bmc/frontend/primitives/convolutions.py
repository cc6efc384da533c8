"""Windows of places and products over them: what the convolutions and poolings of the library are written with.

Tensors are channels last: [rows, places.., channels].
"""

from __future__ import annotations

from collections.abc import Callable

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.provenance import is_input
from bmc.frontend.bodies.values import Datum, ListValue, Tensor, TupleValue, describe
from bmc.frontend.errors import type_errors
from bmc.ir import Dim
from bmc.ir.dims import divide_exact
from bmc.ops.window import window_count

__all__ = ["PRIMITIVES"]


def _per_axis(arguments: Arguments, name: str, count: int) -> tuple[int, ...]:
    """One whole number from 1 for each axis of places, from a number or a list."""
    numbers = arguments.integers(name)
    if len(numbers) == 1:
        numbers = numbers * count
    if len(numbers) != count or min(numbers) < 1:
        several = f", or a list of {count}" if count > 1 else ""
        raise arguments.wrong(name, "a whole number, at least 1" + several)
    return numbers


def _padding(arguments: Arguments, reaches: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Cells before and after each axis. `reaches`: by how much a window is longer than one cell."""
    value = arguments["pad"]
    if value is None or value == "valid":
        return tuple((0, 0) for _ in reaches)
    if value == "same":
        return tuple((reach // 2, reach - reach // 2) for reach in reaches)
    if value == "causal":
        return tuple((reach, 0) for reach in reaches)
    items = value.items if isinstance(value, (ListValue, TupleValue)) else (value,) * len(reaches)
    if len(reaches) == 1 and len(items) == 2 and all(isinstance(item, int) for item in items):
        items = (ListValue(tuple(items)),)  # one axis of places: the pair is its two ends
    found: list[tuple[int, int]] = []
    for item in items:
        ends = item.items if isinstance(item, (ListValue, TupleValue)) else (item, item)
        cells = [end for end in ends if isinstance(end, int) and not isinstance(end, bool) and end >= 0]
        if len(ends) != 2 or len(cells) != 2:
            raise arguments.wrong("pad", '"valid", "same", "causal", a whole number, or for each axis one or a pair')
        found.append((cells[0], cells[1]))
    if len(found) != len(reaches):
        raise arguments.wrong("pad", f"a list of {len(reaches)}, one for each axis of places")
    return tuple(found)


def _places(arguments: Arguments) -> Tensor:
    tensor = arguments.tensor("x")
    if tensor.rank < 3:
        raise Failure(
            type_errors.operand_type(arguments.where("x"), arguments.name, describe(tensor), "it takes [rows, places.., channels]")
        )
    return tensor


def _fits(arguments: Arguments, tensor: Tensor, axis: int, padded: Dim, size: int, stride: int, dilation: int) -> Dim:
    """How many windows lie along an axis."""
    count = window_count(padded, size, stride, dilation)
    if isinstance(count, int) and count < 1:
        reach = dilation * (size - 1) + 1
        raise Failure(
            type_errors.bad_size(
                arguments.span, f"a window of {reach} cells does not fit into dim {axis} of {describe(tensor)}, padded to {padded}"
            )
        )
    return count


def _operands(arguments: Arguments) -> tuple[Tensor, Tensor]:
    """x and the kernel, whose channels fit in the groups."""
    tensor = _places(arguments)
    kernel = arguments.floats("w")
    if tensor.dtype not in ("f32", "f64"):
        raise Failure(type_errors.dtype_mismatch(arguments.where("x"), "x", tensor.type, arguments.span, "floats", "number"))
    if tensor.valid is not None:
        raise Failure(type_errors.may_be_missing(arguments.where("x"), describe(tensor), f"`{arguments.name}`", tensor.origin(0)))
    (tensor, kernel) = _one_dtype(arguments, tensor, kernel)
    places = tensor.rank - 2
    groups = arguments.positive("groups")
    taps = kernel.shape[:places]
    if kernel.rank != tensor.rank or not all(isinstance(t, int) and t > 0 for t in taps):
        wanted = f"it takes [{places} numbers of taps, channels, features] for {describe(tensor)}"
        raise Failure(type_errors.operand_type(arguments.where("w"), arguments.name, describe(kernel), wanted))
    if kernel.shape[-2] * groups != tensor.shape[-1] or divide_exact(kernel.shape[-1], groups) is None:
        split = f" in {groups} groups" if groups > 1 else ""
        raise Failure(
            type_errors.bad_size(
                arguments.span,
                f"{tensor.shape[-1]} channels, the last dim of {describe(tensor)}, do not go with a kernel of "
                f"{kernel.shape[-2]} channels and {kernel.shape[-1]} features{split}",
            )
        )
    return tensor, kernel


def _convolve(arguments: Arguments) -> Datum:
    core = arguments.core
    tensor, kernel = _operands(arguments)
    places, groups, taps = tensor.rank - 2, arguments.positive("groups"), kernel.shape[: tensor.rank - 2]
    strides, dilation = _per_axis(arguments, "stride", places), _per_axis(arguments, "dilation", places)
    sizes = tuple(t for t in taps if isinstance(t, int))
    padding = _padding(arguments, tuple(d * (t - 1) for d, t in zip(dilation, sizes, strict=True)))
    whole = [dim + low + high for dim, (low, high) in zip(tensor.shape[1:], padding, strict=False)]
    _expect_channels_last(arguments, tensor, sizes, whole[0])
    for i, cells in enumerate(whole):
        _fits(arguments, tensor, 1 + i, cells, sizes[i], strides[i], dilation[i])
    value = core.trace.op(
        "convolution",
        tensor.value,
        kernel.value,
        strides=strides,
        low=tuple(low for low, _ in padding),
        high=tuple(high for _, high in padding),
        interior=(0,) * places,
        dilation=dilation,
        groups=groups,
    )
    origins = (tensor.origin(0), *(tensor.origin(1 + i) for i in range(places)), kernel.origin(kernel.rank - 1))
    return core.tensor(value, origins=origins)


def _expect_channels_last(arguments: Arguments, tensor: Tensor, sizes: tuple[int, ...], rows: Dim) -> None:
    """An image as it came, of 1 or 3 rows and as many channels as columns, under a kernel of several rows: its channels come first.
    Where the kernel reads padding alone beside the one row, or does not fit, this cannot be meant; else it is a warning."""
    front, *rest = tensor.shape[1:]
    square = len(rest) == 2 and rest[0] == rest[1] and isinstance(rest[0], int) and rest[0] > 4
    if front not in (1, 3) or not square or sizes[0] == 1 or not is_input(tensor):
        return
    wrong = front == 1 or (isinstance(rows, int) and rows < sizes[0])
    found = type_errors.channels_first(arguments.span, describe(tensor), (front, *rest), tensor.origin(1), wrong)
    if wrong:
        raise Failure(found)
    arguments.core.report(found)


def _one_dtype(arguments: Arguments, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    core = arguments.core
    spans = [arguments.where("x"), arguments.where("w")]
    dtype = coercion.common_dtype(core, [x, w], spans, arguments.name, arguments.span)
    return coercion.to_dtype(core, x, dtype), coercion.to_dtype(core, w, dtype)


def _patches(arguments: Arguments) -> Datum:
    """Each axis of places becomes two: windows, and the cells of one."""
    tensor, core = _places(arguments), arguments.core
    if tensor.valid is not None:
        raise Failure(type_errors.may_be_missing(arguments.where("x"), describe(tensor), "`patches`", tensor.origin(0)))
    places = tensor.rank - 2
    sizes, dilation = _per_axis(arguments, "size", places), _per_axis(arguments, "dilation", places)
    strides = _per_axis(arguments, "stride", places) if arguments.given("stride") else sizes
    padding = _padding(arguments, tuple(d * (s - 1) for d, s in zip(dilation, sizes, strict=True)))
    value = tensor.value
    if any(low or high for low, high in padding):
        fill = arguments.number("fill")
        whole = tensor.dtype not in ("f32", "f64")
        if whole and fill != int(fill):
            raise arguments.wrong("fill", "a whole number, for whole numbers")
        value = core.trace.op(
            "pad",
            value,
            low=(0, *(low for low, _ in padding), 0),
            high=(0, *(high for _, high in padding), 0),
            interior=(0,) * tensor.rank,
            value=int(fill) if whole else float(fill),
        )
    for i in range(places):
        _fits(arguments, tensor, 1 + i, value.type.shape[1 + 2 * i], sizes[i], strides[i], dilation[i])
        value = core.trace.op("windows", value, axis=1 + 2 * i, size=sizes[i], stride=strides[i], dilation=dilation[i])
    where = arguments.where("size")
    origins = (tensor.origin(0), *(o for i in range(places) for o in (tensor.origin(1 + i), where)), tensor.origin(places + 1))
    return core.tensor(value, origins=origins)


def _pool(name: str) -> Callable[[Arguments], Datum]:
    """The operator `name` over the windows of x."""

    def expand(arguments: Arguments) -> Datum:
        tensor, core = _places(arguments), arguments.core
        if tensor.dtype not in ("f32", "f64"):
            raise Failure(type_errors.dtype_mismatch(arguments.where("x"), "x", tensor.type, arguments.span, "floats", "number"))
        if tensor.valid is not None:
            where = arguments.where("x")
            raise Failure(type_errors.may_be_missing(where, describe(tensor), f"`{arguments.name}`", tensor.origin(0)))
        places = tensor.rank - 2
        sizes, dilation = _per_axis(arguments, "size", places), _per_axis(arguments, "dilation", places)
        strides = _per_axis(arguments, "stride", places) if arguments.given("stride") else sizes
        padding = _padding(arguments, tuple(d * (s - 1) for d, s in zip(dilation, sizes, strict=True)))
        for i, (low, high) in enumerate(padding):
            _fits(arguments, tensor, 1 + i, tensor.shape[1 + i] + low + high, sizes[i], strides[i], dilation[i])
        value = core.trace.op(
            name,
            tensor.value,
            sizes=sizes,
            strides=strides,
            low=tuple(low for low, _ in padding),
            high=tuple(high for _, high in padding),
            dilation=dilation,
        )
        return core.tensor(value, origins=tensor.origins)

    return expand


def _convolve_transposed(arguments: Arguments) -> Datum:
    """Each cell of x adds its multiple of the kernel to the places from `stride` times its own, less the padding: the
    convolution of x, spread by the strides, with the kernel in reverse."""
    tensor, kernel = _operands(arguments)
    core, trace = arguments.core, arguments.core.trace
    places = tensor.rank - 2
    groups = arguments.positive("groups")
    strides, dilation = _per_axis(arguments, "stride", places), _per_axis(arguments, "dilation", places)
    taps = [t for t in kernel.shape[:places] if isinstance(t, int)]
    reaches = tuple(d * (t - 1) for d, t in zip(dilation, taps, strict=True))
    starts, stops = [0], [tensor.shape[0]]
    low: list[int] = []
    high: list[int] = []
    for i, (before, after) in enumerate(_cut_off(arguments, reaches, strides)):
        low.append(max(reaches[i] - before, 0))
        high.append(max(reaches[i] - after, 0))
        made = (tensor.shape[1 + i] - 1) * strides[i] + 1 + low[i] + high[i] - reaches[i]
        start, stop = max(before - reaches[i], 0), made - max(after - reaches[i], 0)
        if isinstance(stop, int) and stop <= start:
            raise Failure(type_errors.bad_size(arguments.span, f"padding leaves nothing of dim {1 + i}, {made} places"))
        starts.append(start)
        stops.append(stop)
    flipped = kernel.value
    for i, t in enumerate(taps):
        flipped = trace.slice(flipped, i, t - 1, -1, -1) if t > 1 else flipped
    value = trace.op(
        "convolution",
        tensor.value,
        flipped,
        strides=(1,) * places,
        low=tuple(low),
        high=tuple(high),
        interior=tuple(s - 1 for s in strides),
        dilation=dilation,
        groups=groups,
    )
    for i in range(places):
        value = trace.slice(value, 1 + i, starts[1 + i], stops[1 + i])
    origins = (tensor.origin(0), *(tensor.origin(1 + i) for i in range(places)), kernel.origin(kernel.rank - 1))
    return core.tensor(value, origins=origins)


def _cut_off(arguments: Arguments, reaches: tuple[int, ...], strides: tuple[int, ...]) -> list[tuple[int, int]]:
    """How many places are cut off before and after each axis; below 0: further ones."""
    numbers = arguments.integers("extra")
    extra = numbers * len(reaches) if len(numbers) == 1 else numbers
    if len(extra) != len(reaches) or any(not 0 <= n < s for n, s in zip(extra, strides, strict=False)):
        raise arguments.wrong("extra", "a whole number from 0, less than the stride")
    padding = _padding(arguments, reaches)
    if arguments["pad"] == "same":
        return [(low, reach + 1 - s - low) for (low, _), reach, s in zip(padding, reaches, strides, strict=True)]
    return [(low, high - n) for (low, high), n in zip(padding, extra, strict=True)]


def _per_axis_list(arguments: Arguments) -> Datum:
    value, count = arguments["x"], arguments.positive("n")
    items = value.items if isinstance(value, (ListValue, TupleValue)) else (value,) * count
    if len(items) != count:
        raise arguments.wrong("x", f"one for all, or a list of {count}")
    return ListValue(tuple(items))


PRIMITIVES = (
    Primitive(
        "convolve",
        "x, w, stride = 1, pad = none, dilation = 1, groups = 1",
        "products of the kernel w[taps.., channels, features] with the window of x[rows, places.., channels] at each place;"
        ' `pad`: zeros around x: none (or "valid"), "same", "causal", or how many',
        _convolve,
    ),
    Primitive(
        "convolve_transposed",
        'x, w, stride = 1, pad = none, dilation = 1, groups = 1, extra = 0',
        "each cell of x[rows, places.., channels] times the kernel w[taps.., channels, features], added up where the kernels"
        " overlap, `stride` places apart; `pad`: how many places are cut off around the result, or \"same\" for `stride` times as"
        " many as x has; `extra`: further places at the end",
        _convolve_transposed,
    ),
    Primitive(
        "pool_max",
        'x, size, stride = none, pad = none, dilation = 1',
        "the largest cell of each window of x[rows, places.., channels], side by side by default; the gradient goes to the first"
        " of equals",
        _pool("max_pool"),
    ),
    Primitive(
        "pool_sum",
        'x, size, stride = none, pad = none, dilation = 1',
        "the sum of each window of x[rows, places.., channels]",
        _pool("sum_pool"),
    ),
    Primitive(
        "patches",
        "x, size, stride = none, pad = none, dilation = 1, fill = 0.0",
        "the windows of x[rows, places.., channels], side by side by default: each axis of places becomes two, windows and the"
        " cells of one",
        _patches,
    ),
    Primitive("per_axis", "x, n", "a list of n: x itself, or x n times", _per_axis_list),
)

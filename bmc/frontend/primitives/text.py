"""Text as integers: lower case, words, characters and bytes, vocabularies, hashes, rows padded to one length.

Parts stay what they are (`Parts`) until `pad` or `length` asks for a tensor: how many words a row has is known only when it is
read.
"""

from __future__ import annotations

from collections.abc import Callable

from bmc.frontend.bodies.core import Bucketing
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Categories, Codes, Datum, Parts, Tensor, Unit, describe
from bmc.frontend.data import fitting
from bmc.frontend.errors import data_errors, type_errors
from bmc.frontend.primitives.steps import step_mask
from bmc.ir import Dim, Poly, Value
from bmc.record import replace

__all__ = ["PRIMITIVES", "count_of_parts", "padded_codes"]

_BYTES = 256


def _refused(arguments: Arguments, note: str) -> Failure:
    return Failure(type_errors.operand_type(arguments.where("x"), arguments.name, describe(arguments["x"]), note))


def _text(arguments: Arguments, note: str = "it takes text") -> Parts:
    """Text whose cells are all there, perhaps in parts."""
    given = arguments["x"]
    if isinstance(given, Parts):
        return given
    tensor = arguments.tensor("x")
    if tensor.dtype != "str":
        raise _refused(arguments, note)
    if tensor.valid is not None:
        raise Failure(type_errors.may_be_missing(arguments.where("x"), describe(tensor), f"`{arguments.name}`", tensor.origin(0)))
    return Parts(tensor, "whole")


def _lower(arguments: Arguments) -> Datum:
    parts = _text(arguments)
    if parts.codes is not None or parts.unit == "bytes":
        raise _refused(arguments, "lower case is made of text, before it becomes integers")
    return replace(parts, lower=True)


def _cut(unit: Unit) -> Callable[[Arguments], Datum]:
    def expand(arguments: Arguments) -> Datum:
        parts = _text(arguments)
        if parts.unit != "whole":
            raise _refused(arguments, "it takes a whole text")
        bytes_ = Categories(_BYTES, unit="bytes", lower=parts.lower)
        codes = Codes(_BYTES, arguments.span, categories=bytes_) if unit == "bytes" else None
        return replace(parts, unit=unit, codes=codes)

    return expand


def _uncoded(arguments: Arguments, note: str) -> Parts:
    parts = _text(arguments, note)
    if parts.codes is not None:
        raise _refused(arguments, "these are integers already")
    return parts


def _vocab(arguments: Arguments) -> Datum:
    parts = _uncoded(arguments, "it takes text, whole or in parts; for integers there is `category(max = n)`")
    size = arguments.integer("max")
    if size < 2:
        raise arguments.wrong("max", "a number of at least 2: the last slot means other")
    if parts.unit == "whole":
        return fitting.fitted_categories(arguments.core, parts, size, arguments.where("max"), arguments.span, "vocab")
    codes = fitting.fitted_codes(arguments.core, parts, size, "vocab", arguments.where("max"), arguments.span)
    return replace(parts, codes=codes)


def _hashed(arguments: Arguments, cells: Tensor, size: int, lower: bool) -> Value:
    trace = arguments.core.trace
    if cells.dtype == "str":
        return trace.op("str_hash", cells.value, n=size, lower=lower)
    value = cells.value if cells.dtype in ("i32", "i64") else trace.cast(cells.value, "i32")
    return trace.op("int_hash", value, n=size)


def _hash(arguments: Arguments) -> Datum:
    size = arguments.positive("n")
    if size >= 2**31:
        raise arguments.wrong("n", "a number that fits i32")
    given = arguments["x"]
    if isinstance(given, Tensor) and given.dtype in ("u8", "i32", "i64"):
        if given.valid is not None:
            raise Failure(type_errors.may_be_missing(arguments.where("x"), describe(given), "`hash`", given.origin(0)))
        made = arguments.core.tensor(_hashed(arguments, arguments.tensor("x"), size, False), origins=given.origins)
        return replace(made, lengths=given.lengths, below=size, below_origin=arguments.where("n"))
    parts = _uncoded(arguments, "it takes text or whole numbers")
    codes = Codes(size, arguments.where("n"))
    if parts.unit != "whole":
        return replace(parts, codes=codes)
    made = arguments.core.tensor(_hashed(arguments, parts.text, size, parts.lower), origins=parts.text.origins)
    return replace(made, below=size, below_origin=arguments.where("n"))


# --- rows of different length --------------------------------------------------------------------------------------------
_LENGTHS = (
    "it takes what each row has its own number of: `words`, `chars` or `bytes` of a text, or a column such as `series: f32[T, 3]`"
)


def _ragged(arguments: Arguments) -> Parts | Tensor:
    given = arguments["x"]
    x = given if isinstance(given, Parts) else arguments.tensor("x")
    if (isinstance(x, Parts) and x.unit == "whole") or (isinstance(x, Tensor) and x.lengths is None):
        raise _refused(arguments, _LENGTHS)
    return x


def count_of_parts(arguments: Arguments, parts: Parts) -> Value:
    return arguments.core.trace.op("str_count", parts.text.value, unit=parts.unit, lower=parts.lower and parts.unit == "bytes")


def _length(arguments: Arguments) -> Datum:
    given = arguments["x"]
    whole = given.unit == "whole" and given.codes is None if isinstance(given, Parts) else arguments.tensor("x").dtype == "str"
    x = replace(_text(arguments), unit="chars") if whole else _ragged(arguments)
    if isinstance(x, Parts):
        return arguments.core.tensor(count_of_parts(arguments, x), origins=x.text.origins)
    assert x.lengths is not None
    return arguments.core.tensor(x.lengths, origins=x.origins[:1])


def _pad(arguments: Arguments) -> Datum:
    """The first steps of a series, or the integers of the first parts of a text, 0 behind them."""
    parts = _ragged(arguments)
    most = arguments.positive("max")
    size: Dim = most
    lengths: Value | None = None
    if arguments.given("bucket"):
        bucketing = _bucketing(arguments, parts, most)
        size, lengths = Poly.symbol(bucketing.symbol), bucketing.lengths
    if isinstance(parts, Tensor):
        return replace(_padded_steps(arguments, parts, size), lengths=lengths)
    if parts.codes is None:
        raise _refused(arguments, "`vocab(max = n)` or `hash(n)` makes integers of them, which can be padded")
    value = padded_codes(arguments, parts, parts.codes, size)
    made = arguments.core.tensor(value, origins=(*(parts.text.origins or (None,) * parts.text.rank), arguments.where("max")))
    return replace(
        made, below=parts.codes.size, below_origin=parts.codes.origin, categories=parts.codes.categories, lengths=lengths
    )


def _bucketing(arguments: Arguments, x: Parts | Tensor, most: int) -> Bucketing:
    """The run-time dim of rows padded in buckets: the same for all that is as long."""
    core, trace = arguments.core, arguments.core.trace
    bucket = arguments.positive("bucket")
    if bucket > most:
        raise arguments.wrong("bucket", f"a number up to {most}, the largest length")
    if core.fitting is None:
        raise Failure(data_errors.fit_outside(arguments.where("bucket")))
    if isinstance(x, Parts) and x.text.rank != 1:
        raise _refused(arguments, "in buckets go rows of one text each")
    of = (x.text.value, x.unit, x.lower and x.unit == "bytes") if isinstance(x, Parts) else x.lengths
    for known in core.fitting.bucketings:
        if known.of == of and (known.most, known.bucket) == (most, bucket):
            return known
    counted = count_of_parts(arguments, x) if isinstance(x, Parts) else x.lengths
    assert counted is not None
    lengths = trace.op("minimum", counted, trace.constant(most, "i32", counted.type.shape))
    name = core.fitting.keys.path[0] if core.fitting.keys.path else "row"
    made = Bucketing(f"{name}_steps", lengths, most, bucket, of)
    core.fitting.bucketings.append(made)
    return made


def _padded_steps(arguments: Arguments, x: Tensor, size: Dim) -> Tensor:
    """Cells behind a row's end become 0 whatever was computed of them; then `size` steps are kept."""
    core, trace = arguments.core, arguments.core.trace
    if x.valid is not None:
        raise Failure(type_errors.may_be_missing(arguments.where("x"), describe(x), "`pad`", x.origin(1)))
    mask = step_mask(core, x)
    assert mask is not None
    kept = trace.op("select", mask, x.value, trace.constant(0, x.dtype, x.shape))
    none, more = (0,) * x.rank, tuple(size if i == 1 else 0 for i in range(x.rank))
    longer = trace.op("pad", kept, low=none, high=more, interior=none, value=0)
    value = trace.slice(longer, 1, 0, size)
    origins = tuple(arguments.where("max") if i == 1 else o for i, o in enumerate(x.origins or (None,) * x.rank))
    return replace(x, value=value, lengths=None, origins=origins, behind=None)


def padded_codes(arguments: Arguments, parts: Parts, codes: Codes, size: Dim) -> Value:
    core, trace = arguments.core, arguments.core.trace
    if parts.unit == "bytes":
        return trace.op("str_bytes", parts.text.value, size=size, lower=parts.lower)
    cells = core.tensor(trace.op("str_parts", parts.text.value, unit=parts.unit, size=size))
    if codes.table is not None:
        found = fitting.encoded(core, cells, codes, parts.lower).value
    else:
        found = _hashed(arguments, cells, codes.size, parts.lower)
    shape = cells.shape
    count = trace.op("broadcast", count_of_parts(arguments, parts), shape=shape, axes=tuple(range(len(shape) - 1)))
    there = trace.op("compare", trace.op("iota", dtype="i32", shape=shape, axis=len(shape) - 1), count, predicate="lt")
    return trace.op("select", there, found, trace.constant(0, "i32", shape))


PRIMITIVES = (
    Primitive("lower", "x", "text in lower case: Unicode's simple mapping, of no language", _lower),
    Primitive(
        "words",
        "x",
        "the words of a text: runs of letters and digits, apostrophes between two of them included",
        _cut("words"),
    ),
    Primitive("chars", "x", "the characters of a text: its code points", _cut("chars")),
    Primitive("bytes", "x", "the UTF-8 bytes of a text, as integers below 256", _cut("bytes")),
    Primitive(
        "vocab",
        "x, max",
        "texts, words or characters as integers, fitted: the most frequent first, equal counts by bytes, the last slot for all "
        "others",
        _vocab,
    ),
    Primitive("hash", "x, n", "texts, words, characters or whole numbers as integers below n, by a hash", _hash, ragged=True),
    Primitive(
        "pad",
        "x, max, bucket = none",
        "the first `max` steps of each row of a series, or integers of a text, 0 behind them; with `bucket = 8` no more of them "
        "than a row needs, in multiples of 8",
        _pad,
        ragged=True,
    ),
    Primitive("length", "x", "how many steps or parts each row has; of a whole text, how many characters", _length, ragged=True),
)

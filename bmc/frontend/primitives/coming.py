"""Functions that are checked and not compiled yet: each gives a value of the right type behind one diagnostic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Bound, Datum, Tensor, describe
from bmc.frontend.errors import type_errors
from bmc.frontend.errors.later import not_yet
from bmc.ir import Poly, Shape, TensorType
from bmc.record import record, replace
from bmc.source import Span

__all__ = ["PRIMITIVES"]


def _placeholder(arguments: Arguments, dtype: str, shape: Shape, like: Tensor | None = None) -> Tensor:
    origins = () if like is None or len(like.origins) != len(shape) else like.origins
    return arguments.core.tensor(arguments.core.trace.placeholder(TensorType(dtype, shape), arguments.name), origins=origins)


def _text(arguments: Arguments, rank: int | None = None) -> Tensor:
    tensor = arguments.tensor("x")
    if tensor.dtype != "str":
        raise Failure(type_errors.operand_type(arguments.where("x"), arguments.name, describe(tensor), "it takes text"))
    return tensor


def _lower(arguments: Arguments) -> Datum:
    tensor = _text(arguments)
    return replace(_placeholder(arguments, "str", tensor.shape, tensor), valid=tensor.valid)


def _words(arguments: Arguments) -> Datum:
    tensor = _text(arguments)
    return _placeholder(arguments, "str", (*tensor.shape, Poly.symbol("words")))


def _vocab(arguments: Arguments) -> Datum:
    tensor = _text(arguments)
    made = _placeholder(arguments, "i32", tensor.shape, tensor)
    return replace(made, below=arguments.dim("max"), below_origin=arguments.where("max"))


def _hash(arguments: Arguments) -> Datum:
    tensor = _text(arguments)
    made = _placeholder(arguments, "i32", tensor.shape, tensor)
    return replace(made, below=arguments.dim("n"), below_origin=arguments.where("n"))


def _pad(arguments: Arguments) -> Datum:
    tensor = arguments.tensor("x")
    if tensor.rank < 2:
        raise Failure(type_errors.operand_type(arguments.where("x"), "pad", describe(tensor), "it makes rows of one length"))
    shape = (tensor.shape[0], arguments.dim("max"), *tensor.shape[2:])
    return replace(_placeholder(arguments, tensor.dtype, shape), below=tensor.below, below_origin=tensor.below_origin)


def _length(arguments: Arguments) -> Datum:
    tensor = arguments.tensor("x")
    if tensor.rank < 2:
        raise Failure(
            type_errors.operand_type(arguments.where("x"), "length", describe(tensor), "it measures rows of different length")
        )
    return _placeholder(arguments, "i32", tensor.shape[:1])


def _same(arguments: Arguments) -> Datum:
    tensor = arguments.tensor("x")
    return _placeholder(arguments, tensor.dtype, tensor.shape, tensor)


def _sample(arguments: Arguments) -> Datum:
    tensor = arguments.tensor("x")
    return replace(_placeholder(arguments, "i32", tensor.shape[:-1]), below=tensor.shape[-1])


@record(frozen=True, eq=False)
class _Coming(Primitive):
    """`feature` says which diagnostic stands for it."""

    feature: str = ""

    def call(self, core: Core, positional: Sequence[Bound], keyword: Mapping[str, Bound], span: Span) -> Datum:
        value = super().call(core, positional, keyword, span)
        core.report(not_yet(span, self.feature))
        return value


def _entry(name: str, signature: str, doc: str, feature: str, expand: Callable[[Arguments], Datum]) -> Primitive:
    return _Coming(name, signature, doc, expand, "", feature)


PRIMITIVES = (
    _entry("lower", "x", "text in lower case", "text", _lower),
    _entry("words", "x", "the words of a text", "text", _words),
    _entry("vocab", "x, max", "words as integers, fitted", "text", _vocab),
    _entry("hash", "x, n", "text as integers below n by a hash", "text", _hash),
    _entry("pad", "x, max", "rows of different length made `max` long", "text", _pad),
    _entry("length", "x", "how long each row is", "text", _length),
    _entry("random_flip", "x", "images mirrored at random while training", "random", _same),
    _entry("random_shift", "x, by", "images moved at random while training", "random", _same),
    _entry("sample", "x, temperature = 1.0, top_k = none", "one integer for each row of scores", "generation", _sample),
)

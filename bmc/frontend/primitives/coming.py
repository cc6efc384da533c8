"""Functions that are checked and not compiled yet: each gives a value of the right type behind one diagnostic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Bound, Datum, Tensor
from bmc.frontend.errors.later import not_yet
from bmc.ir import Shape, TensorType
from bmc.record import record
from bmc.source import Span

__all__ = ["PRIMITIVES"]


def _placeholder(arguments: Arguments, dtype: str, shape: Shape, like: Tensor | None = None) -> Tensor:
    origins = () if like is None or len(like.origins) != len(shape) else like.origins
    return arguments.core.tensor(arguments.core.trace.placeholder(TensorType(dtype, shape), arguments.name), origins=origins)


def _same(arguments: Arguments) -> Datum:
    tensor = arguments.tensor("x")
    return _placeholder(arguments, tensor.dtype, tensor.shape, tensor)


@record(frozen=True, eq=False)
class _Coming(Primitive):
    """`feature` says which diagnostic stands for it."""

    feature: str = ""

    def call(self, core: Core, positional: Sequence[Bound], keyword: Mapping[str, Bound], span: Span) -> Datum:
        value = super().call(core, positional, keyword, span)
        core.report(not_yet(span, self.feature))
        return value


def _entry(name: str, signature: str, doc: str, feature: str, expand: Callable[[Arguments], Datum]) -> Primitive:
    return _Coming(name, signature, doc, expand, feature=feature)


PRIMITIVES = (
    _entry("random_flip", "x", "images mirrored at random while training", "random", _same),
    _entry("random_shift", "x, by", "images moved at random while training", "random", _same),
)

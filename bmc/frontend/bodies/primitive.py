"""Surface functions that the compiler knows by itself: what they take, and the code that expands them.

In: a signature as text (`x, axis = none, keep = false`) and evaluated arguments. Out: values. Guaranteed: wrong arguments are
diagnostics that name the function and the argument; an implementation asks for the kind that it wants (`tensor`,
`integer`, `axes`) and gets it or fails with the argument's span.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from bmc.frontend.bodies.coercion import scalar, whole_rows
from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.values import Bound, Datum, ListValue, Poison, Tensor, TupleValue, describe
from bmc.frontend.errors import layer_errors, type_errors
from bmc.ir import Dim, Poly
from bmc.record import record
from bmc.source import Span

__all__ = ["Arguments", "Primitive", "bind_arguments"]


@record(frozen=True, eq=False)
class Arguments:
    """Bound arguments of one call. `rest`: values of the `*name` of the signature."""

    core: Core
    name: str
    values: Mapping[str, Bound]
    rest: Sequence[Bound]
    span: Span

    def __getitem__(self, name: str) -> Datum:
        return self.values[name].value

    def where(self, name: str) -> Span:
        return self.values[name].span

    def given(self, name: str) -> bool:
        return self.values[name].value is not None

    def wrong(self, name: str, wanted: str) -> Failure:
        return Failure(type_errors.wrong_value(self.where(name), name, wanted, describe(self[name])))

    def tensor(self, name: str) -> Tensor:
        return scalar(self.core, self[name], self.where(name))

    def floats(self, name: str) -> Tensor:
        """A float tensor; weak integers and static numbers become floats."""
        tensor = self.tensor(name)
        if tensor.dtype in ("f32", "f64"):
            return tensor
        if tensor.weak or (
            tensor.dtype in ("u8", "i32", "i64") and self.name in ("mean", "std", "var", "median", "quantile", "moments")
        ):
            dtype = "f64" if tensor.weak and tensor.rank == 0 else self.core.float_type
            value = self.core.trace.cast(tensor.value, dtype)
            return Tensor(value, self.core.trace, tensor.valid, tensor.weak and tensor.rank == 0, origins=tensor.origins)
        fix = "number" if tensor.dtype != "str" else None
        raise Failure(type_errors.dtype_mismatch(self.where(name), name, tensor.type, self.where(name), "floats", fix))

    def integer(self, name: str) -> int:
        value = self[name]
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, Tensor):
            raise Failure(type_errors.not_static(self.where(name), describe(value)))
        raise self.wrong(name, "a whole number")

    def positive(self, name: str) -> int:
        value = self.integer(name)
        if value < 1:
            raise self.wrong(name, "a whole number, at least 1")
        return value

    def dim(self, name: str) -> Dim:
        value = self[name]
        return value if isinstance(value, Poly) else self.integer(name)

    def number(self, name: str) -> float:
        value = self[name]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
        raise self.wrong(name, "a number")

    def text(self, name: str) -> str:
        value = self[name]
        if isinstance(value, str):
            return value
        raise self.wrong(name, "a text")

    def flag(self, name: str) -> bool:
        value = self[name]
        if isinstance(value, bool):
            return value
        raise self.wrong(name, "true or false")

    def integers(self, name: str) -> tuple[int, ...]:
        """A whole number or a list of them."""
        value = self[name]
        items = value.items if isinstance(value, (ListValue, TupleValue)) else (value,)
        if all(isinstance(i, int) and not isinstance(i, bool) for i in items):
            return items  # type: ignore[return-value]  # just checked
        raise self.wrong(name, "a whole number or a list of them")

    def axis(self, name: str, rank: int, what: object) -> int:
        """A static axis, counted from 0."""
        axis = self.integer(name)
        if not -rank <= axis < rank:
            raise Failure(type_errors.axis_out_of_range(self.where(name), axis, what))
        return axis % rank if rank else 0

    def axes(self, name: str, rank: int, what: object) -> tuple[int, ...]:
        """Static axes, ascending; all of them for `none`."""
        if not self.given(name):
            return tuple(range(rank))
        found: set[int] = set()
        for axis in self.integers(name):
            if not -rank <= axis < rank or axis % rank in found:
                raise Failure(type_errors.axis_out_of_range(self.where(name), axis, what))
            found.add(axis % rank)
        return tuple(sorted(found))


@record(frozen=True, eq=False)
class Primitive:
    """`signature`: parameters in order; `= default` for what may be left out; `*xs` takes any number. `doc` is its line in the
    language reference. `ragged`: it takes rows of different length, and knows that the steps behind a row's end do not count."""

    name: str
    signature: str
    doc: str
    expand: Callable[[Arguments], Datum]
    group: str = ""
    ragged: bool = False

    @cached_property
    def parameters(self) -> tuple[tuple[str, str | None], ...]:
        """(name, text of the default or None); a name of any number of arguments keeps its star."""
        found: list[tuple[str, str | None]] = []
        for part in self.signature.split(","):
            name, _, default = part.partition("=")
            if name.strip():
                found.append((name.strip(), default.strip() or None))
        return tuple(found)

    def call(self, core: Core, positional: Sequence[Bound], keyword: Mapping[str, Bound], span: Span) -> Datum:
        """Raises Failure."""
        core.at(span)
        return self.expand(bind_arguments(core, self, positional, keyword, span))


def _default(text: str) -> Datum:
    if text in ("none", "true", "false"):
        return {"none": None, "true": True, "false": False}[text]
    if text.startswith('"'):
        return text[1:-1]
    return float(text) if any(c in text for c in ".e") else int(text)


def bind_arguments(
    core: Core, primitive: Primitive, positional: Sequence[Bound], keyword: Mapping[str, Bound], span: Span
) -> Arguments:
    parameters = primitive.parameters
    names = [n for n, _ in parameters]
    values: dict[str, Bound] = {}
    rest: list[Bound] = []
    queue = list(positional)
    for name, _ in parameters:
        if name.startswith("*"):
            rest, queue = queue, []
            break
        if not queue:
            break
        values[name] = queue.pop(0)
    if queue:
        raise Failure(layer_errors.too_many_arguments(span, primitive.name, names, len(positional)))
    for name, bound in keyword.items():
        if name not in names:
            raise Failure(layer_errors.unknown_argument(bound.name_span, primitive.name, name, [n for n in names if n[0] != "*"]))
        if name in values:
            raise Failure(layer_errors.twice_given(bound.name_span, primitive.name, name))
        values[name] = bound
    for name, default in parameters:
        if name.startswith("*") or name in values:
            continue
        if default is None:
            raise Failure(layer_errors.missing_argument(span, primitive.name, name, None))
        values[name] = Bound(_default(default), span)
    for bound in (*values.values(), *rest):
        if isinstance(bound.value, Poison):
            raise Failure
        if isinstance(bound.value, Tensor) and not primitive.ragged:
            whole_rows(bound.value, primitive.name, bound.span)
    return Arguments(core, primitive.name, values, rest, span)

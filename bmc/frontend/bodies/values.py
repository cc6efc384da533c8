"""What an expression can be while a program is elaborated: static values, and tensors with what the front end knows of them.

In: nothing. Out: one class for each kind of value (`Datum` is their union). Guaranteed: a `Tensor` belongs to one trace; static
numbers are plain Python numbers; a dim that is known only at run time is a `Poly`.

`weak` numbers take the dtype of the tensor that they meet: Python numbers, rank-0 f64 tensors of schedules and of sums
over a whole
split, and integers counted by `arange`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from bmc.frontend.syntax import tree as syntax
from bmc.ir import Dim, Poly, Shape, TensorType, Value
from bmc.record import record, replace
from bmc.source import Span

if TYPE_CHECKING:
    from bmc.frontend.bodies.core import Core
    from bmc.frontend.bodies.primitive import Primitive
    from bmc.frontend.bodies.trace import Trace
    from bmc.frontend.scope import FileScope

__all__ = [
    "POISON",
    "Bound",
    "Categories",
    "Codes",
    "Closure",
    "Constructed",
    "Datum",
    "Environment",
    "Generator",
    "KeyedItem",
    "LayerInstance",
    "ListValue",
    "Namespace",
    "Parts",
    "Plateau",
    "Poison",
    "Special",
    "Tensor",
    "TupleValue",
    "Unit",
    "describe",
    "example_call",
    "is_number",
]


Unit = Literal["whole", "words", "chars", "bytes"]
"""What text is cut into."""


class Poison:
    """The value of an expression that has been reported as wrong: whatever uses it is silent."""


POISON = Poison()


@record(frozen=True)
class Categories:
    """What the integers of a tensor stand for: literal `labels`, or the fitted table of that key with `count` entries
    used. Slots of
    `capacity` beyond those mean other. `unit`: what of a text one integer is; `lower`: of the text in lower case."""

    capacity: int
    labels: tuple[str | int, ...] = ()
    table: str | None = None
    count: str | None = None
    unit: Unit = "whole"
    lower: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Tensor:
    """A value of the graph under construction.

    valid: mask of cells that are there (same shape), None where all are. below: exclusive upper bound of integers, given at
    `below_origin`. origins: for each dim the source that fixed it. kind: what i32 or i64 cells of a column count. behind:
    for a data
    output seen from a train block, the tensor of the data trace. lengths: of rows of different length, how many steps each row
    has, i32[B]; the cells of the second axis behind them are zeros that do not count.
    """

    value: Value
    trace: Trace
    valid: Value | None = None
    weak: bool = False
    below: Dim | None = None
    below_origin: Span | None = None
    origins: tuple[Span | None, ...] = ()
    categories: Categories | None = None
    kind: Literal["plain", "date", "timestamp"] = "plain"
    behind: Tensor | None = None
    lengths: Value | None = None

    @property
    def type(self) -> TensorType:
        return self.value.type

    @property
    def dtype(self) -> str:
        return self.value.type.dtype

    @property
    def shape(self) -> Shape:
        return self.value.type.shape

    @property
    def rank(self) -> int:
        return len(self.value.type.shape)

    def __str__(self) -> str:
        """As messages name it; messages that are seldom written are given the tensor itself."""
        shown = str(self.value.type)
        if self.kind != "plain":
            shown = f"{self.kind}{shown.removeprefix(self.dtype)}"
        return f"{shown}{'?' if self.valid is not None else ''}"

    def origin(self, axis: int) -> Span | None:
        return self.origins[axis] if -len(self.origins) <= axis < len(self.origins) else None

    def plain(self) -> Tensor:
        """The same numbers without what they stand for."""
        return replace(self, below=None, below_origin=None, categories=None, kind="plain", behind=None)


@record(frozen=True, eq=False)
class Codes:
    """How parts of text become integers below `size`: by their place in a fitted `table`, which `order` sorts and whose last slot
    means other; by a hash where there is no table."""

    size: int
    origin: Span
    table: Value | None = None
    order: Value | None = None
    categories: Categories | None = None


@record(frozen=True, eq=False)
class Parts:
    """Text in lower case, or the words, characters or bytes of each cell of `text`, of which each row has its own number. Nothing
    is computed before a function says what is wanted of them: `pad` a tensor, `length` their number. `codes`: integers stand for
    them."""

    text: Tensor
    unit: Unit
    lower: bool = False
    codes: Codes | None = None

    def __str__(self) -> str:
        """As messages name it."""
        what = "" if self.unit == "whole" else f"the {self.unit} of "
        text = f"{what}{self.text}{' in lower case' if self.lower else ''}"
        return text if self.codes is None else f"integers for {text}"


@record(frozen=True, eq=False)
class KeyedItem:
    """`"enc.*" = frozen` in a list."""

    key: str
    value: Datum
    span: Span


@record(frozen=True, eq=False)
class ListValue:
    items: tuple[Datum, ...]


@record(frozen=True, eq=False)
class TupleValue:
    """Several results. `names` are those of the declaration that returned them."""

    items: tuple[Datum, ...]
    names: tuple[str, ...] = ()


@record(frozen=True, eq=False)
class Closure:
    """A declared fn, layer, model or optimizer by its name alone."""

    declaration: syntax.Callable
    scope: FileScope

    @property
    def kind(self) -> str:
        return self.declaration.kind

    @property
    def name(self) -> str:
        return self.declaration.name.text


@record(frozen=True, eq=False)
class Constructed:
    """A fn or optimizer with its first list bound: applied by a second call. A fn of (step, steps) is a schedule."""

    closure: Closure
    hyper: Mapping[str, Bound]
    span: Span

    @property
    def is_schedule(self) -> bool:
        inputs = self.closure.declaration.inputs
        return self.closure.kind == "fn" and [p.name.text for p in inputs] == ["step", "steps"]


@dataclass(eq=False)
class LayerInstance:
    """A layer or model with its hyper-parameters bound. `path` is its key path once it has one; every application shares it.
    frozen: no gradient reaches its parameters."""

    closure: Closure
    hyper: Mapping[str, Bound]
    span: Span
    path: tuple[str, ...] | None = None
    named: bool = True
    frozen: bool = False
    original: LayerInstance | None = None


@record(frozen=True, eq=False)
class Generator:
    """An expression whose shape is open: made by `make(core, type, site)` at each binding."""

    name: str
    make: Callable[[Core, TensorType, str], Tensor]
    random: bool
    span: Span


@record(frozen=True, eq=False)
class Plateau:
    """A learning rate that falls when a metric no longer improves: `peak * control_f[0]`."""

    peak: float
    factor: float
    patience: int
    delta: float
    least: float
    on: str
    span: Span


@record(frozen=True, eq=False)
class Special:
    """A word that only some settings understand, such as `frozen`."""

    name: str


@record(frozen=True, eq=False)
class Namespace:
    """`M` and `D` in a train block: their outputs by name."""

    name: str
    members: Mapping[str, Bound]


Datum: TypeAlias = (
    "int | float | bool | str | Poly | Tensor | ListValue | TupleValue | KeyedItem | Closure | Constructed"
    " | LayerInstance | Generator | Parts | Plateau | Special | Namespace | Primitive | Poison | None"
)


@dataclass(frozen=True, eq=False, slots=True)
class Bound:
    """A name's value, and the source that gave it."""

    value: Datum
    span: Span
    hidden: bool = False  # ambiguous in a train block: written M.name or D.name
    keyword: Span | None = None  # the name before `=` of a keyword argument

    @property
    def name_span(self) -> Span:
        """Where the argument is named, or else the value."""
        return self.keyword or self.span


@dataclass(eq=False)
class Environment:
    """Names that a body sees: its own, then those of its file. `columns`: those of the data, which a train block does not see."""

    scope: FileScope
    names: dict[str, Bound] = field(default_factory=dict)
    columns: Mapping[str, Span] = field(default_factory=dict)

    def is_solved(self, name: str) -> bool:
        """Whether a name stands for a dim that an argument's shape fixed."""
        return False


def is_number(value: Datum) -> bool:
    """A static number that is not a bool; dims count."""
    return isinstance(value, (int, float, Poly)) and not isinstance(value, bool)


def example_call(value: Datum) -> str | None:
    """How a function that was meant to be called is called: with the tensors that have no default."""
    if not isinstance(value, Closure) or value.kind != "fn":
        return None
    return f"{value.name}({', '.join(p.name.text for p in value.declaration.inputs if p.default is None)})"


def describe(value: Datum) -> str:
    """What a value is, for messages: `f32[B, 4]`, `the layer dense`, `the number 3`."""
    if isinstance(value, (Tensor, Parts)):
        return str(value)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Poly)):
        return f"the number {value}"
    if isinstance(value, str):
        return f'the text "{value}"'
    if isinstance(value, Closure):
        return f"the {value.kind} {value.name}"
    if isinstance(value, Constructed):
        return f"the {'schedule' if value.is_schedule else value.closure.kind} {value.closure.name}(...)"
    if isinstance(value, LayerInstance):
        return f"the layer {value.closure.name}(...)"
    if isinstance(value, ListValue):
        return "a list"
    if isinstance(value, TupleValue):
        return f"{len(value.items)} values"
    if isinstance(value, Generator):
        return f"the generator {value.name}"
    if isinstance(value, Plateau):
        return "the schedule plateau(...)"
    if isinstance(value, (Special, Namespace)):
        return f"`{value.name}`"
    if isinstance(value, (Poison, KeyedItem)):
        return "a wrong value"
    return f"the function {value.name}"

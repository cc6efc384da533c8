"""Records are frozen dataclasses in all that anyone looks at."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import pytest

from bmc.record import record, replace


def _classes(make: Callable[..., Any]) -> tuple[Any, Any, Any]:
    @make(frozen=True)
    class Point:
        """Documented."""

        count: ClassVar[int] = 7
        x: int
        y: int = 3
        notes: tuple[str, ...] = ()
        table: dict[str, int] = field(default_factory=dict, hash=False) if make is dataclass else field(default_factory=dict)

        @cached_property
        def total(self) -> int:
            return self.x + self.y

    @make(frozen=True, eq=False)
    class Named(Point):
        name: str = "n"

    @make(frozen=True)
    class Checked:
        low: int
        high: int = 9

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low > high")

    return Point, Named, Checked


BOTH = [_classes(dataclass), _classes(record)]
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}), ((1, 2), {}), ((1, 2, ("a",), {"b": 1}), {}), ((), {"x": 1}), ((), {"y": 5, "x": 1}), ((1,), {"notes": ("z",)}),
    ((), {}), ((), {"y": 1}), ((1,), {"x": 2}), ((1, 2, (), {}, 5), {}), ((1,), {"unknown": 2}), ((1, 2), {"y": 2, "x": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("values", "named"), CALLS)
@pytest.mark.parametrize("which", [0, 1])
def test_calls_do_what_those_of_dataclasses_do(which: int, values: tuple[Any, ...], named: dict[str, Any]) -> None:
    real, own = BOTH[0][which], BOTH[1][which]
    try:
        expected = real(*values, **named)
    except TypeError:
        with pytest.raises(TypeError):
            own(*values, **named)
        return
    made = own(*values, **named)
    assert dataclasses.asdict(made) == dataclasses.asdict(expected)
    assert repr(made) == repr(expected)
    assert [(f.name, f.type, f.default) for f in dataclasses.fields(made)] == [
        (f.name, f.type, f.default) for f in dataclasses.fields(expected)
    ]
    assert type(made).__match_args__ == type(expected).__match_args__


def test_a_factory_makes_one_for_each() -> None:
    point = BOTH[1][0]
    assert point(1).table == {}
    assert point(1).table is not point(1).table


def test_records_compare_and_hash_by_value_or_by_identity() -> None:
    point, named, checked = BOTH[1]
    assert point(1, 2) == point(1, 2)
    assert point(1, 2) != point(1, 3)
    assert checked(1) == checked(1, 9)
    assert hash(checked(1)) == hash(checked(1, 9))
    assert checked(1) != point(1, 9)

    @record(frozen=True, eq=False)
    class Apart:
        x: int

    assert Apart(1) != Apart(1)
    assert len({Apart(1), Apart(1)}) == 2

    @record(frozen=True)
    class Empty:
        pass

    assert Empty() == Empty()
    assert hash(Empty()) == hash(Empty())
    assert named(1).name == "n"


def test_nothing_can_be_assigned_but_caches_work() -> None:
    one: Any = BOTH[1][0](1, 2)
    with pytest.raises(FrozenInstanceError):
        one.x = 2
    with pytest.raises(FrozenInstanceError):
        del one.x
    with pytest.raises(FrozenInstanceError):
        one.other = 2
    assert one.total == 3
    assert one == BOTH[1][0](1, 2)


@pytest.mark.parametrize("change", [replace, dataclasses.replace])
def test_replace(change: Callable[..., Any]) -> None:
    point, named, checked = BOTH[1]
    one = point(1, 2, ("a",))
    assert one.total == 3
    other = change(one, x=5)
    assert (other.x, other.y, other.notes, other.total) == (5, 2, ("a",), 7)
    assert type(change(named(1), name="m")) is named
    with pytest.raises(TypeError):
        change(one, unknown=1)
    with pytest.raises(ValueError, match="low"):
        change(checked(1), low=10)


def test_replace_of_a_dataclass_with_slots() -> None:
    @dataclass(frozen=True, slots=True)
    class Slots:
        x: int
        y: int = 2

    change: Any = replace
    assert change(Slots(1), y=3) == Slots(1, 3)
    with pytest.raises(TypeError):
        change(Slots(1), z=3)


def test_records_match_and_copy() -> None:
    match BOTH[1][0](1, 2):
        case object(x=1, y=2, notes=()):
            pass
        case other:
            pytest.fail(f"{other} does not match")
    one = BOTH[1][2](1)
    assert copy.copy(one) == one
    assert copy.deepcopy(one) == one


def test_what_a_record_cannot_do_is_refused() -> None:
    with pytest.raises(TypeError, match="frozen"):

        @record
        class Thawed:
            x: int

    with pytest.raises(TypeError, match="default_factory alone"):

        @record(frozen=True)
        class Hidden:
            x: int = field(default=1, repr=False)

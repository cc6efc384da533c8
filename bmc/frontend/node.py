"""What makes a class of the syntax tree a frozen dataclass, cheaply.

In: a class with annotated fields. Out: a dataclass (`fields`, `replace`, `match` work) whose instances cannot be changed and
which compares and hashes by identity. Guaranteed: type checkers see a frozen dataclass with its generated constructor.

Why not `@dataclass(frozen=True)`: it compiles five functions for each class, which for the fifty classes of the syntax tree took
40 of the 250 ms that a whole `bmc check` may take. Here all classes share the same five.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from typing import Any, NoReturn, TypeVar, dataclass_transform

__all__ = ["node"]

T = TypeVar("T")


def _init(self: Any, *values: object, **named: object) -> None:
    names = type(self).__match_args__
    if named or len(values) != len(names):
        rest = names[len(values) :]
        if len(values) > len(names) or set(named) != set(rest):
            raise TypeError(f"{type(self).__name__} takes ({', '.join(names)})")
        values += tuple(named[name] for name in rest)
    self.__dict__.update(zip(names, values, strict=True))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__match_args__ if name != "span")
    return f"{type(self).__name__}({shown})"


def _setattr(self: object, name: str, value: object) -> NoReturn:
    del value
    raise FrozenInstanceError(f"cannot assign to {name!r} of a {type(self).__name__}")


def _delattr(self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete {name!r} of a {type(self).__name__}")


@dataclass_transform(frozen_default=True, eq_default=False)
def node(cls: type[T]) -> type[T]:
    """Makes `cls` a class of nodes."""
    made = dataclass(init=False, repr=False, eq=False)(cls)
    for name, function in (("__init__", _init), ("__repr__", _repr), ("__setattr__", _setattr), ("__delattr__", _delattr)):
        setattr(made, name, function)
    return made

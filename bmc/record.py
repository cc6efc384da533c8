"""Frozen dataclasses that cost next to nothing to define.

In: a class with annotated fields. Out: what `dataclass(frozen=True)` makes of it: a constructor with defaults, `__post_init__`,
equality and hash by value (or by identity with eq=False), no assignment, `match`, and `fields`, `replace`, `asdict` of
`dataclasses`. Guaranteed: type checkers see `dataclasses.dataclass` itself.

Why not `@dataclass(frozen=True)`: it compiles up to seven functions a class, 0.3 to 1 ms, and the compiler has two hundred classes,
most of which one process never uses: that alone would take a third of the time that a whole `bmc check` may take. Here all classes
share the same functions, and what `dataclasses.fields` wants is made when it is first asked for. An instance is as quick to read as
one of a frozen dataclass and takes a third longer to make; classes with instances by the ten thousand stay dataclasses with slots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field
from dataclasses import replace as _replace
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["record", "replace"]


_set = object.__setattr__


# One attribute at a time, and never through `__dict__`: an instance whose `__dict__` was asked for is slower to read ever after.
def _init(self: Any, *values: object, **named: object) -> None:
    names = self.__match_args__
    if named or len(values) != len(names):
        given = {**self.__record_defaults__}
        given.update(zip(names, values))  # noqa: B905 - lengths are checked below
        given.update(named)
        if len(given) != len(names) or len(values) > len(names) or not named.keys().isdisjoint(names[: len(values)]):
            raise _wrong_call(type(self), values, named)
        for name in names:
            _set(self, name, given[name])
    else:
        for name, value in zip(names, values):  # noqa: B905 - the lengths are equal
            _set(self, name, value)


def _init_with_factories(self: Any, *values: object, **named: object) -> None:
    given = self.__match_args__[: len(values)]
    made = {n: make() for n, make in self.__record_factories__.items() if n not in named and n not in given}
    _init(self, *values, **named, **made)


def _init_then_check(self: Any, *values: object, **named: object) -> None:
    _init_with_factories(self, *values, **named)
    self.__post_init__()


def _wrong_call(cls: Any, values: tuple[object, ...], named: dict[str, object]) -> TypeError:
    names = cls.__match_args__
    call = f"{cls.__qualname__}({', '.join(names)})"
    unknown = [repr(name) for name in named if name not in names[len(values) :]]
    if unknown or len(values) > len(names):
        return TypeError(f"{call} does not take {', '.join(unknown) or f'{len(values)} values'}, or has it already")
    given = {*names[: len(values)], *named, *cls.__record_defaults__}
    return TypeError(f"{call} misses {', '.join(repr(name) for name in names if name not in given)}")


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: Any) -> object:
    if self is other:
        return True
    if type(other) is not type(self):
        return NotImplemented
    values = _getter(self.__class__)
    return values(self) == values(other)


def _hash(self: Any) -> int:
    return hash(_getter(self.__class__)(self))


@cache
def _getter(cls: Any) -> Callable[[Any], tuple[object, ...]]:
    """All fields of an instance at once. `attrgetter` gives a tuple from two names on."""
    names = cls.__match_args__
    return attrgetter(*names) if len(names) > 1 else lambda obj: tuple(getattr(obj, name) for name in names)


def _setattr(self: object, name: str, value: object) -> NoReturn:
    del value
    raise FrozenInstanceError(f"cannot assign to {name!r} of a {type(self).__qualname__}")


def _delattr(self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete {name!r} of a {type(self).__qualname__}")


class _FieldsOnDemand:
    """`__dataclass_fields__`, computed by `dataclasses` at the first look."""

    def __get__(self, instance: object, owner: Any) -> dict[str, Field[Any]]:
        hints = {name: hint for base in reversed(owner.__mro__[:-1]) for name, hint in base.__annotations__.items()}
        members: dict[str, object] = {name: field(default_factory=make) for name, make in owner.__record_factories__.items()}
        members |= owner.__record_defaults__
        members |= {"__annotations__": {name: hints[name] for name in owner.__match_args__}, "__module__": owner.__module__}
        like: Any = dataclass(init=False, repr=False, eq=False)(type(owner.__name__, (), members))
        found: dict[str, Field[Any]] = like.__dataclass_fields__
        owner.__dataclass_fields__ = found
        return found


_FIELDS = _FieldsOnDemand()


def _make(cls: Any, eq: bool) -> Any:
    inherited = getattr(cls, "__match_args__", ())
    defaults: dict[str, object] = dict(getattr(cls, "__record_defaults__", ()))
    factories: dict[str, object] = dict(getattr(cls, "__record_factories__", ()))
    own = [name for name, hint in cls.__annotations__.items() if not str(hint).startswith("ClassVar")]
    members = cls.__dict__
    for name in own:
        if name in members:
            default = members[name]
            if isinstance(default, Field):
                if default.default_factory is MISSING or not (default.init and default.repr and default.compare):
                    raise TypeError(f"{cls.__qualname__}.{name}: of what `field` can do, a record takes default_factory alone")
                delattr(cls, name)
                factories[name] = default.default_factory
            else:
                defaults[name] = default
    names = inherited + tuple(name for name in own if name not in inherited)
    made: dict[str, object] = {
        "__init__": _init_then_check if hasattr(cls, "__post_init__") else _init_with_factories if factories else _init,
        "__setattr__": _setattr,
        "__delattr__": _delattr,
        "__match_args__": names,
        "__record_defaults__": defaults,
        "__record_factories__": factories,
        "__dataclass_fields__": _FIELDS,
    }
    if "__repr__" not in members:
        made["__repr__"] = _repr
    if eq and "__eq__" not in members:
        made |= {"__eq__": _eq, "__hash__": _hash}
    for name, member in made.items():
        setattr(cls, name, member)
    return cls


if TYPE_CHECKING:
    from dataclasses import dataclass as record
    from dataclasses import replace
else:

    def replace(obj, /, **changes):
        """What `dataclasses.replace` does, three times as fast. Every field must be an argument of the constructor."""
        cls = type(obj)
        given = dict(zip(cls.__match_args__, _getter(cls)(obj)))  # noqa: B905 - the lengths are equal
        given.update(changes)
        if len(given) != len(cls.__match_args__):
            return _replace(obj, **changes)  # which says what is wrong
        return cls(*given.values())

    def record(cls=None, /, *, frozen=False, eq=True):
        """Make `cls` a record; to be used like `dataclass`. `frozen=True` must be said: there are no others."""
        if not frozen:
            raise TypeError("a record is frozen: say @record(frozen=True)")
        return (lambda cls: _make(cls, eq)) if cls is None else _make(cls, eq)

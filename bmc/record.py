"""Frozen dataclasses that cost next to nothing to define.

In: a class with annotated fields. Out: what `dataclass(frozen=True)` makes of it: constructor with defaults, `__post_init__`, equality
and hash by value (or by identity with eq=False), no assignment, `match`, and `fields`, `replace`, `asdict` of `dataclasses`.
Guaranteed: type checkers see `dataclasses.dataclass` itself.

Why not `@dataclass(frozen=True)`: it compiles up to seven functions a class, and the compiler has two hundred classes, most of which
one process never uses: that alone would take a third of the time that a whole `bmc check` may take. Here all classes share the same
functions, and what `dataclasses.fields` wants is made when it is first asked for. An instance costs about as much to make as one of a
frozen dataclass; only the classes with slots, of which there are instances by the ten thousand, are better off as dataclasses.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, FrozenInstanceError, dataclass
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["record"]


def _init(self: Any, *values: object, **named: object) -> None:
    cls = type(self)
    names = cls.__match_args__
    if named or len(values) != len(names):
        values = _complete(cls, names, values, named)
    self.__dict__.update(zip(names, values))  # noqa: B905 - the lengths are equal


def _init_then_check(self: Any, *values: object, **named: object) -> None:
    _init(self, *values, **named)
    self.__post_init__()


def _complete(cls: Any, names: tuple[str, ...], values: tuple[object, ...], named: dict[str, object]) -> tuple[object, ...]:
    """All values in the order of the fields. TypeError as from any call with wrong arguments."""
    rest = names[len(values) :]
    defaults = cls.__record_defaults__
    completed = list(values)
    used = 0
    for name in rest:
        if name in named:
            completed.append(named[name])
            used += 1
        elif name in defaults:
            default = defaults[name]
            completed.append(default.default_factory() if isinstance(default, Field) else default)
        else:
            raise TypeError(f"{cls.__qualname__}({', '.join(names)}) misses {name!r}")
    if len(values) > len(names) or used != len(named):
        wrong = ", ".join(repr(name) for name in named if name not in rest) or f"{len(values)} values"
        raise TypeError(f"{cls.__qualname__}({', '.join(names)}) does not take {wrong}, or has it already")
    return tuple(completed)


def _values(self: Any) -> tuple[object, ...]:
    return tuple(map(self.__dict__.__getitem__, self.__match_args__))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={value!r}" for name, value in zip(self.__match_args__, _values(self), strict=True))
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: object) -> bool:
    if self is other:
        return True
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: object) -> int:
    return hash(_values(self))


def _setattr(self: object, name: str, value: object) -> NoReturn:
    del value
    raise FrozenInstanceError(f"cannot assign to {name!r} of a {type(self).__qualname__}")


def _delattr(self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete {name!r} of a {type(self).__qualname__}")


class _FieldsOnDemand:
    """`__dataclass_fields__`, computed by `dataclasses` at the first look."""

    def __get__(self, instance: object, owner: Any) -> dict[str, Field[Any]]:
        hints = {name: hint for base in reversed(owner.__mro__[:-1]) for name, hint in base.__annotations__.items()}
        shape = {"__annotations__": {name: hints[name] for name in owner.__match_args__}, "__module__": owner.__module__}
        like = dataclass(init=False, repr=False, eq=False)(type(owner.__name__, (), shape | owner.__record_defaults__))
        found: dict[str, Field[Any]] = like.__dataclass_fields__
        owner.__dataclass_fields__ = found
        return found


_FIELDS = _FieldsOnDemand()


def _make(cls: Any, eq: bool) -> Any:
    inherited = getattr(cls, "__match_args__", ())
    defaults = dict(getattr(cls, "__record_defaults__", ()))
    own = [name for name, hint in cls.__annotations__.items() if not str(hint).startswith("ClassVar")]
    members = cls.__dict__
    for name in own:
        if name in members:
            default = members[name]
            if isinstance(default, Field):
                if default.default_factory is MISSING or not (default.init and default.repr and default.compare):
                    raise TypeError(f"{cls.__qualname__}.{name}: of what `field` can do, a record takes default_factory alone")
                delattr(cls, name)
            defaults[name] = default
    made: dict[str, object] = {
        "__init__": _init_then_check if hasattr(cls, "__post_init__") else _init,
        "__setattr__": _setattr,
        "__delattr__": _delattr,
        "__match_args__": inherited + tuple(name for name in own if name not in inherited),
        "__record_defaults__": defaults,
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
else:

    def record(cls=None, /, *, frozen=False, eq=True):
        """Make `cls` a record; to be used like `dataclass`. `frozen=True` must be said: there are no others."""
        if not frozen:
            raise TypeError("a record is frozen: say @record(frozen=True)")
        return (lambda cls: _make(cls, eq)) if cls is None else _make(cls, eq)

"""What makes a class of the syntax tree a record.

In: a class with annotated fields. Out: a record (`fields`, `replace`, `match` work) whose instances cannot be changed and which
compares and hashes by identity; its `repr` leaves the spans out. Guaranteed: type checkers see a frozen dataclass.
"""

from __future__ import annotations

from typing import Any, TypeVar, dataclass_transform

from bmc.record import record

__all__ = ["node"]

T = TypeVar("T")


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__match_args__ if name != "span")
    return f"{type(self).__name__}({shown})"


@dataclass_transform(frozen_default=True, eq_default=False)
def node(cls: type[T]) -> type[T]:
    """Makes `cls` a class of nodes."""
    made = record(frozen=True, eq=False)(cls)
    made.__repr__ = _repr  # type: ignore[method-assign]
    return made

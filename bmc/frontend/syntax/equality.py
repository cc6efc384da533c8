"""Whether two syntax trees say the same.

In: two nodes. Out: a bool. Guaranteed: spans do not matter, everything else does (floats by their bits); no recursion.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from bmc.source import Span

__all__ = ["syntax_equal"]


def syntax_equal(a: object, b: object) -> bool:
    """Whether the trees below two nodes are equal modulo spans."""
    pending = [(a, b)]
    while pending:
        x, y = pending.pop()
        if type(x) is not type(y):
            return False
        if isinstance(x, tuple) and isinstance(y, tuple):
            if len(x) != len(y):
                return False
            pending.extend(zip(x, y, strict=True))
        elif isinstance(x, Span):
            continue
        elif is_dataclass(x):
            pending.extend((getattr(x, field.name), getattr(y, field.name)) for field in fields(x))
        elif repr(x) != repr(y):
            return False
    return True

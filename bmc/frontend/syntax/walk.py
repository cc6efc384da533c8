"""Every node below a node of the syntax tree.

In: a node. Out: the node and all that it holds, in the order of the text. Guaranteed: each once; the parser bounds the depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["walk"]


def walk(node: Any) -> Iterator[Any]:
    """`node`, then what is below it."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        children: list[Any] = []
        for field in type(current).__match_args__:
            value = getattr(current, field)
            children += [v for v in (value if isinstance(value, tuple) else (value,)) if hasattr(v, "span")]
        waiting += reversed(children)

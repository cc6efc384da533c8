"""The syntax tree as text: `bmc dump --stage ast`.

In: a node. Out: one line for each node, indented by depth, with its plain fields and, if asked for, its place.
"""

from __future__ import annotations

from collections.abc import Iterator

from bmc.source import Span

__all__ = ["syntax_text"]


def syntax_text(node: object, with_locs: bool = False) -> str:
    """The lines of a tree, which is as deep as the parser allows at most."""
    return "\n".join(_lines(node, "", 0, with_locs)) + "\n"


def _lines(node: object, label: str, depth: int, with_locs: bool) -> Iterator[str]:
    names = [name for name in type(node).__match_args__ if name != "span"]  # type: ignore[attr-defined]
    plain: list[str] = []
    below: list[tuple[str, object]] = []
    for name in names:
        value = getattr(node, name)
        if _is_node(value):
            below.append((name, value))
        elif isinstance(value, tuple) and any(_is_node(item) for item in value):
            below += [(name, item) for item in value]
        elif value is not None and value != ():
            plain.append(f"{name}={value!r}")
    span = getattr(node, "span", None)
    place = f"  @{span.line}:{span.column}" if with_locs and isinstance(span, Span) else ""
    yield f"{'  ' * depth}{f'{label}: ' if label else ''}{' '.join([type(node).__name__, *plain])}{place}"
    for name, child in below:
        if _is_node(child):
            yield from _lines(child, name, depth + 1, with_locs)
        else:
            yield f"{'  ' * (depth + 1)}{name}: {child!r}"


def _is_node(value: object) -> bool:
    return isinstance(getattr(value, "span", None), Span) and hasattr(type(value), "__match_args__")

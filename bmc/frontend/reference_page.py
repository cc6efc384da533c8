"""The reference pages of the language and of its library, written from the code and the library's own text.

In: the built-in functions, the keys, the library's files. Out: the texts of `docs/language.md` and `docs/library.md`.
Tests compare them, and
rewrite the pages under `--update-golden`.
"""

from __future__ import annotations

from collections.abc import Iterator

from bmc.frontend.bodies.core import TYPE_NAMES
from bmc.frontend.bodies.expressions import CONSTANTS
from bmc.frontend.errors.later import FEATURES
from bmc.frontend.primitives import GROUPS
from bmc.frontend.scope import installed_library
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.syntax.parse import parse
from bmc.frontend.syntax.tree import DATA_KEYS
from bmc.frontend.train.settings import DEFAULT_OPTIMIZER, DEFAULT_STOP, DEFAULTS, KEYS
from bmc.source import SourceFile, Span

__all__ = ["language_reference", "library_reference"]

_LANGUAGE = """\
# Language reference

The words of the language: types, keys, and the functions that the compiler knows by itself. This page is written from the code
(`bmc/frontend/reference_page.py`), and the tests hold the two together. What is written in the language itself is in
[library.md](library.md); how a program is elaborated is in [elaboration.md](elaboration.md).
"""

_LIBRARY = """\
# The standard library

Layers, functions, optimizers and schedules that are written in the language itself (`bmc/lib`). This page is written from their
text, and the tests hold the two together. A file's own declaration of the same name shadows the library's, with a note.
"""


def language_reference() -> str:
    """The page as Markdown."""
    return "\n".join((_LANGUAGE, *_types(), *_keys(), *_functions(), *_later()))


def _types() -> Iterator[str]:
    yield "## Types and constants\n"
    yield f"{', '.join(f'`{n}`' for n in TYPE_NAMES)}; with `?` a column's cells may be missing.\n"
    words = [*CONSTANTS, "training"]
    yield f"Names that always mean something: {', '.join(f'`{n}`' for n in words)}.\n"


def _keys() -> Iterator[str]:
    yield "## Keys\n"
    yield "| block | keys |\n|---|---|"
    clauses = (*sorted(DATA_KEYS), "columns", "where", "distinct")
    yield f"| `data` | {', '.join(f'`{k}`' for k in clauses)}; every other name is an output |"
    yield f"| `train` | {', '.join(f'`{k}`' for k in KEYS)} |\n"
    shown = ", ".join(f"`{k} = {v}`" for k, v in DEFAULTS.items() if k != "shards")
    yield f"Defaults: {shown}, `optimizer = {DEFAULT_OPTIMIZER}`, and with a split `valid` `stop = {DEFAULT_STOP}`."
    yield "Shards are set by the size of the work, epochs by the number of rows; loss, metrics and predictions by the type of"
    yield "the labels: [guide.md](guide.md#what-is-not-written).\n"


def _functions() -> Iterator[str]:
    for title, group in GROUPS.items():
        yield f"## {title}\n"
        yield "| function | what it gives |\n|---|---|"
        for primitive in group:
            yield f"| `{primitive.name}({primitive.signature})` | {primitive.doc.replace('|', chr(92) + '|')} |"
        yield ""


def _later() -> Iterator[str]:
    yield "## Checked, not compiled yet\n"
    for code, message in FEATURES.values():
        yield f"- {code}: {message}"
    yield ""


def library_reference() -> str:
    """The page as Markdown."""
    parts = [_LIBRARY]
    for file in installed_library():
        tree, _ = parse(file)
        name = file.name.rpartition("/")[2]
        parts.append(f"## {name.removesuffix('.bm').capitalize()}\n")
        parts.append(_comment_at_top(file) + "\n")
        for declaration in tree.declarations:
            if isinstance(declaration, syntax.Callable):
                parts.append(f"### `{declaration.name.text}`\n")
                comment = _comment_above(declaration.span)
                if comment:
                    parts.append(comment + "\n")
                parts.append(f"```\n{' '.join(declaration.signature.text.split())}\n```\n")
    return "\n".join(parts)


def _comment_at_top(file: SourceFile) -> str:
    lines = []
    for line in file.text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def _comment_above(span: Span) -> str:
    """The comment lines directly above a declaration."""
    lines: list[str] = []
    number = span.line - 1
    while number >= 1 and span.file.line(number).startswith("#"):
        lines.insert(0, span.file.line(number).lstrip("# "))
        number -= 1
    return " ".join(lines)

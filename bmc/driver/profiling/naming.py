"""Names for columns whose headers are none.

In: headers. Out: a name for each. Guaranteed: names are different, are names of the language, and hide nothing that a draft uses.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from bmc.frontend.syntax.tokens import RESERVED
from bmc.frontend.syntax.tree import DATA_KEYS

__all__ = ["is_name", "names_of", "quoted"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPELT = (("ß", "ss"), ("æ", "ae"), ("ø", "o"), ("œ", "oe"), ("ł", "l"), ("đ", "d"), ("€", "eur"), ("$", "usd"), ("%", "percent"))


_USED = frozenset(
    {
        "number", "is_missing", "fill", "median", "log1p", "standardize", "onehot", "hash", "category", "days_since", "weekday",
        "month", "hour", "concat", "lower", "words", "vocab", "pad", "min", "length", "by_hash", "columns", "where", "distinct",
        "let",
    }
)  # fmt: skip
"""Functions and words of the data blocks that are drafted: a column that was called so would hide them."""


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def names_of(headers: Sequence[str], used: Iterable[str]) -> dict[str, str]:
    """Header → name. A header that is a name keeps it, unless it means something else or is in `used`."""
    taken = {*_USED, *RESERVED, *DATA_KEYS, *used}
    found: dict[str, str] = {}
    for header in sorted(headers, key=lambda h: not is_name(h)):
        name = header if is_name(header) else _spelt(header)
        chosen, number = name, 1
        while chosen in taken:
            number += 1
            chosen = f"{name}_{number}" if number > 2 or name in found.values() else f"{name}_"
        taken.add(chosen)
        found[header] = chosen
    return {header: found[header] for header in headers}


def _spelt(header: str) -> str:
    text = header.lower()
    for letter, spelling in _SPELT:
        text = text.replace(letter, spelling)
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:40].rstrip("_")
    if not name:
        return "column"
    return f"c{name}" if name[0].isdigit() else name


def quoted(text: str) -> str:
    """A literal of the language."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
    return '"' + "".join(escapes.get(c, c if c.isprintable() else f"\\u{{{ord(c):x}}}") for c in text) + '"'

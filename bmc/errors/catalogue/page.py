"""The list of codes for docs/diagnostics.md, written from the catalogue.

In: the catalogue. Out: Markdown, a table for each range. Guaranteed: the same catalogue gives the same text.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bmc.errors.catalogue import all_entries

__all__ = ["codes_table"]

_RANGES: Mapping[str, str] = MappingProxyType(
    {
        "01": "Text and syntax", "02": "Names", "03": "Types and sizes", "04": "Layers, functions, calls", "05": "Data blocks",
        "06": "Train blocks", "07": "Files", "08": "Runs", "09": "Not done yet",
    }
)  # fmt: skip


def codes_table() -> str:
    """All codes with their titles, by range."""
    parts: list[str] = []
    for number, heading in _RANGES.items():
        entries = [e for e in all_entries() if e.code[1:3] == number]
        if entries:
            rows = "".join(f"| {e.code} | {e.title} |\n" for e in entries)
            parts.append(f"### {heading}\n| code | |\n|---|---|\n{rows}")
    return "\n".join(parts)

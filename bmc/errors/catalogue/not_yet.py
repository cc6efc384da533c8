"""E09xx, W09xx: what the language has and the compiler does not do yet."""

from __future__ import annotations

from bmc.errors.catalogue.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "E0908",
        "Recomputation is not done yet",
        "`memory` will trade time for memory.",
    ),
)

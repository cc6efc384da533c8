"""The functions that the compiler knows by itself, by group. Everything else is `.bm` code of the library.

In: nothing. Out: `primitives()`, all of them by name. Guaranteed: names are unique.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from bmc.frontend.bodies.primitive import Primitive
from bmc.frontend.primitives import (
    categories,
    choosing,
    convolutions,
    dates,
    encodings,
    filling,
    finding,
    generators,
    groups,
    images,
    notation,
    ordering,
    pointwise,
    reductions,
    sampling,
    shapes,
    statics,
    statistics,
    text,
)

__all__ = ["GROUPS", "primitives"]

GROUPS: Mapping[str, tuple[Primitive, ...]] = MappingProxyType(
    {
        "Element by element": pointwise.PRIMITIVES,
        "Reductions": reductions.PRIMITIVES,
        "Shapes": shapes.PRIMITIVES,
        "einsum and rearrange": notation.PRIMITIVES,
        "Windows and convolutions": convolutions.PRIMITIVES,
        "Choosing by index": choosing.PRIMITIVES,
        "Order along an axis": ordering.PRIMITIVES,
        "Generators": generators.PRIMITIVES,
        "Augmentation": images.PRIMITIVES,
        "Sampling": sampling.PRIMITIVES,
        "Fitted statistics": statistics.PRIMITIVES,
        "Statistics by group": groups.PRIMITIVES,
        "Missing cells": filling.PRIMITIVES,
        "Categories": (*categories.PRIMITIVES, *encodings.PRIMITIVES),
        "Dates and times": dates.PRIMITIVES,
        "Text": (*text.PRIMITIVES, *finding.PRIMITIVES),
        "Compile time": statics.PRIMITIVES,
    }
)


@cache
def primitives() -> Mapping[str, Primitive]:
    """All primitives by name."""
    table: dict[str, Primitive] = {}
    for group in GROUPS.values():
        for primitive in group:
            if primitive.name in table:
                raise TypeError(f"primitive {primitive.name} is defined twice")
            table[primitive.name] = primitive
    return MappingProxyType(table)

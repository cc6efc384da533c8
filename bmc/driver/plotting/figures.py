"""What there is to draw of a model, as numbers.

In: nothing; `gathering` makes these. Out: records, in the order in which they are drawn. Guaranteed: plain arrays and texts, so
that they can be looked at without drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from bmc.record import record

__all__ = ["Confusion", "Curves", "Figure", "Images", "Scatter"]


@record(frozen=True)
class Curves:
    """One value by epoch (from 1), a line for each split."""

    name: str
    lines: Sequence[tuple[str, Sequence[tuple[int, float]]]]
    best_epoch: int


@record(frozen=True, eq=False)
class Confusion:
    """`counts[i, j]`: rows of class i that are predicted as j."""

    name: str
    split: str
    labels: Sequence[str]
    counts: NDArray[Any]


@record(frozen=True, eq=False)
class Scatter:
    """Predicted against true numbers, of at most so many rows as a picture can show."""

    name: str
    split: str
    true: NDArray[Any]
    predicted: NDArray[Any]
    rows: int


@record(frozen=True, eq=False)
class Images:
    """A row of pictures for each name: `[n, height, width, 3]` or `[n, height, width]`, from 0 to 1."""

    split: str
    rows: Sequence[tuple[str, NDArray[Any]]]


Figure = Curves | Confusion | Scatter | Images

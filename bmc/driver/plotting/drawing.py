"""Figures on paper, by matplotlib.

In: `Figure`s, a file or a folder. Out: pictures. Guaranteed: no display is opened and no setting of the user's is read or changed;
the same figures give the same bytes with the same matplotlib. Imported only when something is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from bmc.driver import run_errors
from bmc.driver.plotting.figures import Confusion, Curves, Figure, Images, Scatter
from bmc.errors import BmcError
from bmc_runtime.atomic import write_bytes

__all__ = ["ENDINGS", "draw"]

ENDINGS = (".png", ".pdf")
"""Not svg: matplotlib names clips there by where they lie in memory, so the bytes differ from time to time."""

_WIDTH = 8.0
_DPI = 100
_NUMBERS = 12
"""Up to so many classes the cells of a confusion matrix have their counts written in."""


def draw(figures: Sequence[Figure], path: Path) -> list[Path]:
    """One picture with all figures if the path has an ending of pictures, else a folder with one for each. Gives what was written.
    Raises BmcError."""
    settings = dict(mpl.rcParamsDefault)
    with mpl.rc_context():
        mpl.rcParams.update({key: value for key, value in settings.items() if key in mpl.rcParams and key != "backend"})
        if path.suffix.lower() in ENDINGS:
            return [_write(path, figures)]
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BmcError(run_errors.cannot_write(str(path), error.strerror or str(error))) from None
        return [_write(path / f"{name}.png", [figure]) for name, figure in _named(figures)]


def _named(figures: Sequence[Figure]) -> list[tuple[str, Figure]]:
    """`loss`, `accuracy`, `confusion`, `scatter`, `images`, with a number from the second of a name on."""
    named: list[tuple[str, Figure]] = []
    counts: dict[str, int] = {}
    for figure in figures:
        match figure:
            case Curves():
                name = "".join(c if c.isalnum() or c in "_-" else "_" for c in figure.name)
            case Confusion():
                name = "confusion"
            case Scatter():
                name = "scatter"
            case Images():
                name = "images"
        counts[name] = counts.get(name, 0) + 1
        named.append((name if counts[name] == 1 else f"{name}_{counts[name]}", figure))
    return named


def _write(path: Path, figures: Sequence[Figure]) -> Path:
    heights = [_height(figure) for figure in figures]
    canvas = Canvas(figsize=(_WIDTH, sum(heights)), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(canvas)
    parts = canvas.subfigures(len(figures), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, figure in zip(parts, figures, strict=True):
        _draw(part, figure)
    form = path.suffix.lower()[1:]
    buffer = io.BytesIO()
    # What says when and by what a file was made would make it another one each time.
    metadata = {"png": ("Software",), "pdf": ("CreationDate", "Producer")}[form]
    canvas.savefig(buffer, format=form, metadata=dict.fromkeys(metadata))
    try:
        write_bytes(path, buffer.getvalue())
    except OSError as error:
        raise BmcError(run_errors.cannot_write(str(path), error.strerror or str(error))) from None
    return path


def _height(figure: Figure) -> float:
    match figure:
        case Curves():
            return 3.0
        case Confusion():
            return 6.0 if len(figure.labels) > _NUMBERS else 4.5
        case Scatter():
            return 5.0
        case Images():
            return 0.5 + 0.9 * len(figure.rows)


def _draw(part: Any, figure: Figure) -> None:
    match figure:
        case Curves():
            _curves(part.subplots(), figure)
        case Confusion():
            _confusion(part.subplots(), figure)
        case Scatter():
            _scatter(part.subplots(), figure)
        case Images():
            _images(part, figure)


def _curves(axes: Any, figure: Curves) -> None:
    for split, points in figure.lines:
        axes.plot([x for x, _ in points], [y for _, y in points], label=split, marker="o" if len(points) == 1 else None)
    if figure.best_epoch:
        axes.axvline(figure.best_epoch, color="0.7", linestyle=":", label=f"kept: epoch {figure.best_epoch}")
    axes.set_title(figure.name)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlim(0.5, max(x for _, points in figure.lines for x, _ in points) + 0.5)
    axes.legend()
    axes.grid(alpha=0.3)


def _confusion(axes: Any, figure: Confusion) -> None:
    counts = figure.counts
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    places = range(len(figure.labels))
    axes.set_xticks(places, figure.labels, rotation=90 if sum(map(len, figure.labels)) > 30 else 0)
    axes.set_yticks(places, figure.labels)
    axes.set_xlabel("predicted (dark: all of a true class)")
    axes.set_ylabel("true")
    axes.set_title(f"{figure.name} ({figure.split}): {counts.trace() / max(counts.sum(), 1):.3f} of {counts.sum():,} rows right")
    if len(figure.labels) <= _NUMBERS:
        for i in places:
            for j in places:
                if counts[i, j]:
                    colour = "w" if shares[i, j] > 0.5 else "k"
                    axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=colour, size="small")


def _scatter(axes: Any, figure: Scatter) -> None:
    both = [figure.true.min(), figure.predicted.min()], [figure.true.max(), figure.predicted.max()]
    ends = [min(both[0]), max(both[1])]
    axes.plot(ends, ends, color="0.7", linestyle=":")
    axes.scatter(figure.true, figure.predicted, s=8, alpha=0.5, linewidths=0)
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
    first = "" if figure.rows <= len(figure.true) else f"{len(figure.true):,} of "
    axes.set_title(f"{figure.name} ({figure.split}): {first}{figure.rows:,} rows")
    axes.grid(alpha=0.3)


def _images(part: Any, figure: Images) -> None:
    width = max(len(pictures) for _, pictures in figure.rows)
    grid = part.subplots(len(figure.rows), width, squeeze=False)
    for (name, pictures), row in zip(figure.rows, grid, strict=True):
        for i, axes in enumerate(row):
            axes.set_xticks([])
            axes.set_yticks([])
            if i >= len(pictures):
                axes.set_visible(False)
                continue
            colours = {"cmap": "gray", "vmin": 0, "vmax": 1} if pictures.ndim == 3 else {}
            axes.imshow(pictures[i], interpolation="nearest", **colours)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    part.suptitle(f"rows of {figure.split}", size="medium")

"""From a model and its data to what there is to draw.

In: a trained model, where its data is. Out: `Figure`s: curves of the history; of one split the confusion of classes, predicted
against true numbers, inputs and predictions that are images. Guaranteed: rows are predicted by the compiled program, as `bmc
predict` does; a model whose data is not at hand has its curves all the same.

What the model gives is asked for by the language itself: the program is compiled once more with another `predict`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmc.data import Given
from bmc.driver.load import SourceText, load_unit
from bmc.driver.plotting.figures import Confusion, Curves, Figure, Images, Scatter
from bmc.driver.predicting import spec_seed
from bmc.driver.session import Session
from bmc.driver.trained import TrainedModel
from bmc.errors import BmcError
from bmc.frontend.unit import OutputSpec
from bmc_runtime.table import Column, Table

__all__ = ["gather"]

_POINTS = 2000
_PICTURES = 10
_CLASSES = 60
_LEAST_SIDE = 5
"""A vector of 16 numbers is rarely a picture; one of 64 (8 x 8) may be."""


def gather(
    model: TrainedModel, split: str | None = None, data: Mapping[str, Given] | None = None
) -> tuple[list[Figure], str | None]:
    """The figures, and why those that need data are missing, None if they are not. `split`: by default the last of train, valid and
    test that has rows. Raises BmcError for a split that does not exist."""
    figures: list[Figure] = list(_curves(model))
    images = _image_columns(model)
    try:
        splits = model.splits(data, images)
    except BmcError as error:
        if data:
            raise
        return figures, error.diagnostics[0].message
    name, table = _chosen(model, splits, split)
    if table.rows:
        figures += _of_rows(model, name, table, images)
    return figures, None


def _chosen(model: TrainedModel, splits: Mapping[str, Table], split: str | None) -> tuple[str, Table]:
    if split is not None:
        return split, model.table_of(splits, split)
    names = [n for n in ("test", "valid", "train") if n in splits and splits[n].rows]
    name = names[0] if names else next(iter(splits))
    return name, splits[name]


# --- the history -------------------------------------------------------------------------------------------------------
def _curves(model: TrainedModel) -> list[Curves]:
    """The loss first, then each metric that is a number."""
    names: dict[str, dict[str, list[tuple[int, float]]]] = {}
    best, least = 0, math.inf
    for number, epoch in enumerate(model.history, start=1):
        for key, value in epoch.items():
            split, dot, name = key.partition(".")
            if dot and isinstance(value, (int, float)) and math.isfinite(value):
                names.setdefault(name, {}).setdefault(split, []).append((number, float(value)))
        watched = epoch.get("valid.loss")
        if isinstance(watched, (int, float)) and watched < least:
            best, least = number, float(watched)
    order = ["loss", *(m.name for m in model.session.training.metrics)]
    return [Curves(name, tuple(sorted(names[name].items())), best) for name in order if name in names]


# --- rows --------------------------------------------------------------------------------------------------------------
def _of_rows(model: TrainedModel, split: str, table: Table, images: Sequence[str]) -> list[Figure]:
    figures: list[Figure] = []
    targets = _targets(model)
    for output in model.unit.outputs:
        for target in targets:
            made = _confusion(model, split, table, output, target) or _scatter(model, split, table, output, target)
            if made is not None:
                figures.append(made)
                break
    pictures = _images(model, split, table, images)
    return [*figures, *([pictures] if pictures is not None else [])]


def _targets(model: TrainedModel) -> list[OutputSpec]:
    """Outputs of the data that the model does not read: what it is compared with."""
    spec, training = model.session.data, model.session.training
    read = {output for _, output in training.bindings}
    return [o for o in spec.outputs if o.name not in read]


def _asked(model: TrainedModel, predict: str, table: Table) -> dict[str, Column] | None:
    """The columns that `predict = [...]` gives for raw rows; None where the language has no such prediction."""
    unit = model.unit
    source = SourceText(
        unit.sources[0], unit.name, unit.sources[1:], {"predict": predict, "keep": "[]"}, unit.float_type, on_disk=False
    )
    try:
        other = load_unit(source)
    except BmcError:
        return None
    session = Session(other, model.session.options)
    for key, array in model.session.store.items():
        if key in session.store:
            session.store[key][...] = array
    session.keep = model.session.keep
    try:
        return session.predict(table, spec_seed(unit))
    except BmcError:
        return None


def _names(model: TrainedModel, output: OutputSpec, target: OutputSpec) -> tuple[str, str]:
    return f"{model.unit.model}.{output.name}", f"{model.session.data.name}.{target.name}"


def _confusion(model: TrainedModel, split: str, table: Table, output: OutputSpec, target: OutputSpec) -> Confusion | None:
    """Scores [B, K] against integers below K, or one score [B] against conditions."""
    scores, truth = _names(model, output, target)
    shape = output.type.shape[1:]
    if output.type.dtype not in ("f32", "f64") or len(target.type.shape) != 1:
        return None
    if target.below is not None and shape == (target.below,) and target.below <= _CLASSES:
        count = target.below
        found = _asked(model, f"[p = argmax({scores}, axis = -1), t = {truth} + 0]", table)  # numbers, not what they stand for
        labels = _labels(model, truth, count)
    elif target.type.dtype == "bool" and shape == () and "bce(" in model.session.training.loss:
        count = 2
        found = _asked(model, f"[p = {scores} > 0, t = {truth}]", table)
        labels = ["false", "true"]
    else:
        return None
    if found is None:
        return None
    true, predicted = found["t"].data.astype(np.int64), found["p"].data.astype(np.int64)
    inside = (true >= 0) & (true < count)
    counts = np.bincount(true[inside] * count + predicted[inside], minlength=count * count).reshape(count, count)
    # A fitted category has room for more than it found; its last place, which all others share, is shown if it is taken.
    known = next((i for i, label in enumerate(labels) if label == "other"), count)
    taken = [i for i in range(count) if i < known or counts[i].any() or counts[:, i].any()]
    return Confusion(target.name, split, [labels[i] for i in taken], counts[np.ix_(taken, taken)])


def _labels(model: TrainedModel, truth: str, count: int) -> list[str]:
    """What the classes are called."""
    session = model.session
    unit = model.unit
    source = SourceText(
        unit.sources[0], unit.name, unit.sources[1:], {"predict": f"[t = label_of({truth}, {truth})]", "keep": "[]"},
        unit.float_type, on_disk=False,
    )  # fmt: skip
    try:
        spec = load_unit(source).prediction
    except BmcError:
        return [str(i) for i in range(count)]
    column = spec.columns[0] if spec is not None else None
    if column is None or column.kind != "label":
        return [str(i) for i in range(count)]
    codes = np.arange(count, dtype=np.int32)
    return [str(name) for name in session.labels(codes, column).to_python()]


def _scatter(model: TrainedModel, split: str, table: Table, output: OutputSpec, target: OutputSpec) -> Scatter | None:
    """Floats [B] or [B, 1] against floats [B], in the units of the column where they can be undone."""
    value, truth = _names(model, output, target)
    floats = ("f32", "f64")
    if output.type.dtype not in floats or target.type.dtype not in floats or len(target.type.shape) != 1:
        return None
    if output.type.shape[1:] == (1,):
        value = f"{value}[:, 0]"
    elif output.type.shape[1:] != ():
        return None
    found = _asked(model, f"[p = undo({value}, {truth}), t = undo({truth}, {truth})]", table)
    found = found or _asked(model, f"[p = {value}, t = {truth}]", table)
    if found is None:
        return None
    some = _spread(table.rows, _POINTS)
    return Scatter(target.name, split, found["t"].data[some], found["p"].data[some], table.rows)


def _spread(rows: int, count: int) -> NDArray[Any]:
    """Numbers of at most `count` rows, from all of the split: files are often sorted."""
    chosen: NDArray[Any] = np.linspace(0, rows - 1, min(rows, count)).astype(np.int64)
    return chosen


# --- images ------------------------------------------------------------------------------------------------------------
def _side(count: object) -> int | None:
    """The side of a square picture of so many cells."""
    if not isinstance(count, int):  # a length that differs from row to row
        return None
    side = math.isqrt(count)
    return side if side * side == count and side >= _LEAST_SIDE else None


def _is_image(cell: Sequence[Any]) -> bool:
    sizes = all(isinstance(d, int) for d in cell)
    plain = len(cell) == 2 or (len(cell) == 3 and cell[2] in (1, 3))
    return sizes and plain and min(cell[:2]) >= _LEAST_SIDE


def _image_columns(model: TrainedModel) -> list[str]:
    """Columns of pictures: with a height and a width, or flat and square, if they are u8 as pixels are, or there is nothing
    else."""
    columns = [c for c in model.session.data.columns if c.dtype in ("u8", "i32", "f32", "f64")]
    shaped = [c.name for c in columns if _is_image(c.cell)]
    flat = [c.name for c in columns if len(c.cell) == 1 and c.dtype == "u8" and _side(c.cell[0])]
    return shaped or flat


def _images(model: TrainedModel, split: str, table: Table, columns: Sequence[str]) -> Images | None:
    """Some rows: their columns of pictures, and below them what is predicted and is a picture too."""
    shown = table.take(_spread(table.rows, _PICTURES))
    rows: list[tuple[str, NDArray[Any]]] = []
    shapes: dict[int, tuple[int, ...]] = {}
    for name in columns:
        picture = _picture(shown.columns[name].data, shapes)
        if picture is not None:
            shapes[math.prod(picture.shape[1:])] = picture.shape[1:]
            rows.append((name, picture))
    if not columns and not any(_is_image(o.type.shape[1:]) for o in model.unit.outputs):
        return None
    prediction = model.session.prediction
    wanted = [c.name for c in prediction.columns if c.kind == "plain" and c.type.dtype in ("f32", "f64", "u8", "bool")]
    found = model.session.predict(_with_keep(shown, prediction.keep), spec_seed(model.unit)) if wanted else {}
    for name in wanted:
        picture = _picture(found[name].data, shapes)
        if picture is not None:
            rows.append((name, picture))
    return Images(split, rows) if rows else None


def _with_keep(table: Table, keep: Sequence[str]) -> Table:
    """`keep` names columns that pictures need not have: stand-ins for those that were not read."""
    missing = {name: Column("i32", np.zeros(table.rows, np.int32)) for name in keep if name not in table.columns}
    return replace(table, columns={**table.columns, **missing}) if missing else table


def _picture(values: NDArray[Any], shapes: Mapping[int, tuple[int, ...]]) -> NDArray[Any] | None:
    """`[n, height, width]`, with 3 colours perhaps, from 0 to 1; None if these are no pictures. `shapes`: of the columns that are,
    by the number of their cells."""
    cell = values.shape[1:]
    if len(cell) == 1:
        side = _side(cell[0])
        known = shapes.get(cell[0])
        if known is None and side is None:
            return None
        values = values.reshape(-1, *(known or (side, side)))
    elif not _is_image(cell):
        return None
    if values.ndim == 4 and values.shape[-1] == 1:
        values = values[..., 0]
    return _from_0_to_1(values)


def _from_0_to_1(values: NDArray[Any]) -> NDArray[Any]:
    """Bytes by 255 unless they stay in 0..16 or so, floats as they are within 0..1, and from -1..1; others by their range."""
    floats = np.nan_to_num(values.astype(np.float64))
    low, high = float(floats.min(initial=0.0)), float(floats.max(initial=0.0))
    if values.dtype == np.uint8 and high > 32:
        low, high = 0.0, 255.0
    elif low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= -1 and high <= 1:
        low, high = -1.0, 1.0
    scaled: NDArray[Any] = np.clip((floats - low) / (high - low), 0, 1) if high > low else np.zeros_like(floats)
    return scaled

"""What elaboration gives: one `train` block, or one model alone, as IR functions and settings.

In: nothing; `bmc.frontend.elaborate` makes these. Out: frozen dataclasses that the driver lowers and the runtime's manifest is
written from. Guaranteed: every key of a specification has a parameter of that key in the functions that read it, and every name
of an output in a specification is an output of its function.

Keys of function parameters and results:

| role | key |
|---|---|
| weight, state | key path: `fc1.w`, `stage.0.down.c1.w` |
| moment | `KEY@name`, KEY being the weight's: `fc1.w@m` |
| fitted | `OUTPUT.function.name`: `x.standardize.m` |
| input of `fit.*`, `where`, `data`, `predict` | the column's name; of a nullable column also `NAME.valid`, its `bool` mask |
| input of `train`, `eval` | the data output's name |
| control | `control` (i64[8]), `control_f` (f64[4]) |
"""

from __future__ import annotations

from typing import Literal

from bmc.errors import Diagnostic
from bmc.ir import Module, TensorType, Value
from bmc.record import record
from bmc.source import SourceFile, Span

__all__ = [
    "AUGMENT",
    "NEXT",
    "NEXT_STEP",
    "BucketSpec",
    "ColumnKind",
    "ColumnSpec",
    "DataSpec",
    "ENCODE",
    "FitSpec",
    "FittedSpec",
    "GenerationSpec",
    "LayerSpec",
    "LoadedSpec",
    "MetricSpec",
    "MomentSpec",
    "OutputSpec",
    "PlateauSpec",
    "PredictedColumn",
    "PredictionSpec",
    "PromptSpec",
    "SettingReport",
    "SourceKind",
    "SourceSpec",
    "SplitSpec",
    "StateSpec",
    "StopSpec",
    "StoredSpec",
    "TrainingSpec",
    "Unit",
    "VocabularySpec",
    "WeightSpec",
    "WindowSpec",
]


@record(frozen=True)
class StoredSpec:
    """A file of another model. `path`: relative to the current folder, or absolute; `shown`: as written, relative to the source."""

    path: str
    shown: str
    span: Span


@record(frozen=True)
class LoadedSpec:
    """The weight or state `key` begins as the tensor `source` of a file, its axes put in this order, then row-major in the shape
    of the parameter."""

    key: str
    file: StoredSpec
    source: str
    permutation: tuple[int, ...]


@record(frozen=True)
class WeightSpec:
    """`optimizer` is what updates it, as the report prints it (`adam(lr = 0.001)`); `pattern` the text of the entry that
    matched
    its key, "*" for the only one. `named` is False where a default name (`dense_2`) is part of the key."""

    key: str
    type: TensorType
    trainable: bool
    optimizer: str
    pattern: str
    named: bool
    span: Span


@record(frozen=True)
class LayerSpec:
    """A layer at a key path ("" for the model): `kind` is its declaration's name, `outputs` its results in evaluation. `predict`
    and `train`: results of the products of its own body, as in the functions of the unit before any pass."""

    key: str
    kind: str
    outputs: tuple[TensorType, ...]
    predict: tuple[Value, ...]
    train: tuple[Value, ...]


@record(frozen=True)
class StateSpec:
    key: str
    type: TensorType
    span: Span


@record(frozen=True)
class MomentSpec:
    """State of the optimizer that belongs to the weight `weight`."""

    key: str
    type: TensorType
    weight: str


NEXT, NEXT_STEP = "next", "next.step"
"""The functions of generation: over the whole prefix, and over new positions alone; and the output of either."""

ENCODE = "encode"
"""The function from the cells of a prompt to the integers that `next` continues."""


# ---------------------------------------------------------------------------------------------------------------------
# Data

SourceKind = Literal["csv", "parquet", "npz", "npy", "idx", "jsonl", "ts", "arrow", "text", "bytes", "folder"]


@record(frozen=True)
class WindowSpec:
    """Rows that are windows of `size` consecutive items, one every `stride` of them. `by`: columns whose equal values make a series
    of its own; `order`: the column by which the items of a series are sorted, "" for the order of the file."""

    size: int
    stride: int
    by: tuple[str, ...] = ()
    order: str = ""


@record(frozen=True)
class SourceSpec:
    """One source of rows. `paths` are patterns (`sales/*.csv`) as written; relative ones are relative to `folder`, the
    folder of
    the file that has the block ("" for the current one). `name` is what `--data NAME=PATH` calls it: the split's name where
    sources are named by split, and the data block's name otherwise. `na`: texts of missing cells. `options`: the rest of the
    call's settings (`separator`), in order. `items`: into what text is cut, "" for lines. `files`: patterns by column, where each
    column is a file of its own (npy, idx); `paths` then has them too."""

    name: str
    kind: SourceKind
    paths: tuple[str, ...]
    folder: str
    na: tuple[str, ...]
    split: str | None
    options: tuple[tuple[str, str], ...]
    span: Span
    items: Literal["", "words", "chars"] = ""
    window: WindowSpec | None = None
    files: tuple[tuple[str, str], ...] = ()


ColumnKind = Literal["plain", "date", "timestamp"]

AUGMENT = "augment"
"""The function that stands for `data` in training steps, see `DataSpec.augmented`."""


@record(frozen=True)
class ColumnSpec:
    """A column as the functions read it: `dtype[B, *cell]`. `header` is its name in the file. date: i32 days since 1970-01-01;
    timestamp: i64 microseconds since then, UTC. `ragged`: the name of a dim in front of `cell` that differs from row to row, ""
    without one; such a column is read as `dtype[B, T, *cell]` with zeros behind its steps, whose numbers are `NAME.length` i32[B].
    """

    name: str
    header: str
    dtype: str
    kind: ColumnKind
    nullable: bool
    cell: tuple[int, ...]
    span: Span
    ragged: str = ""


@record(frozen=True)
class SplitSpec:
    """How rows come to splits. none: all rows train. sources: each source names its split. hash: by `fractions` in order, of
    the hash of the columns `key` (() for all columns) and `seed`. order: by fractions, rows in the order of the source. time:
    `boundaries` are first values of the column `key[0]` for each split after the first, ascending. column: `values` of the column
    `key[0]` for each split, () for all values that are listed for no other. folds: (how many, which) of the hash of `key`; that
    one is the last split, of the others the share `fractions[0]`, if there is one, is the second.
    """

    method: Literal["none", "sources", "hash", "order", "time", "column", "folds"]
    names: tuple[str, ...]
    fractions: tuple[float, ...] = ()
    seed: int = 0
    key: tuple[str, ...] = ()
    boundaries: tuple[int, ...] = ()
    values: tuple[tuple[str | int, ...], ...] = ()
    folds: tuple[int, int] = (0, 0)


@record(frozen=True)
class FittedSpec:
    """A fitted value. `expression` is its source text, `made` that of the output (or `let`) that it belongs to, and of what
    that names, on one line."""

    key: str
    type: TensorType
    expression: str
    span: Span
    made: str = ""


@record(frozen=True)
class FitSpec:
    """The function (`fit.KEY`) that makes the fitted values `keys`; `depends` are fitted keys that it reads; `columns`
    those it reads."""

    function: str
    keys: tuple[str, ...]
    depends: tuple[str, ...]
    columns: tuple[str, ...]


@record(frozen=True)
class VocabularySpec:
    """What the integers of an output stand for: literal `labels`, or entries of the fitted `table`, of which `count` are used;
    bytes where there is neither. `unit`: whether each is a whole cell, or a word, a character or a byte of its text; `lower`: of
    the text in lower case. The integer `size - 1` of a table means other."""

    unit: Literal["whole", "words", "chars", "bytes"]
    lower: bool
    size: int
    labels: tuple[str | int, ...] = ()
    table: str | None = None
    count: str | None = None


@record(frozen=True)
class OutputSpec:
    """An output of the function `data`, with the exclusive upper bound of its integers, and what these stand for, where known."""

    name: str
    type: TensorType
    below: int | None
    vocabulary: VocabularySpec | None = None


@record(frozen=True)
class BucketSpec:
    """Outputs padded in buckets have the run-time dim `symbol`: for one row its length, which the function `lengths.SYMBOL` gives
    as the output of that name, rounded up to a multiple of `bucket`, at most `most`; for a training batch that of its longest
    row; `most` where outputs of a whole split lie side by side."""

    symbol: str
    bucket: int
    most: int

    @property
    def function(self) -> str:
        return f"lengths.{self.symbol}"


@record(frozen=True)
class DataSpec:
    """`columns`: every declared column. `used`: names of those that the functions of the unit (or the split) read, in order of
    declaration. `where`: whether there is a function `where`. `distinct`: names of columns whose equal rows count once, () for
    whole rows, None for no such clause. `base`: the model of `fitted`; `reused`: keys of fitted values that are taken from it, if
    it was at hand. `buckets`: run-time dims of outputs that are padded in buckets. `augmented`: whether there is a function
    `augment`, which gives what `data` gives but draws at random where the block says so; it makes the inputs of training steps, and
    only these."""

    name: str
    sources: tuple[SourceSpec, ...]
    columns: tuple[ColumnSpec, ...]
    used: tuple[str, ...]
    split: SplitSpec
    fits: tuple[FitSpec, ...]
    fitted: tuple[FittedSpec, ...]
    outputs: tuple[OutputSpec, ...]
    where: bool
    distinct: tuple[str, ...] | None
    base: StoredSpec | None = None
    reused: tuple[str, ...] = ()
    buckets: tuple[BucketSpec, ...] = ()
    augmented: bool = False

    @staticmethod
    def cut_by(source: SourceSpec) -> tuple[str, ...]:
        """The columns by which the rows of a source are cut into windows."""
        window = source.window
        return () if window is None else (*window.by, *([window.order] if window.order else []))


# ---------------------------------------------------------------------------------------------------------------------
# Training and prediction


@record(frozen=True)
class StopSpec:
    """Stop when `metric` of `split` has not improved by more than `delta` for `patience` epochs."""

    split: str
    metric: str
    patience: int
    delta: float
    mode: Literal["min", "max"]


@record(frozen=True)
class PlateauSpec:
    """After `patience` epochs without improvement of `metric` of `split` by more than `delta`, `control_f[0]` (from 1.0) is
    multiplied by `factor`, and the count starts again; never below `least`."""

    split: str
    metric: str
    factor: float
    patience: int
    delta: float
    least: float
    mode: Literal["min", "max"]


@record(frozen=True)
class MetricSpec:
    """`name` is an output of `eval`. `shape` is () but for tables such as `confusion`. `mode`: which way is better, for
    choosing epochs."""

    name: str
    shape: tuple[int, ...]
    mode: Literal["min", "max"]


@record(frozen=True)
class TrainingSpec:
    """`shards` 0: by the runtime's rule. `epochs` or `steps` is None; both are: as many epochs as the runtime's rule has for the
    number of rows. `loss` is the text of the loss. `bindings`: (model input, data output) pairs. `header`: the first line of a
    block in which nothing is written, "" of others."""

    batch: int
    shards: int
    accumulate: int
    epochs: int | None
    steps: int | None
    stop: StopSpec | None
    plateau: PlateauSpec | None
    seed: int
    loss: str
    metrics: tuple[MetricSpec, ...]
    bindings: tuple[tuple[str, str], ...]
    header: str = ""


@record(frozen=True)
class PredictedColumn:
    """An output of `predict`: `type` has the row dim in front. kind plain: written as it is. label: an integer i is written as
    `labels[i]`, or as entry i of the fitted table whose key is `table`; `other` where it lies beyond the fitted count."""

    name: str
    type: TensorType
    kind: Literal["plain", "label"] = "plain"
    table: str | None = None
    count: str | None = None
    labels: tuple[str | int, ...] = ()
    other: str = "other"


@record(frozen=True)
class PredictionSpec:
    """`needs`: raw columns that `predict` reads, in order of declaration. `keep`: raw columns passed through. `bounded`: integers
    that a raw row may put outside their bound, as outputs of `predict` under `key_of_bounded`."""

    columns: tuple[PredictedColumn, ...]
    needs: tuple[str, ...]
    keep: tuple[str, ...]
    bounded: tuple[OutputSpec, ...] = ()

    @staticmethod
    def key_of_bounded(name: str) -> str:
        """No name of a prediction is like this."""
        return f"#{name}"


@record(frozen=True)
class PromptSpec:
    """What stands at one position of a text: the input `column` of the function `encode`, whose output is the data output that
    grows. `lower`: the text is put into lower case first. Integers stand for `labels`, or for the entries of the fitted `table`, of
    which `count` are used; `same`: for the cells themselves."""

    unit: Literal["bytes", "chars", "words", "numbers"]
    lower: bool
    column: str
    labels: tuple[str | int, ...] = ()
    table: str | None = None
    count: str | None = None
    same: bool = False


@record(frozen=True)
class GenerationSpec:
    """How a sequence goes on. `input`: the data output, of integers `dtype[B, T]` below `below`, that grows; it is an input of the
    function `next`, whose output `next` has one integer for each row. `settings`: its other inputs, rank-0 f64, with the values in
    the file. `least`: the shortest prefix. `limit`: the longest one, where the slice at `limited_by` bounds it. `span`: the item of
    `next`. `prompt`: None where text does not become the input position by position."""

    input: str
    dtype: str
    below: int | None
    settings: tuple[tuple[str, float], ...]
    least: int
    limit: int | None
    limited_by: Span | None
    span: Span
    prompt: PromptSpec | None = None


@record(frozen=True)
class SettingReport:
    """One line of "defaults that are printed"."""

    key: str
    value: str
    default: bool


@record(frozen=True)
class Unit:
    """One `train` block, or one model (`data`, `training`, `prediction` and `generation` are None, functions are
    `init` and `predict`).

    `name`: after `as`, else the model's. `sources`: the closure of files used, library files (`<lib>/layers.bm`) included.
    `stored`: files that `init` names; `loaded`: what is taken from those at hand. `layers`: in
    the order in which they are applied. `outputs`: the model's, in evaluation. `warnings`: diagnostics that do not stop.
    """

    name: str
    model: str
    float_type: Literal["f32", "f64"]
    module: Module
    weights: tuple[WeightSpec, ...]
    states: tuple[StateSpec, ...]
    moments: tuple[MomentSpec, ...]
    data: DataSpec | None
    training: TrainingSpec | None
    prediction: PredictionSpec | None
    generation: GenerationSpec | None
    settings: tuple[SettingReport, ...]
    sources: tuple[SourceFile, ...]
    warnings: tuple[Diagnostic, ...] = ()
    stored: tuple[StoredSpec, ...] = ()
    loaded: tuple[LoadedSpec, ...] = ()
    layers: tuple[LayerSpec, ...] = ()
    outputs: tuple[OutputSpec, ...] = ()

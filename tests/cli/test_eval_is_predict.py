"""`bmc eval`, and the raw rows of the same split through `bmc predict` and scored by hand, agree exactly: for each example.

By hand means numpy over the predictions of a file of raw rows, by docs/exactness.md: a number for each row becomes f64; a sum over
rows has 16 lanes and a fixed tree. What a row contributes to the loss is predicted too (`row_loss`), and compared with the formula
over the predicted scores in f64, as far as the roundings of f32 explain: that comparison alone has a bound.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyarrow import parquet as pq

import bmc

MODELS = Path(__file__).parents[2] / "models"

Columns = Mapping[str, NDArray[Any]]


def total(values: NDArray[Any]) -> float:
    """Rule 3 of docs/exactness.md, in f64."""
    flat = np.asarray(values).astype(np.float64).ravel()
    lanes = np.zeros(16)
    for start in range(0, len(flat), 16):
        part = flat[start : start + 16]
        lanes[: len(part)] += part
    for width in (8, 4, 2, 1):
        lanes = lanes[:width] + lanes[width : 2 * width]
    return float(lanes[0])


def mean(values: NDArray[Any]) -> float:
    return total(values) / np.asarray(values).size


# --- metrics by hand -----------------------------------------------------------------------------------------------------
def right(name: str, truth: str) -> Callable[[Columns, Columns], dict[str, Any]]:
    """The share of rows whose predicted label is that of the raw row."""
    return lambda found, raw: {"accuracy": float((found[name] == raw[truth]).sum()) / len(raw[truth])}


def confusion(found: Columns, raw: Columns) -> dict[str, Any]:
    counts = np.zeros((10, 10))
    np.add.at(counts, (raw["digit"], found["digit"]), 1)
    return {**right("digit", "digit")(found, raw), "confusion": counts.tolist()}


def prices(found: Columns, raw: Columns) -> dict[str, Any]:
    x, y = found["price"], found["truth"]
    # `undo` gives back what went in but for the roundings of a logarithm and its inverse: 2^-24 for each unit in the exponent.
    np.testing.assert_allclose(y, raw["price"].astype(np.float32), rtol=20 * 2**-24)
    away = (y - np.float32(mean(y))) ** 2  # a number that meets a tensor of f32 becomes one
    return {"r2": 1 - total((x - y) ** 2) / total(away), "mae": mean(np.abs(x - y))}


def verses(found: Columns, raw: Columns) -> dict[str, Any]:
    milton = raw["author"] == "Milton"
    guess = found["logit"] > 0
    up = int(milton.sum())
    down = len(milton) - up
    order = np.sort(found["logit"])
    ranks = (np.searchsorted(order, found["logit"], "left") + np.searchsorted(order, found["logit"], "right") + 1) / 2
    return {
        "accuracy": float((guess == milton).sum()) / len(milton),
        "auc": (float(ranks[milton].sum()) - up * (up + 1) / 2) / (up * down),
        "f1": 2 * float((guess & milton).sum()) / float(guess.sum() + milton.sum()),
    }


def forecasts(found: Columns, raw: Columns) -> dict[str, Any]:
    level = np.nan_to_num(raw["co2"], nan=0).astype(np.float32)
    there = (~np.isnan(raw["co2"])).astype(np.float32)
    past, future, known = level[:, :104], level[:, 104:], there[:, 104:]
    before = past[:, 52:]
    both = known * there[:, 52:104]
    return {
        "mae": total(np.abs(found["ahead"] - future) * known) / total(known),
        "naive": total(np.abs(before - future) * both) / total(both),
        "naive_rise": total(found["rise"]) / total(both),
    }


def images(found: Columns, raw: Columns) -> dict[str, Any]:
    return {"rec": mean(found["rec"]), "kl": mean(found["kl"])}


def told(found: Columns, raw: Columns) -> dict[str, Any]:
    return {
        "judge": mean(found["judge"]), "generator": mean(found["generator"]),
        "told": (mean(found["real"] > 0) + mean(found["fake_d"] < 0)) / 2,
    }  # fmt: skip


def letters(found: Columns, raw: Columns) -> dict[str, Any]:
    # exp is the compiler's own, a polynomial: within a few units in the last place of numpy's
    return {"perplexity": pytest.approx(np.exp(mean(found["row_loss"])), rel=2**-48)}


def nothing(found: Columns, raw: Columns) -> dict[str, Any]:
    return {}


# --- losses by hand ------------------------------------------------------------------------------------------------------
def log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def cross_entropy(truth: str, smoothing: float = 0.0, labels: tuple[str, ...] = ()) -> Callable[[Columns, Columns], NDArray[Any]]:
    def row_loss(found: Columns, raw: Columns) -> NDArray[Any]:
        lp = log_softmax(found["logits"])
        y = np.array([labels.index(str(name)) for name in raw[truth]]) if labels else raw[truth].astype(np.int64)
        hit = -np.take_along_axis(lp, y[:, None], axis=-1)[:, 0]
        return (1 - smoothing) * hit - smoothing * lp.mean(axis=-1)

    return row_loss


def binary(found: Columns, raw: Columns) -> NDArray[Any]:
    x = found["logit"].astype(np.float64)
    return np.maximum(x, 0) - x * (raw["author"] == "Milton") + np.log1p(np.exp(-np.abs(x)))


# --- examples ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Example:
    """`predict`: what `--set predict` says; `score`: the metrics; `loss`: the loss of each row, None where `row_loss` alone says
    it. `settings`: what makes training short. `weight`: predictions that weigh the loss."""

    path: str
    predict: str
    score: Callable[[Columns, Columns], dict[str, Any]]
    loss: Callable[[Columns, Columns], NDArray[Any]] | None = None
    split: str = "test"
    settings: tuple[str, ...] = ("epochs=2",)
    weight: str = ""


SPECIES = ("Adelie", "Chinstrap", "Gentoo")
ROW_LOSS = "logits = logits, row_loss = cross_entropy(logits, y)"
DIGIT = f"[digit = argmax(logits), {ROW_LOSS}]"
SMOOTH = "logits = logits, row_loss = cross_entropy(logits, y, smoothing = 0.1)"
RISE = "abs(before + rise - future) * both"

EXAMPLES = [
    Example(
        "penguins/penguins.bm", f"[species = label_of(logits, y), {ROW_LOSS}]", right("species", "species"),
        cross_entropy("species", labels=SPECIES),
    ),
    Example("diamonds/diamonds.bm", "[price = dollars, truth = undo(y, y), row_loss = mse(worth, y)]", prices),
    Example("digits/digits.bm", f"[digit = argmax(logits), {SMOOTH}]", confusion, cross_entropy("digit", 0.1)),
    Example("digits/cnn.bm", DIGIT, right("digit", "digit"), cross_entropy("digit")),
    Example("mnist/mlp.bm", DIGIT, right("digit", "digit"), cross_entropy("digit")),
    Example("mnist/mnist.bm", DIGIT, confusion, cross_entropy("digit")),
    Example("mnist/resnet.bm", DIGIT, right("digit", "digit"), cross_entropy("digit"), settings=("epochs=1",)),
    Example("vae/vae.bm", "[row_loss = rec + kl, rec = rec, kl = kl]", images),
    Example(
        "gan/gan.bm",
        "[row_loss = judge_loss + generator_loss, judge = judge_loss, generator = generator_loss, real = real, fake_d = fake_d]",
        told, split="train", settings=("epochs=1",),
    ),
    Example(
        "vowels/vowels.bm:gru", f"[speaker = label_of(logits, y), {ROW_LOSS}]", right("speaker", "label"),
        cross_entropy("label", labels=tuple("123456789")),
    ),
    Example(
        "vowels/vowels.bm:lstm", f"[speaker = label_of(logits, y), {SMOOTH}]", right("speaker", "label"),
        cross_entropy("label", 0.1, tuple("123456789")),
    ),
    Example("authors/authors.bm", "[logit = logit, row_loss = bce(logit, milton)]", verses, binary, settings=("epochs=1",)),
    Example(
        "co2/co2.bm", f"[ahead = ahead, rise = {RISE}, row_loss = huber(ahead, future, delta = 1.0), weight = known]", forecasts,
        weight="weight",
    ),
    Example(
        "words/words.bm", "[row_loss = bce(near, 1) + sum(bce(far, 0), axis = -1)]", nothing, split="valid", settings=("epochs=1",)
    ),
    Example(
        "shakespeare/shakespeare.bm", "[row_loss = cross_entropy(logits, y)]", letters, split="valid",
        settings=("steps=2", "width=32", "depth=1"),
    ),
]  # fmt: skip

QUICK = ("penguins/penguins.bm", "diamonds/diamonds.bm", "digits/digits.bm", "co2/co2.bm", "mnist/mlp.bm", "vae/vae.bm")
"""Those of every run of the tests; the others are with the slow ones."""


def raw_of(table: Any) -> dict[str, NDArray[Any]]:
    """Raw rows as numpy has them; missing cells NaN."""
    found: dict[str, NDArray[Any]] = {}
    for name, column in table.columns.items():
        values = np.array(column.to_python(), np.str_) if column.dtype == "str" else column.dense()
        if column.runs is not None and column.runs.present is not None:
            values = np.where(column.runs.present.dense(), values, np.nan)
        found[name] = values
    return found


def written(example: Example, model: Any, folder: Path) -> tuple[Path, dict[str, NDArray[Any]]]:
    """The raw rows of the split in a file as a user would have them, and in memory."""
    table = model._trained.splits()[example.split]
    kind = example.path.split("/")[0]
    source = MODELS / kind
    if kind in ("penguins", "diamonds"):
        path = folder / "rows.csv"
        with (source / f"{kind}.csv").open(newline="", encoding="utf-8") as lines:
            header, *records = list(csv.reader(lines))
        with path.open("w", newline="", encoding="utf-8") as lines:
            csv.writer(lines).writerows([header, *(records[row] for row in table.origin.ids.tolist())])
    elif kind == "authors":
        path = folder / "rows.jsonl"
        rows = pq.read_table(source / "lines.parquet").take(pa.array(table.origin.ids)).to_pylist()
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "vowels":
        path = source / "JapaneseVowels_TEST.ts"
    elif kind == "shakespeare":
        path = source / "plays" / "lear.txt"
    elif kind == "co2":
        # Windows of a table are cut from the items that follow one another: those of the split, from the first to the last.
        path = folder / "rows.csv"
        lines = (source / "co2.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join([lines[0], *lines[1 + int(table.origin.ids[0]) :]]), encoding="utf-8")
    else:
        path = folder / "rows.npz"
        np.savez(path, **raw_of(table))
    return path, raw_of(table)


@pytest.mark.parametrize(
    "example", [pytest.param(e, id=e.path, marks=() if e.path in QUICK else pytest.mark.slow) for e in EXAMPLES]
)
def test_an_example(run: Any, tmp_path: Path, example: Example) -> None:
    file, _, name = example.path.partition(":")
    target = f"{MODELS / file}{':' + name if name else ''}"
    settings = [part for setting in (*example.settings, f"predict={example.predict}") for part in ("--set", setting)]
    done = run("train", target, "-o", "m.bmz", *settings)
    assert done.code == 0, done.err
    report = json.loads(run("eval", "m.bmz", "--split", example.split, "--json").out)
    path, raw = written(example, bmc.load("m.bmz"), tmp_path)
    done = run("predict", "m.bmz", path, "-o", "found.npz")
    assert done.code == 0, done.err
    with np.load("found.npz") as arrays:
        found = dict(arrays)
    rows = len(next(iter(found.values())))
    assert rows == report["rows"] == len(next(iter(raw.values())))

    assert example.score(found, raw) == report["metrics"]
    loss = found["row_loss"]
    if example.weight:
        assert report["loss"] == total(loss * found[example.weight]) / total(found[example.weight])
    else:
        assert report["loss"] == mean(loss)
    if example.loss is not None:
        scores = found.get("logits", found.get("logit"))
        assert scores is not None
        # A shift, an exp of 2 ulp, a sum of K, a logarithm, and the terms of the formula: each rounds numbers of at most this size.
        size = 2 * np.abs(scores).max() + np.log(max(scores.shape[-1], 2)) + 1
        np.testing.assert_allclose(loss, example.loss(found, raw), rtol=0, atol=(scores.shape[-1] % 1000 + 12) * 2**-24 * size)


def test_no_example_is_left_out() -> None:
    """A model of `models/` that trains has a case here."""
    known = {example.path.partition(":")[0] for example in EXAMPLES}
    programs = {str(path.relative_to(MODELS)) for path in MODELS.glob("*/*.bm")}
    assert {path for path in programs - known if "\ntrain " in (MODELS / path).read_text(encoding="utf-8")} == set()

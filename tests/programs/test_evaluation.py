"""Evaluation is prediction: what each row contributes to the loss, predicted and summed by hand, is the loss of `eval`.

For programs of many kinds, on made data; the models on real data, with their metrics, are in tests/cli/test_eval_is_predict.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import bmc
from tests.programs.test_programs import PROGRAMS, QUICK, columns

EXAMPLES = Path(__file__).parents[1] / "examples"
MIXES = ("moe", "triplet", "two_tower")
"""Their losses combine the rows of a batch, so no row has one of its own."""


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def total(values: NDArray[Any]) -> float:
    """Rule 3 of docs/exactness.md, in f64."""
    flat = np.asarray(values).astype(np.float64).ravel()
    padded = np.concatenate([flat, np.zeros(-len(flat) % 16)]).reshape(-1, 16)
    lanes = np.zeros(16)
    for part in padded:
        lanes += part
    for width in (8, 4, 2, 1):
        lanes = lanes[:width] + lanes[width : 2 * width]
    return float(lanes[0])


def mean(values: NDArray[Any]) -> float:
    return total(values) / np.asarray(values).size


def trained(path: Path, name: str | None, data: Mapping[str, Any], predict: str, **settings: Any) -> bmc.Model:
    overrides = {"predict": f"[{predict}]", "keep": "[]", **settings}
    return bmc.compile(path, name, overrides=overrides).train(data)


def check_loss(model: bmc.Model, data: Mapping[str, Any], weighted: bool) -> tuple[dict[str, NDArray[Any]], Mapping[str, Any]]:
    """Compares the loss, in the file's order of rows and in blocks; gives predictions and metrics."""
    found = model.predict(data)
    report = model.evaluate("all")
    if weighted:
        assert report.loss == total(found["row_loss"] * found["row_weight"]) / total(found["row_weight"])
    else:
        assert report.loss == mean(found["row_loss"])
    return found, report.metrics


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.stem, marks=() if p.stem in QUICK else pytest.mark.slow) for p in PROGRAMS if p.stem not in MIXES]
)
def test_programs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    train = text[text.index("\ntrain ") :]
    loss, weight = re.search(r"^ *loss *= *(.*)$", train, re.M), re.search(r"^ *weight *= *(.*)$", train, re.M)
    hits = re.search(r"accuracy\((\w+), (\w+)\)", train)
    assert loss is not None
    predict = f"row_loss = {loss[1]}"
    if weight is not None:
        predict += f", row_weight = {weight[1]}"
    if hits is not None:
        predict += f", guess = argmax({hits[1]}), truth = {hits[2]}"
    model = trained(path, None, columns(), predict, epochs=2)
    # Rows of splits that are named are evaluated split by split: `all` puts them one after the other.
    order = np.concatenate([table.origin.ids for table in model._trained.splits().values()])
    data = {name: values[order] for name, values in columns().items()}
    found, metrics = check_loss(model, data, weight is not None)
    if hits is not None:
        wanted = float((found["guess"] == found["truth"]).sum()) / found["guess"].size
        assert wanted in metrics.values()


# --- tests/examples --------------------------------------------------------------------------------------------------------
Found = Mapping[str, NDArray[Any]]
RNG = np.random.default_rng(3)
ROWS = 150
WORDS = ("good", "bad", "film", "plot", "a", "the", "dull")


def texts(rows: int, words: int) -> list[str]:
    return [" ".join(RNG.choice(WORDS, int(RNG.integers(1, words)))) for _ in range(rows)]


def images(*shape: int) -> NDArray[np.uint8]:
    return RNG.integers(0, 256, (ROWS, *shape), dtype=np.uint8)


def ratings() -> dict[str, Any]:
    days = np.datetime64("2022-01-01") + RNG.integers(0, 700, ROWS)
    return {
        "user_id": RNG.integers(0, 40, ROWS) + 2**50, "item_id": [f"i{n}" for n in RNG.integers(0, 30, ROWS)],
        "Sale Date": days.astype("M8[D]"), "price": np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.random(ROWS) * 50),
        "country": [None if n == 0 else "FRDEIT"[2 * n - 2 : 2 * n] for n in RNG.integers(0, 4, ROWS)],
        "stars": RNG.integers(1, 6, ROWS).astype(np.float32),
    }  # fmt: skip


def auc_and_f1(found: Found) -> dict[str, float]:
    score, truth = found["score"], found["truth"] > 0.5
    order = np.sort(score)
    ranks = (np.searchsorted(order, score, "left") + np.searchsorted(order, score, "right") + 1) / 2
    up, guess = int(truth.sum()), score > 0
    auc = (float(ranks[truth].sum()) - up * (up + 1) / 2) / (up * (len(truth) - up))
    return {"auc": auc, "f1": 2 * float((guess & truth).sum()) / float(guess.sum() + truth.sum())}


def accuracy(found: Found) -> dict[str, float]:
    return {"accuracy": float((found["guess"] == found["truth"]).sum()) / len(found["guess"])}


def specificity(found: Found) -> dict[str, float]:
    no = found["truth"] == 0
    return {"specificity": float((no & (found["guess"] == 0)).sum()) / float(no.sum())}


@dataclass(frozen=True)
class Example:
    file: str
    data: Callable[[], dict[str, Any]]
    predict: str
    metrics: Callable[[Found], dict[str, float]]
    settings: Mapping[str, Any]
    name: str | None = None
    slow: bool = False


SHORT = {"epochs": 1}
CASES = [
    Example(
        "custom", lambda: {"a": RNG.normal(size=ROWS), "t": RNG.choice(["n", "p"], ROWS).tolist()},
        "row_loss = focal(logits, y, gamma = 1.5), guess = argmax(logits), truth = y + 0", specificity, SHORT,
    ),
    Example(
        "encoder", lambda: {"text": texts(ROWS, 9), "stars": RNG.integers(1, 6, ROWS).astype(np.int32)},
        "row_loss = bce(logit, y), score = logit, truth = number(y)", auc_and_f1, {**SHORT, "D": 16, "heads": 2, "depth": 1},
        slow=True,
    ),
    Example(
        "gan", lambda: {"image": images(784)}, "row_loss = d_loss + g_loss, d = d_loss, g = g_loss",
        lambda found: {"d": mean(found["d"]), "g": mean(found["g"])}, SHORT,
    ),
    Example(
        "vae", lambda: {"image": images(28, 28)}, "row_loss = rec + ramp(1.0, 1000) * kl, rec = rec, kl = kl, elbo = -(rec + kl)",
        lambda found: {name: mean(found[name]) for name in ("rec", "kl", "elbo")}, {"steps": 3},
    ),
    Example(
        "recurrent",
        lambda: {
            "series": [RNG.normal(size=(int(n), 12)).astype(np.float32) for n in RNG.integers(3, 12, ROWS)],
            "label": [str(n) for n in RNG.integers(1, 10, ROWS)],
        },
        "row_loss = cross_entropy(logits, y), guess = argmax(logits), truth = y + 0",
        accuracy, {**SHORT, "H": 8}, slow=True,
    ),
    Example(
        "resnet", lambda: {"image": images(32, 32, 3), "folder": [str(n) for n in RNG.integers(0, 10, ROWS)]},
        "row_loss = cross_entropy(logits, y), guess = argmax(logits), truth = y + 0",
        accuracy,
        {**SHORT, "n": 1, "widths": [4, 8, 8]}, name="r20", slow=True,
    ),
    Example(
        "siamese", lambda: {"a": texts(ROWS, 6), "b": texts(ROWS, 6)}, "cos = sum(a * b, axis = -1)",
        lambda found: {"cos": mean(found["cos"])}, {**SHORT, "D": 8, "batch": 64}, slow=True,
    ),
    Example(
        "wide_deep", ratings, "row_loss = huber(stars, y, delta = 1.0), back = undo(stars, y), truth = undo(y, y)",
        lambda found: {"rmse": float(np.sqrt(mean((found["back"] - found["truth"]) ** 2)))}, SHORT, slow=True,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(c, id=c.file, marks=pytest.mark.slow if c.slow else ()) for c in CASES])
def test_examples(case: Example, tmp_path: Path) -> None:
    given = case.data()
    path = tmp_path / f"{case.file}.bm"
    path.write_text((EXAMPLES / path.name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "fields.bm").write_text("let ORIGIN = 2015\n", encoding="utf-8")  # which one of them uses
    named = {"train": given, "test": given} if case.file == "recurrent" else given
    model = trained(path, case.name, named, case.predict, **case.settings)
    order = np.concatenate([table.origin.ids for table in model._trained.splits().values()]) % ROWS
    data = {name: [values[row] for row in order.tolist()] for name, values in given.items()}
    if "row_loss" in case.predict:
        found, metrics = check_loss(model, data, weighted=False)
    else:
        found, metrics = model.predict(data), model.evaluate("all").metrics
    for name, value in case.metrics(found).items():
        assert metrics[name] == value, name

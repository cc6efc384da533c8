"""What is chosen for a train block that leaves it open: by the type of what is learned, and as text that means the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bmc
from bmc.driver.chosen import chosen_settings, settings_lines
from bmc.errors import Diagnostic
from bmc.frontend.elaborate import elaborate
from bmc.frontend.syntax.parse import parse
from bmc.source import SourceFile
from bmc_runtime.training import epochs_by_rule

RNG = np.random.default_rng(1)
ROWS = {
    "a": RNG.normal(size=(60, 4)),
    "t": RNG.uniform(1, 9, 60),
    "pair": RNG.normal(size=(60, 2)),
    "one": RNG.normal(size=(60, 1)),
    "k": RNG.integers(0, 3, 60),
    "s": np.array([("no", "yes", "so")[i % 3] for i in range(60)]),
    "c": RNG.random(60) > 0.4,
}


def program(y: str, shape: str, width: int, settings: str = "", split: str = "") -> str:
    body = f"x |> dense({width}) as d" + (" |> squeeze(-1)" if shape == "f32[B]" else "")
    return f"""data D {{ source = npz("d.npz")
  columns {{ a: f32[4]; t: f32; pair: f32[2]; one: f32[1]; k: i32; s: str; c: bool }}
  x = a
  y = {y}
  {split} }}
model M(x: f32[B, 4]) -> (out: {shape}) {{ return {body} }}
train M on D {{{settings}}}
"""


CHOSEN = [
    ("k |> category(3)", "f32[B, 3]", 3, "cross_entropy(out, y)", "[accuracy(out, y)]",
     "[k = label_of(out, y), probability = max(softmax(out), axis = -1), out = out]"),
    ('s |> category(["no", "yes"])', "f32[B, 2]", 2, "cross_entropy(out, y)", "[accuracy(out, y), auc(out[:, 1] - out[:, 0], y)]",
     "[s = label_of(out, y), probability = max(softmax(out), axis = -1), out = out]"),
    ('s |> category(["no", "yes"])', "f32[B]", 1, "bce(out, y)", "[accuracy(out, y), auc(out, y)]",
     "[s = label_of(integer(out > 0), y), probability = sigmoid(out), out = out]"),
    ("c", "f32[B]", 1, "bce(out, y)", "[accuracy(out, y), auc(out, y)]", "[c = out > 0, probability = sigmoid(out), out = out]"),
    ("c", "f32[B, 1]", 1, "bce(squeeze(out, -1), y)", "[accuracy(squeeze(out, -1), y), auc(squeeze(out, -1), y)]",
     "[c = squeeze(out, -1) > 0, probability = sigmoid(squeeze(out, -1)), out = out]"),
    ("t > 5", "f32[B]", 1, "bce(out, y)", "[accuracy(out, y), auc(out, y)]",
     "[t = out > 0, probability = sigmoid(out), out = out]"),
    ("t", "f32[B]", 1, "mse(out, y)", "[rmse(out, y), mae = mae(out, y), r2 = r2(out, y)]", None),
    ("pair", "f32[B, 2]", 2, "mse(out, y)", "[rmse(out, y), mae = mae(out, y), r2 = r2(out, y)]", None),
    ("t |> log |> standardize", "f32[B]", 1, "mse(out, y)",
     "[rmse(undo(out, y), undo(y, y)), mae = mae(undo(out, y), undo(y, y)), r2 = r2(undo(out, y), undo(y, y))]",
     "[t = undo(out, y), out = out]"),
    ("t |> standardize", "f32[B, 1]", 1, "mse(squeeze(out, -1), y)", None, "[t = undo(squeeze(out, -1), y), out = out]"),
    ("one", "f32[B]", 1, "mse(unsqueeze(out, -1), y)", None, None),
    ("t + number(k)", "f32[B]", 1, "mse(out, y)", "[rmse(out, y), mae = mae(out, y), r2 = r2(out, y)]", None),
    ("k", "f32[B]", 1, "mse(out, number(y))", "[rmse(out, number(y)), mae = mae(out, number(y)), r2 = r2(out, number(y))]", None),
]  # fmt: skip


@pytest.mark.parametrize(("y", "shape", "width", "loss", "metrics", "predict"), CHOSEN, ids=[f"{c[0]} by {c[1]}" for c in CHOSEN])
def test_what_is_learned_says_how(
    unit_of: Callable[..., Any], y: str, shape: str, width: int, loss: str, metrics: str | None, predict: str | None
) -> None:
    unit = unit_of(program(y, shape, width))
    chosen = {s.key: s.value for s in unit.settings if s.default}
    assert chosen["loss"] == unit.training.loss == loss
    assert chosen["metrics"] == metrics or metrics is None
    if predict is not None:
        assert chosen["predict"] == predict
    elif "undo" not in chosen.get("predict", ""):
        assert [c.name for c in unit.prediction.columns] == ["out"]
    assert (unit.training.batch, unit.training.epochs, unit.training.steps, unit.training.seed) == (32, None, None, 0)
    assert unit.training.stop is None


def test_a_written_loss_keeps_the_models_outputs(unit_of: Callable[..., Any]) -> None:
    unit = unit_of(program("t |> standardize", "f32[B]", 1, " loss = huber(out, y) "))
    assert [c.name for c in unit.prediction.columns] == ["out"]
    assert unit.training.metrics == ()


def test_stopping_early_needs_a_split_to_watch(unit_of: Callable[..., Any]) -> None:
    split = "split = by_hash(train = 0.8, valid = 0.2)"
    assert unit_of(program("t", "f32[B]", 1, split=split)).training.stop.split == "valid"
    assert unit_of(program("t", "f32[B]", 1, " epochs = 3 ", split)).training.stop is None


def findings(text: str) -> tuple[Diagnostic, ...]:
    return elaborate([SourceFile("m.bm", text)])[1]


def test_a_finding_in_what_was_chosen_stands_at_the_block() -> None:
    (found,) = findings(program("k |> category(3)", "f32[B, 2]", 2))
    assert found.span is not None
    assert found.span.text.startswith("train M on D")
    assert any("chosen: `loss = cross_entropy(out, y)`" in note for note in found.notes)


@pytest.mark.parametrize(("y", "shape", "width"), [("t", "f32[B, 3]", 3), ("c", "f32[B, 3]", 3), ("k |> category(3)", "f32[B]", 1)])
def test_shapes_that_no_loss_compares(y: str, shape: str, width: int) -> None:
    (found,) = findings(program(y, shape, width))
    assert found.code == "E0607"
    assert f"`out` is {shape}, and `y` is " in found.message


def test_an_output_that_is_wrong_is_said_once() -> None:
    assert [d.code for d in findings(program("t + k", "f32[B]", 1))] == ["E0315"]
    assert [d.code for d in findings(program("t", "f32[B]", 1).replace("dense", "dnse"))] == ["E0201"]


@pytest.mark.parametrize(("y", "shape", "width"), [("t |> log |> standardize", "f32[B]", 1), ("k |> category(3)", "f32[B, 3]", 3)])
@pytest.mark.parametrize("settings", ["", " batch = 16\n let w = 2.0\n"])
def test_pasting_what_was_chosen_gives_the_same_bits(tmp_path: Any, y: str, shape: str, width: int, settings: str) -> None:
    np.savez(tmp_path / "d.npz", **ROWS)
    text = program(y, shape, width, settings, "split = by_hash(train = 0.8, valid = 0.2)")
    (tmp_path / "open.bm").write_text(text)
    made = bmc.compile(tmp_path / "open.bm")
    model = made.train()
    rows = int(sum(1 for _ in range(60)) - model.evaluate("valid").rows)
    lines = settings_lines(made.unit, rows)[1:]
    if settings:
        pasted = text.replace(f"{{{settings}}}", "{" + settings + "\n".join(lines) + "\n}")
    else:
        pasted = text.replace("train M on D {}", "\n".join(lines))
    assert pasted != text
    (tmp_path / "pasted.bm").write_text(pasted)
    again = bmc.compile(tmp_path / "pasted.bm")
    assert chosen_settings(again.unit, rows) == {}
    other = again.train()
    assert other.history == model.history
    assert all(np.array_equal(other.weights[key], value) for key, value in model.weights.items())
    first, second = model.predict(ROWS), other.predict(ROWS)
    assert list(first) == list(second)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_lines_are_source() -> None:
    unit = bmc.compile(program("t", "f32[B]", 1)).unit
    tree, wrong = parse(SourceFile("pasted.bm", "\n".join(settings_lines(unit, 100)[1:]) + "\n"))
    assert not wrong
    assert len(tree.declarations) == 1


def test_epochs_follow_from_the_rows() -> None:
    assert [epochs_by_rule(rows, 32) for rows in (1, 64, 6400, 64_000, 10**9)] == [2000, 1000, 10, 10, 10]

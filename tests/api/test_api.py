"""bmc in Python: what compile, train, predict, save and load give, and what their errors carry."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bmc
from bmc import api
from bmc.data import read_rows

MODELS = Path(__file__).parents[2] / "models"

LINE = """
data Line {
  source = npz("never-opened.npz")
  columns { a: f32[2]; b: f32 }
  x = a
  y = b
}
model M(x: f32[B, 2]) -> (p: f32[B]) { return x |> dense(1) as d |> squeeze(-1) }
train M on Line {
  loss = mse(p, y)
  optimizer = sgd(lr = 0.1)
  batch = 4
  shards = 1
  epochs = 2
}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def penguins() -> bmc.Model:
    return bmc.compile(MODELS / "penguins" / "penguins.bm", overrides={"epochs": 5}).train()


def line_data(rows: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    a = draw.normal(size=(rows, 2)).astype(np.float32)
    return {"a": a, "b": (a @ np.array([1, -2], np.float32)).astype(np.float32)}


def raw_rows(count: int) -> dict[str, list[object]]:
    """Columns of the penguins' own table, repeated, with their gaps."""
    text = (MODELS / "penguins" / "penguins.csv").read_text().splitlines()
    header = text[0].split(",")
    rows = [line.split(",") for line in text[1:]]
    rows = [rows[i % len(rows)] for i in range(count)]
    columns: dict[str, list[object]] = {}
    for i, name in enumerate(header):
        cells: list[object] = [None if row[i] in ("NA", "") else row[i] for row in rows]
        if name.endswith(("_mm", "_g")):
            cells = [None if cell is None else float(str(cell)) for cell in cells]
        columns[name] = cells
    return columns


def test_names_are_imported_when_used() -> None:
    code = "import sys, bmc; assert 'numpy' not in sys.modules; bmc.compile; assert 'numpy' in sys.modules; print(dir(bmc))"
    assert "compile" in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    with pytest.raises(AttributeError, match="nonsense"):
        _ = bmc.nonsense


def test_public_names_are_documented() -> None:
    for name in api.__all__:
        found = getattr(api, name)
        members = [m for n, m in vars(found).items() if not n.startswith("_")] if inspect.isclass(found) else []
        functions = [getattr(m, "fget", m) for m in members]
        documented = {"name", "warnings", "history"}  # in the docstrings of their classes
        assert inspect.getdoc(found)
        assert all(inspect.getdoc(f) or getattr(f, "__name__", "") in documented for f in functions if callable(f))


def test_errors_carry_their_parts() -> None:
    with pytest.raises(bmc.BmcError) as caught:
        bmc.compile("model M(x: f32[B, 3]) -> (y: f32[B, 2]) {\n  let a = dnse\n  return x |> dense(2) |> rleu\n}")
    assert [d.code for d in caught.value.diagnostics] == ["E0201", "E0201"]
    first = caught.value.diagnostics[0]
    assert first.span is not None
    assert first.span.text == "dnse"
    assert "E0201" in str(caught.value)


def test_a_missing_file_is_an_error_of_ours() -> None:
    with pytest.raises(bmc.BmcError, match="E0701"):
        bmc.compile("nothing.bm")
    with pytest.raises(bmc.BmcError, match="E0740"):
        bmc.load("nothing.bmz")


def test_predictions_do_not_depend_on_the_batch(penguins: bmc.Model) -> None:
    """The same bits alone, in a batch of 7 and in a batch of 1,000."""
    raw = raw_rows(1000)
    whole = penguins.predict(raw)
    for size in (1, 7):
        for first in (0, 3, 500, 1000 - size):
            part = penguins.predict({name: cells[first : first + size] for name, cells in raw.items()})
            for name, values in part.items():
                assert values.tolist() == whole[name][first : first + size].tolist()


def test_predictions_are_those_of_evaluation(penguins: bmc.Model) -> None:
    """One file, no skew: accuracy by hand from raw rows is the metric over all rows."""
    raw = raw_rows(344)
    species = penguins.predict(raw, only="species")["species"]
    by_hand = np.mean([a == b for a, b in zip(species, raw["species"], strict=True)])
    assert penguins.evaluate("all").metrics["accuracy"] == pytest.approx(by_hand, abs=1e-12)


def test_labels_may_be_absent_and_columns_may_not(penguins: bmc.Model) -> None:
    raw = raw_rows(5)
    del raw["species"]
    assert len(penguins.predict(raw)["species"]) == 5
    del raw["island"]
    with pytest.raises(bmc.BmcError, match="island"):
        penguins.predict(raw)


def test_save_and_load_keep_every_bit(penguins: bmc.Model, tmp_path: Path) -> None:
    penguins.save(tmp_path / "a.bmz")
    again = bmc.load(tmp_path / "a.bmz")
    assert set(again.weights) == set(penguins.weights)
    assert all((again.weights[k] == w).all() for k, w in penguins.weights.items())
    assert again.history == penguins.history
    assert len(again.history) == 5
    raw = raw_rows(20)
    for name, values in penguins.predict(raw).items():
        assert again.predict(raw)[name].tolist() == values.tolist()
    assert again.evaluate("valid") == penguins.evaluate("valid")
    again.save(tmp_path / "b.bmz")
    assert (tmp_path / "a.bmz").read_bytes() == (tmp_path / "b.bmz").read_bytes()


def test_plot_draws_what_there_is(penguins: bmc.Model, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert penguins.plot(tmp_path / "p.png") == [tmp_path / "p.png"]
    assert {p.name for p in penguins.plot(tmp_path / "all", "valid")} >= {"loss.png", "confusion.png"}


def test_weights_are_copies(penguins: bmc.Model) -> None:
    penguins.weights["fc1.w"][...] = 0
    assert penguins.weights["fc1.w"].any()


def test_train_on_columns_in_memory() -> None:
    """Gradient descent on a line through the origin comes near it: 2 x 64 steps at lr 0.1 on unit-variance inputs."""
    model = bmc.compile(LINE).train(line_data(256))
    assert np.allclose(model.weights["d.w"].ravel(), [1, -2], atol=1e-3)
    assert np.allclose(model.predict({"a": [[1.0, 1.0]]})["p"], [-1], atol=1e-2)


def test_trainer_steps_as_arithmetic_says() -> None:
    """p = 0, so the gradient of the mean of (p - b)^2 with respect to w is -2/4 a^T b; sgd goes lr times that."""
    data = line_data(8)
    trainer = bmc.compile(LINE).trainer(data, {"d.w": np.zeros((2, 1)), "d.b": np.zeros(1)}, shuffle=False)
    trainer.step()
    a, b = data["a"][:4].astype(np.float64), data["b"][:4].astype(np.float64)
    # f32: a sum of four products is good to a few units in the last place of its largest addend, which is below 10.
    assert trainer.loss == pytest.approx(np.mean(b**2), rel=1e-5)
    assert np.allclose(trainer.weights["d.w"].ravel(), 0.1 * 2 / 4 * (a.T @ b), atol=1e-5)
    assert (trainer.steps, trainer.epochs) == (1, 0)
    trainer.step()
    trainer.step()
    assert (trainer.steps, trainer.epochs) == (3, 1)


def test_trainer_takes_columns_or_outputs_alike() -> None:
    data = line_data(8)
    zeros = {"d.w": np.zeros((2, 1)), "d.b": np.zeros(1)}
    losses = []
    for given in (data, {"x": data["a"], "y": data["b"]}):
        trainer = bmc.compile(LINE).trainer(given, zeros, shuffle=False)
        for _ in range(5):
            trainer.step()
        losses.append(trainer.loss)
    assert losses[0] == losses[1]


def test_trainer_refuses_what_does_not_fit() -> None:
    program = bmc.compile(LINE)
    data = line_data(8)
    with pytest.raises(bmc.BmcError, match="E0809"):
        program.trainer({"a": data["a"]})
    with pytest.raises(bmc.BmcError, match="E0810"):
        program.trainer(data, {"d.w": np.zeros((3, 1))})
    with pytest.raises(bmc.BmcError, match="E0810"):
        program.trainer(data, {"e.w": np.zeros((2, 1))})
    with pytest.raises(bmc.BmcError, match="E0812"):
        program.predict({"x": data["a"]})


@pytest.mark.parametrize("layers", [1, 12])
def test_a_step_is_at_most_20_python_calls_however_deep(layers: int) -> None:
    body = " ".join(f"|> dense(4) as h{i} |> relu" for i in range(layers))
    program = bmc.compile(LINE.replace("x |> dense(1)", f"x {body} |> dense(1)"))
    trainer = program.trainer(line_data(4 * 40), shuffle=True)
    for _ in range(5):
        trainer.step()
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    for _ in range(20):
        trainer.step()
    sys.setprofile(None)
    assert (calls - 1) / 20 <= 20
    assert (calls - 1) % 20 == 0  # every step the same


def test_a_model_alone_predicts() -> None:
    program = bmc.compile("model M(x: f32[B, 3]) -> (y: f32[B, 2]) { return x |> dense(2) as d }", f64=True)
    weights = {"d.w": np.arange(6.0).reshape(3, 2), "d.b": np.ones(2)}
    found = program.predict({"x": np.eye(3)}, weights)["y"]
    assert found.dtype == np.float64
    assert (found == np.arange(6.0).reshape(3, 2) + 1).all()
    with pytest.raises(bmc.BmcError, match="E0809"):
        program.predict({"x": np.eye(4)})
    with pytest.raises(bmc.BmcError, match="E0809"):
        program.predict({"z": np.eye(3)})


def test_dump_and_check() -> None:
    program = bmc.compile(LINE)
    assert program.check() == ()
    assert 'function "train"' in program.dump("graph")
    assert "gradient(" not in program.dump("grad")
    with pytest.raises(bmc.BmcError, match="E0812"):
        program.dump("nonsense")


def test_predict_reads_files_like_columns(penguins: bmc.Model) -> None:
    file = MODELS / "penguins" / "new.csv"
    spec = penguins.unit.data
    assert spec is not None
    needs = [c for c in spec.columns if c.name != "species"]
    table = read_rows(file, needs, na=("NA", "")).table
    columns = {c.header: table.columns[c.name].to_python() for c in needs}
    assert penguins.predict(file)["probability"].tolist() == penguins.predict(columns)["probability"].tolist()

"""What is drawn of a model: the numbers, and that pictures come out, the same each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bmc
from bmc.driver.plotting import plot as plotting
from bmc.driver.plotting.figures import Confusion, Curves, Images, Scatter
from bmc.driver.plotting.gathering import gather
from bmc.driver.plotting.plot import plot
from bmc.driver.trained import TrainedModel, open_model
from bmc.errors import BmcError

ROWS = 60
CLASSES = """data D {
  source = npz("d.npz")
  columns { image: u8[6, 6]; kind: str; tall: bool; size: f32 }
  x = image / 255
  y = kind |> category(["a", "b", "c"])
  split = by_order(train = 0.5, valid = 0.25, test = 0.25)
}
model M(x: f32[B, 6, 6]) -> (logits: f32[B, 3]) { return x |> reshape([-1, 36]) |> dense(3) as fc }
train M on D { metrics = [accuracy(logits, y), top = accuracy(logits, y)]; epochs = 2; keep = [tall, size] }
"""
CONDITION = """data D {
  source = npz("d.npz")
  columns { image: u8[6, 6]; tall: bool; size: f32 }
  x = image / 255
  y = tall
  split = by_order(train = 0.5, valid = 0.25, test = 0.25)
}
model M(x: f32[B, 6, 6]) -> (score: f32[B]) { return x |> reshape([-1, 36]) |> dense(1) as fc |> squeeze(-1) }
train M on D { epochs = 2; keep = [size] }
"""
NUMBER = CONDITION.replace("y = tall", "y = size |> log |> standardize")
CODES = """data D {
  source = npz("d.npz")
  columns { flat: u8[36] }
  x = flat / 127.5 - 1
}
model M(x: f32[B, N]) -> (out: f32[B, N], code: f32[B, 4], drawn: f32[B, N], map: f32[B, 6, 7, 3]) {
  z: f32[B, 4] = normal()
  code = x |> dense(4) as enc
  dec = dense(N)
  return dec(code), code, dec(z), reshape(code |> dense(126) as m, [-1, 6, 7, 3])
}
train M on D {
  loss = mse(out, x)
  predict = [recon = out, code = code, sample = drawn, map = map]
  steps = 3
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("plots")
    made = np.random.default_rng(0)
    images = made.integers(0, 255, (ROWS, 6, 6), np.uint8)
    kinds = np.array(["a", "b", "c"])[made.integers(0, 3, ROWS)]
    sizes = made.uniform(1, 9, ROWS).astype(np.float32)
    np.savez(place / "d.npz", image=images, flat=images.reshape(ROWS, 36), kind=kinds, size=sizes, tall=sizes > 4)
    return place


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def trained(place: Path, text: str) -> TrainedModel:
    (place / "m.bm").write_text(text)
    bmc.compile(place / "m.bm").train(output=place / "m.bmz")
    return open_model(place / "m.bmz")


def only(figures: list[Any], kind: type) -> Any:
    (found,) = [f for f in figures if isinstance(f, kind)]
    return found


def test_curves_are_the_history(folder: Path) -> None:
    model = trained(folder, CLASSES)
    curves = [f for f in gather(model)[0] if isinstance(f, Curves)]
    assert [c.name for c in curves] == ["loss", "accuracy", "top"]
    losses = dict(curves[0].lines)
    assert losses["valid"] == [(i + 1, e["valid.loss"]) for i, e in enumerate(model.history)]
    assert losses["train"] == [(i + 1, e["train.loss"]) for i, e in enumerate(model.history)]
    assert curves[0].best_epoch == 1 + int(np.argmin([e["valid.loss"] for e in model.history]))


def test_confusion_counts_what_predict_says(folder: Path) -> None:
    model = trained(folder, CLASSES.replace("epochs = 2", "epochs = 2; predict = [label = label_of(logits, y)]"))
    figures, missing = gather(model)
    found = only(figures, Confusion)
    assert missing is None
    assert (found.split, found.labels) == ("test", ["a", "b", "c"])
    arrays = dict(np.load(folder / "d.npz"))
    test = slice(ROWS - 15, ROWS)
    predicted = bmc.load(folder / "m.bmz").predict(arrays)["label"][test]
    wanted = [[int(((arrays["kind"][test] == t) & (predicted == p)).sum()) for p in "abc"] for t in "abc"]
    assert found.counts.tolist() == wanted
    assert only(gather(model, "all")[0], Confusion).counts.sum() == ROWS


def test_places_of_a_category_that_nothing_took_are_not_drawn(folder: Path) -> None:
    text = CLASSES.replace('category(["a", "b", "c"])', "category(max = 9)").replace("logits: f32[B, 3]", "logits: f32[B, 9]")
    found = only(gather(trained(folder, text.replace("dense(3) as fc", "dense(9) as fc")), "train")[0], Confusion)
    assert sorted(set(found.labels) - {"other"}) == ["a", "b", "c"]
    assert found.counts.sum() == 30
    assert found.counts.shape == (len(found.labels), len(found.labels))


def test_a_condition_is_two_classes(folder: Path) -> None:
    model = trained(folder, CONDITION)
    found = only(gather(model, "train")[0], Confusion)
    scores = bmc.load(folder / "m.bmz").predict(dict(np.load(folder / "d.npz")))["score"][:30]
    tall = np.load(folder / "d.npz")["tall"][:30]
    assert found.labels == ["false", "true"]
    assert found.counts.tolist() == [[int(((tall == t) & ((scores > 0) == p)).sum()) for p in (False, True)] for t in (False, True)]


def test_numbers_are_compared_in_the_units_of_their_column(folder: Path) -> None:
    found = only(gather(trained(folder, NUMBER), "all")[0], Scatter)
    sizes = np.load(folder / "d.npz")["size"]
    # log, exp and two affine steps, each rounded: some units in the last place of f32.
    assert np.allclose(found.true, sizes, rtol=64 * 2**-24)
    assert found.predicted.shape == (ROWS,)
    assert found.rows == ROWS


def test_pictures_are_columns_and_predictions_that_can_be(folder: Path) -> None:
    found = only(gather(trained(folder, CODES))[0], Images)
    shapes = {name: pictures.shape for name, pictures in found.rows}
    assert shapes == {"flat": (10, 6, 6), "recon": (10, 6, 6), "sample": (10, 6, 6), "map": (10, 6, 7, 3)}
    assert all(p.min() >= 0 and p.max() <= 1 for _, p in found.rows)
    flat = np.load(folder / "d.npz")["flat"][np.linspace(0, ROWS - 1, 10).astype(int)]
    assert np.array_equal(dict(found.rows)["flat"], flat.reshape(-1, 6, 6) / 255)


def test_without_data_there_are_curves_and_without_them_nothing(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    trained(folder, CLASSES)
    moved = tmp_path / "m.bmz"
    moved.write_bytes((folder / "m.bmz").read_bytes() + b"")
    (folder / "d.npz").rename(folder / "away.npz")
    try:
        figures, missing = gather(open_model(moved))
        assert {type(f) for f in figures} == {Curves}
        assert missing is not None
        assert "d.npz" in missing
        with pytest.raises(BmcError) as error:
            gather(open_model(moved), data={"D": str(tmp_path / "nothing.npz")})
        assert error.value.diagnostics[0].code == "E0720"
        model = open_model(moved)
        model.history = ()
        with pytest.raises(BmcError) as error:
            plot(model, tmp_path / "a.png")
        assert error.value.diagnostics[0].code == "E0818"
    finally:
        (folder / "away.npz").rename(folder / "d.npz")


@pytest.mark.parametrize(
    ("text", "names"),
    [(CLASSES, "loss accuracy top confusion images"), (NUMBER, "loss rmse mae r2 scatter images"), (CODES, "loss images")],
    ids=["classes", "number", "pictures"],
)
def test_a_folder_has_a_picture_for_each_figure(folder: Path, tmp_path: Path, text: str, names: str) -> None:
    pytest.importorskip("matplotlib")
    assert [p.stem for p in plot(trained(folder, text), tmp_path / "all").files] == names.split()


@pytest.mark.parametrize(("ending", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_pictures_are_the_same_each_time(tmp_path: Path, ending: str, magic: bytes) -> None:
    pytest.importorskip("matplotlib")
    from bmc.driver.plotting.drawing import draw

    made = np.random.default_rng(0)
    figures = [
        Curves("loss", [("train", [(1, 2.0), (2, 1.0)])], 2), Scatter("y", "test", made.normal(size=9), made.normal(size=9), 20),
        Confusion("y", "test", ["a", "b"], np.array([[3, 1], [0, 0]])), Images("test", [("x", made.uniform(size=(3, 6, 6)))]),
    ]  # fmt: skip
    written = [draw(figures, tmp_path / f"{name}{ending}")[0].read_bytes() for name in "ab"]
    assert written[0] == written[1]
    assert written[0].startswith(magic)


def test_settings_of_the_user_stay_out_and_as_they_are(folder: Path, tmp_path: Path) -> None:
    mpl = pytest.importorskip("matplotlib")
    model = trained(folder, CLASSES)
    first = plot(model, tmp_path / "a.png").files[0].read_bytes()
    with mpl.rc_context({"lines.linewidth": 9.0, "font.size": 20.0}):
        assert plot(model, tmp_path / "b.png").files[0].read_bytes() == first
        assert mpl.rcParams["lines.linewidth"] == 9.0


def test_what_is_missing_or_no_picture_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BmcError) as error:
        plotting.require_drawing(tmp_path / "a.bmp")
    assert error.value.diagnostics[0].code == "E0817"
    monkeypatch.setattr(plotting, "find_spec", lambda _: None)
    with pytest.raises(BmcError) as error:
        plotting.require_drawing(tmp_path / "a.png")
    assert error.value.diagnostics[0].code == "E0816"

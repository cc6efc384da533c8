"""Starting from other models: what is taken over bit by bit, what stays frozen, what the model file says of it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save_file

import bmc
from bmc.driver.load import check_source, find_source, load_unit, text_source
from bmc.errors import BmcError
from bmc.errors.render import render_all
from bmc.passes.autodiff import autodiff

BASE = """data D {
  source = npz("d.npz")
  columns { image: u8[6, 6, 2]; label: str }
  x = image / 255 |> standardize
  y = label |> category(max = 4)
}
model Net(K = 4)(x: f32[B, H, W, 2]) -> (logits: f32[B, K]) {
  x = x |> conv2d(4, 3, pad = "same") as stem |> batchnorm as norm |> relu
  return x |> mean(axis = [1, 2]) |> dense(K) as fc
}
train Net on D as net { loss = cross_entropy(logits, y); optimizer = adam(lr = 1e-2); batch = 16; epochs = 2 }
"""
FINE = """use "base.bm"
data F {
  source = npz("f.npz")
  columns { image: u8[6, 6, 2]; label: str }
  FITTED
  x = image / 255 |> standardize
  y = label |> category(max = 3)
}
model Fine(K = 3)(x: f32[B, H, W, 2]) -> (logits: f32[B, K]) { return x |> Net() as base |> dropout(0.5) |> dense(K) as head }
train Fine on F as fine {
  INIT
  optimizer = OPTIMIZER
  loss = cross_entropy(logits, y)
  batch = 16
  epochs = 2
}
"""
INIT = 'init = ["base.*" = load("base.bmz"), "head.w" = load("o.safetensors", key = "fc.weight", transpose = true)]'
OPTIMIZER = '["base.stem.*" = frozen, "base.norm.*" = frozen, "*" = adam(lr = 1e-2)]'
ROWS = 48


def images(seed: int, labels: int) -> dict[str, Any]:
    made = np.random.default_rng(seed)
    shape = (ROWS, 6, 6, 2)
    return {"image": made.integers(0, 255, shape, np.uint8), "label": np.array([f"l{i}" for i in made.integers(0, labels, ROWS)])}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model, data, and a file of PyTorch's kind."""
    place = tmp_path_factory.mktemp("transfer")
    np.savez(place / "d.npz", **images(0, 4))
    np.savez(place / "f.npz", **images(1, 2))
    (place / "base.bm").write_text(BASE)
    made = np.random.default_rng(2)
    save_file({"fc.weight": made.normal(size=(3, 4)), "conv.weight": made.normal(size=(4, 2, 3, 3))}, place / "o.safetensors")
    bmc.compile(place / "base.bm").train(output=place / "base.bmz")
    return place


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def program(place: Path, init: str = INIT, optimizer: str = OPTIMIZER, fitted: str = "", **settings: Any) -> bmc.Program:
    text = FINE.replace("INIT", init).replace("OPTIMIZER", optimizer).replace("FITTED", fitted)
    (place / "fine.bm").write_text(text)
    return bmc.compile(place / "fine.bm", overrides=settings)


def first(found: bmc.Program) -> dict[str, Any]:
    """The weights before any step."""
    return found.trainer(images(1, 2)).weights


def codes(found: BmcError) -> list[str]:
    return [d.code for d in found.diagnostics]


def test_weights_and_states_begin_as_stored_and_the_others_as_ever(folder: Path) -> None:
    base, found = bmc.load(folder / "base.bmz").weights, first(program(folder))
    plain = first(program(folder, init=""))
    assert np.any(base["norm.running_mean"] != 0)
    for key, array in base.items():
        assert array.tobytes() == found[f"base.{key}"].tobytes()
        assert array.tobytes() != plain[f"base.{key}"].tobytes()
    wanted = load_safetensors((folder / "o.safetensors").read_bytes())["fc.weight"].T.astype(np.float32)
    assert found["head.w"].tobytes() == np.ascontiguousarray(wanted).tobytes()
    assert found["head.b"].tobytes() == plain["head.b"].tobytes()


def test_the_first_pattern_decides_and_fresh_is_as_without(folder: Path) -> None:
    found = first(program(folder, 'init = ["base.fc.*" = fresh, "base.*" = load("base.bmz")]'))
    plain, base = first(program(folder, init="")), bmc.load(folder / "base.bmz").weights
    assert found["base.fc.w"].tobytes() == plain["base.fc.w"].tobytes()
    assert found["base.stem.w"].tobytes() == base["stem.w"].tobytes()


@pytest.mark.parametrize("prefix", ["backbone.", ""])
def test_prefix_and_names_say_what_the_file_calls_them(folder: Path, prefix: str) -> None:
    made = np.random.default_rng(3)
    arrays = {f"{prefix}fc.weight": made.normal(size=(4, 4)).astype(np.float32), f"{prefix}fc.bias": np.ones(4, np.float32)}
    save_file({**arrays, "fc.w": np.zeros((9, 9))}, folder / "named.safetensors")
    names = 'names = ["w" = "weight", "b" = "bias"]'
    found = first(program(folder, f'init = ["base.fc.*" = load("named.safetensors", prefix = "{prefix}fc.", {names})]'))
    assert found["base.fc.w"].tobytes() == arrays[f"{prefix}fc.weight"].tobytes()
    assert found["base.fc.b"].tobytes() == arrays[f"{prefix}fc.bias"].tobytes()


def test_a_kernel_of_pytorch_becomes_a_matrix(folder: Path) -> None:
    found = first(program(folder, 'init = ["base.stem.w" = load("o.safetensors", key = "conv.weight", transpose = true)]'))
    kernel = load_safetensors((folder / "o.safetensors").read_bytes())["conv.weight"]
    # [out, in, height, width]: the row of the matrix is (height, width, in).
    wanted = np.array([[kernel[o, c, y, x] for o in range(4)] for y in range(3) for x in range(3) for c in range(2)], np.float32)
    assert found["base.stem.w"].tobytes() == wanted.tobytes()


def bfloat16(values: np.ndarray) -> bytes:
    return (values.astype(np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()


EXACT = np.array([1.0, -0.5, 3.25, 0.0])
"""Numbers that every type of floats has."""


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32", "F64"])
def test_floats_of_any_width_are_converted(folder: Path, dtype: str) -> None:
    widths = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
    body = bfloat16(EXACT) if dtype == "BF16" else EXACT.astype(widths[dtype]).tobytes()
    header = json.dumps({"b": {"dtype": dtype, "shape": [4], "data_offsets": [0, len(body)]}}).encode()
    (folder / "b.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + body)
    found = first(program(folder, 'init = ["base.fc.b" = load("b.safetensors", key = "b")]'))["base.fc.b"]
    assert found.dtype == np.float32
    assert found.tolist() == EXACT.tolist()


def test_fitted_values_are_reused_where_they_are_the_same(folder: Path) -> None:
    found = program(folder, fitted='fitted = "base.bmz"')
    assert [w.code for w in found.warnings] == ["W0540"]  # y has another capacity
    model, base = found.train(), bmc.load(folder / "base.bmz")
    mine, others = model._trained.session.store, base._trained.session.store
    assert mine["x.standardize.mean"].tobytes() == others["x.standardize.mean"].tobytes()
    assert mine["y.category.table"].shape == (2,)
    plain = program(folder).train()._trained.session.store
    assert plain["x.standardize.mean"].tobytes() != mine["x.standardize.mean"].tobytes()


def test_what_an_output_names_must_be_written_the_same_way(folder: Path) -> None:
    text = FINE.replace("INIT", "").replace("OPTIMIZER", "adam()").replace("FITTED", 'fitted = "base.bmz"')
    text = text.replace("x = image / 255 |> standardize", "let s = 255\n  let half = image / s\n  x = half |> standardize")
    (folder / "named.bm").write_text(text)
    assert [w.code for w in bmc.compile(folder / "named.bm").warnings] == ["W0540", "W0540", "W0541"]
    base = BASE.replace("x = image / 255 |> standardize", "let s = SCALE\n  let half = image / s\n  x = half |> standardize")
    for scale, codes in (("255", ["W0540"]), ("256", ["W0540", "W0540", "W0541"])):
        (folder / "scaled.bm").write_text(base.replace("let s = SCALE", f"let s = {scale}"))
        bmc.compile(folder / "scaled.bm").train(output=folder / "scaled.bmz")
        (folder / "named.bm").write_text(text.replace("base.bmz", "scaled.bmz"))
        assert [w.code for w in bmc.compile(folder / "named.bm").warnings] == codes


def test_statistics_of_the_other_precision_are_reused_too(folder: Path) -> None:
    program(folder, fitted='fitted = "base.bmz"')
    model = bmc.compile(folder / "fine.bm", f64=True).train()
    mine, base = (m._trained.session.store["x.standardize.mean"] for m in (model, bmc.load(folder / "base.bmz")))
    assert (mine.dtype, base.dtype) == (np.float64, np.float32)
    assert np.array_equal(mine, base)


def test_texts_of_a_reused_category_live_on(folder: Path) -> None:
    text = FINE.replace("INIT", "predict = [label = label_of(logits, y)]").replace("OPTIMIZER", "adam()")
    text = text.replace("FITTED", 'fitted = "base.bmz"').replace("max = 3", "max = 4").replace("K = 3", "K = 4")
    (folder / "same.bm").write_text(text)
    model = bmc.compile(folder / "same.bm").train(output=folder / "same.bmz")
    assert set(bmc.load(folder / "same.bmz").predict(images(1, 2))["label"]) <= {"l0", "l1", "l2", "l3", "other"}
    store = model._trained.session.store
    assert int(store["y.category.count"]) == 3  # of the base: its own data has two labels


def test_frozen_layers_keep_their_bits_and_compute_as_in_evaluation(folder: Path) -> None:
    model, base = program(folder).train().weights, bmc.load(folder / "base.bmz").weights
    for key in base:
        same = model[f"base.{key}"].tobytes() == base[key].tobytes()
        assert same == key.startswith(("stem.", "norm."))


def test_nothing_is_computed_for_what_is_frozen(folder: Path) -> None:
    frozen = program(folder, optimizer='["base.*" = frozen, "*" = adam()]')
    learned = program(folder, optimizer="adam()")
    assert [w.key for w in frozen.unit.weights if w.trainable] == ["head.w", "head.b"]
    assert {m.weight for m in frozen.unit.moments} == {"head.w", "head.b"}

    def products(found: bmc.Program) -> int:
        train = autodiff(found.unit.module.function("train"))
        return sum(op.name in ("contract", "convolution") for op in train.ops)

    # Forward: the kernel, fc, head. Backward, all: by each of the three, by fc's and head's input. Backward, frozen: by head.
    assert (products(frozen), products(learned)) == (3 + 1, 3 + 5)


@pytest.mark.parametrize(
    ("optimizer", "moves"),
    [
        ('["base.norm.g" = frozen, "base.norm.b" = frozen, "*" = adam()]', True),  # its states are not frozen
        ('["base.norm.running_*" = frozen, "*" = adam()]', False),
        ('["base.norm.*" = frozen, "*" = adam()]', False),
    ],
)
def test_states_move_unless_their_keys_are_frozen(folder: Path, optimizer: str, moves: bool) -> None:
    found = program(folder, optimizer=optimizer)
    assert [w.code for w in found.warnings] == []
    model, base = found.train().weights, bmc.load(folder / "base.bmz").weights
    for key in ("norm.running_mean", "norm.running_var"):
        assert (model[f"base.{key}"].tobytes() != base[key].tobytes()) == moves


def test_dropout_within_a_frozen_layer_is_off(folder: Path) -> None:
    text = FINE.replace("Net() as base", "dropout(0.5) |> Net() as base")
    base = BASE.replace("|> dense(K) as fc", "|> dropout(0.5) |> dense(K) as fc")

    def draws(optimizer: str) -> int:
        body = base[base.index("model") : base.index("train")]
        head = text[text.index("data F") :].replace("INIT", "").replace("FITTED", "").replace("OPTIMIZER", optimizer)
        train = load_unit(text_source(body + head)).module.function("train")
        return sum(op.name == "random_uniform" for op in train.ops)

    # In front of the base, within it, behind it.
    assert (draws("adam()"), draws('["base.*" = frozen, "*" = adam()]')) == (3, 2)


def test_the_model_file_tells_of_what_it_started_from_and_not_where(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "else", dirs_exist_ok=True)
    written = []
    for place in (folder, tmp_path / "else"):
        program(place, fitted='fitted = "base.bmz"').train(output=place / "fine.bmz")
        written.append((place / "fine.bmz").read_bytes())
    assert written[0] == written[1]
    with zipfile.ZipFile(folder / "fine.bmz") as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert sorted(manifest["started_from"]) == ["base.bmz", "o.safetensors"]
    assert manifest["made"] == {"x": "image / 255 |> standardize", "y": "label |> category(max = 3)"}
    for name in ("base.bmz", "o.safetensors", "f.npz"):
        (tmp_path / "else" / name).write_bytes(b"of no use")  # opening reads none of them
    assert bmc.load(tmp_path / "else" / "fine.bmz").predict(images(1, 2))["logits"].shape == (ROWS, 3)


def test_a_run_goes_on_only_from_the_same_beginning(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    shutil.copytree(folder, place)

    class Stop(bmc.driver.workflow.Silent):
        def on_epoch(self, progress: Any, evaluations: Any) -> None:
            if progress.epoch == 1:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        program(place, epochs=3).train(output=place / "r.bmz", observer=Stop())
    whole = program(folder, epochs=3).train().weights
    shutil.copyfile(place / "r.bmz.ckpt", place / "kept")
    resumed = program(place, epochs=3).train(output=place / "r.bmz", resume=True).weights
    assert all(resumed[k].tobytes() == whole[k].tobytes() for k in whole)
    shutil.copyfile(place / "kept", place / "r.bmz.ckpt")
    arrays = load_safetensors((place / "o.safetensors").read_bytes())
    save_file({**arrays, "fc.weight": arrays["fc.weight"] + 1}, place / "o.safetensors")
    with pytest.raises(BmcError) as error:
        program(place, epochs=3).train(output=place / "r.bmz", resume=True)
    assert codes(error.value) == ["E0745"]


def test_a_missing_file_is_said_before_data_is_read(
    tmp_path: Path, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.bm").write_text(BASE)
    text = FINE.replace("INIT", INIT).replace("OPTIMIZER", "adam()").replace("FITTED", 'fitted = "base.bmz"')
    Path("fine.bm").write_text(text)
    golden("W0641-check", render_all(check_source(find_source("fine.bm")).diagnostics))
    with pytest.raises(BmcError) as error:
        bmc.compile("fine.bm").train()
    golden("E0641-train", render_all(error.value.diagnostics))


def test_a_file_that_is_damaged_or_has_changed_is_refused_at_the_entry(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    found = program(tmp_path)
    content = bytearray((tmp_path / "base.bmz").read_bytes())
    content[-2000] ^= 1
    (tmp_path / "base.bmz").write_bytes(content)
    with pytest.raises(BmcError) as error:
        found.train()
    assert codes(error.value) == ["E0642"]
    shutil.copyfile(folder / "base.bmz", tmp_path / "base.bmz")
    save_file({"fc.weight": np.zeros((2, 2))}, tmp_path / "o.safetensors")
    with pytest.raises(BmcError) as error:
        found.train()
    assert codes(error.value) == ["E0642"]
    assert error.value.diagnostics[0].span is not None


def test_a_unit_of_a_model_file_opens_nothing(folder: Path) -> None:
    program(folder).train(output=folder / "opened.bmz")
    source = find_source(str(folder / "fine.bm"))
    assert load_unit(source).loaded
    assert not bmc.load(folder / "opened.bmz").unit.loaded

"""Where the data of a model file is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmc.driver.load import find_source, load_unit
from bmc.driver.locating import located, remember
from bmc.errors import BmcError
from bmc.frontend.unit import DataSpec

SOURCE = """
data D {
  source = csv("d.csv")
  columns { a: f32 }
  x = unsqueeze(a, -1)
}
model M(x: f32[B, 1]) -> (p: f32[B, 1]) { return x |> dense(1) as d }
train M on D { loss = mse(p, x) }
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSpec:
    """The data block as an artefact in `model/` has it; the csv is nowhere yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "m.bm").write_text(SOURCE)
    unit = load_unit(find_source(str(tmp_path / "model" / "m.bm")))
    assert unit.data is not None
    return unit.data


def put(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "d.csv").write_text("a\n1\n")
    return folder


def test_nowhere_is_an_error_that_says_where(data: DataSpec, tmp_path: Path) -> None:
    with pytest.raises(BmcError, match="E0811") as caught:
        located(data, "id", str(tmp_path / "model"), {})
    assert str(tmp_path / "here") in caught.value.diagnostics[0].notes[0]
    assert "--data D=PATH" in caught.value.diagnostics[0].suggestions[0].message


def test_the_current_folder_then_beside_the_model_then_where_it_was_trained(data: DataSpec, tmp_path: Path) -> None:
    def folder() -> Path:
        return Path(located(data, "id", str(tmp_path / "model"), {})[0].sources[0].folder).resolve()

    put(tmp_path / "here")
    assert folder() == tmp_path / "here"
    put(tmp_path / "model")
    assert folder() == tmp_path / "model"
    remember("id", str(put(tmp_path / "trained")), {})
    assert folder() == tmp_path / "trained"
    remember("other", str(tmp_path / "here"), {})
    assert folder() == tmp_path / "trained"


def test_replaced_sources_are_remembered_and_may_be_replaced_again(data: DataSpec, tmp_path: Path) -> None:
    file = put(tmp_path / "far") / "d.csv"
    remember("id", str(tmp_path), {"D": str(file)})
    assert located(data, "id", str(tmp_path / "model"), {})[1] == {"D": str(file)}
    assert located(data, "id", str(tmp_path / "model"), {"D": "x.csv"})[1] == {"D": "x.csv"}


def test_a_broken_memory_is_no_memory(data: DataSpec, tmp_path: Path) -> None:
    put(tmp_path / "here")
    remember("id", str(tmp_path), {})
    (place,) = (tmp_path / "cache").rglob("id.json")
    for text in ("", "[]", '{"base": 1, "data": {}}', "\x00"):
        place.write_text(text)
        assert located(data, "id", str(tmp_path / "model"), {})[0].sources[0].folder

"""Loading: which file, which block, which overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmc.driver.load import check_source, find_source, load_unit, parse_overrides, text_source
from bmc.errors import BmcError

TWO = """
model A(x: f32[B, 2]) -> (y: f32[B, 1]) { return x |> dense(1) as d }
model C(x: f32[B, 3]) -> (y: f32[B, 1]) { return x |> dense(1) as d }
"""


def test_file_and_name(tmp_path: Path) -> None:
    path = tmp_path / "m.bm"
    path.write_text(TWO)
    assert load_unit(find_source(f"{path}:C")).name == "C"
    assert load_unit(find_source(str(path), select="A")).name == "A"
    with pytest.raises(BmcError, match="E0207"):
        load_unit(find_source(str(path)))
    with pytest.raises(BmcError, match="E0207"):
        load_unit(find_source(f"{path}:X"))


def test_a_colon_in_a_file_name_is_no_selection(tmp_path: Path) -> None:
    path = tmp_path / "m:C"
    path.write_text(TWO)
    assert load_unit(find_source(f"{path}:A")).name == "A"
    assert find_source(str(path)).main.text == TWO


def test_used_files_are_relative_to_the_file_that_uses_them(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "parts.bm").write_text("let W = 5\n")
    (tmp_path / "m.bm").write_text('use "sub/parts.bm"\nmodel A(x: f32[B, 2]) -> (y: f32[B, W]) { return x |> dense(W) as d }\n')
    unit = load_unit(find_source(str(tmp_path / "m.bm")))
    assert [Path(s.name).name for s in unit.sources[:2]] == ["m.bm", "parts.bm"]


def test_overrides() -> None:
    assert parse_overrides(["a=1", "b = x = y"]) == {"a": "1", "b": "x = y"}
    for wrong in (["a"], ["=1"], ["a="], ["a=1", "a=2"]):
        with pytest.raises(ValueError, match=r"KEY=VALUE|twice"):
            parse_overrides(wrong)
    source = text_source("let W = 2\n" + TWO.replace("dense(1)", "dense(W)").replace("[B, 1]", "[B, W]"), {"W": "7"}, select="A")
    assert load_unit(source).weights[0].type.shape == (2, 7)
    with pytest.raises(BmcError, match="E0208"):
        load_unit(text_source(TWO, {"nothing": "1"}, select="A"))


def test_check_reports_all_blocks() -> None:
    wrong = TWO.replace("dense(1) as d }\nmodel", "dnse(1) as d }\nmodel").replace("f32[B, 3]) ->", "f33[B, 3]) ->")
    assert len(check_source(text_source(wrong)).diagnostics) == 2
    assert len(check_source(text_source(TWO)).units) == 2


def test_float_type() -> None:
    assert load_unit(text_source(TWO, select="A", float_type="f64")).float_type == "f64"

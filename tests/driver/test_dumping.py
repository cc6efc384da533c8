"""Dumps: every pass's text reads back to itself, and compilation goes on from it to the same machine code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bmc.driver.dumping import dump_ir, dump_source, pass_names, write_passes
from bmc.driver.load import find_source, text_source
from bmc.errors import BmcError
from bmc.source import SourceFile

MODELS = sorted((Path(__file__).parents[2] / "models").glob("*/*.bm"))
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.bm"))
DEEP = ("gpt", "resnet", "finetune", "wide_deep")
"""Examples that are large, or that need files beside them."""


def blocks(path: Path) -> list[str]:
    """The train blocks of a file as the command line picks them."""
    found = re.findall(r"^train (\w+)[^{]*?(?: as (\w+))? \{", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [f"{path}:{name or model}" for model, name in found]


TRAINED = [source for path in (*MODELS, *(p for p in EXAMPLES if p.stem not in DEEP)) for source in blocks(path)]
SMALL = "model M(x: f32[B, 3]) -> (y: f32[B, 2]) { return x |> dense(2) as d |> softmax }"


@pytest.mark.parametrize("model", TRAINED, ids=lambda source: Path(source).name)
def test_every_pass_prints_what_parses_back(model: str, tmp_path: Path) -> None:
    paths = write_passes(find_source(model), tmp_path / "passes")
    names = [p.name for p in paths]
    assert names == sorted(names)
    assert names[0] == "00-input.bmir"
    assert names[-1].endswith("-fuse.bmir")
    for path in paths:
        text = path.read_text()
        assert dump_ir(SourceFile(path.name, text), "graph") == text


def test_going_on_from_text_gives_the_same_code() -> None:
    source = text_source(SMALL)
    code = dump_source(source, "asm")
    for after in ("autodiff", "cse", "dce"):
        text = dump_source(source, "graph", after)
        assert dump_ir(SourceFile("t.bmir", text), "asm") == code


def test_functions_cut_at_their_rows_compile_from_text() -> None:
    text = dump_source(find_source(str(MODELS[0])), "graph", "split_rows")
    for stage in ("memory", "llvm"):
        assert len(dump_ir(SourceFile("t.bmir", text), stage).splitlines()) > 100


def test_phases_are_verified_and_printed_only() -> None:
    text = dump_source(find_source(str(MODELS[0])), "fused")
    assert dump_ir(SourceFile("t.bmir", text), "graph") == text
    with pytest.raises(BmcError, match="E0812"):
        dump_ir(SourceFile("t.bmir", text), "asm")


def test_after_shard_shows_sums_over_shards() -> None:
    text = dump_source(find_source(str(MODELS[0])), "graph", "shard")
    assert "shard_sum(" in text
    assert "shard_sum(" not in dump_source(find_source(str(MODELS[0])), "graph", "dce")


def test_locations_are_printed_if_asked_for() -> None:
    assert "locations" in dump_source(text_source(SMALL), "graph", with_locs=True)
    assert "locations" not in dump_source(text_source(SMALL), "graph")
    assert "@1:" in dump_source(text_source(SMALL), "ast", with_locs=True)


def test_wrong_requests_are_refused() -> None:
    for stage, after in (("nonsense", None), ("graph", "nonsense")):
        with pytest.raises(BmcError, match="E0812"):
            dump_source(text_source(SMALL), stage, after)
    with pytest.raises(BmcError, match="E0812"):
        dump_ir(SourceFile("t.bmir", ""), "ast")
    with pytest.raises(BmcError, match="E075"):
        dump_ir(SourceFile("t.bmir", "function ???"), "graph")


def test_pass_names_are_in_order() -> None:
    assert pass_names()[0] == "specialise"
    assert pass_names()[-2:] == ("split_phases", "fuse")

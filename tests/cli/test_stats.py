"""`bmc stats`: its tables, its JSON, sources and model files."""

from __future__ import annotations

import json
import re
from pathlib import Path

NET = """data D {
  source = npz("d.npz")
  columns { image: u8[8, 8, 1]; label: i32 }
  x = image / 255
  y = label |> category(4)
}
model Net(x: f32[B, H, W, 1]) -> (logits: f32[B, 4]) {
  x = x |> conv2d(4, 3, pad = "same", bias = false) as stem |> batchnorm |> relu |> maxpool(2)
  return x |> flatten |> dense(8) |> relu |> dense(4) as head
}
train Net on D {
  optimizer = ["stem.*" = frozen, "*" = adam(lr = 1e-3)]
  batch = 8
}
"""
LENGTHS = """model Net(x: f32[B, T, 3]) -> (y: f32[B, T, 5]) { return x |> dense(5) as fc }
"""


def test_the_tables(run, golden) -> None:
    Path("net.bm").write_text(NET)
    done = run("stats", "net.bm")
    assert done.code == 0
    # What the compiler makes of it, arenas and kernels, is no part of this text: that changes with every better pass.
    golden("tables", re.sub(r"^((?:train|predict|batch) .*?) +[\d,]+ +\d+$", r"\1  -  -", done.out, flags=re.MULTILINE))
    golden("notes", done.err)


def test_the_json(run, golden) -> None:
    Path("net.bm").write_text(NET)
    found = json.loads(run("stats", "net.bm", "--json").out)
    for function in found["functions"]:
        assert all(isinstance(function.pop(key), int) for key in ("arena_bytes", "kernels"))
    golden("json", json.dumps(found, indent=1) + "\n")


def test_open_lengths_are_given(run) -> None:
    Path("net.bm").write_text(LENGTHS)
    done = run("stats", "net.bm")
    assert "T counted as 1" in done.err
    assert json.loads(run("stats", "net.bm", "--json").out)["layers"][0]["predict_flops"] == 30
    assert json.loads(run("stats", "net.bm", "--json", "--dim", "T=7").out)["layers"][0]["predict_flops"] == 7 * 30
    assert "counted as 1" not in run("stats", "net.bm", "--dim", "T=7").err
    for wrong, text in (("T", "NAME=SIZE"), ("T=-1", "NAME=SIZE"), ("U=3", "open are: T")):
        done = run("stats", "net.bm", "--dim", wrong)
        assert (done.code, text in done.err) == (2, True)


def test_a_model_file_has_the_stats_of_its_source(run, penguins) -> None:
    assert run("train", penguins, "-o", "p.bmz", "--set", "epochs=1").code == 0
    (of_model, of_source) = (run("stats", what, "--json").out for what in ("p.bmz", penguins))
    assert {**json.loads(of_model), "settings": []} == {**json.loads(of_source), "settings": []}
    assert run("stats", "p.bmz", "--set", "epochs=3").code == 2

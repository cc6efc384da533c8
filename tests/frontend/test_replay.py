"""Replaying equal applications gives what tracing each of them gives: the same functions, locations, keys and findings."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmc.errors.render import render
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.replay import Template
from bmc.frontend.elaborate import check
from bmc.ir.text import print_module
from bmc.source import SourceFile

ROOT = Path(__file__).parent.parent.parent
FILES = sorted([*ROOT.glob("tests/examples/*.bm"), *ROOT.glob("models/*/*.bm"), *ROOT.glob("benchmarks/*.bm")])

HEAD = """
data D { source = npz("d.npz")
  columns { x: f32[8]
    y: f32 }
  x = x
  y = y
}
train M on D {
  loss = mse(out, y)
  optimizer = adamw(lr = warmed(1e-3), weight_decay = 0.1)
}
fn warmed(peak)(step: float, steps: float) -> float { return peak * (step + 1) / steps }
"""
PROGRAMS = {
    "states and random sites": """
layer Noisy(H)(x: float[B, D]) -> float[B, D] {
  noise: float[B, D] = normal(std = 0.1)
  state seen: float[] = 0.0
  if training { seen = seen + 1.0 }
  return x + (x + noise |> batchnorm as bn |> dense(H) |> dropout(0.1) |> relu |> dropout(0.2) |> dense(D) |> batchnorm)
}
model M(x: f32[B, 8]) -> (out: f32[B]) {
  repeat 4 { x = x |> Noisy(6) }
  return x |> dense(1) |> squeeze(-1)
}
""",
    "one layer applied twice, within blocks that are equal": """
layer Shared(x: float[B, D]) -> float[B, D] {
  f = dense(D)
  a = f(x)
  return f(a) @ transpose(f.w)
}
model M(x: f32[B, 8]) -> (out: f32[B]) {
  same = Shared()
  repeat 3 as blk { x = same(x) |> Shared as s }
  x = stop_gradient(same)(x)
  return x |> dense(1) |> squeeze(-1)
}
""",
    "inputs that are one value, and that are two": """
layer Cross(x: float[B, D], z: float[B, D]) -> (a: float[B, D], b: float[B, D]) {
  return x * z |> dense(D), x - z
}
model M(x: f32[B, 8]) -> (out: f32[B]) {
  u = x
  v = x
  repeat 3 { u, v = (u, v) |> Cross }
  return sum(u + v, axis = -1) |> unsqueeze(-1) |> dense(1) |> squeeze(-1)
}
""",
    "sizes, kinds and numbers as hyper-parameters": """
layer Block(widths, act = relu, norm = layernorm, s = 0.0)(x: float[B, D]) -> float[B, D] {
  h = x
  repeat w in widths { h = h |> dense(w) as d |> act }
  return x + (h |> dense(D) |> norm) * (1 + s)
}
model M(x: f32[B, 8]) -> (out: f32[B]) {
  repeat s in [0.0, -0.0, 1.0, 0.0] { x = x |> Block([4, 5], s = s) |> Block([4], silu, rmsnorm) }
  return x |> dense(1) |> squeeze(-1)
}
""",
    "a scan within equal blocks": """
layer Run(H)(x: float[B, D]) -> float[B, D] {
  h: float[B, H] = zeros
  cell = dense(H)
  scan(axis = 1) c in unsqueeze(x, -1) { h = tanh(cell(concat(h, c))) }
  return x + (h |> dense(D))
}
model M(x: f32[B, 8]) -> (out: f32[B]) {
  repeat 3 { x = x |> Run(4) |> Run(4) }
  return x |> dense(1) |> squeeze(-1)
}
""",
}

WRONG_IN_THE_SECOND_BLOCK = """
layer Half(x: float[B, D]) -> float[B, D // 2] {
  assert D > 4, "too narrow"
  return x |> dense(D // 2)
}
model M(x: f32[B, 8]) -> (out: f32[B]) {
  repeat 3 { x = x |> Half }
  return x |> dense(1) |> squeeze(-1)
}
"""


def _said(file: SourceFile) -> tuple[str, str, str]:
    found = check([file])
    functions = "\n".join(print_module(unit.module, with_locs=True) for unit in found.units)
    specs = "\n".join(repr((u.weights, u.states, u.moments)) for u in found.units)
    return functions, specs, "\n".join(render(d) for d in found.diagnostics)


def _compare(file: SourceFile, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many applications were replayed."""
    replayed = []
    replay = Template.replay
    monkeypatch.setattr(Template, "replay", lambda *given: replayed.append(1) or replay(*given))  # type: ignore[func-returns-value]
    fast = _said(file)
    monkeypatch.setattr(Elaborator, "replays", False)
    count = len(replayed)
    slow = _said(file)
    assert fast == slow
    assert len(replayed) == count
    return count


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    _compare(SourceFile(path.name, path.read_text(encoding="utf-8")), monkeypatch)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SourceFile("m.bm", PROGRAMS[name] + HEAD)
    assert [unit.name for unit in check([file]).units] == ["M"]
    assert _compare(file, monkeypatch) > 0


def test_what_is_wrong_in_the_second_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    file = SourceFile("m.bm", WRONG_IN_THE_SECOND_BLOCK + HEAD)
    assert [d.message for d in check([file]).diagnostics] == ["too narrow"]
    _compare(file, monkeypatch)


def test_layers_that_are_frozen_apart_are_not_the_same() -> None:
    """Equal layers, one of which computes as in evaluation."""
    text = """data D { source = npz("d.npz"); columns { a: f32[4] }; x = a }
layer Block(x: float[B, D]) -> float[B, D] { return x |> dense(D) as fc |> batchnorm as norm }
model M(x: f32[B, 4]) -> (y: f32[B, 4]) {
  repeat 4 as block { x = x |> Block as b }
  return x
}
train M on D { loss = mean(y * y, axis = -1); optimizer = ["block.1.*" = frozen, "*.2.b.norm.*" = frozen, "*" = adam()] }
"""
    (unit,) = check([SourceFile("m.bm", text)]).units
    train = unit.module.function("train")
    read = {p.key for p in train.params if p.role == "state"}
    updated = {r.key for r in train.results if r.role == "update" and "running" in r.key}
    assert {k.split(".")[1] for k in read} == {"0", "1", "2", "3"}
    assert {k.split(".")[1] for k in updated} == {"0", "3"}
    assert [(layer.key, len(layer.train), len(layer.predict)) for layer in unit.layers if layer.kind == "dense"] == [
        (f"block.{i}.b.fc", 1, 1) for i in range(4)
    ]

"""The full text of each diagnostic of elaboration, and that each code has its place in the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from bmc.artefact.container import write_container
from bmc.errors.catalogue import explain
from bmc.errors.render import render_all
from bmc.frontend.elaborate import check, elaborate
from bmc.frontend.scope import installed_library
from bmc.source import SourceFile

DATA = """data D {
  source = npz("d.npz")
  columns { a: f32[4]; p: f32?; s: str; q: str?; k: i32; d: date; f: f32 }
  x = a
  y = k |> category(3)
}
"""
TRAIN = "train M on D { loss = cross_entropy(out, y) }\n"
MODEL = "model M(x: f32[B, 4]) -> (out: f32[B, 3]) { return x |> dense(3) as fc }\n"


def model(body: str, inputs: str = "x: f32[B, 4]", outputs: str = "out: f32[B, 4]", before: str = "") -> str:
    return f"{before}model M({inputs}) -> ({outputs}) {{\n  {body}\n}}\n"


def data(entries: str) -> str:
    return DATA.replace("  y =", f"  {entries}\n  y =")


def ragged(entries: str) -> str:
    return DATA.replace('npz("d.npz")', 'parquet("d.parquet")').replace("f: f32 }", "f: f32; series: f32[T, 2] }").replace(
        "  y =", f"  {entries}\n  y ="
    )


def train(entries: str) -> str:
    return f"{DATA}{MODEL}train M on D {{\n  {entries}\n}}\n"


LM = """let V = 11
data D {
  source = npz("d.npz")
  columns { id: i32[9] }
  tok = id[:, :8] |> category(V)
  y = id[:, 1:] |> category(V)
}
model LM(INPUTS) -> (logits: f32[B, T, V]) { return tok |> embedding(V, 6) |> dense(V) as head }
train LM on D { loss = cross_entropy(logits, y); next = NEXT }
"""


def language(next_: str = "[tok = sample(logits[:, -1])]", inputs: str = "tok: i32[B, T]", before: str = "") -> str:
    return before + LM.replace("INPUTS", inputs).replace("NEXT", next_)


def images(shape: str, body: str) -> str:
    columns = DATA.replace("a: f32[4];", f"a: f32[{shape}];")
    return f"{columns}model M(x: f32[B, H, W, C]) -> (out: f32[B, 3]) {{\n  {body}\n}}\n{TRAIN}"


def sequences(body: str, before: str = "") -> str:
    columns = DATA.replace("a: f32[4];", "a: i32[20];").replace("x = a", "tok = a |> category(50)")
    inputs = "tok: i32[B, T]"
    return f"{columns}{before}model M({inputs}) -> (out: f32[B, 3]) {{\n  x = tok |> embedding(50, 8) as e\n  {body}\n}}\n{TRAIN}"


# name: source. The name starts with the code of a diagnostic that the source must give.
CASES = {
    "E0201-name": model("return x + widht", before="let width = 4\n"),
    "E0201-column": train("loss = cross_entropy(out, y)\n  weight = f"),
    "E0507-by-column": DATA.replace('npz("d.npz")', 'npy("a.npy", "k.npy")'),
    "E0322-no-column": data("split = by_time(day, test = \"2024-01-01\")") + MODEL + TRAIN,
    "E0201-function": model("return x |> rleu"),
    "E0202-model": DATA + MODEL + "train N on D {}\n",
    "E0202-data": DATA + MODEL + "train M on E {}\n",
    "E0203-let": "let a = 1\nlet b = 2\nlet a = 3\n" + model("return x"),
    "E0204-let": model("return x * a", before="let a = b + 1\nlet b = a\n"),
    "E0204-layer": model("return x |> A", before="layer A(x: float[B, D]) -> float[B, D] { return x |> A }\n"),
    "E0205-use": 'use "other.bm"\n' + model("return x"),
    "E0206-assert": model(
        "return x |> A(5)",
        before='layer A(heads)(x: float[B, D]) -> float[B, D] {\n  assert D % heads == 0, "heads divide D"\n  return x\n}\n',
    ),
    "E0207-several": DATA + MODEL + "train M on D as one {}\ntrain M on D as two {}\n",
    "E0209-depth": "".join(f"fn f{i}(x: float[...]) -> float[...] {{ return f{i + 1}(x) }}\n" for i in range(60))
    + "fn f60(x: float[...]) -> float[...] { return x }\n"
    + model("return f0(x)"),
    "E0210-call": model("return x(1)"),
    "E0211-method": model("return x - x.mean()"),
    "E0211-member": model("e = dense(4)\n  y = e(x)\n  return y + e.weight"),
    "E0212-ambiguous": DATA + "model M(x: f32[B, 4]) -> (y: f32[B, 3]) { return x |> dense(3) as d }\n"
    "train M on D { loss = cross_entropy(y, y) }\n",
    "W0201-shadow": "fn relu(x: float[...]) -> float[...] { return x }\n" + model("return relu(x)"),
    "E0301-dim": model("return x |> dense(3) as a |> Head as h", before="layer Head(x: float[B, 4]) -> float[B, 4] { return x }\n"),
    "E0301-two-inputs": model(
        "return pair(x, x[:, :2])", before="fn pair(a: float[B, D], b: float[B, D]) -> float[B, D] { return a + b }\n"
    ),
    "E0301-rest": model("return x + 0 * unsqueeze(mse(x, x[:, :1]), -1)"),
    "E0301-polynomial": model(
        "return halves(x[:, :3])", before="fn halves(x: float[B, 2 * H]) -> float[B, H] { return x[:, :H] }\n"
    ),
    "E0301-result": model("return x |> dense(5) as d"),
    "E0301-annotation": model("h: float[B, 6] = x |> dense(5) as d\n  return x"),
    "E0302-rank": model("return pair(x)", before="fn pair(a: float[B, T, D]) -> float[B, D] { return a[:, 0] }\n"),
    "E0302-squeeze": model("return x |> dense(1) as d", outputs="out: f32[B]"),
    "E0302-loss": model("return mse(x |> dense(1) as d, sum(x, axis = 1))"),
    "E0302-unsqueeze": model("return pair(x[:, 0])", before="fn pair(a: float[B, T]) -> float[B, T] { return a }\n"),
    "E0303-dtype": model("return argmax(x) |> dense(4) as d"),
    "E0303-integers": model("return f |> embedding(3, 4)", inputs="f: f32[B]"),
    "E0304-rows": model("return x * number(arange(4) < sum(x, axis = 1))"),
    "E0304-broadcast": model("return x + (x |> dense(3) as d)"),
    "E0305-product": model("w: float[3, 4] = ones\n  return x @ w"),
    "E0306-axis": model("return sum(x, axis = 2)"),
    "E0307-open": model("h: float[B, Z] = zeros\n  return x"),
    "E0308-fraction": model("return x |> A(8 / 2)", before="layer A(n)(x: float[B, D]) -> float[B, n] { return x }\n"),
    "E0308-not-a-dim": model("return x |> A(0.5)", before="layer A(n)(x: float[B, D]) -> float[B, n] { return x }\n"),
    "E0309-division": model("return x |> A(3)", before="layer A(n)(x: float[B, D]) -> float[B, D / n] { return x }\n"),
    "E0310-index": model("return x[:, 4]"),
    "E0310-by-tensor": model("return x[argmax(x)]"),
    "E0310-results": model("r = x |> gru(4) as rnn\n  return r[:, -1]", "x: f32[B, 3, 4]"),
    "E0310-list": model("return x * [1, 2][2]"),
    "E0311-reshape": model("return reshape(x, [-1, 3])"),
    "E0311-split": model("a, b, c = split(x, 3)\n  return a"),
    "E0312-if": model("if sum(x) > 0 { x = -x }\n  return x"),
    "E0312-hyper": model("return x |> dense(argmax(x)) as d"),
    "E0313-concat-text": data("z = concat(a, s)"),
    "E0313-bool": model("return x * (x > 0)"),
    "E0313-pad-whole": data("z = s |> lower |> pad(max = 4)"),
    "E0313-pad-words": data("z = s |> words |> pad(max = 4)"),
    "E0313-pad-numbers": data("z = a |> pad(max = 4)"),
    "E0313-words-twice": data("z = s |> words |> chars |> hash(5) |> pad(max = 4)"),
    "E0313-words-number": data("z = k |> words |> hash(5) |> pad(max = 4)"),
    "E0313-lower-late": data("z = s |> words |> hash(5) |> lower |> pad(max = 4)"),
    "E0313-coded-twice": data("z = s |> words |> hash(5) |> vocab(max = 3) |> pad(max = 4)"),
    "E0313-length": data("z = length(a)"),
    "E0313-ragged-index": ragged("z = series[:, 0]"),
    "E0313-ragged-product": ragged("z = series @ series"),
    "E0313-ragged-concat": ragged("z = concat(series, series)"),
    "E0313-ragged-output": ragged("z = series |> standardize"),
    "E0319-words": data("z = q |> words |> hash(5) |> pad(max = 4)"),
    "E0322-vocab": data("z = s |> vocab(max = 1)"),
    "E0322-bucket": data("z = s |> words |> hash(5) |> pad(max = 4, bucket = 8)"),
    "E0322-pad": data("z = s |> words |> hash(5) |> pad(max = 0)"),
    "E0313-text": model("return x", before=data("z = s + 1") + TRAIN),
    "E0206-labels-floats": train("loss = cross_entropy(out, f)").replace("  y =", "  f = f\n  y ="),
    "E0301-labels-shifted": DATA.replace("k: i32;", "k: i32[5];")
    + "model M(x: f32[B, 4]) -> (out: f32[B, T, 3]) {\n  param w: f32[5, 3] = ones\n  return w * (x |> dense(3) as d)[:, none]\n}\n"
    + "train M on D { loss = cross_entropy(out, y[:, 1:]) }\n",
    "E0314-labels": DATA.replace("category(3)", "category(12)") + MODEL + TRAIN,
    "E0314-embedding": DATA + "model M(y: i32[B]) -> (out: f32[B]) { return y |> embedding(2, 5) |> sum(axis = -1) }\n"
    "train M on D { loss = out }\n",
    "E0315-mixed": model("return x * n", inputs="x: f32[B], n: i32[B]", outputs="out: f32[B]"),
    "E0316-open-shape": model("return x + normal()"),
    "E0317-sampled-rows": language("[tok = sample(logits[: -1])]"),
    "E0317-size": model("return x |> dense(-1) as d"),
    "E0317-zero": model("return x * (1 / 0)"),
    "E0317-repeat": model("repeat 1_000_000 { x = x + 1 }\n  return x"),
    "E0318-rearrange": model('return rearrange(x, "b (h w) -> b h w")'),
    "E0302-einsum": model('return einsum("b i j -> b j", x)'),
    "E0318-einsum": model('return einsum("b i, b j", x, x)'),
    "E0319-model": data("z = 1").replace("x = a", "x = concat(f, f)\n  g = p").replace("\n  z = 1", "")
    + "model M(x: f32[B, F], g: f32[B]) -> (out: f32[B, 3]) { return x |> dense(3) as d }\n"
    + TRAIN,
    "E0319-concat": data("z = concat(f, p)") + MODEL + TRAIN,
    "E0319-compare": data("where p > 0") + MODEL + TRAIN,
    "E0320-type": model("return x", inputs="x: f16[B, 4]"),
    "E0321-range": model("return x + 3_000_000_000", inputs="x: i32[B, 4]", outputs="out: i32[B, 4]"),
    "E0321-no-cells": model("return argmax(x, axis = 1)", inputs="x: f32[B, 0]", outputs="out: i32[B]"),
    "E0322-uncalled": train("metrics = [accuracy]"),
    "E0322-value": model("return sum(x, keep = 1)"),
    "E0323-indices": model("return take(x, x)"),
    "E0324-reshape": images(
        "28, 28, 1", "h = x |> conv2d(16, 5) as c |> maxpool(2)\n  h = reshape(h, [B, 400])\n  return h |> dense(3) as fc"
    ),
    "E0324-product": images(
        "28, 28, 1", "h = x |> conv2d(16, 5) as c |> maxpool(2) |> flatten |> relu\n  param w: f32[400, 3] = he\n  return h @ w"
    ),
    "E0324-layer": "layer Head(x: float[B, 400]) -> float[B, 3] { return x |> dense(3) as fc }\n"
    + images("28, 28, 1", 'return x |> conv2d(16, 5) as c |> maxpool(2) |> rearrange("b h w c -> b (h w c)") |> Head as head'),
    "E0324-annotation": images("28, 28, 1", "h: f32[B, 400] = x |> maxpool(2) |> flatten\n  return h |> dense(3) as fc"),
    "E0325-padded": images("1, 28, 28", 'return x |> conv2d(16, 3, pad = "same") as c |> global_avgpool |> dense(3) as fc'),
    "E0325-window": images("3, 28, 28", "return x |> relu |> conv2d(16, 5) as c |> global_avgpool |> dense(3) as fc"),
    "E0326-mask": sequences(
        'h = x |> rearrange("b t (h e) -> b h t e", h = 2)\n  s = einsum("b h i e, b h j e -> b h i j", h, h)\n'
        "  s = select(tok > 0, s, -1e9)\n"
        "  return mean(s, axis = [1, 2, 3]) |> unsqueeze(-1) |> dense(3) as fc"
    ),
    "E0327-library": sequences("return x |> encoder_block(3) as block |> mean(axis = 1) |> dense(3) as fc"),
    "E0327-own": sequences(
        "return x |> A(3) as a |> mean(axis = 1) |> dense(3) as fc",
        'layer A(heads)(x: float[B, T, D]) -> float[B, T, D] {\n  h = x |> rearrange("b t (h e) -> b h t e", h = heads)\n'
        '  return h |> rearrange("b h t e -> b t (h e)")\n}\n',
    ),
    "E0327-floored": sequences(
        "return x |> A(3) as a |> mean(axis = 1) |> dense(3) as fc",
        "layer A(heads)(x: float[B, T, D]) -> float[B, T, D] {\n"
        '  h = x |> rearrange("b t (h e) -> b h t e", h = heads, e = D // heads)\n'
        '  return h |> rearrange("b h t e -> b t (h e)")\n}\n',
    ),
    "E0328-table": sequences(
        "param pos: f32[16, 8] = normal(std = 0.02)\n  x = x + pos[:T]\n  return mean(x, axis = 1) |> dense(3) as fc"
    ),
    "E0328-bucket": data("tok = s |> words |> hash(50) |> pad(max = 64, bucket = 4)")
    + "model M(tok: i32[B, T]) -> (out: f32[B, 3]) {\n  param pos: f32[40, 4] = zeros\n"
    "  x = (tok |> embedding(50, 4) as emb) + pos[:T]\n  return mean(x, axis = 1) |> dense(3) as fc\n}\n" + TRAIN,
    "E0328-shortest": data("tok = s |> words |> hash(50) |> pad(max = 64, bucket = 4)")
    + "model M(tok: i32[B, T]) -> (out: f32[B, 3]) {\n  x = tok |> embedding(50, 4) as emb\n"
    "  return mean(x[:, 6:], axis = 1) |> dense(3) as fc\n}\n" + TRAIN,
    "E0328-window": data("tok = s |> words |> hash(50) |> pad(max = 64, bucket = 4)")
    + "model M(tok: i32[B, T]) -> (out: f32[B, 3]) {\n  x = tok |> embedding(50, 4) as emb |> conv1d(8, 5) as conv\n"
    "  return mean(x, axis = 1) |> dense(3) as fc\n}\n" + TRAIN,
    "E0328-library": sequences("return x |> learned_positions(16) as pos |> mean(axis = 1) |> dense(3) as fc"),
    "W0202-binding": model("h = x + 1\n  return x"),
    "W0202-several": "layer A(units, rate = 0.1)(x: float[B, D]) -> float[B, D] {\n  param w: float[D] = ones\n  let n = 3\n"
    "  a, b = split(x, 2)\n  _kept = x\n  return x\n}\n" + model("return x |> A(2) as a"),
    "W0202-data": data("let half = f / 2"),
    "W0605-rate": train("loss = cross_entropy(out, y)\n  optimizer = adam(lr = 10)"),
    "W0603-label": DATA.replace("x = a", "x = concat(a, unsqueeze(f |> log1p, -1))")
    .replace("y = k |> category(3)", "t = f |> standardize")
    + "model M(x: f32[B, F]) -> (out: f32[B]) { return x |> dense(1) as fc |> squeeze(-1) }\ntrain M on D { loss = mse(out, t) }\n",
    "W0604-row-number": DATA.replace("k: i32;", "k: i32; id: i64;")
    .replace("x = a", "x = concat(a, unsqueeze(number(id), -1))")
    + "model M(x: f32[B, F]) -> (out: f32[B, 3]) { return x |> dense(3) as fc }\n" + TRAIN,
    "W0301-bound": DATA.replace("k |> category(3)", "k") + MODEL + TRAIN,
    "W0302-channels": images("3, 32, 32", 'return x |> conv2d(16, 3, pad = "same") as c |> global_avgpool |> dense(3) as fc'),
    "W0303-softmax": DATA + MODEL.replace("as fc", "as fc |> softmax") + TRAIN,
    "W0519-own": DATA.replace("  x = a", "  w = s |> category(max = 51) |> target_encode(f)\n  x = a * unsqueeze(w, 1)")
    + MODEL
    + TRAIN,
    "W0303-sigmoid": DATA + MODEL.replace("as fc", "as fc |> sigmoid") + "train M on D { loss = bce(out[:, 0], y == 1) }\n",
    "E0401-argument": model("return x |> dense(4, bais = false) as d"),
    "E0401-primitive": model("return sum(x, dim = 1)"),
    "E0402-hyper": model("return x |> dense as d"),
    "E0402-input": model("return pair(x)", before="fn pair(a: float[B, D], b: float[B, D]) -> float[B, D] { return a + b }\n"),
    "E0403-many": model("return relu(x, 1, 2)"),
    "E0403-results": model("return unsqueeze(x, 1) |> lstm(4) as l |> dense(4) as d"),
    "E0403-twice": model("return x |> dense(4, units = 4) as d"),
    "E0404-type": model('return x |> dense(4, bias = "no") as d'),
    "E0404-float": model("return x |> dropout(true) as d"),
    "E0405-names": model("return x |> dense(4) as a |> dense(4) as a"),
    "E0405-has-name": model("l = dense(4)\n  return x |> l as m"),
    "E0405-made": model(
        "return x |> Twice as t",
        before="layer Twice(norm = layernorm())(x: float[B, D]) -> float[B, D] { return x |> norm as a |> norm as b }\n",
    ),
    "E0405-parameter": model("param w: f32[4] = ones\n  return x |> dense(4) as w"),
    "E0406-kind": model("enc = dropout\n  return x |> enc"),
    "E0407-pipe": model("return x |> x"),
    "E0408-shared": model("l = dense(4)\n  return l(l(x)[:, :2])"),
    "E0409-fn": model("return f(x)", before="fn f(x: float[B, D]) -> float[B, D] {\n  return x |> dense(4) as d\n}\n"),
    "E0409-param": model(
        "return f(x)", before="fn f(x: float[B, D]) -> float[B, D] {\n  param w: float[D] = ones\n  return x * w\n}\n"
    ),
    "E0410-state": DATA
    + """layer A(x: float[B, D]) -> float[B, D] {
  state avg: float[D] = zeros
  if training { avg = 0.5 * mean(x) }
  return x - avg
}
model M(x: f32[B, 4]) -> (out: f32[B, 3]) { return x |> A |> dense(3) as fc }
"""
    + TRAIN,
    "E0411-results": model("return x, x"),
    "E0411-targets": model("a, b = x[0]\n  return x"),
    "E0412-return": model("y = x"),
    "E0413-not-applied": model("e = embedding(4, 4)\n  return x @ e.w"),
    "E0414-repeat": model("repeat x { x = x + 1 }\n  return x"),
    "E0415-layer": model("return A(x)", before="layer A(x: float[B, D]) -> float[B, D] { return x }\n"),
    "E0416-yield": model("yield h = x\n  return x"),
    "E0421-twice": model(
        "h: f32[B] = zeros\n  scan(axis = 1) t in x {\n    h = h + t\n    yield a = h\n    yield a = t\n  }\n  return a"
    ),
    "E0420-return": model("h = x\n  scan(axis = 1) t in x {\n    h = h * unsqueeze(t, -1)\n    return h\n  }\n  return h"),
    "E0417-initial": model('param w: f32[4] = "ones"\n  return x * w'),
    "E0418-training": DATA
    + MODEL.replace("return x |>", "if training { x = x |> dense(4) as extra |> relu }\n  return x |>")
    + TRAIN,
    "E0418-width": DATA
    + MODEL.replace("return x |>", "if training { x = x |> dense(7) as extra }\n  return x |>")
    + TRAIN,
    "E0418-predicting": DATA
    + MODEL.replace("return x |>", "if not training { x = x |> Scale as scale }\n  return x |>")
    + "layer Scale(x: float[B, D]) -> float[B, D] {\n  param s: float[D] = ones\n  return x * s\n}\n"
    + TRAIN,
    "E0419-rate": model("return x |> dropout(50) |> dense(4) as d"),
    "E0501-source": "data D { columns { a: f32 }\n  x = a }\n",
    "E0501-misspelt": DATA.replace("source", "sourse"),
    "E0501-split": data("splits = by_hash(train = 0.8, valid = 0.2)"),
    "E0502-clause": data("x = f") + MODEL + TRAIN,
    "E0502-column": DATA.replace("f: f32 }", "f: f32; k: f32 }"),
    "E0503-column": DATA.replace("npz", "csv"),
    "E0507-source": DATA.replace("npz", "cvs"),
    "E0507-other-kind": DATA.replace("npz(", "csv("),
    "E0508-split": data("split = by_hsah(train = 1.0)"),
    "E0507-no-train": DATA.replace('npz("d.npz")', '[tarin = npz("a.npz"), test = npz("b.npz")]'),
    "E0507-which": DATA.replace('npz("d.npz")', '[one = npz("a.npz"), two = npz("b.npz")]'),
    "E0508-near": data("split = by_hash(train = 0.8, tset = 0.2)"),
    "E0508-share": data("split = by_hash(valid = 0.5)"),
    "E0508-folds": data("split = folds(5, fold = 5)"),
    "E0508-no-folds": data("split = folds(fold = 1)"),
    "E0508-fold-word": data("split = folds(5, fould = 1)"),
    "E0508-column": data("split = by_column(p, test = 1)"),
    "E0508-column-twice": data("split = by_column(k, valid = 3, test = [2, 3])"),
    "E0508-column-values": data("split = by_column(k)"),
    "E0509-fractions": data("split = by_hash(train = 0.8, valid = 0.3)"),
    "E0510-where": data("where f"),
    "E0511-output": data("z = 3"),
    "E0511-words": data("z = s |> words |> vocab(max = 9)"),
    "E0512-fit": DATA + MODEL + "train M on D { loss = cross_entropy(standardize(out), y) }\n",
    "E0513-rows": data("z = fit(f)"),
    "E0514-undo": data('o = s |> onehot(["a"])')
    + MODEL
    + "train M on D { loss = cross_entropy(out, y); predict = undo(sum(out, axis = 1, keep = true), o) }\n",
    "E0515-where": data("where f < fit(mean(f))") + MODEL + TRAIN,
    "E0515-output": data("z = f |> standardize\n  where z < 2") + MODEL + TRAIN,
    "E0322-separator": DATA.replace('npz("d.npz")', 'csv("d.csv", separator = "; ")'),
    "E0322-encoding": DATA.replace('npz("d.npz")', 'csv("d.csv", encoding = "latin-x")'),
    "E0322-decimal": DATA.replace('npz("d.npz")', 'csv("d.csv", decimal = ";")'),
    "E0507-byte": DATA.replace('npz("d.npz")', 'bytes("d.txt")'),
    "E0507-words": DATA.replace('npz("d.npz")', 'text("d.txt") |> words'),
    "E0507-stage": DATA.replace('npz("d.npz")', 'text("d.txt") |> window(3)'),
    # What the columns are is not known: nothing that is made of them is said to be wrong.
    "E0507-uncut": DATA.replace('npz("d.npz")', 'text("d.txt") |> lower |> words |> windows(3)').replace("x = a", "x = k[:, :2]"),
    "E0507-last": DATA.replace('npz("d.npz")', 'bytes("d.txt") |> windows(3) |> windows(3)'),
    "E0507-cut": DATA.replace('npz("d.npz")', 'csv("d.csv") |> words'),
    "E0507-both": DATA.replace('npz("d.npz")', 'npy("d.npy", a = "a.npy")'),
    "E0507-ending": DATA.replace('npz("d.npz")', 'folder("d", ["gif"])'),
    "E0507-lengths": DATA.replace('npz("d.npz")', '[train = bytes("a") |> windows(3), test = bytes("b") |> windows(4)]'),
    "E0503-rows": DATA.replace('npz("d.npz")', 'jsonl("d.jsonl")').replace("a: f32[4]", "a: f32[B]"),
    "E0503-ragged": DATA.replace('npz("d.npz")', 'jsonl("d.jsonl")').replace("a: f32[4]", "a: f32[T]?"),
    "E0503-npz": DATA.replace("a: f32[4]", "a: f32[T]"),
    "E0516-column": DATA.replace('npz("d.npz")', 'npz("d.npz") |> windows(3, by = shop, order = d)'),
    "E0516-order": DATA.replace('npz("d.npz")', 'npz("d.npz") |> windows(3, order = s)'),
    "E0516-ragged": DATA.replace('npz("d.npz")', 'jsonl("d.jsonl") |> windows(3)').replace("a: f32[4]", "a: f32[T]"),
    "E0322-window": DATA.replace('npz("d.npz")', 'npz("d.npz") |> windows(0)'),
    "E0517-byte": DATA.replace('npz("d.npz")', 'bytes("d.txt") |> windows(3)'),
    "E0517-folder": DATA.replace('npz("d.npz")', 'folder("d")'),
    "E0517-idx": DATA.replace('npz("d.npz")', 'idx(a = "a.idx", k = "k.idx")'),
    "E0518-model": model("return x |> random_flip"),
    "E0313-flip": data("z = a |> random_flip"),
    "E0322-crop": DATA.replace("a: f32[4]", "a: u8[4, 4]").replace("x = a", "x = a |> random_crop(7, pad = 1)"),
    "E0322-shift": DATA.replace("a: f32[4]", "a: u8[4, 4]").replace("x = a", "x = a |> random_shift(-1)"),
    "W0516-hash": DATA.replace('npz("d.npz")', 'npz("d.npz") |> windows(3)').replace("x = a", "split = by_hash(train = 1)"),
    "E0601-key": train("batchsize = 3"),
    "E0602-key": train("batch = 3\n  batch = 4"),
    "E0201-below": model("h = z + x\n  z = x * 2\n  return h"),
    "E0201-below-output": data("z = concat(f, w)\n  w = f * 2"),
    "E0201-declared": model("heads = x |> dense(4) as h\n  return head + x"),
    "E0201-idle": model("return x |> A(3) as a", before="layer A(NN)(x: float[B, D]) -> float[B, D] { return x * N }\n"),
    "E0303-bound-before": model("h = x > 0\n  return h |> dense(4) as e"),
    "E0319-bound-before": data("z = log(p) |> category(3)"),
    "E0603-idle": DATA.replace("x = a", "pixels = a") + MODEL + TRAIN,
    "E0603-input": DATA + MODEL.replace("x:", "pixels:").replace("x |>", "pixels |>") + TRAIN,
    "E0604-binding": train("inputs = [x = z]"),
    "E0605-batch": train("batch = 0.5"),
    "E0605-seed": train("seed = -3"),
    "E0605-shards": train("shards = 3"),
    "E0605-classes": DATA.replace("y =", "z = s |> category(max = 3)\n  y =")
    + MODEL
    + "train M on D {\n  loss = cross_entropy(out, y) + cross_entropy(out, z)\n  class_weight = [1, 2, 3]\n}\n",
    "E0606-lengths": train("epochs = 3\n  steps = 100"),
    "E0607-loss": DATA + "model M(x: f32[B, 4]) -> (a: f32[B], b: f32[B]) { return x[:, 0], x[:, 1] }\ntrain M on D {}\n",
    "E0608-uncalled": train("loss = cross_entropy"),
    "E0608-loss": train("loss = argmax(out)"),
    "E0609-optimizer": train("optimizer = dense(3)"),
    "E0610-patterns": train('optimizer = ["fc.w" = adam]'),
    "W0601-pattern": train('optimizer = ["head.*" = frozen, "*" = adam]'),
    "W0602-nothing": train("optimizer = frozen"),
    "E0611-clip": train("clip = 1.0"),
    "E0612-stop": train("stop = plateau(valid.acc, patience = 3)\n  metrics = [accuracy(out, y)]"),
    "E0612-split": train("stop = plateau(valid.loss)"),
    "E0612-train": train("stop = plateau(train.accuracy)\n  metrics = [accuracy(out, y)]"),
    "E0612-test": data("split = by_hash(train = 0.8, test = 0.2)") + MODEL + "train M on D {\n  stop = plateau(test.loss)\n}\n",
    "E0612-table": data("split = by_hash(train = 0.8, valid = 0.2)")
    + MODEL
    + "train M on D {\n  stop = plateau(valid.confusion)\n  metrics = [confusion(out, y)]\n}\n",
    "E0612-rate": train("optimizer = adam(lr = plateau(0.1))"),
    "E0613-metric": train("metrics = [mean(out), mean(-out)]"),
    "E0614-prediction": train("predict = [w = transpose(out)[:, 0]]"),
    "E0615-mixes": train("predict = [z = out - mean(out, axis = 0)]"),
    "E0616-keep": train("keep = [id]"),
    "E0617-text": data("z = s") + MODEL + "train M on D { loss = cross_entropy(out, y); metrics = [z] }\n",
    "E0618-parameters": DATA
    + "model M(x: f32[B, 4]) -> (out: f32) {\n  param w: f32[4] = ones\n  return sum(w * w)\n}\n"
    + "train M on D {\n  loss = out\n  predict = [z = x]\n}\n",
    "E0619-mean": train("loss = mean(cross_entropy(out, y))\n  accumulate = 2"),
    "E0605-next": language("sample(logits[:, -1])"),
    "E0604-next": language("[tokens = sample(logits[:, -1])]"),
    "E0322-sample": language("[tok = sample(logits[:, -1], top_p = 1.5)]"),
    "E0630-length": language(before="let T = 8\n"),
    "E0630-number": language(inputs="tok: i32[B, 8]").replace("(logits: f32[B, T, V])", "(logits: f32[B, 8, V])"),
    "E0630-floats": train("next = [x = sample(out)]"),
    "E0631-input": language(inputs="tok: i32[B, T], y: i32[B, T]"),
    "E0632-positions": language("[tok = sample(logits)]"),
    "E0632-bound": language("[tok = sample(concat(logits[:, -1], logits[:, -1]))]"),
    "E0632-floats": language("[tok = logits[:, -1]]"),
    "E0640-value": train('init = ["*" = "a.bmz"]'),
    "E0640-pattern": train('init = [load("a.bmz")]'),
    "E0640-argument": train('init = ["*" = load("a.bmz", prefx = "enc.")]'),
    "E0908-memory": train("memory = 3"),
}
# name: the data block's source, the file's name, its bytes (of an npz: its arrays).
FILES: dict[str, tuple[str, str, bytes | dict[str, Any]]] = {
    "E0504-csv": ('csv("d.csv")', "d.csv", b"id,unit prise,weight\n1,2.5,3\n"),
    "E0504-separator": ('csv("d.csv")', "d.csv", b"id;unit price;weight\n1;2,5;3\n"),
    "E0504-given": ('csv("d.csv", separator = "|")', "d.csv", b"id\tunit price\tweight\n"),
    "E0504-npz": ('npz("d.npz")', "d.npz", {"unit_price": np.zeros(3, np.float32)}),
    "E0505-shape": ('npz("d.npz")', "d.npz", {"unit price": np.zeros((3, 2), np.float32)}),
    "E0505-dtype": ('npz("d.npz")', "d.npz", {"unit price": np.zeros(3, np.complex64)}),
    "E0506-text": ('csv("d.csv")', "d.csv", b"unit \xff price\n"),
    "E0506-utf-16": ('csv("d.csv")', "d.csv", "id,unit price\n".encode("utf-16")),
    "E0506-encoding": ('csv("d.csv", encoding = "ascii")', "d.csv", b"unit \xff price\n"),
    "E0506-zip": ('npz("d.npz")', "d.npz", b"no zip"),
}
TENSORS = {"fc.w": np.zeros((4, 3), np.float32), "fc.b": np.zeros(3, np.float16)}
LINEAR = {"weight": np.zeros((3, 4), np.float32), "bias": np.zeros(3), "steps": np.zeros(3, np.int64)}
BASE: dict[str, str | dict[str, str]] = {
    "weights": {},
    "states": {},
    "fitted": {"x.standardize.mean": "f32[4]", "x.standardize.std": "f32[4]", "k.category.table": "i64[2]"},
    "made": {"x": "a |> log"},
}
# name: what is added to the train block, what to the data block, the tensors (or bytes) of b.safetensors, the manifest of b.bmz.
STORED: dict[str, tuple[str, str, dict[str, Any] | bytes, dict[str, Any] | None]] = {
    "E0642-header": ('init = load("b.safetensors")', "", b"no header at all", None),
    "E0642-pickle": ('init = load("b.safetensors")', "", b"\x80\x02}q\x00X\x05\x00", None),
    "E0642-kind": ("", 'fitted = "b.safetensors"\n  z = fit(mean(a)) + a', TENSORS, None),
    "E0643-near": ('init = ["fc.*" = load("b.safetensors", prefix = "fd.")]', "", TENSORS, None),
    "E0643-one": ('init = ["fc.w" = load("b.safetensors", key = "fc.ww")]', "", TENSORS, None),
    "E0644-turned": ('init = ["fc.*" = load("b.safetensors", names = ["w" = "weight", "b" = "bias"])]', "", LINEAR, None),
    "E0644-size": ('init = ["fc.w" = load("b.safetensors", key = "bias")]', "", LINEAR, None),
    "E0645-integers": ('init = ["fc.b" = load("b.safetensors", key = "steps")]', "", LINEAR, None),
    "E0646-several": ('init = ["fc.*" = load("b.safetensors", key = "bias")]', "", LINEAR, None),
    "W0540-expression": ("", 'fitted = "b.bmz"', {}, BASE),
    "W0541-nothing": ("", 'fitted = "b.bmz"', {}, {**BASE, "fitted": {"k.category.table": "i64[2]"}}),
}
DRIVER = ("E0641", "W0641")
"""Found where files are opened: tests/driver/test_transfer.py."""

SELECTED = {
    "E0207-unknown": (DATA + MODEL + TRAIN, "Mm", {}),
    "E0208-key": (DATA + MODEL + TRAIN, None, {"epoch": "3"}),
    "E0208-value": (DATA + MODEL + TRAIN, None, {"epochs": "3 +"}),
}


def findings(source: str) -> Any:
    return check([SourceFile("m.bm", source)]).diagnostics


@pytest.mark.parametrize("name", CASES)
def test_the_text_of_a_diagnostic(name: str, golden: Callable[[str, str], None]) -> None:
    found = findings(CASES[name])
    if name == "E0207-several":
        found = elaborate([SourceFile("m.bm", CASES[name])])[1]
    assert name.partition("-")[0] in [d.code for d in found], render_all(found)
    golden(name, render_all(found))


@pytest.mark.parametrize("name", FILES)
def test_the_text_of_a_diagnostic_of_a_header(
    name: str, golden: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, file, content = FILES[name]
    monkeypatch.chdir(tmp_path)  # so that texts name files without their folder
    if isinstance(content, bytes):
        Path(file).write_bytes(content)
    else:
        np.savez(file, **content)
    found = findings(f'data D {{\n  source = {source}\n  columns {{ "unit price" as price: f32 }}\n  x = price\n}}\n')
    assert [d.code for d in found] == [name.partition("-")[0]]
    golden(name, render_all(found))


@pytest.mark.parametrize("name", STORED)
def test_the_text_of_a_diagnostic_of_another_model(
    name: str, golden: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries, columns, tensors, manifest = STORED[name]
    monkeypatch.chdir(tmp_path)
    Path("b.safetensors").write_bytes(tensors if isinstance(tensors, bytes) else save(tensors))
    if manifest is not None:
        write_container("b.bmz", "artefact", 1, manifest, {})
    inputs = data(columns).replace("  x = a\n", "  x = a |> standardize\n") if name[0] == "W" else data(columns)
    loss = "loss = cross_entropy(out, y) + 0 * mean(z)" if "z =" in columns else "loss = cross_entropy(out, y)"
    found = findings(f"{inputs}{MODEL}train M on D {{\n  {loss}\n  {entries}\n}}\n")
    assert next(d.code for d in found if d.code[1:3] == "06" or d.code[0] == "W") == name.partition("-")[0], render_all(found)
    golden(name, render_all(found))


@pytest.mark.parametrize("name", SELECTED)
def test_the_text_of_a_diagnostic_of_the_command_line(name: str, golden: Callable[[str, str], None]) -> None:
    source, select, overrides = SELECTED[name]
    unit, found = elaborate([SourceFile("m.bm", source)], select, overrides)
    assert unit is None
    golden(name, render_all(found))


def test_every_code_is_explained() -> None:
    folder = Path(elaborate.__code__.co_filename).parent
    codes = {c for p in folder.rglob("*.py") for c in re.findall(r'"([EW]0[2-69]\d\d)"', p.read_text())}
    assert len(codes) > 60
    assert [c for c in sorted(codes) if explain(c) is None] == []
    assert codes <= {n.partition("-")[0] for n in (*CASES, *FILES, *SELECTED, *STORED, *DRIVER)}


def test_every_code_that_the_library_names_is_explained_and_shown() -> None:
    codes = {c for file in installed_library() for c in re.findall(r'"([EW]\d{4}): ', file.text)}
    assert {"E0327", "E0419", "W0303"} <= codes
    assert [c for c in sorted(codes) if explain(c) is None] == []
    assert codes <= {n.partition("-")[0] for n in CASES}


RIGHT = {
    "auxiliary": DATA
    + "model M(x: f32[B, 4]) -> (out: f32[B, 3], aux: f32[B, 3]) {\n  h = x |> dense(8) as h\n  aux = h |> dense(3) as aux\n"
    "  if training { h = h |> dropout(0.5) }\n  return h |> dense(3) as out, aux\n}\n"
    "train M on D { loss = cross_entropy(out, y) + 0.3 * cross_entropy(aux, y); predict = softmax(out) }\n",
    "shared-in-both": DATA
    + MODEL.replace("return x |>", "d = dense(4)\n  if training { x = d(x) } else { x = 2 * d(x) }\n  return x |>")
    + TRAIN,
    "shared-with-a-layer-inside": DATA
    + MODEL.replace("return x |>", "l = residual(dense(4))\n  scan(axis = 0) i in arange(3) { x = l(x) }\n  return x |> l |>")
    + TRAIN,
    "softmax-scaled": DATA + MODEL.replace("as fc", "as fc |> softmax") + "train M on D { loss = nll(log(out), y) }\n",
    "gated-scores": DATA + MODEL.replace("as fc", "as fc").replace("return x", "return sigmoid(x) * x") + TRAIN,
    "few-rows": images("3, 32, 16", 'return x |> conv2d(16, 3, pad = "same") as c |> global_avgpool |> dense(3) as fc'),
    "one-row-kernel": images("1, 28, 28", "return x |> conv2d(16, [1, 3]) as c |> global_avgpool |> dense(3) as fc"),
    "small-map": images(
        "12, 128, 1", 'return x |> conv2d(32, 4, stride = 4) as c |> conv2d(8, 3, pad = "same") as d |> flatten |> dense(3) as fc'
    ),
    "table": sequences("return x |> learned_positions(20) as pos |> mean(axis = 1) |> dense(3) as fc"),
    "slice-by-hyper": sequences("n = 30\n  x = x[:, :n]\n  return x |> mean(axis = 1) |> dense(3) as fc"),
    "mask": sequences("x = select(unsqueeze(tok > 0, -1), x, 0)\n  return x |> mean(axis = 1) |> dense(3) as fc"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_only_looks_like_a_mistake_passes(name: str) -> None:
    assert render_all(d for d in findings(RIGHT[name]) if d.level != "note") == ""


BROAD = {
    "E0209-repeats": model("repeat 20_000 { repeat 20_000 { x = x } }\n  return x"),
    "E0209-doubling": "fn g30(x: float[...]) -> float[...] { return x }\n"
    + "".join(f"fn g{i}(x: float[...]) -> float[...] {{\n  g{i + 1}(x)\n  return g{i + 1}(x)\n}}\n" for i in range(30))
    + model("return g0(x)"),
}


@pytest.mark.parametrize("name", BROAD)
def test_bodies_beyond_any_program_end(name: str, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """These would write out 4e8 and 1e9 bodies. The limit is made small here, so that the test is."""
    monkeypatch.setattr("bmc.frontend.bodies.core.MAX_BODIES", 1000)
    golden(name, render_all(findings(BROAD[name])))


def test_numbers_that_are_written_out_are_bounded() -> None:
    """As where a masked language model puts its mask in the place of tokens."""
    text = sequences("return mean(select(arange(T) < 3, MASK, tok) |> embedding(50, 8) as m, axis = 1) |> dense(3) as o")
    text = text.replace("  x = tok |> embedding(50, 8) as e\n", "")
    assert findings(text.replace("MASK", "49")) == ()
    assert [d.code for d in findings(text.replace("MASK", "50"))] == ["E0314"]


def test_several_errors_in_one_run_and_no_cascade() -> None:
    source = model(
        "a = x + nothing\n  b = a * 2 |> relu\n  c = x |> dense(-1) as c\n  d = c + b\n  e = x[:, 9]\n  return e + d",
    )
    assert [d.code for d in findings(source)] == ["E0201", "E0317", "E0310"]


def test_one_wrong_layer_is_reported_once_however_often_it_is_applied() -> None:
    source = model(
        "repeat 5 as r { x = x |> A as a }\n  return x |> A as b",
        before="layer A(x: float[B, D]) -> float[B, D] {\n  h = x |> dense(3) as d\n  return x + h\n}\n",
    )
    assert [d.code for d in findings(source)] == ["E0304"]


def test_a_finding_in_the_library_is_shown_at_the_users_call() -> None:
    (found,) = findings(model("return x |> causal_mask |> dropout(1.5)"))
    assert found.code == "E0419"
    assert found.span is not None
    assert (found.span.file.name, found.span.text) == ("m.bm", "dropout(1.5)")


def test_what_is_wrong_with_a_data_output_hides_nothing_else() -> None:
    """Names of the model, loss, metrics, optimizer and prediction are checked though the model's input has no type."""
    source = (
        DATA.replace("  x = a\n", "  z = concat(a |> twize, a |> thrize)\n")
        + "model M(z: f32[B, F]) -> (out: f32[B]) { return z |> dense(1) as d |> relv |> squeeze(-1) }\n"
        + "train M on D {\n  loss = mes(out, a)\n  metrics = [rmze(out, a)]\n  optimizer = adma()\n  predict = [p = ezp(out)]\n}\n"
    )
    found = [d.message.split("`")[1] for d in findings(source)]
    assert found[:2] == ["twize", "thrize"]
    assert sorted(found[2:]) == ["adma", "ezp", "mes", "relv", "rmze"]


def test_a_finding_about_the_results_of_library_functions_stands_at_the_call() -> None:
    (finding,) = findings(model("return bce(x, unsqueeze(x[:, 0], 0))"))
    assert finding.span is not None
    assert finding.span.text == "bce(x, unsqueeze(x[:, 0], 0))"
    assert any(label.span.file.name.startswith("<lib>") for label in finding.labels)


def test_predictions_that_mix_at_one_place_are_one_finding() -> None:
    found = findings(train("let c = out - mean(out)\n  predict = [p = exp(c), q = -c, r = max(out)]"))
    assert [d.message.split("`")[1] for d in found] == ["p", "r"]


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ('where s in ["a", "b"]', 'is_in(x, ["a", "b"])'),
        ("where p is none", "is_missing(x)"),
        ("where k between 1 and 3", "low <= x and x <= high"),
        ('where s like "a%"', "starts_with"),
        ("where k > 1 AND k < 3", "joined by `and`"),
    ],
)
def test_conditions_of_other_languages_are_answered(words: str, note: str) -> None:
    first = findings(data(words))[0]
    assert (first.code, note in first.notes[0]) == ("E0111", True)

"""What stands around the examples of the catalogue: an example is a few lines, and these make a program of it.

In: the name of a context. Out: a program in which `@@` stands for the example. Guaranteed: `bmc explain` shows the example alone;
tests/errors/test_examples.py checks that the wrong one gives its code in the program, and the right one none.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["CONTEXTS"]

_COLUMNS = (
    "a: f32[4]; price: f32?; size: f32; rooms: f32; sold: f32; mass: f32?; city: str; store: str; k: i32; digit: i32; day: date; "
    "id: i64; image: u8[28, 28, 3]; gray: u8[1, 28, 28]; channels: u8[3, 32, 32]; series: f32[T, 2]"
)
_DATA = f'data D {{\n  source = parquet("d.parquet")\n  columns {{ {_COLUMNS} }}\n@@\n}}\n'
_PLAIN_DATA = _DATA.replace(
    "@@", '  x = a\n  y = k |> category(10)\n  t = sold |> standardize\n  names = city\n  hot = city |> onehot(["Rome"])'
)
_MODEL = "model M(hidden = 8)(x: f32[B, 4]) -> (logits: f32[B, 10], out: f32[B], h: f32[B, hidden]) {\n"
_NET = _MODEL + (
    "  h = x |> dense(hidden) as enc |> relu\n  return h |> dense(10) as head, h |> dense(1) as last |> squeeze(-1), h\n}\n"
)
_INPUTS = (
    "x: f32[B, 4], h: f32[B, 3], w: f32[3, 4], i: i32[B], n: i32[B], v: f32[B], t: f32[B, 6, 64], ids: i32[B, 6], keep: bool[B, "
    "6], s: f32[B, 4, 6, 6]"
)
_LM = (
    'let V = 11\ndata D {\n  source = npz("d.npz")\n  columns { id: i32[9]; style: f32[8] }\n  tok = id[:, :8] |> category(V)\n'
    "  y = id[:, 1:] |> category(V)\n  style = style\n}\n"
)

CONTEXTS: Mapping[str, str] = MappingProxyType(
    {
        "file": "@@",
        "body": f"model M({_INPUTS}) -> f32[B, 4] {{\n@@\n  return x\n}}\n",
        "picture": "model M(x: f32[B, 32, 32, 3]) -> f32[B, 3] {\n@@\n}\n",
        "image": "model M(x: f32[B, 28, 28, 3]) -> f32[B, 28, 28, 3] {\n@@\n  return x\n}\n",
        "layer": "layer A(x: float[B, D]) -> float[B, D] {\n@@\n  return x\n}\n"
        + _PLAIN_DATA
        + "model M(x: f32[B, 4]) -> (logits: f32[B, 10]) { return x |> A |> dense(10) as fc }\n"
        + "train M on D { loss = cross_entropy(logits, y) }\n",
        "data": _DATA.replace("@@", "  x = a\n@@")
        + "model M(x: f32[B, 4]) -> (out: f32[B]) { return x |> dense(1) |> squeeze(-1) }\n",
        "outputs": _DATA + _NET.replace("f32[B, 4]", "f32[B, F]") + "train M on D { loss = mse(out, y) }\n",
        "labels": _DATA.replace("@@", "  x = a\n@@") + _NET + "train M on D { loss = cross_entropy(logits, y) }\n",
        "block": "data D {\n@@\n}\n",
        "train": _PLAIN_DATA + _NET + "train M on D {\n  loss = cross_entropy(logits, y)\n@@\n}\n",
        "loss": _PLAIN_DATA + _NET + "train M on D {\n@@\n}\n",
        "programs": _PLAIN_DATA + "@@",
        "language model": _LM + "@@\ntrain LM on D { loss = cross_entropy(logits, y); next = [tok = sample(logits[:, -1])] }\n",
        "next": _LM
        + "model LM(tok: i32[B, T]) -> (logits: f32[B, T, V]) { return tok |> embedding(V, 6) |> dense(V) as head }\n"
        + "train LM on D { loss = cross_entropy(logits, y)\n@@\n}\n",
        "conv": _DATA + "model M(x: f32[B, H, W, C]) -> (logits: f32[B, 10]) {\n"
        "  return x |> conv2d(4, 3) as c |> relu |> global_avgpool |> dense(10) as fc\n}\n"
        "train M on D { loss = cross_entropy(logits, y) }\n",
    }
)

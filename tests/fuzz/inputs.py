"""Inputs for fuzzing the front end: random bytes, soups of tokens, and programs with something changed.

`random_input(rng)` makes one; the same generator state gives the same input. Most inputs are programs that differ from a
right one in one to three places, and mostly by whole tokens or lines, so that they get past the parser and far into
elaboration.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]

SMALL = (
    """\
data D {
  source = csv("a.csv", na = ["", "NA"])
  columns { id: i64;  price: f32?;  shop: str;  tag: str?;  day: date;  n: i32;  ok: bool;  pix: u8 }
  where n >= 0 and not is_missing(price)
  let base = price |> fill(median)
  x = concat(base |> log1p |> standardize, shop |> onehot(max = 4), number(ok), pix / 255)
  y = n |> category(3)
  w = select(ok, 2.0, 1.0)
  split = by_hash(train = 0.8, valid = 0.1, test = 0.1, seed = 7)
}
model M(hidden = 8, rate = 0.1, act = relu)(x: f32[B, F]) -> (logits: f32[B, 3], h: f32[B, hidden]) {
  h = x |> dense(hidden) as fc1 |> act |> dropout(rate)
  return h |> dense(3) as out, h
}
train M(hidden = 4) on D as small {
  loss = cross_entropy(logits, y) + 0.1 * mean(h ** 2, axis = -1)
  weight = w
  optimizer = ["fc1.*" = adamw(lr = cosine(1e-3, warmup = 10)), "*" = sgd(lr = 0.1, momentum = 0.9)]
  clip = norm(1.0)
  metrics = [accuracy(logits, y), nll = cross_entropy(logits, y)]
  predict = [label = label_of(logits, y), p = max(softmax(logits), axis = -1)]
  keep = [id]
  batch = 32
  epochs = 3
  stop = plateau(valid.loss, patience = 3)
}
""",
    """\
let D = 8
fn norm2(x: float[..., K], eps = 1e-6) -> float[...] { return sqrt(sum(x * x, axis = -1) + eps) }
layer Scaled(units, init = glorot)(x: float[..., C]) -> float[..., units] {
  param w: float[C, units] = init
  state seen: float[units] = zeros
  y = x @ w
  if training { seen = 0.9 * seen + 0.1 * mean(y) }
  return y / unsqueeze(norm2(y), -1)
}
model Net(widths = [4, 8])(x: float[B, D], tok: i32[B, T]) -> (score: float[B]) {
  emb = embedding(20, D)
  z = emb(tok) |> layernorm() as ln
  pooled = mean(z, axis = 1)
  x = concat(x, pooled, axis = -1)
  repeat i, u in zip([0, 1], widths) as blk {
    x = x |> Scaled(u) as s |> gelu
    if i == 0 { x = x |> dense(D) as up }
  }
  assert D > 2, "too small"
  return squeeze(x |> dense(1), -1)
}
""",
    """\
fn cut(x: float[B, T, C]) -> float[B, T - 1, C] { return x[:, 1:] - x[:, :-1] }
optimizer mine(lr = 0.1, betas = [0.9, 0.99])(w: float[...], g: float[...], step: float) -> float[...] {
  state m: float[...] = zeros
  m = betas[0] * m + (1 - betas[0]) * g
  return w - lr * m / (1 - betas[0] ** (step + 1))
}
model Attend(heads = 2)(x: f32[B, T, 8]) -> (y: f32[B, T, 8], a: f32[B, heads, T, T]) {
  q = transpose(reshape(x |> dense(8) as q, [B, T, heads, 4]), [0, 2, 1, 3])
  k = transpose(reshape(x |> dense(8) as k, [B, T, heads, 4]), [0, 2, 1, 3])
  a = softmax(causal_mask(q @ transpose(k) / 2))
  v = x |> dense(8, bias = false) as v |> reshape([B, T, heads, 4]) |> transpose([0, 2, 1, 3])
  y = reshape(transpose(a @ v, [0, 2, 1, 3]), [B, T, 8])
  return x + y, a
}
data S {
  source = [train = parquet("t.parquet"), valid = npz("v.npz")]
  columns { seen: f32[5, 8];  t: f32;  name: str }
  x = seen
  y = t |> standardize
}
train Attend on S {
  loss = mse(mean(Attend.y[:, -1], axis = -1), S.y)
  optimizer = mine(lr = ramp(0.1, 10))
  metrics = [r2 = r2(mean(Attend.y[:, 0], axis = -1), S.y)]
  predict = undo(mean(Attend.y[:, -1], axis = -1), S.y)
  steps = 100
}
""",
)


def _read(*patterns: str) -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8") for pattern in patterns for path in sorted(ROOT.glob(pattern)))


LARGE = _read("tests/examples/*.bm", "models/*/*.bm")
LIBRARY = _read("bmc/lib/*.bm")

WORDS = """
use let fn layer model optimizer data train param state return assert if else repeat scan yield columns where distinct
by in on as and or not true false none training B T F D K 0 1 -1 2 3 7 64 0.5 1e-3 1e999 9999999999999999999 -0.0 inf pi
x y w h step dense relu softmax dropout embedding layernorm cross_entropy mse adam sgd glorot zeros ones normal arange
float f32 f64 i32 u8 bool str date f32? sum mean max argmax concat reshape transpose select take onehot category fill
median standardize fit undo label_of sort ranks counts size rank squeeze unsqueeze stop_gradient number floor log exp
sqrt is_missing zip range split loss metrics predict weight class_weight clip shards accumulate epochs steps stop seed
keep batch inputs fitted source csv npz parquet by_hash by_order
"""
TOKENS = (
    *WORDS.split(),
    '"s"', '"a.csv"', '""', '"', "'", '(', ')', '[', ']', '{', '}', ',', ':', ';', '.', '=', '|>', '->', '?', '...', '#',
    '+', '-', '*', '/', '//', '%', '**', '@', '==', '!=', '<', '<=', '>', '>=', 'é', '\\', '\x00', '\n', '\n  ', ' ',
    '\r\n', '\u202e', '\ufeff', '\ud800', '((((((((',
    "[" * 50,
    "-" * 40,
    "9" * 400,
)  # fmt: skip
FORMS = (
    "@@()", "@@[0]", "@@[:, -1]", "@@[::0]", "@@[5:2]", "[@@]", "(-@@)", "@@.w", "sum(@@)", "(@@, @@)", "fit(@@)", "@@(@@)",
    "argmax(@@)", "(@@ @ @@)", "not @@", "transpose(@@, [0, 0])", "reshape(@@, [0, -1])", "@@ ** @@", "undo(@@, y)", "(1 / @@)",
)  # fmt: skip
"""What may become of a name, `@@`."""
_PIECE = re.compile(r"\w+|\"[^\"\n]*\"|\|>|->|\*\*|//|[<>=!]=|\.\.\.|\s+|.", re.DOTALL)
_NUMBERS = (
    "0", "1", "-1", "2", "3", "1e30", "0.0", "100000000000", "-5", "2.5", "true", '"a"', "none", "[1, 2]", "[]", "f32", "B", "relu",
)  # fmt: skip


def random_input(rng: random.Random) -> str:
    """One input."""
    kind = rng.random()
    if kind < 0.05:
        return rng.randbytes(rng.randrange(300)).decode("utf-8", "surrogateescape")
    if kind < 0.15:
        return rng.choice(["", " "]).join(rng.choice(TOKENS) for _ in range(rng.randrange(60)))
    text = rng.choice(LARGE) if kind < 0.25 else rng.choice(SMALL)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        text = rng.choice(_CHANGES)(text, rng)
    return text


def _pieces(text: str) -> list[str]:
    return _PIECE.findall(text)


def _pick(pieces: Sequence[str], rng: random.Random, accept: Callable[[str], bool]) -> int | None:
    places = [i for i, piece in enumerate(pieces) if accept(piece)]
    return rng.choice(places) if places else None


def _solid(piece: str) -> bool:
    return not piece.isspace()


def _replace_token(text: str, rng: random.Random) -> str:
    """A token becomes another one: often a name of the same program."""
    pieces = _pieces(text)
    at = _pick(pieces, rng, _solid)
    if at is not None:
        pieces[at] = rng.choice(TOKENS) if rng.random() < 0.4 else rng.choice([p for p in pieces if _solid(p)])
    return "".join(pieces)


def _replace_name(text: str, rng: random.Random) -> str:
    """A name becomes another name of this program or of the library."""
    pieces = _pieces(text)
    at = _pick(pieces, rng, str.isidentifier)
    if at is not None:
        names = [p for p in (pieces if rng.random() < 0.6 else _pieces(rng.choice(LIBRARY)) + list(TOKENS)) if p.isidentifier()]
        pieces[at] = rng.choice(names)
    return "".join(pieces)


def _replace_number(text: str, rng: random.Random) -> str:
    pieces = _pieces(text)
    at = _pick(pieces, rng, str.isdecimal)
    if at is not None:
        pieces[at] = rng.choice(_NUMBERS)
    return "".join(pieces)


def _drop_token(text: str, rng: random.Random) -> str:
    pieces = _pieces(text)
    at = _pick(pieces, rng, _solid)
    if at is not None:
        del pieces[at]
    return "".join(pieces)


def _insert_token(text: str, rng: random.Random) -> str:
    pieces = _pieces(text)
    pieces.insert(rng.randrange(len(pieces) + 1), f" {rng.choice(TOKENS)} ")
    return "".join(pieces)


def _wrap(text: str, rng: random.Random) -> str:
    """A name becomes a call, an index, a list, a negation of itself."""
    pieces = _pieces(text)
    at = _pick(pieces, rng, str.isidentifier)
    if at is not None:
        name = pieces[at]
        pieces[at] = rng.choice(FORMS).replace("@@", name)
    return "".join(pieces)


def _lines(text: str, rng: random.Random) -> str:
    """A line goes, comes twice, or changes place; or comes from another program."""
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    action = rng.randrange(4)
    if action == 0:
        del lines[at]
    elif action == 1:
        lines.insert(at, lines[at])
    elif action == 2:
        lines.insert(rng.randrange(len(lines)), lines.pop(at))
    else:
        lines.insert(at, rng.choice(rng.choice((*SMALL, *LARGE, *LIBRARY)).split("\n")))
    return "\n".join(lines)


def _characters(text: str, rng: random.Random) -> str:
    """A few characters go, or are repeated."""
    at = rng.randrange(len(text) + 1)
    end = min(len(text), at + rng.choice([1, 1, 2, 5, 40]))
    return text[:at] + text[end:] if rng.random() < 0.5 else text[:end] + text[at:]


_CHANGES: tuple[Callable[[str, random.Random], str], ...] = (
    _replace_token, _replace_name, _replace_name, _replace_number, _drop_token,
    _insert_token, _wrap, _wrap, _lines, _lines, _characters,
)  # fmt: skip

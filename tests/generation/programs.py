"""Language models of every kind, as programs that generate, and their scores at the last position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from bmc.codegen.jit import load_object
from bmc.codegen.target import host_target
from bmc.driver.compiled import Options, program_of
from bmc.driver.load import load_unit, text_source
from bmc.driver.session import Session, SessionOptions
from bmc.frontend.unit import NEXT, NEXT_STEP, Unit
from bmc.ir import Function, Module, Result
from bmc.record import replace
from bmc_runtime.binding import BoundFunction, Library
from bmc_runtime.generation import CACHE, continued, recomputed
from bmc_runtime.memory import Array, allocate
from bmc_runtime.plan import evaluate_dim

HEAD = """let V = 19
let CTX = 24
data Text {
  source = npz("t.npz")
  columns { id: i32[CTX + 1] }
  tok = id[:, :CTX] |> category(V)
  y   = id[:, 1:] |> category(V)
}
"""

TRAIN = """
train LM on Text {
  loss = cross_entropy(logits, y)
  metrics = [ppl = exp(mean(cross_entropy(logits, y)))]
  next = [tok = sample(logits[:, -1], temperature = 0.9, top_k = 12, top_p = 0.95)]
  batch = 4
  steps = 3
}
"""

ROTARY = """fn rotary(x: float[B, H, T, E], base = 10_000.0) -> float[B, H, T, E] {
  inv = base ** (-2.0 * arange(E // 2) / E)
  ang = unsqueeze(arange(T), 1) * inv
  a, b = split(x, 2, axis = -1)
  return concat(a * cos(ang) - b * sin(ang), a * sin(ang) + b * cos(ang))
}
"""

GROUPED = (
    ROTARY
    + """layer Attention(D, heads, groups)(x: float[B, T, D]) -> float[B, T, D] {
  let E = D // heads
  q = x |> dense(D, bias = false) as q |> rearrange("b t (g r e) -> b (g r) t e", g = groups, e = E) |> rotary
  k, v = x |> dense(2 * groups * E, bias = false) as kv |> rearrange("b t (n g e) -> n b g t e", n = 2, g = groups)
  q = q |> rearrange("b (g r) t e -> b g r t e", g = groups)
  s = einsum("b g r i e, b g j e -> b g r i j", q, rotary(k)) / E ** 0.5
  a = s |> causal_mask |> softmax |> dropout(0.1)
  o = einsum("b g r i j, b g j e -> b g r i e", a, v)
  return o |> rearrange("b g r t e -> b t (g r e)") |> dense(D, bias = false) as proj
}
model LM(D = 32, heads = 4, groups = 2, depth = 2)(tok: i32[B, T]) -> (logits: f32[B, T, V]) {
  wte = embedding(V, D, init = normal(std = 0.4))
  x = wte(tok) |> dropout(0.1)
  repeat depth as blk {
    x = x + (x |> rmsnorm as n1 |> Attention(D, heads, groups) as attn)
    x = x + (x |> layernorm as n2 |> dense(4 * D) as up |> gelu |> dense(D) as down)
  }
  return (x |> rmsnorm as ln_f) @ transpose(wte.w)
}
"""
)

HEADS = """layer Attention(D, heads)(x: float[B, T, D]) -> float[B, T, D] {
  let E = D // heads
  q, k, v = x |> dense(3 * D) as qkv |> rearrange("b t (n h e) -> n b h t e", n = 3, h = heads)
  s = q @ transpose(k) / E ** 0.5
  o = softmax(MASKED) @ v
  return o |> rearrange("b h t e -> b t (h e)") |> dense(D) as proj
}
model LM(D = 24, heads = 3, depth = 2)(tok: i32[B, T]) -> (logits: f32[B, T, V]) {
  x = tok |> embedding(V, D) as wte
  POSITIONS
  repeat depth as blk {
    x = x + (x |> layernorm as n1 |> Attention(D, heads) as attn)
    x = x + (x |> layernorm as n2 |> dense(4 * D) as up |> gelu |> dense(D) as down)
  }
  return x |> layernorm as ln_f |> dense(V) as head
}
"""

LEARNED = "param pos: float[64, D] = normal(std = 0.3)\n  x = x + pos[:T]"


def heads(masked: str = "causal_mask(s)", positions: str = "", before: str = "") -> str:
    return before + HEADS.replace("MASKED", masked).replace("POSITIONS", positions)


def recurrent(layers: str) -> str:
    return f"""model LM(D = 20)(tok: i32[B, T]) -> (logits: f32[B, T, V]) {{
  x = tok |> embedding(V, D) as wte
  {layers}
  return x |> dense(V) as head
}}
"""


ALIBI = """fn alibi(s: float[B, H, T, J]) -> float[B, H, T, J] {
  slope = 2.0 ** (-8.0 * (arange(H) + 1) / H)
  away = number(unsqueeze(arange(T), 1) - arange(J))
  return s - unsqueeze(unsqueeze(slope, -1), -1) * away
}
"""

WINDOW = """fn near(s: float[B, H, T, J]) -> float[B, H, T, J] {
  i = unsqueeze(arange(T), 1)
  j = unsqueeze(arange(J), 0)
  return select((j <= i) and (i - j < 5), s, -inf)
}
"""

KEPT: Mapping[str, str] = {
    "rotary, grouped queries": GROUPED,
    "learned positions": heads(positions=LEARNED),
    "alibi": heads("causal_mask(alibi(s))", before=ALIBI),
    "window": heads("near(s)", before=WINDOW),
    "mask added": heads("s + select(unsqueeze(arange(T), 1) >= arange(T), 0.0, -inf)"),
    "gru": recurrent("x, _ = x |> gru(24) as rnn"),
    "lstm of two layers": recurrent("a, _, _ = x |> lstm(24) as one\n  x, _, _ = a |> lstm(16) as two"),
    "rnn beside attention": recurrent("a, _ = x |> rnn(20) as rnn\n  x = a + softmax(causal_mask(x @ transpose(x))) @ a"),
    "causal convolutions": recurrent(
        "repeat d in [1, 2, 4] as wave {\n"
        '    h = x |> conv1d(2 * D, 3, dilation = d, pad = "causal") as conv\n'
        "    x = x + (h |> glu |> dense(D) as out)\n"
        "  }"
    ),
    "each channel, and pools": recurrent(
        'x = x + (x |> depthwise1d(4, pad = "causal") as own)\n'
        '  x = x + maxpool1d(x, 3, stride = 1, pad = "causal") + (x |> conv1d(D, 1) as one)'
    ),
    "positions moved on": recurrent(
        "param start: float[2, D] = normal()\n"
        "  s: float[B, 2, D] = zeros\n"
        "  x = x + concat(s + start, x[:, :-2], axis = 1)\n"
        "  a, _ = x |> gru(D) as rnn\n"
        "  x = a * x"
    ),
    "running means": recurrent("x = x + cumsum(x, axis = 1) / unsqueeze(number(arange(T)) + 1, 1)"),
}
"""Programs in which every position is computed once."""

WHOLE: Mapping[str, str] = {
    "no mask": heads("s"),
    "mask of a large number": heads("select(unsqueeze(arange(T), 1) >= arange(T), s, -1e9)"),
    "mean of all positions": recurrent("x = x + mean(x, axis = 1, keep = true)"),
    "turns over a table that sum over positions": recurrent(
        "param table: float[4, D] = normal()\n  ones_of_all: float[T, D] = ones\n  n: float[D] = 0.0\n"
        "  scan(axis = 0) r in table { n = n + sum(unsqueeze(r, 0) + ones_of_all, axis = 0) }\n  x = x * sin(n)\n"
        "  x = softmax(causal_mask(x @ transpose(x))) @ x"
    ),
    "turns that know the length": recurrent(
        "m: float[B, D] = zeros\n  scan(axis = 1) v in x {\n    m = tanh(m + v / T)\n    yield ms = m\n  }\n  x = ms"
    ),
    "backwards": recurrent("x, _ = x |> gru(24, reverse = true) as rnn"),
}
"""Programs in which a later position changes earlier ones."""


def unit_of(model: str, train: str = TRAIN, float_type: str = "f32", **overrides: str) -> Unit:
    return load_unit(text_source(HEAD + model + train, overrides, "f64" if float_type == "f64" else "f32"))


def session_of(unit: Unit, seed: int = 1) -> Session:
    made = Session(unit, SessionOptions(None))
    made.initialise(seed)
    return made


def scores_of(unit: Unit, name: str) -> Function:
    """The function `name` that gives the scores of the last position, and below them what is drawn."""
    function = unit.module.function(name)
    ordered = next(op for op in function.ops if op.name == "sort")
    return replace(function, results=(*function.results, Result(ordered.operands[0], "output", "scores")))


def settings_of(unit: Unit, **changed: float) -> dict[str, Array]:
    assert unit.generation is not None
    made = {}
    for name, value in {**dict(unit.generation.settings), **changed}.items():
        made[name] = allocate("f64", ())
        made[name][...] = value
    return made


class Scored:
    """A program whose functions give the scores of the last position too."""

    def __init__(self, session: Session) -> None:
        self.session, self.unit = session, session.unit
        assert self.unit.generation is not None
        self.grows = self.unit.generation.input
        module = Module((scores_of(self.unit, NEXT), scores_of(self.unit, NEXT_STEP)))
        self.library = Library(program_of(module, host_target(), Options()), load_object)

    def _run(self, name: str, store: Mapping[str, Array], ids: Any, length: int) -> Any:
        function = BoundFunction(self.library, name, store)
        sizes = {"B": ids.shape[0], "T": length, "N": ids.shape[1]}
        dims = {symbol: sizes[symbol] for symbol in (*function.plan.dims, function.plan.row) if symbol}
        given = allocate("i32", ids.shape)
        given[...] = ids
        binding = function.bind(dims, {**settings_of(self.unit), self.grows: given})
        binding.set_control(0, length, 0, 0, 0, ids.shape[0])
        binding.run()
        return binding.outputs["scores"].copy()

    def recomputed(self, ids: Any) -> Any:
        """Scores behind a prefix, by the whole of it."""
        return self._run(NEXT, self.session.store, ids, ids.shape[1])

    def kept(self, ids: Any, chunks: Sequence[int], room: int) -> Iterator[tuple[int, Any]]:
        """(length, scores) after each chunk of new positions. What is kept begins as garbage."""
        plan = self.library.program.functions[NEXT_STEP]
        caches: dict[str, tuple[Array, bool]] = {}
        for buffer in plan.buffers:
            if buffer.kind == "state" and buffer.key.startswith(CACHE):
                sizes = {"B": ids.shape[0], "T": room}
                made = allocate(buffer.dtype, tuple(evaluate_dim(d, sizes) for d in buffer.shape))
                made.reshape(-1).view(np.uint8)[...] = 0xA5
                caches[buffer.key] = made, "T" in buffer.shape[:1]
        length = 0
        for chunk in chunks:
            length += chunk
            store = {key: array[:length] if grows else array for key, (array, grows) in caches.items()}
            yield length, self._run(NEXT_STEP, {**self.session.store, **store}, ids[:, length - chunk : length], length)


def both(session: Session, prompt: Any, count: int, seed: int = 7, **changed: float) -> tuple[Any, Any]:
    """What follows the prompt, `[count, rows]`, by recomputing and from what is kept."""
    unit = session.unit
    assert unit.generation is not None
    given = settings_of(unit, **changed)
    found = []
    for follow, name in ((recomputed, NEXT), (continued, NEXT_STEP)):
        turns: Iterator[Array] = follow(session.library(name), name, session.store, given, unit.generation.input, prompt, seed)
        found.append(np.array(list(islice(turns, count))))
    return found[0], found[1]

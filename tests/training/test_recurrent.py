"""Recurrent layers trained as PyTorch trains them: the same weights, the same batches, sequences of several lengths.

In f64 losses must agree to 1e-8 relative: each step rounds to 1e-16 and the steps of a smooth problem enlarge that by a few
orders of magnitude, while a formula that differs shows in the fourth digit. In f32 they may leave PyTorch's f64 losses by 3
times as far as PyTorch's own f32 losses do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bmc_runtime.order import epoch_order
from tests.training.trials import Trial

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

ROWS, LENGTH, FEATURES, HIDDEN, CLASSES, BATCH, SEED = 40, 7, 5, 6, 3, 8, 3
RECURRENT = (Path(__file__).parents[1] / "examples" / "recurrent.bm").read_text(encoding="utf-8")
LAYERS = RECURRENT[RECURRENT.index("fn steps_of") : RECURRENT.index("model Net")]
functional: Any = torch.nn.functional


def arrays_of(seed: int = 0, length: int = LENGTH) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(ROWS, length, FEATURES)).astype(np.float32),
        "len": rng.integers(1, length + 1, size=ROWS).astype(np.int32),
        "y": rng.integers(0, CLASSES, size=ROWS),
    }


def text_of(body: str, layers: str = LAYERS, steps: int = 40, settings: str = "", float_type: str = "f64") -> str:
    return f"""
data D {{
  source = npz("absent.npz")
  columns {{ a: {float_type}[{LENGTH}, {FEATURES}]; n: i32; label: i32 }}
  x = a
  len = n
  y = label |> category({CLASSES})
}}
{layers}
model M()(x: float[B, T, F], len: i32[B]) -> (logits: float[B, {CLASSES}]) {{
{body}
}}
train M on D {{
  loss = cross_entropy(logits, y)
  optimizer = sgd(lr = 0.5)
  steps = {steps}
  batch = {BATCH}
  seed = {SEED}
  {settings}
}}
"""


def initial(trial: Trial, seed: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {w.key: rng.normal(scale=0.4, size=w.type.shape).astype(np.float32) for w in trial.unit.weights}


Forward = Callable[[dict[str, Any], Any, Any], Any]


def twin(forward: Forward, weights: dict[str, Any], arrays: dict[str, Any], steps: int, dtype: Any) -> list[float]:
    params = {key: torch.tensor(value, dtype=dtype, requires_grad=True) for key, value in weights.items()}
    optimizer = torch.optim.SGD(list(params.values()), lr=0.5)
    losses: list[float] = []
    epoch = 0
    while len(losses) < steps:
        order = epoch_order(SEED, epoch, (ROWS,))
        for first in range(0, ROWS, BATCH):
            rows = order[first : first + BATCH]
            logits = forward(params, torch.tensor(arrays["x"][rows], dtype=dtype), torch.tensor(arrays["len"][rows]))
            loss = functional.cross_entropy(logits, torch.tensor(arrays["y"][rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        epoch += 1
    return losses[:steps]


def masked(
    cell: Callable[[Any, tuple[Any, ...]], tuple[Any, ...]], x: Any, lengths: Any, state: tuple[Any, ...], reverse: bool
) -> Any:
    """(all, last) of a cell over the steps of each row; a state that is past the end stays."""
    stacked: list[Any] = [None] * x.shape[1]
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        inside = (t < lengths)[:, None]
        state = tuple(torch.where(inside, new, old) for new, old in zip(cell(x[:, t], state), state, strict=True))
        stacked[t] = state[0]
    return torch.stack(stacked, 1), state[0]


def gru(w: dict[str, Any], key: str, x: Any, lengths: Any, reverse: bool = False) -> Any:
    def cell(xt: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        new = functional_gru(xt, state[0], *(w[f"{key}.{name}"] for name in ("ih.w", "ih.b", "hh.w", "hh.b")))
        return (new,)

    return masked(cell, x, lengths, (x.new_zeros(len(x), HIDDEN),), reverse)


def functional_gru(x: Any, h: Any, wi: Any, bi: Any, wh: Any, bh: Any) -> Any:
    """PyTorch's own cell, whose gates are r, z, n as here."""
    return torch.gru_cell(x, h, wi.T, wh.T, bi, bh)


def peephole(w: dict[str, Any], key: str, x: Any, lengths: Any, reverse: bool = False) -> Any:
    def cell(xt: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        h, c = state
        i, f, g, o = (xt @ w[f"{key}.ih.w"] + w[f"{key}.ih.b"] + h @ w[f"{key}.hh.w"]).chunk(4, -1)
        c2 = torch.sigmoid(f + w[f"{key}.pf"] * c) * c + torch.sigmoid(i + w[f"{key}.pi"] * c) * torch.tanh(g)
        return torch.sigmoid(o + w[f"{key}.po"] * c2) * torch.tanh(c2), c2

    zeros = x.new_zeros(len(x), HIDDEN)
    return masked(cell, x, lengths, (zeros, zeros), reverse)


def both(layer: Any) -> Forward:
    def forward(w: dict[str, Any], x: Any, lengths: Any) -> Any:
        for depth in range(2):
            ahead, last = layer(w, f"layer.{depth}.bi.fwd", x, lengths)
            behind, first = layer(w, f"layer.{depth}.bi.bwd", x, lengths, reverse=True)
            x, end = torch.cat([ahead, behind], -1), torch.cat([last, first], -1)
        return end @ w["out.w"] + w["out.b"]

    return forward


def stacked(cell: str) -> str:
    return f"""  repeat 2 as layer {{
    x, last = (x, len) |> Bi({cell}, {HIDDEN}) as bi
  }}
  return last |> dense({CLASSES}) as out"""


def single(layer: Any, key: str, pool: bool) -> Forward:
    def forward(w: dict[str, Any], x: Any, lengths: Any) -> Any:
        every, last = layer(w, key, x, lengths)
        return (every.mean(1) if pool else last) @ w["out.w"] + w["out.b"]

    return forward


CASES = {
    "gru": (f"  all, last = (x, len) |> GRU({HIDDEN}) as r\n  return last |> dense({CLASSES}) as out", single(gru, "r", False)),
    "gru-all": (
        f"  all, last = (x, len) |> GRU({HIDDEN}) as r\n  return mean(all, 1) |> dense({CLASSES}) as out",
        single(gru, "r", True),
    ),
    "gru-bi": (stacked("GRU"), both(gru)),
    "lstm": (
        f"  all, last = (x, len) |> PeepholeLSTM({HIDDEN}) as r\n  return mean(all, 1) |> dense({CLASSES}) as out",
        single(peephole, "r", True),
    ),
    "lstm-bi": (stacked("PeepholeLSTM"), both(peephole)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("settings", ["shards = 1", "shards = 4"])
def test_in_f64_the_losses_are_those_of_pytorch(name: str, settings: str) -> None:
    body, forward = CASES[name]
    steps = 40
    trial = Trial(text_of(body, steps=steps, settings=settings))
    arrays, weights = arrays_of(), initial(trial)
    found = trial.train(arrays, weights)
    np.testing.assert_allclose(found, twin(forward, weights, arrays, steps, torch.float64), rtol=1e-8, atol=0)


@pytest.mark.parametrize("name", ["gru-bi", "lstm"])
def test_in_f32_the_losses_stay_as_near_as_those_of_pytorch(name: str) -> None:
    body, forward = CASES[name]
    steps = 40
    trial = Trial(text_of(body, steps=steps, float_type="f32"), float_type="f32")
    arrays, weights = arrays_of(), initial(trial)
    exact = np.array(twin(forward, weights, arrays, steps, torch.float64))
    drift = np.abs(np.array(twin(forward, weights, arrays, steps, torch.float32)) - exact).max()
    assert np.abs(np.array(trial.train(arrays, weights)) - exact).max() <= 3 * drift


# --- the layers of the library, against the modules of PyTorch ---


LIBRARY = {
    "rnn": (1, torch.nn.RNN, "all, last"),
    "lstm": (4, torch.nn.LSTM, "all, last, cell"),
    "gru": (3, torch.nn.GRU, "all, last"),
}


def module_of(kind: str, weights: dict[str, Any], key: str, dtype: Any, **settings: Any) -> Any:
    module = LIBRARY[kind][1](FEATURES, HIDDEN, batch_first=True, dtype=dtype, **settings)
    names = {"weight_ih_l0": "ih.w", "weight_hh_l0": "step.hh.w", "bias_ih_l0": "ih.b", "bias_hh_l0": "step.hh.b"}
    parts = {"": key} if not settings.get("bidirectional") else {"": f"{key}.fwd", "_reverse": f"{key}.bwd"}
    with torch.no_grad():
        for suffix, part in parts.items():
            for theirs, ours in names.items():
                getattr(module, theirs + suffix).copy_(torch.tensor(weights[f"{part}.{ours}"].T))
    return module


@pytest.mark.parametrize("packed", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize("kind", LIBRARY)
def test_a_layer_of_the_library_is_the_module_of_pytorch(kind: str, packed: bool) -> None:
    inputs = "(x, len)" if packed else "x"
    body = f"  {LIBRARY[kind][2]} = {inputs} |> {kind}({HIDDEN}) as r\n  return mean(all, 1) + last |> dense({CLASSES}) as out"
    steps = 10
    trial = Trial(text_of(body, layers="", steps=steps))
    arrays, weights = arrays_of(), initial(trial)
    module = module_of(kind, weights, "r", torch.float64)
    out = {key: torch.tensor(weights[f"out.{key}"], dtype=torch.float64, requires_grad=True) for key in "wb"}
    optimizer = torch.optim.SGD([*module.parameters(), *out.values()], lr=0.5)
    losses = []
    for epoch in range(2):
        order = epoch_order(SEED, epoch, (ROWS,))
        for first in range(0, ROWS, BATCH):
            rows = order[first : first + BATCH]
            x, lengths = torch.tensor(arrays["x"][rows], dtype=torch.float64), torch.tensor(arrays["len"][rows])
            if packed:
                pack = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                packed_all, last = module(pack)
                every, _ = torch.nn.utils.rnn.pad_packed_sequence(packed_all, batch_first=True, total_length=LENGTH)
                last = last[0] if kind == "lstm" else last
                beyond = torch.arange(LENGTH)[None, :, None] >= lengths[:, None, None]
                every = torch.where(beyond, last[0][:, None], every)  # past a row's end ours stays
            else:
                every, last = module(x)
                last = last[0] if kind == "lstm" else last
            logits = (every.mean(1) + last[0]) @ out["w"] + out["b"]
            loss = functional.cross_entropy(logits, torch.tensor(arrays["y"][rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    np.testing.assert_allclose(trial.train(arrays, weights), losses, rtol=1e-8, atol=0)


def test_both_directions_side_by_side() -> None:
    body = f"  all, last = (x, len) |> bidirectional(gru, {HIDDEN}) as r\n  return last |> dense({CLASSES}) as out"
    trial = Trial(text_of(body, layers="", steps=5))
    arrays, weights = arrays_of(), initial(trial)
    module = module_of("gru", weights, "r", torch.float64, bidirectional=True)
    rows = epoch_order(SEED, 0, (ROWS,))[:BATCH]
    x, lengths = torch.tensor(arrays["x"][rows], dtype=torch.float64), torch.tensor(arrays["len"][rows])
    pack = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    _, last = module(pack)
    logits = torch.cat([last[0], last[1]], -1) @ torch.tensor(weights["out.w"], dtype=torch.float64)
    loss = functional.cross_entropy(logits + torch.tensor(weights["out.b"]), torch.tensor(arrays["y"][rows]))
    np.testing.assert_allclose(trial.train(arrays, weights)[0], float(loss.detach()), rtol=1e-12)

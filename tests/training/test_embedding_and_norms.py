"""Embeddings and norms trained as PyTorch trains them: 200 steps, with the tolerances of test_against_torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bmc_runtime.order import epoch_order
from tests.training.trials import Trial

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

functional: Any = torch.nn.functional
STEPS, BATCH, ROWS, LENGTH, WORDS, WIDTH, CLASSES, SEED = 200, 12, 100, 6, 9, 8, 4, 2


def program(float_type: str, shards: int) -> str:
    """A token may stand in a row several times, so that its gradient has several parts; the table's weights are used twice."""
    return f"""
data D {{
  source = npz("absent.npz")
  columns {{ text: i32[{LENGTH}]; label: i32 }}
  tok = text |> category({WORDS})
  y = label |> category({CLASSES})
}}
model M()(tok: i32[B, T]) -> (logits: float[B, {CLASSES}]) {{
  table = embedding({WORDS}, {WIDTH})
  h = table(tok) |> layernorm() as first |> dense({WIDTH}) as mix |> gelu
  h = h + table(tok)
  pooled = mean(h |> rmsnorm() as second, axis = 1)
  scores = softmax(pooled @ transpose(table.w))
  return concat(pooled, scores, axis = -1) |> dense({CLASSES}) as out
}}
train M on D {{
  loss = cross_entropy(logits, y)
  optimizer = adam(lr = 3e-3)
  steps = {STEPS}
  batch = {BATCH}
  shards = {shards}
  seed = {SEED}
}}
"""


def arrays_of() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    tok = rng.integers(0, WORDS, (ROWS, LENGTH))
    return {"tok": tok, "y": (tok.sum(1) // 3) % CLASSES}


def weights_of() -> dict[str, Any]:
    rng = np.random.default_rng(1)

    def normal(*shape: int) -> Any:
        return (rng.normal(size=shape) * 0.5).astype(np.float32)

    return {
        "table.w": normal(WORDS, WIDTH),
        "first.g": 1 + normal(WIDTH),
        "first.b": normal(WIDTH),
        "mix.w": normal(WIDTH, WIDTH),
        "mix.b": normal(WIDTH),
        "second.g": 1 + normal(WIDTH),
        "out.w": normal(WIDTH + WORDS, CLASSES),
        "out.b": normal(CLASSES),
    }


def torch_losses(dtype: Any) -> list[float]:
    w = {key: torch.from_numpy(array).to(dtype).requires_grad_() for key, array in weights_of().items()}
    arrays = {key: torch.from_numpy(array) for key, array in arrays_of().items()}
    optimizer = torch.optim.Adam(w.values(), 3e-3)
    found: list[float] = []
    epoch = 0
    while len(found) < STEPS:
        order = torch.from_numpy(epoch_order(SEED, epoch, (ROWS,)))
        for rows in order.split(BATCH):
            e = functional.embedding(arrays["tok"][rows], w["table.w"])
            h = functional.layer_norm(e, (WIDTH,), w["first.g"], w["first.b"])
            h = functional.gelu(h @ w["mix.w"] + w["mix.b"]) + e
            pooled = functional.rms_norm(h, (WIDTH,), w["second.g"], 1e-5).mean(1)
            joined = torch.cat([pooled, torch.softmax(pooled @ w["table.w"].T, -1)], -1)
            loss = functional.cross_entropy(joined @ w["out.w"] + w["out.b"], arrays["y"][rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        epoch += 1
    return found[:STEPS]


@pytest.mark.parametrize("shards", [1, 4])
def test_losses(shards: int) -> None:
    exact = np.array(torch_losses(torch.float64))
    assert exact[-10:].mean() < 0.9 * exact[:10].mean()
    found = Trial(program("f64", shards), "f64").train(arrays_of(), weights_of())
    np.testing.assert_allclose(found, exact, rtol=1e-8)
    theirs = np.max(np.abs(np.array(torch_losses(torch.float32)) - exact))
    single = np.array(Trial(program("f32", shards), "f32").train(arrays_of(), weights_of()))
    assert np.max(np.abs(single - exact)) <= 3 * theirs

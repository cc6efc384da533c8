"""W6, a training step of a small GPT with AdamW, batch 16 of 64 tokens: bmc beside PyTorch, on one core.

    python benchmarks/w6.py [--peers-only] [--rounds N]

Bound (exit status 1 if missed): no slower than PyTorch eager.
"""

from measure import on_one_core

on_one_core()  # before the libraries below load and size their thread pools

from collections.abc import Sequence  # noqa: E402
from itertools import cycle  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

from bmc_steps import bmc_step  # noqa: E402
from compare import LOSS_STEPS, LOSS_TOLERANCE, Bound, options, verdict  # noqa: E402
from measure import Contender, interleave, losses_agree, table  # noqa: E402
from workloads import HERE, Adam, Batch, Weights, Workload  # noqa: E402

VOCABULARY, TOKENS, WIDTH, HEADS, DEPTH, BATCH = 65, 64, 128, 4, 4, 16


class Block(torch.nn.Module):  # type: ignore[misc]
    """A pre-norm transformer block. `fused`: PyTorch's own attention, else its formula written out."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        nn = torch.nn
        self.n1, self.n2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.fused = fused
        self.register_buffer("hidden", torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1))

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        rows = len(x)
        q, k, v = self.qkv(x).view(rows, TOKENS, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        if self.fused:
            mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = (q @ k.transpose(-1, -2)) * (WIDTH // HEADS) ** -0.5
            mixed = scores.masked_fill(self.hidden, float("-inf")).softmax(-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(rows, TOKENS, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attend(self.n1(x))
        return x + self.down(torch.nn.functional.gelu(self.up(self.n2(x))))


class TorchGpt:
    """The twin in PyTorch's own layers."""

    def __init__(self, weights: Weights, batches: Sequence[Batch], fused: bool) -> None:
        torch.set_num_threads(1)
        self.name = "torch eager" if fused else "torch eager, attention written out"
        nn = torch.nn
        self._embedding, self._position = nn.Embedding(VOCABULARY, WIDTH), nn.Parameter(torch.empty(TOKENS, WIDTH))
        self._blocks = nn.Sequential(*(Block(fused) for _ in range(DEPTH)))
        self._tail = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY))
        with torch.no_grad():
            self._embedding.weight.copy_(torch.from_numpy(weights["emb.w"]))
            self._position.copy_(torch.from_numpy(weights["pos"]))
            for n, block in enumerate(self._blocks):
                for key, layer in (("attn.qkv", block.qkv), ("attn.proj", block.proj), ("up", block.up), ("down", block.down)):
                    _linear(layer, weights, f"blk.{n}.{key}")
            _linear(self._tail[1], weights, "head")
        modules = [self._embedding, self._blocks, self._tail]
        parameters = [self._position, *(p for module in modules for p in module.parameters())]
        self._optimizer = torch.optim.AdamW(parameters, 1e-3, weight_decay=0.01)
        self._batches = cycle([(torch.from_numpy(x).long(), torch.from_numpy(y).long()) for x, y in batches])
        self._last = torch.zeros(())

    def step(self) -> None:
        x, y = next(self._batches)
        self._optimizer.zero_grad(set_to_none=True)
        logits = self._tail(self._blocks(self._embedding(x) + self._position))
        self._last = torch.nn.functional.cross_entropy(logits.view(-1, VOCABULARY), y.view(-1))
        self._last.backward()
        self._optimizer.step()

    def loss(self) -> float:
        return float(self._last.detach())


def _linear(layer: torch.nn.Linear, weights: Weights, key: str) -> None:
    layer.weight.copy_(torch.from_numpy(weights[f"{key}.w"].T))
    layer.bias.copy_(torch.from_numpy(weights[f"{key}.b"]))


def weights() -> Weights:
    """Uniform in ±1/sqrt(fan in); embeddings normal(0.02). Norms start as ones and zeros on both sides."""
    rng = np.random.default_rng(1)
    found: Weights = {
        "emb.w": rng.normal(0, 0.02, (VOCABULARY, WIDTH)).astype(np.float32),
        "pos": rng.normal(0, 0.02, (TOKENS, WIDTH)).astype(np.float32),
    }
    layers = [("attn.qkv", WIDTH, 3 * WIDTH), ("attn.proj", WIDTH, WIDTH), ("up", WIDTH, 4 * WIDTH), ("down", 4 * WIDTH, WIDTH)]
    named = [(f"blk.{n}.{key}", inputs, units) for n in range(DEPTH) for key, inputs, units in layers]
    for key, inputs, units in (*named, ("head", WIDTH, VOCABULARY)):
        bound = inputs**-0.5
        found[f"{key}.w"] = rng.uniform(-bound, bound, (inputs, units)).astype(np.float32)
        found[f"{key}.b"] = rng.uniform(-bound, bound, units).astype(np.float32)
    for norm in [f"blk.{n}.{key}" for n in range(DEPTH) for key in ("n1", "n2")] + ["ln"]:
        found[f"{norm}.g"] = np.ones(WIDTH, np.float32)
        found[f"{norm}.b"] = np.zeros(WIDTH, np.float32)
    return found


def batches(count: int = 8) -> list[Batch]:
    """Tokens of a fixed chain with noise: the next one is known nine times in ten."""
    rng = np.random.default_rng(2)
    follows = rng.permutation(VOCABULARY)
    made: list[Batch] = []
    for _ in range(count):
        text = rng.integers(0, VOCABULARY, (BATCH, TOKENS + 1))
        for t in range(1, TOKENS + 1):
            text[:, t] = np.where(rng.random(BATCH) < 0.9, follows[text[:, t - 1]], text[:, t])
        made.append((text[:, :-1].astype(np.int32), text[:, 1:].astype(np.int32)))
    return made


def main() -> int:
    """Compare; 0 if losses agree and the bound holds."""
    chosen = options(__doc__)
    workload = Workload("W6", (VOCABULARY, VOCABULARY), Adam(), BATCH, HERE / "w6.bm")
    print(f"W6, batch {workload.batch}, 5290 MFLOP a step, one core, f32")
    first, data = weights(), batches()
    contenders: list[Contender] = [TorchGpt(first, data, True), TorchGpt(first, data, False)]
    if not chosen.peers_only:
        contenders.append(bmc_step(workload, first, data))
    agree = losses_agree(contenders, LOSS_STEPS, LOSS_TOLERANCE)
    timings = interleave(contenders, chosen.rounds)
    print(table(timings))
    return 0 if verdict(timings, Bound("torch eager", at_most=1.0)) and agree else 1


if __name__ == "__main__":
    raise SystemExit(main())

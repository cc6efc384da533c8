"""The nets of `models/` in PyTorch's own modules, for `quality.py`."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

Rows = Mapping[str, torch.Tensor]


class Twin(nn.Module):  # type: ignore[misc]
    """A net with the loss that the program minimises, and evaluates. `parts`: its modules by the keys of the program's layers."""

    parts: dict[str, nn.Module]

    def begin(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Take the program's weights, each of which must have its place."""
        taken = set()
        with torch.no_grad():
            for key, part in self.parts.items():
                names = {"g": "weight", "w": "weight", "b": "bias"}
                for ours, theirs in names.items():
                    if f"{key}.{ours}" in weights:
                        array = torch.from_numpy(weights[f"{key}.{ours}"].copy())
                        getattr(part, theirs).copy_(array.T if isinstance(part, nn.Linear) and ours == "w" else array)
                        taken.add(f"{key}.{ours}")
        assert sum(parameter.numel() for parameter in self.parameters()) == sum(weights[key].size for key in taken)

    def loss(self, rows: Rows) -> torch.Tensor:
        raise NotImplementedError


class VAE(Twin):
    """`models/vae/vae.bm`: without noise in evaluation, as there."""

    def __init__(self, cells: int, hidden: int, code: int) -> None:
        super().__init__()
        self.enc, self.mu, self.lv = nn.Linear(cells, hidden), nn.Linear(hidden, code), nn.Linear(hidden, code)
        self.up, self.out = nn.Linear(code, hidden), nn.Linear(hidden, cells)
        self.parts = {"enc": self.enc, "mu": self.mu, "lv": self.lv, "decoder.up": self.up, "decoder.out": self.out}

    def loss(self, rows: Rows) -> torch.Tensor:
        h = torch.relu(self.enc(rows["x"]))
        mu, lv = self.mu(h), self.lv(h)
        z = mu + torch.exp(0.5 * lv) * torch.randn_like(mu) if self.training else mu
        logits = self.out(torch.relu(self.up(z)))
        rec = functional.binary_cross_entropy_with_logits(logits, rows["x"], reduction="none").sum(-1)
        kl = -0.5 * (1 + lv - mu**2 - lv.exp()).sum(-1)
        return cast(torch.Tensor, (rec + kl).mean())


class GPT(Twin):
    """`models/shakespeare/shakespeare.bm`: blocks with the norm in front, scores that fall with the distance (ALiBi)."""

    def __init__(self, vocabulary: int, length: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.heads = heads
        self.wte = nn.Embedding(vocabulary, width)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.blocks = nn.ModuleList()
        self.parts = {"wte": self.wte, "norm": self.norm, "head": self.head}
        place = torch.arange(length)
        far = place[:, None] - place
        slopes = 2.0 ** (-8.0 * (torch.arange(heads) + 1) / heads)
        self.scores = torch.where(far >= 0, -slopes[:, None, None] * far, -torch.inf)
        for n in range(depth):
            block = {
                "n1": nn.LayerNorm(width),
                "attention.qkv": nn.Linear(width, 3 * width),
                "attention.proj": nn.Linear(width, width),
                "n2": nn.LayerNorm(width),
                "wide.up": nn.Linear(width, 4 * width),
                "wide.down": nn.Linear(4 * width, width),
            }
            self.parts |= {f"blk.{n}.b.{key}": part for key, part in block.items()}
            self.blocks.append(nn.ModuleList(block.values()))

    def loss(self, rows: Rows) -> torch.Tensor:
        tokens = rows["tok"].long()
        x = self.wte(tokens)
        for n1, qkv, proj, n2, up, down in self.blocks:
            q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in qkv(n1(x)).chunk(3, -1))
            seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=self.scores)
            x = x + proj(seen.transpose(1, 2).flatten(2))
            x = x + down(functional.gelu(up(n2(x))))
        logits = self.head(self.norm(x))
        return functional.cross_entropy(logits.flatten(0, 1), rows["y"].long().flatten())

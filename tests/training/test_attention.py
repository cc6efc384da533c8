"""Attention and the blocks of transformers against PyTorch: values and gradients, with masks, lengths, shared heads and positions.

Where PyTorch has a module its own code computes, with our weights in it; else its functions do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.training.test_layers import linear, norm, rotated
from tests.training.twins import Case, Group, Weights, compare, group_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

F: Any = torch.nn.functional
Tensor = Any

ROWS, STEPS, WIDTH, OTHER, HEADS = 3, 5, 8, 7, 4
LENGTHS, OTHER_LENGTHS = [5, 2, 3], [7, 1, 4]
X, Y = (ROWS, STEPS, WIDTH), (ROWS, OTHER, 6)
KEEP = f"n: i32[{ROWS}] = {LENGTHS}\nkeep = steps_of(n, {STEPS})\n"
OTHER_KEEP = f"n: i32[{ROWS}] = {OTHER_LENGTHS}\nkeep = steps_of(n, {OTHER})\n"


def there(lengths: list[int], steps: int) -> Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def heads_of(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attention(
    x: Tensor,
    w: Any,
    memory: Tensor | None = None,
    *,
    groups: int = HEADS,
    mask: Tensor | None = None,
    turned: bool = False,
    alibi: bool = False,
) -> Tensor:
    """By `scaled_dot_product_attention`. `mask`: [B or 1, 1, T, S], true where something is seen."""
    width = x.shape[-1] // HEADS
    if memory is None:
        q, k, v = linear(x, w, "qkv").split([HEADS * width, groups * width, groups * width], -1)
    else:
        q = linear(x, w, "q")
        k, v = linear(memory, w, "kv").chunk(2, -1)
    q, k, v = heads_of(q, HEADS), heads_of(k, groups), heads_of(v, groups)
    if turned:
        q, k = rotated(q), rotated(k)
    bias = torch.zeros(1, 1, q.shape[2], k.shape[2], dtype=x.dtype)
    if mask is not None:
        bias = bias.masked_fill(~mask, -torch.inf)
    if alibi:
        slopes = torch.tensor([2.0 ** (-8.0 * (h + 1) / HEADS) for h in range(HEADS)], dtype=x.dtype)
        far = (torch.arange(q.shape[2])[:, None] - torch.arange(k.shape[2])).abs()
        bias = bias - slopes[:, None, None] * far
    o = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, enable_gqa=groups != HEADS)
    return linear(o.transpose(1, 2).flatten(2), w, "proj")


def seen(*, causal: bool = False, lengths: list[int] | None = None, steps: int = STEPS, other: int = STEPS) -> Tensor:
    mask = torch.ones(1, 1, steps, other).bool()
    if causal:
        mask = mask.tril()
    if lengths is not None:
        mask = mask & there(lengths, other)[:, None, None, :]
    return mask


def of(**settings: Any) -> Callable[[Tensor, Any], Tensor]:
    return lambda x, w: attention(x, w, **settings)


def multi_head(x: Tensor, w: Any) -> Tensor:
    """By PyTorch's own module's function."""
    out, _ = F.multi_head_attention_forward(
        *(t.transpose(0, 1) for t in (x, x, x)), WIDTH, HEADS, w["qkv.w"].T, w["qkv.b"], None, None, False, 0.0,
        w["proj.w"].T, w["proj.b"], key_padding_mask=~there(LENGTHS, STEPS), need_weights=False,
    )  # fmt: skip
    return out.transpose(0, 1)


BAND = "band = abs(unsqueeze(arange(5), 1) - arange(5)) < 2\n"

ATTENTION: dict[str, Case] = {
    "plain": Case("{x} |> multi_head_attention(4) as l", {"x": X}, X, of()),
    "no_bias": Case("{x} |> multi_head_attention(4, bias = false) as l", {"x": X}, X, of()),
    "causal": Case("{x} |> multi_head_attention(4, causal = true) as l", {"x": X}, X, of(mask=seen(causal=True))),
    "keep": Case(KEEP + "{l} = multi_head_attention(4)\n{l}({x}, keep = keep)", {"x": X}, X, multi_head),
    "causal_keep": Case(
        KEEP + "{l} = multi_head_attention(4, causal = true)\n{l}({x}, keep = keep)",
        {"x": X},
        X,
        of(mask=seen(causal=True, lengths=LENGTHS)),
    ),
    "mask": Case(
        BAND + "{l} = multi_head_attention(4)\n{l}({x}, mask = band)",
        {"x": X},
        X,
        of(mask=(torch.arange(5)[:, None] - torch.arange(5)).abs() < 2),
    ),
    "cross": Case("({x}, {y}) |> multi_head_attention(4) as l", {"x": X, "y": Y}, X, lambda x, y, w: attention(x, w, y)),
    "cross_keep": Case(
        OTHER_KEEP + "({x}, {y}, keep) |> multi_head_attention(4) as l",
        {"x": X, "y": Y},
        X,
        lambda x, y, w: attention(x, w, y, mask=seen(lengths=OTHER_LENGTHS, other=OTHER)),
    ),
    "groups": Case("{x} |> multi_head_attention(4, groups = 2) as l", {"x": X}, X, of(groups=2)),
    "one_group": Case(
        "{x} |> multi_head_attention(4, groups = 1, causal = true) as l", {"x": X}, X, of(groups=1, mask=seen(causal=True))
    ),
    "cross_groups": Case(
        "({x}, {y}) |> multi_head_attention(4, groups = 2) as l",
        {"x": X, "y": Y},
        X,
        lambda x, y, w: attention(x, w, y, groups=2),
    ),
    "rotary": Case("{x} |> multi_head_attention(4, turned = true) as l", {"x": X}, X, of(turned=True)),
    "rotary_groups": Case(
        "{x} |> multi_head_attention(4, groups = 2, turned = true, causal = true) as l",
        {"x": X},
        X,
        of(groups=2, turned=True, mask=seen(causal=True)),
    ),
    "alibi": Case("{x} |> multi_head_attention(4, alibi = true) as l", {"x": X}, X, of(alibi=True)),
    "alibi_groups": Case(
        "{x} |> multi_head_attention(4, groups = 2, alibi = true, causal = true) as l",
        {"x": X},
        X,
        of(groups=2, alibi=True, mask=seen(causal=True)),
    ),
}


def encoder(x: Tensor, w: Weights, first: bool, mask: Tensor | None) -> Tensor:
    """PyTorch's own layer."""
    layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, 12, 0.0, "gelu", batch_first=True, norm_first=first, dtype=x.dtype)
    own = {
        "self_attn.in_proj_weight": w["attention.qkv.w"].T, "self_attn.in_proj_bias": w["attention.qkv.b"],
        "self_attn.out_proj.weight": w["attention.proj.w"].T, "self_attn.out_proj.bias": w["attention.proj.b"],
        "linear1.weight": w["wide.up.w"].T, "linear1.bias": w["wide.up.b"],
        "linear2.weight": w["wide.down.w"].T, "linear2.bias": w["wide.down.b"],
        "norm1.weight": w["n1.g"], "norm1.bias": w["n1.b"], "norm2.weight": w["n2.g"], "norm2.bias": w["n2.b"],
    }  # fmt: skip
    given = {} if mask is None else {"src_key_padding_mask": ~mask}
    return torch.func.functional_call(layer, own, (x,), given)


def decoder(x: Tensor, y: Tensor, w: Weights, first: bool, keeps: tuple[Tensor, Tensor] | None) -> Tensor:
    layer = torch.nn.TransformerDecoderLayer(WIDTH, HEADS, 12, 0.0, "relu", batch_first=True, norm_first=first, dtype=x.dtype)
    own = {
        "self_attn.in_proj_weight": w["own.qkv.w"].T, "self_attn.in_proj_bias": w["own.qkv.b"],
        "self_attn.out_proj.weight": w["own.proj.w"].T, "self_attn.out_proj.bias": w["own.proj.b"],
        "multihead_attn.in_proj_weight": torch.cat([w["cross.q.w"], w["cross.kv.w"]], 1).T,
        "multihead_attn.in_proj_bias": torch.cat([w["cross.q.b"], w["cross.kv.b"]]),
        "multihead_attn.out_proj.weight": w["cross.proj.w"].T, "multihead_attn.out_proj.bias": w["cross.proj.b"],
        "linear1.weight": w["wide.up.w"].T, "linear1.bias": w["wide.up.b"],
        "linear2.weight": w["wide.down.w"].T, "linear2.bias": w["wide.down.b"],
        **{f"norm{i}.{theirs}": w[f"n{i}.{ours}"] for i in (1, 2, 3) for theirs, ours in (("weight", "g"), ("bias", "b"))},
    }  # fmt: skip
    given: dict[str, Any] = {"tgt_mask": ~torch.ones(STEPS, STEPS).tril().bool(), "tgt_is_causal": False}
    if keeps is not None:
        given |= {"tgt_key_padding_mask": ~keeps[0], "memory_key_padding_mask": ~keeps[1]}
    return torch.func.functional_call(layer, own, (x, y), given)


def modern(x: Tensor, w: Weights) -> Tensor:
    """RMS norms, rotary positions, shared heads, a gated feed-forward part, no biases: a LLaMA block."""
    rms = norm("rms")
    mask = seen(causal=True)
    x = x + attention(rms(x, w.under("n1")), w.under("attention"), groups=2, mask=mask, turned=True)
    h, wide = rms(x, w.under("n2")), w.under("wide")
    return x + linear(F.silu(linear(h, wide, "gate")) * linear(h, wide, "up"), wide, "down")


KEEPS = (there(LENGTHS, STEPS), there(OTHER_LENGTHS, OTHER))
Z = (ROWS, OTHER, WIDTH)

BLOCKS: dict[str, Case] = {
    "encoder_pre": Case("{x} |> encoder_block(4, 12) as l", {"x": X}, X, lambda x, w: encoder(x, w, True, None)),
    "encoder_post": Case(
        KEEP + "({x}, keep) |> encoder_block(4, 12, pre = false) as l", {"x": X}, X, lambda x, w: encoder(x, w, False, KEEPS[0])
    ),
    "decoder_pre": Case(
        f"{KEEP}m: i32[{ROWS}] = {OTHER_LENGTHS}\nother = steps_of(m, {OTHER})\n"
        "({x}, {z}, keep, other) |> decoder_block(4, 12, act = relu) as l",
        {"x": X, "z": Z},
        X,
        lambda x, z, w: decoder(x, z, w, True, KEEPS),
    ),
    "decoder_post": Case(
        "({x}, {z}) |> decoder_block(4, 12, act = relu, pre = false) as l",
        {"x": X, "z": Z},
        X,
        lambda x, z, w: decoder(x, z, w, False, None),
    ),
    "modern": Case(
        "{x} |> encoder_block(4, 12, groups = 2, causal = true, turned = true, mlp = swiglu, norm = rmsnorm, bias = false) as l",
        {"x": X},
        X,
        modern,
    ),
    "feed_forward": Case(
        "{x} |> feed_forward(12, act = silu) as l",
        {"x": X},
        X,
        lambda x, w: linear(F.silu(linear(x, w, "up")), w, "down"),
    ),
}


@pytest.fixture(scope="module", params=["f64", "f32"])
def attentions(request: pytest.FixtureRequest) -> Group:
    return group_of(ATTENTION, request.param)


@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name: str, attentions: Group) -> None:
    compare(attentions, name)


@pytest.fixture(scope="module", params=["f64", "f32"])
def blocks(request: pytest.FixtureRequest) -> Group:
    return group_of(BLOCKS, request.param)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_of_a_transformer(name: str, blocks: Group) -> None:
    compare(blocks, name)

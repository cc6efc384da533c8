"""Generation by a small GPT (width 128, 4 heads, 4 layers), greedily, one row: bmc with the cache that it derives beside PyTorch
eager with a cache written by hand, on one core.

    python benchmarks/generate.py [--rounds N]

Both begin with the same weights and prompts and must give the same tokens. What is timed is 64 positions behind a prefix of 64,
256 and 1,024, the prefix itself aside; the ratio is the median over the rounds. Bound (exit status 1 if missed): no slower than
PyTorch.
"""

from measure import on_one_core

on_one_core()  # before the libraries below load and size their thread pools

import statistics  # noqa: E402
from argparse import ArgumentParser  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from itertools import islice  # noqa: E402
from pathlib import Path  # noqa: E402
from time import perf_counter  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

from bmc.driver.generation import GenerateOptions, continuation, prompt_of  # noqa: E402
from bmc.driver.load import find_source, load_unit  # noqa: E402
from bmc.driver.session import Session  # noqa: E402

VOCABULARY, WIDTH, HEADS, DEPTH, ROOM = 65, 128, 4, 4, 2048
COUNT = 64
Weights = dict[str, torch.Tensor]


def torch_tokens(weights: Weights, prompt: list[int]) -> Iterator[int]:
    """Greedy decoding with keys and values in place, as one writes it by hand."""
    functional = torch.nn.functional
    keys, values = (torch.empty(DEPTH, HEADS, ROOM, WIDTH // HEADS) for _ in range(2))
    tokens, length = torch.tensor(prompt), 0
    while True:
        with torch.inference_mode():
            new = len(tokens)
            x = weights["emb"][tokens] + weights["pos"][length : length + new]
            for n in range(DEPTH):
                w = {key: weights[f"{n}.{key}"] for key in ("qkv", "qkv.b", "proj", "proj.b", "up", "up.b", "down", "down.b")}
                h = functional.layer_norm(x, (WIDTH,))
                q, k, v = functional.linear(h, w["qkv"], w["qkv.b"]).view(new, 3, HEADS, WIDTH // HEADS).permute(1, 2, 0, 3)
                keys[n, :, length : length + new], values[n, :, length : length + new] = k, v
                a = functional.scaled_dot_product_attention(
                    q, keys[n, :, : length + new], values[n, :, : length + new], is_causal=new > 1
                )
                x = x + functional.linear(a.transpose(0, 1).reshape(new, WIDTH), w["proj"], w["proj.b"])
                h = functional.layer_norm(x, (WIDTH,))
                x = x + functional.linear(functional.gelu(functional.linear(h, w["up"], w["up.b"])), w["down"], w["down.b"])
            logits = functional.linear(functional.layer_norm(x[-1], (WIDTH,)), weights["head"], weights["head.b"])
            length += new
            found = int(logits.argmax())
        yield found
        tokens = torch.tensor([found])


def weights_of(session: Session) -> Weights:
    """The same weights as PyTorch takes them. Embeddings and head are made larger, so that no two scores lie within rounding."""
    store = session.store
    rng = np.random.default_rng(3)
    for key in ("emb.w", "head.w", "pos"):
        store[key][...] = rng.normal(0, 1, store[key].shape)
    made = {"emb": "emb.w", "pos": "pos", "head": "head.w", "head.b": "head.b"}
    for n in range(DEPTH):
        for name, key in (("qkv", "attn.qkv"), ("proj", "attn.proj"), ("up", "up"), ("down", "down")):
            made |= {f"{n}.{name}": f"blk.{n}.{key}.w", f"{n}.{name}.b": f"blk.{n}.{key}.b"}
    plain = ("emb", "pos")
    return {
        name: torch.from_numpy(np.array(store[key].T if store[key].ndim == 2 and name not in plain else store[key], order="C"))
        for name, key in made.items()
    }


def seconds(turns: Iterator[object]) -> float:
    """The time of `COUNT` positions."""
    start = perf_counter()
    for _ in islice(turns, COUNT):
        pass
    return perf_counter() - start


def main() -> int:
    """Compare; 0 if tokens agree and the bound holds."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    session = Session(load_unit(find_source(str(Path(__file__).parent / "generate.bm"))))
    session.initialise(1)
    weights = weights_of(session)
    good = True
    print("generation by a GPT of width 128, 4 heads, 4 layers, one row, one core, f32; microseconds a position")
    for prefix in (64, 256, 1024):
        prompt = np.random.default_rng(prefix).integers(0, VOCABULARY, prefix).tolist()
        options = GenerateOptions(tokens=ROOM - prefix)
        ours: list[float] = []
        theirs: list[float] = []
        ratios = []
        for turn in range(rounds):
            mine = (int(found[0]) for found in continuation(session, prompt_of(session, prompt), options))
            other = torch_tokens(weights, prompt)
            first = [next(mine)], [next(other)]
            order = ((mine, ours), (other, theirs))
            for turns, times in order if turn % 2 else order[::-1]:
                times.append(seconds(turns))
            ratios.append(ours[-1] / theirs[-1])
            tail = [list(islice(turns, 8)) for turns in (mine, other)]
            good = good and first[0] == first[1] and tail[0] == tail[1]
        ratio = statistics.median(ratios)
        good = good and ratio <= 1
        mine_us, torch_us = (statistics.median(times) / COUNT * 1e6 for times in (ours, theirs))
        print(f"prefix {prefix:5}: bmc {mine_us:7.1f}   torch eager {torch_us:7.1f}   ratio {ratio:.2f}")
    print("tokens agree, and the bound holds" if good else "tokens differ, or the bound is missed")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""The made data of new projects: small, drawn or computed, each with something to learn and some noise.

In: nothing. Out: files by name, as bytes. Guaranteed: the same bytes each time.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FILES"]

_Numbers = NDArray[Any]


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    return "".join(",".join(map(str, row)) + "\n" for row in (header, *rows)).encode()


def _npz(**arrays: _Numbers) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


# --- tabular -----------------------------------------------------------------------------------------------------------
_DISTRICTS = (("harbour", 1.35), ("old town", 1.6), ("park", 1.2), ("station", 0.85), ("hill", 1.0))


def _houses() -> Mapping[str, bytes]:
    """Prices from size, age, district, garden and day, each with its factor, and a tenth of noise."""
    made = random.Random(1)
    rows = []
    for _ in range(600):
        area = made.randint(30, 220)
        rooms = max(1, round(area / made.uniform(22, 34)))
        year = made.randint(1900, 2015)
        district, factor = made.choice(_DISTRICTS)
        garden = made.random() < 0.3 + (0.3 if district == "hill" else 0)
        day = date(2015, 1, 1) + timedelta(days=made.randrange(3000))
        price = 2400 * area**0.95 * factor * (1.12 if garden else 1) * (1 + (year - 1950) / 400)
        price *= 1.04 ** ((day - date(2015, 1, 1)).days / 365) * math.exp(made.gauss(0, 0.08))
        rows.append((area, rooms, "" if made.random() < 0.08 else year, district, str(garden).lower(), day, round(price, -2)))
    header = ("area", "rooms", "year", "district", "garden", "sold", "price")
    few = [row[:-1] for row in rows[:3]] + [(75, 3, "", "lake", "true", date(2022, 6, 1))]
    return {"houses.csv": _csv(header, rows), "new.csv": _csv(header[:-1], few)}


# --- images ------------------------------------------------------------------------------------------------------------
_SIDE = 16


def _inside(kind: str, x: _Numbers, y: _Numbers) -> _Numbers:
    """Where a shape of radius 1 around 0 is."""
    found: _Numbers
    if kind == "circle":
        found = x**2 + y**2 < 1
    elif kind == "square":
        found = np.maximum(abs(x), abs(y)) < 0.85
    elif kind == "triangle":
        found = (y < 0.7) & (abs(x) < (y + 1) * 0.6)
    else:
        found = (np.minimum(abs(x), abs(y)) < 0.3) & (np.maximum(abs(x), abs(y)) < 1)
    return found


def _shapes() -> Mapping[str, bytes]:
    """Four shapes at any place, in any size and brightness, slightly turned, with noise."""
    made = random.Random(2)
    noise = np.random.default_rng(2)
    kinds = ("circle", "square", "triangle", "cross")
    chosen = [made.choice(kinds) for _ in range(900)]
    down, across = np.meshgrid(np.arange(_SIDE), np.arange(_SIDE), indexing="ij")
    images = []
    for kind in chosen:
        size, turn = made.uniform(3.5, 6.0), made.uniform(-0.35, 0.35)
        x = (across - made.uniform(size, _SIDE - size)) / size
        y = (down - made.uniform(size, _SIDE - size)) / size
        x, y = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
        light = made.uniform(120, 230) * _inside(kind, x, y) + noise.normal(20, 18, (_SIDE, _SIDE))
        images.append(light.clip(0, 255).astype(np.uint8))
    return {"shapes.npz": _npz(image=np.stack(images), kind=np.array(chosen))}


# --- sequences ---------------------------------------------------------------------------------------------------------
def _waves() -> Mapping[str, bytes]:
    """Three waves of any period, phase and height, with noise."""
    made = random.Random(3)
    noise = np.random.default_rng(3)
    kinds = ("sine", "square", "saw")
    chosen = [made.choice(kinds) for _ in range(600)]
    steps = np.arange(40)
    waves = []
    for kind in chosen:
        turn = steps / made.uniform(9, 20) + made.random()
        wave = {"sine": np.sin(2 * np.pi * turn), "square": np.sign(np.sin(2 * np.pi * turn)), "saw": 2 * (turn % 1) - 1}[kind]
        waves.append(made.uniform(0.7, 1.3) * wave + noise.normal(0, 0.25, len(steps)))
    return {"waves.npz": _npz(wave=np.stack(waves)[:, :, None].astype(np.float32), kind=np.array(chosen))}


# --- text --------------------------------------------------------------------------------------------------------------
_SUBJECTS = ("the room", "the food", "our waiter", "the view", "breakfast", "the pool", "the bed", "service", "the garden")
_GOOD = ("good", "lovely", "friendly", "clean", "excellent", "quiet", "wonderful", "fresh")
_BAD = ("bad", "dirty", "rude", "noisy", "awful", "cold", "stale", "broken")
_OPENINGS = ("", "", "honestly, ", "to be fair, ", "we stayed a week: ", "last summer ", "all in all ")
_ENDINGS = ("", "", " again", " this time", " for the price", " every day")


def _review(made: random.Random, content: bool) -> str:
    """"not" turns a word round, so single words do not decide."""
    parts = []
    for _ in range(made.randint(1, 2)):
        turned = made.random() < 0.35
        word = made.choice(_GOOD if content != turned else _BAD)
        parts.append(f"{made.choice(_SUBJECTS)} was {'not ' if turned else made.choice(('', 'very ', 'really '))}{word}")
    return f"{made.choice(_OPENINGS)}{' and '.join(parts)}{made.choice(_ENDINGS)}"


def _reviews() -> Mapping[str, bytes]:
    made = random.Random(4)
    found: dict[str, bool] = {}
    while len(found) < 900:
        content = made.random() < 0.5
        found.setdefault(_review(made, content), content)
    rows = [(f'"{text}"', str(content).lower()) for text, content in found.items()]
    few = ("the pool was not clean", "service was really friendly and the bed was not bad", "a marvellous stay")
    return {"reviews.csv": _csv(("review", "content"), rows), "new.csv": _csv(("review",), [(f'"{text}"',) for text in few])}


FILES: Mapping[str, Callable[[], Mapping[str, bytes]]] = MappingProxyType(
    {"tabular": _houses, "image": _shapes, "sequence": _waves, "text": _reviews}
)
"""Template → its files."""

"""Sequences that grow: each position is computed from the ones before it.

In: a program with the function `next` (over the whole prefix) or `next.step` (over new positions, which keeps what later ones
read in states `cache.K`), a prompt of integers `[rows, length]`. Out: the integers that follow, position by position. Guaranteed:
both functions give the same ones; a draw is a function of seed, row and length of the prefix. With caches a step allocates
nothing, until they are full and double.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from bmc_runtime.binding import Binding, BoundFunction, Library
from bmc_runtime.memory import Array, allocate
from bmc_runtime.plan import Buffer, FunctionPlan, evaluate_dim

__all__ = ["CACHE", "continued", "recomputed"]

ROWS, LENGTH, NEW = "B", "T", "N"
"""Symbols of the numbers of rows, of positions, and of those that are new."""

CACHE = "cache."
"""Keys of what a step keeps. Those of which the length is a dim have it in front."""

NEXT = "next"
FIRST_ROOM = 64
"""Positions for which there is room at first, or more if the prompt is longer."""


def recomputed(
    library: Library, name: str, store: Mapping[str, Array], inputs: Mapping[str, Array], grows: str, prompt: Array, seed: int
) -> Iterator[Array]:
    """What follows the prompt, without end, by the whole prefix for each position. `grows`: the input of `inputs` that grows."""
    function = BoundFunction(library, name, store)
    sequence = prompt
    while True:
        rows, length = sequence.shape
        given = {**inputs, grows: _copied(function.plan, grows, sequence)}
        binding = function.bind(_dims(function.plan, rows, length, length), given)
        found = _run(binding, seed, rows, length)
        yield found
        sequence = np.concatenate([sequence, found[:, None].astype(sequence.dtype)], axis=1)


def continued(
    library: Library,
    name: str,
    store: Mapping[str, Array],
    inputs: Mapping[str, Array],
    grows: str,
    prompt: Array,
    seed: int,
    most: int | None = None,
) -> Iterator[Array]:
    """The same by new positions alone: the prompt at once, then one by one. `most`: beyond this length nothing is laid out."""
    function = BoundFunction(library, name, store)
    rows, length = prompt.shape
    room = _bounded(max(FIRST_ROOM, 2 * length), most)
    caches = _Caches(function.plan, rows, room)
    first = BoundFunction(library, name, {**store, **caches.of(length)})
    binding = first.bind(_dims(first.plan, rows, length, length), {**inputs, grows: _copied(first.plan, grows, prompt)})
    found = _run(binding, seed, rows, length)
    yield found.copy()
    step: Binding | None = None
    while True:
        length += 1
        if length > room:
            room, step = _bounded(max(2 * room, length), most), None
            caches = caches.wider(room, length - 1)
        if step is None:
            wide = BoundFunction(library, name, {**store, **caches.of(room)})
            step = wide.bind(_dims(wide.plan, rows, room, 1), inputs)
        step.inputs[grows][:, 0] = found
        step.set_dim(LENGTH, length)
        found = _run(step, seed, rows, length)
        yield found.copy()


def _bounded(room: int, most: int | None) -> int:
    return room if most is None else min(room, most)


def _dims(plan: FunctionPlan, rows: int, length: int, new: int) -> dict[str, int]:
    sizes = {ROWS: rows, LENGTH: length, NEW: new}
    names = {*plan.dims, *((plan.row,) if plan.row is not None else ())}
    return {name: sizes[name] for name in names}


def _copied(plan: FunctionPlan, key: str, values: Array) -> Array:
    """Values as the program reads them: aligned, row-major, of the input's dtype."""
    dtype = next((b.dtype for b in plan.buffers if b.kind == "input" and b.key == key), "i32")
    made = allocate(dtype, values.shape)
    made[...] = values
    return made


def _run(binding: Binding, seed: int, rows: int, length: int) -> Array:
    """One call; the step by which draws are keyed is the length of the prefix."""
    binding.set_control(seed, length, 0, length, 0, rows)
    binding.run()
    return binding.outputs[NEXT]


class _Caches:
    """Room for `room` positions. Positions are in front, so a shorter sequence is the beginning of the same memory."""

    def __init__(self, plan: FunctionPlan, rows: int, room: int) -> None:
        self.plan, self.rows = plan, rows
        self.buffers: dict[str, Buffer] = {b.key: b for b in plan.buffers if b.kind == "state" and b.key.startswith(CACHE)}
        self.arrays = {key: allocate(b.dtype, self._shape(b, room)) for key, b in self.buffers.items()}

    def _shape(self, buffer: Buffer, length: int) -> tuple[int, ...]:
        return tuple(evaluate_dim(d, {ROWS: self.rows, LENGTH: length}) for d in buffer.shape)

    def of(self, length: int) -> dict[str, Array]:
        """The arrays for that many positions."""
        return {
            key: array[:length] if LENGTH in self.buffers[key].shape[:1] else array for key, array in self.arrays.items()
        }

    def wider(self, room: int, used: int) -> _Caches:
        """More room, with the `used` positions in it."""
        made = _Caches(self.plan, self.rows, room)
        for key, array in self.of(used).items():
            made.of(used)[key][...] = array
        return made

"""Bindings with steps written in Python: what stands in a step's table, which shard reads which rows, what is summed how."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bmc_runtime.binding import ADDITIONS, COPY_RUNS, GATHER_ROWS, BoundFunction, Library, NotFinite
from bmc_runtime.mapping import map_rows
from bmc_runtime.memory import ALIGNMENT, DTYPES, address_of
from bmc_runtime.plan import Buffer, FunctionPlan, Program, Step

Body = Callable[[list[int], list[int]], int | None]
"""A step: (addresses, dims) -> status."""


class FakeCode:
    """`Loaded` whose symbols are Python functions."""

    def __init__(self, steps: dict[str, Body], tables: dict[str, int], dims: int) -> None:
        self.calls: list[str] = []
        self._held: dict[str, Any] = {}
        step_type = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 3)
        for symbol, body in steps.items():
            self._held[symbol] = step_type(self._step(symbol, body, tables[symbol], dims))
        add_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        for dtype, symbol in ADDITIONS.items():
            self._held[symbol] = add_type(lambda left, right, count, of=dtype: self._add(of, left, right, count))
        self._held[COPY_RUNS] = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)(lambda *_: None)
        self._held[GATHER_ROWS] = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(lambda *_: None)

    def _step(self, symbol: str, body: Body, size: int, dims: int) -> Callable[[int, int, int], int]:
        def run(table: int, sizes: int, scratch: int) -> int:
            assert scratch % ALIGNMENT == 0
            self.calls.append(symbol)
            return body(list(view(table, "i64", size)), [int(d) for d in view(sizes, "i64", dims)]) or 0

        return run

    def _add(self, dtype: str, left: int, right: int, count: int) -> None:
        self.calls.append("add")
        if count:
            view(left, dtype, count)[:] += view(right, dtype, count)

    def address(self, symbol: str) -> int:
        return ctypes.cast(self._held[symbol], ctypes.c_void_p).value or 0


def view(address: int, dtype: str, count: int) -> Any:
    kind = DTYPES[dtype]
    if not count:
        return np.zeros(0, kind)
    return np.frombuffer((ctypes.c_char * (count * kind.itemsize)).from_address(int(address)), kind)


def library(plan: FunctionPlan, steps: dict[str, Body]) -> tuple[Library, FakeCode]:
    tables = {s.symbol: len(s.arguments) for s in plan.steps}
    code = FakeCode(steps, tables, len(plan.dims))

    def load(object_code: bytes, symbols: Sequence[str]) -> FakeCode:
        assert object_code == b"code"
        assert set(symbols) == {*steps, *ADDITIONS.values(), COPY_RUNS, GATHER_ROWS}
        return code

    return Library(Program({plan.name: plan}, b"code"), load), code


def summing_plan(guard: bool = False) -> FunctionPlan:
    """Each shard sums its rows of x into a partial; then the total, times w, goes to `loss`, and w grows by one."""
    buffers = (
        Buffer("weight", "w", "f32", ()),
        Buffer("input", "x", "f32", ("B", 2), rows=True),
        Buffer("control", "control", "i64", (8,)),
        Buffer("partial", "sum.0", "f32", (2,)),
        Buffer("total", "sum.0", "f32", (2,)),
        Buffer("output", "loss", "f32", (2,)),
        Buffer("output", "double", "f32", ("B", 2), rows=True),
        Buffer("arena", "shard.0", "u8", (["*", 64, "B"],), scope="shard", offset=["*", 64, "B"]),
    )
    steps = (
        Step("native", "train.0", (1, 2, 3, 6, 7), per_shard=True),
        Step("sum", "train.1", (3, 4)),
        Step("native", "train.2", (0, 4, 5)),
    )
    return FunctionPlan("train", ("B", "N"), "B", buffers, steps, shard_arena=["*", 128, "B"])


def summing(seen: list[tuple[int, int, int]]) -> dict[str, Body]:
    def per_shard(addresses: list[int], dims: list[int]) -> int:
        x, control, partial, double, arena = addresses
        rows = dims[0]
        cells = view(x, "f32", rows * 2).reshape(rows, 2)
        view(partial, "f32", 2)[:] = cells.sum(axis=0)
        if rows:
            view(double, "f32", rows * 2)[:] = cells.reshape(-1) * 2
        seen.append((rows, int(view(control, "i64", 8)[2]), arena))
        return 1 if np.isnan(cells).any() else 0

    def once(addresses: list[int], dims: list[int]) -> int:
        w, total, loss = addresses
        view(loss, "f32", 2)[:] = view(total, "f32", 2) * view(w, "f32", 1)[0]
        view(w, "f32", 1)[:] += 1
        return 0

    return {"train.0": per_shard, "train.2": once}


@pytest.mark.parametrize("shards", [1, 2, 8])
def test_shards_read_their_rows_and_their_sums_meet(shards: int) -> None:
    seen: list[tuple[int, int, int]] = []
    lib, code = library(summing_plan(), summing(seen))
    store = {"w": np.array(3, np.float32)}
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    binding = BoundFunction(lib, "train", store, shards).bind({"B": 5, "N": 9}, {"x": x})
    binding.set_control(1, 2, 100, 10, 0, 5)
    binding.run()
    np.testing.assert_array_equal(binding.outputs["loss"], x.sum(axis=0) * 3)
    np.testing.assert_array_equal(binding.outputs["double"], x * 2)
    assert float(store["w"]) == 4
    assert [rows for rows, _, _ in seen] == [5 * (s + 1) // shards - 5 * s // shards for s in range(shards)]
    assert [first for _, first, _ in seen] == [100 + 5 * s // shards for s in range(shards)]
    assert code.calls.count("add") == shards - 1
    binding.run()  # nothing of the first run is left in the sums
    np.testing.assert_array_equal(binding.outputs["loss"], x.sum(axis=0) * 4)


def test_a_guard_ends_the_run_before_sums_and_updates() -> None:
    lib, code = library(summing_plan(), summing([]))
    store = {"w": np.array(3, np.float32)}
    x = np.full((4, 2), np.nan, np.float32)
    binding = BoundFunction(lib, "train", store, 2).bind({"B": 4, "N": 0}, {"x": x})
    with pytest.raises(NotFinite):
        binding.run()
    assert code.calls == ["train.0"]
    assert float(store["w"]) == 3


def test_a_worker_runs_its_shards_alone() -> None:
    seen: list[tuple[int, int, int]] = []
    lib, code = library(summing_plan(), summing(seen))
    partials = {("sum.0", s): np.zeros(2, np.float32) for s in range(4)}
    x = np.arange(16, dtype=np.float32).reshape(8, 2)
    store = {"w": np.array(1, np.float32)}
    binding = BoundFunction(lib, "train", store, 4).bind({"B": 8, "N": 0}, {"x": x}, None, partials)
    binding.run_shards(0, range(2, 4))
    assert code.calls == ["train.0"] * 2
    np.testing.assert_array_equal(partials["sum.0", 3], x[6:].sum(axis=0))
    assert not partials["sum.0", 0].any()


def test_totals_may_come_from_elsewhere() -> None:
    """Accumulation: the update reads what was added up over micro-batches."""
    lib, _ = library(summing_plan(), summing([]))
    total = np.array([5, 7], np.float32)
    store = {"w": np.array(2, np.float32)}
    x = np.ones((2, 2), np.float32)
    binding = BoundFunction(lib, "train", store, 2).bind({"B": 2, "N": 0}, {"x": x}, {"sum.0": total})
    binding.run()
    np.testing.assert_array_equal(binding.outputs["loss"], [10, 14])
    np.testing.assert_array_equal(binding.totals["sum.0"], [2, 2])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 3), np.float32), r"'x' is float32\[5, 3\], the program wants float32\[5, 2\]"),
        (np.zeros((5, 2)), r"'x' is float64\[5, 2\]"),
        (np.zeros((2, 5), np.float32).T, "row-major"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(array: Any, message: str) -> None:
    lib, _ = library(summing_plan(), summing([]))
    with pytest.raises(ValueError, match=message):
        BoundFunction(lib, "train", {"w": np.array(3, np.float32)}).bind({"B": 5, "N": 0}, {"x": array})


def test_arenas_hold_each_shards_rows_on_cache_lines() -> None:
    seen: list[tuple[int, int, int]] = []
    lib, _ = library(summing_plan(), summing(seen))
    x = np.zeros((5, 2), np.float32)
    binding = BoundFunction(lib, "train", {"w": np.array(3, np.float32)}, 2).bind({"B": 5, "N": 0}, {"x": x})
    binding.run()
    assert all(arena % ALIGNMENT == 0 for _, _, arena in seen)
    blocks = {address_of(a): a.nbytes for a in binding.keep}
    for rows, _, arena in seen:
        assert any(start <= arena and arena + 64 * rows <= start + size for start, size in blocks.items())


def mapped_plan() -> FunctionPlan:
    """`y` = y + w for each row: an output with the key of an input, and one without rows."""
    buffers = (
        Buffer("fitted", "w", "f64", ()),
        Buffer("input", "y", "f64", ("B",), rows=True),
        Buffer("output", "y", "f64", ("B",), rows=True),
        Buffer("output", "w", "f64", ()),
        Buffer("input", "shift", "f64", ()),
    )
    return FunctionPlan("predict", ("B",), "B", buffers, (Step("native", "predict.0", (0, 1, 2, 3, 4), per_shard=True),))


@pytest.mark.parametrize("chunk", [1, 4, 7, 100])
def test_rows_are_mapped_in_chunks_and_keys_may_be_equal(chunk: int) -> None:
    sizes: list[int] = []

    def body(addresses: list[int], dims: list[int]) -> int:
        w, source, target, copy, shift = addresses
        sizes.append(dims[0])
        added = view(w, "f64", 1)[0] + view(shift, "f64", 1)[0]
        view(target, "f64", dims[0])[:] = view(source, "f64", dims[0]) + added
        view(copy, "f64", 1)[:] = view(w, "f64", 1)
        return 0

    lib, _ = library(mapped_plan(), {"predict.0": body})
    function = BoundFunction(lib, "predict", {"w": np.array(0.5)})
    y = np.arange(9.0)
    found = map_rows(function, {"y": y, "shift": np.array(2.0), "unused": np.zeros(3)}, 9, {}, chunk)
    np.testing.assert_array_equal(y, np.arange(9.0))
    np.testing.assert_array_equal(found["y"], y + 2.5)
    np.testing.assert_array_equal(found["w"], 0.5)
    assert sum(sizes) == 9
    assert max(sizes) == min(chunk, 9)


def test_chunks_are_small_where_rows_take_much_memory() -> None:
    """20 MB a row: three rows fit into the 64 MiB that a chunk may take; halves of 100 rounded up come down to 2."""
    sizes: list[int] = []

    def body(addresses: list[int], dims: list[int]) -> int:
        sizes.append(dims[0])
        return 0

    lib, _ = library(replace(mapped_plan(), shard_arena=["*", 20_000_000, "B"]), {"predict.0": body})
    function = BoundFunction(lib, "predict", {"w": np.array(0.5)})
    map_rows(function, {"y": np.zeros(100), "shift": np.array(2.0)}, 100, {})
    assert sum(sizes) == 100
    assert max(sizes) == 2


def test_no_rows_give_empty_arrays() -> None:
    lib, code = library(mapped_plan(), {"predict.0": lambda addresses, dims: 0})
    function = BoundFunction(lib, "predict", {"w": np.array(0.5)})
    found = map_rows(function, {"y": np.zeros(0), "shift": np.array(2.0)}, 0, {})
    assert found["y"].shape == (0,)
    assert code.calls == []

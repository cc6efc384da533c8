"""A slice whose bound is a run-time dim reads no further than its operand: the run is refused, with both places."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import bmc
from bmc.driver.limits import explained_limits
from bmc.driver.session import Session
from bmc.errors import BmcError
from bmc.ir import Dim, Function, Parameter, Poly, Result, TensorType, Value
from bmc.ir.dims import floor_divide
from bmc.ops.build import Builder
from bmc.passes.memory.limits import limits_of
from bmc_runtime.binding import BoundFunction
from bmc_runtime.mapping import map_rows
from bmc_runtime.plan import FunctionPlan, Limit, Program

POSITIONS = """model M()(tok: i32[B, T]) -> (h: f32[B, T, 4]) {
  param pos: f32[16, 4] = ones
  return (tok |> embedding(9, 4) as e) + pos[:T]
}
"""


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.parametrize("text", [POSITIONS, POSITIONS.replace("+ pos[:T]", "|> learned_positions(16) as p")])
def test_a_sequence_longer_than_its_table_is_refused(text: str) -> None:
    """By the runtime itself, whatever was or was not looked at before."""
    unit = bmc.compile(text).unit
    session = Session(unit)
    session.initialise(0)
    function = BoundFunction(session.library("predict"), "predict", session.store)

    def run(steps: int) -> Any:
        with explained_limits(unit):
            return map_rows(function, {"tok": np.zeros((2, steps), np.int32)}, 2, {"T": steps})["h"]

    for steps in (1, 16):
        assert run(steps).shape == (2, steps, 4)
    with pytest.raises(BmcError) as caught:
        run(17)
    (found,) = caught.value.diagnostics
    assert found.code == "E0836"
    assert "T <= 16" in found.message
    assert "T = 17" in found.message
    assert len(found.labels) == (2 if "pos[:T]" in text else 3)


B, T, S = (Poly.symbol(name) for name in "BTS")


def limits(dim: Dim, start: Dim, stop: Dim, step: int = 1) -> list[tuple[Any, Any]]:
    """Of a slice of [B, dim] along its second axis."""
    b, x = Builder(), Value(TensorType("f32", (B, dim)), "x")
    result = Result(b.slice_axis(x, 1, start, stop, step), "output", "y")
    function = Function("f", (Parameter(x, "input", "x"),), tuple(b.ops), (result,), "B")
    return [(limit.left, limit.right) for limit in limits_of(function)]


def test_what_the_types_prove_is_not_asked() -> None:
    assert limits(T, 0, T - floor_divide(T, 2)) == []
    assert limits(2 * T, T, 2 * T) == []
    assert limits(T + 3, 3, T + 3) == []
    assert limits(T, T - 1, -1, -1) == []
    assert limits(16, 2, 9) == []


def test_what_they_do_not_prove_is_asked() -> None:
    assert limits(16, 0, T) == [("T", 16)]
    assert limits(T, 0, S) == [("S", "T")]
    assert limits(T, 2, T) == [(2, "T")]
    assert limits(T, T - 5, T) == [(0, ["+", -5, "T"])] or limits(T, T - 5, T) == [(0, ["+", "T", -5])]


def test_a_plan_keeps_its_limits_as_json() -> None:
    plan = FunctionPlan("f", ("B", "T"), "B", (), (), limits=(Limit("T", 16, "`pos[:T]` wants T <= 16"),))
    program = Program({"f": plan}, b"")
    assert Program.from_json(json.loads(json.dumps(program.plan_json())), b"").functions["f"].limits == plan.limits

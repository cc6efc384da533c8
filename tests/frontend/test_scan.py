"""`scan`: what is carried, what is yielded, what stays outside, and what is refused."""

from __future__ import annotations

import pytest

from bmc.driver.load import load_unit, text_source
from bmc.errors import BmcError
from bmc.ir import Function, Operation
from bmc.ops.scan_parts import ScanAttrs
from bmc.passes.verify import verify_module

PROGRAM = """
data D {{
  source = npz("absent.npz")
  columns {{ a: f32[7, 4]; c: i32 }}
  x = a
  y = c |> category(2)
}}
{before}
model M()(x: f32[B, T, 4]) -> (out: f32[B, 2]) {{
  {body}
}}
train M on D {{
  loss = cross_entropy(out, y)
  optimizer = sgd(lr = 0.1)
  steps = 1
  batch = 4
}}
"""


def train(body: str, before: str = "") -> Function:
    unit = load_unit(text_source(PROGRAM.format(body=body, before=before)))
    verify_module(unit.module)
    return unit.module.function("train")


def the_scan(function: Function) -> Operation:
    (op,) = (op for op in function.ops if op.name == "scan")
    return op


def code(body: str, before: str = "") -> str:
    with pytest.raises(BmcError) as caught:
        train(body, before)
    return caught.value.diagnostics[0].code


SUM = "h: f32[B, 2] = zeros\n  scan(axis = 1) t in x { d = t |> dense(2) as ih\n h = h + d\n yield all = h }\n  "


def test_carries_are_what_was_bound_before_and_is_bound_again() -> None:
    op = the_scan(train(SUM + "return h"))
    assert isinstance(op.attrs, ScanAttrs)
    assert (op.attrs.carries, op.attrs.sequences, op.attrs.reverse, op.attrs.length) == (1, 1, False, 7)
    assert [str(v.type) for v in op.results] == ["f32[B, 2]", "f32[7, B, 2]"]


def test_yields_lie_along_the_axis() -> None:
    assert str(the_scan(train(SUM + "return mean(all, 1)")).results[1].type) == "f32[7, B, 2]"
    body = "h: f32[B, 7] = zeros\n  scan(axis = 2, reverse = true) t in x { h = h + t\n yield every = h }\n  return every[:, 0, :2]"
    assert [str(v.type) for v in the_scan(train(body)).results] == ["f32[B, 7]", "f32[4, B, 7]"]


def test_what_does_not_change_with_the_turn_is_done_once() -> None:
    body = "h: f32[B, 2] = zeros\n  k = mean(x, 1) |> dense(2) as k\n  scan t in x { h = h + tanh(k * 2) * t[:, :2] }\n  return h"
    names = [op.name for op in the_scan(train(body)).regions[0].ops]
    assert "tanh" not in names
    assert "contract" not in names


def test_a_layer_is_made_once() -> None:
    function = train(SUM + "return h")
    assert sorted(p.key for p in function.params if p.role == "weight") == ["ih.b", "ih.w"]


def test_a_state_may_be_carried() -> None:
    layer = (
        "layer Count()(x: f32[B, T, 4]) -> (out: f32[B, 2]) {\n  state n: f32[2] = zeros\n  h: f32[B, 2] = zeros\n"
        "  scan t in x {\n    h = h + t[:, :2]\n    n = n + 1\n  }\n  return h * stop_gradient(n) |> dense(2) as out\n}\n"
    )
    function = train("return x |> Count() as count", layer)
    assert any(result.role == "update" and result.key == "count.n" for result in function.results)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("h: f32[B, 2] = zeros\n  scan t in x { h = t }\n  return h", "E0410"),
        ("h: f32[B, 2] = zeros\n  scan t, u in x, x[:, :3] { h = h + t[:, :2] + u[:, :2] }\n  return h", "E0313"),
        ("h: f32[B, 2] = zeros\n  scan(axis = 3) t in x { h = h + 1 }\n  return h", "E0313"),
        ("h: f32[B, 2] = zeros\n  scan(steps = 3) t in x { h = h + 1 }\n  return h", "E0401"),
        ("h: f32[B, 2] = zeros\n  scan(reverse = 1) t in x { h = h + 1 }\n  return h", "E0322"),
        ("h: f32[B, 2] = zeros\n  scan t in x { d = t[:, :2]\n h = h + d }\n  return d", "E0201"),
        ("h: f32[B, 2] = zeros\n  yield all = h\n  return h", "E0416"),
    ],
)
def test_what_is_refused(body: str, wanted: str) -> None:
    assert code(body) == wanted


def test_what_a_wrong_carry_yields_is_not_reported_again() -> None:
    assert code("h = nothing(x)\n  scan t in x {\n h = tanh(h)\n yield out = h }\n  return out") == "E0201"

"""What is known to be a function of the prefix, and the form of the function of new positions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bmc.driver.load import growing_note
from bmc.frontend.unit import NEXT_STEP
from bmc.ir import Function
from bmc.ops.evaluate import evaluate
from bmc.passes.incremental import CACHE, incremental
from bmc.passes.manager import run_pipeline
from bmc.passes.pipeline import GRAPH_PASSES
from bmc.passes.prefix import growing_work, prefix_states
from bmc.passes.prefix_facts import UNKNOWN, Fact, Index, Known, fact_of
from bmc.passes.verify import verify
from tests.generation.programs import KEPT, WHOLE, unit_of
from tests.passes.meaning import read

HEAD = 'function "next.step" rows B {\n  param %w: f32[8, 8] = weight "w"\n  param %x: f32[B, T, 8] = input "x"\n'
SCORES = (
    "  %s = contract(%x, %x, lhs_batch = [0], lhs_contract = [2], rhs_batch = [0], rhs_contract = [2]) : f32[B, T, T]\n"
    '  %i = iota(dtype = "i32", shape = [B, T, T], axis = 1) : i32[B, T, T]\n'
    '  %j = iota(dtype = "i32", shape = [B, T, T], axis = 2) : i32[B, T, T]\n'
)
LAST = "  %e = slice(%y, starts = [0, T - 1, 0], stops = [B, T, 8], steps = [1, 1, 1]) : f32[B, 1, 8]\n"


def masked(condition: str, fill: float = -math.inf, swap: bool = False) -> str:
    """Attention of x to itself, behind a mask."""
    value = "-inf" if fill == -math.inf else repr(fill)
    order = "%n, %s" if swap else "%s, %n"
    return (
        SCORES
        + f"  %c = {condition} : bool[B, T, T]\n"
        + f'  %n = constant(value = {value}, dtype = "f32", shape = [B, T, T]) : f32[B, T, T]\n'
        + f"  %m = select(%c, {order}) : f32[B, T, T]\n"
        + "  %most = reduce_max(%m, axes = [2]) : f32[B, T]\n"
        + "  %wide = broadcast(%most, shape = [B, T, T], axes = [0, 1]) : f32[B, T, T]\n"
        + "  %d = sub(%m, %wide) : f32[B, T, T]\n"
        + "  %a = exp(%d) : f32[B, T, T]\n"
        + "  %y = contract(%a, %x, lhs_batch = [0], lhs_contract = [2], rhs_batch = [0], rhs_contract = [1]) : f32[B, T, 8]\n"
    )


def function(body: str, last: str = LAST) -> Function:
    return read(HEAD + body + last + '  output "y" = %e\n}\n')


def caches(made: Function) -> list[str]:
    return [str(p.value.type) for p in made.params if p.key.startswith(CACHE)]


CAUSAL = {
    "at most": masked('compare(%j, %i, predicate = "le")'),
    "at least": masked('compare(%i, %j, predicate = "ge")'),
    "below": masked('compare(%j, %i, predicate = "lt")'),
    "not beyond": masked('compare(%j, %i, predicate = "gt")', swap=True),
    "itself": masked('compare(%i, %j, predicate = "eq")'),
    "difference": masked('compare(%u, %o, predicate = "ge")').replace(
        "  %c =",
        "  %u = sub(%i, %j) : i32[B, T, T]\n"
        '  %o = constant(value = 0, dtype = "i32", shape = [B, T, T]) : i32[B, T, T]\n  %c =',
    ),
}
SEEING_AHEAD = {
    "one ahead": masked('compare(%j, %k, predicate = "le")').replace(
        "  %c =",
        '  %o = constant(value = 1, dtype = "i32", shape = [B, T, T]) : i32[B, T, T]\n  %k = add(%i, %o) : i32[B, T, T]\n  %c =',
    ),
    "later ones only": masked('compare(%j, %i, predicate = "ge")'),
    "the other branch": masked('compare(%j, %i, predicate = "le")', swap=True),
    "a large number": masked('compare(%j, %i, predicate = "le")', fill=-1e9),
    "of doubled places": masked('compare(%j, %k, predicate = "le")').replace("  %c =", "  %k = add(%i, %i) : i32[B, T, T]\n  %c ="),
}


@pytest.mark.parametrize("name", CAUSAL)
def test_masks_behind_which_no_later_position_is_seen(name: str) -> None:
    made = function(CAUSAL[name])
    assert growing_work(made) is None
    after = incremental(made)
    verify(after)
    assert caches(after) == ["f32[T, B, 8]"]
    assert all(str(v.type) not in ("f32[B, T, T]", "f32[B, T, 8]") or v.name == "" for v in after.values())


@pytest.mark.parametrize("name", SEEING_AHEAD)
def test_masks_that_let_later_positions_through(name: str) -> None:
    found = growing_work(function(SEEING_AHEAD[name]))
    assert found is not None
    assert found.name in ("reduce_max", "contract")


def test_positions_that_move_with_the_end_are_computed_anew() -> None:
    """What reads `T` itself, or a place counted from the end, is no function of a prefix."""
    for body in (
        '  %t = dim_value(dim = T, dtype = "f32") : f32[]\n  %b = broadcast(%t, shape = [B, T, 8], axes = []) : f32[B, T, 8]\n'
        "  %y = mul(%x, %b) : f32[B, T, 8]\n",
        "  %r = slice(%x, starts = [0, T - 1, 0], stops = [B, -1, 8], steps = [1, -1, 1]) : f32[B, T, 8]\n"
        "  %y = add(%x, %r) : f32[B, T, 8]\n",
        "  %p = pad(%x, low = [0, 1, 0], high = [0, 1, 0], interior = [0, 0, 0], value = 0.0) : f32[B, T + 2, 8]\n"
        "  %v = windows(%p, axis = 1, size = 3, stride = 1, dilation = 1) : f32[B, T, 3, 8]\n"
        "  %y = reduce_sum(%v, axes = [2]) : f32[B, T, 8]\n",
        "  %p = pad(%x, low = [0, 4, 0], high = [0, 0, 0], interior = [0, 0, 0], value = 0.0) : f32[B, T + 4, 8]\n"
        "  %y = slice(%p, starts = [0, 4, 0], stops = [B, T + 4, 8], steps = [1, 1, 1]) : f32[B, T, 8]\n",
        "  %m = reduce_sum(%x, axes = [1]) : f32[B, 8]\n  %b = broadcast(%m, shape = [B, T, 8], axes = [0, 2]) : f32[B, T, 8]\n"
        "  %y = sub(%x, %b) : f32[B, T, 8]\n",
    ):
        made = function(body)
        assert growing_work(made) is not None, body
        assert caches(incremental(made)) == ["f32[T, B, 8]"], body


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (
            "  %p = pad(%x, low = [0, 4, 0], high = [0, 0, 0], interior = [0, 0, 0], value = 0.5) : f32[B, T + 4, 8]\n"
            "  %v = windows(%p, axis = 1, size = 3, stride = 1, dilation = 2) : f32[B, T, 3, 8]\n"
            "  %y = reduce_max(%v, axes = [2]) : f32[B, T, 8]\n",
            "f32[B, 4, 8]",
        ),
        (
            "  %z = constant(value = 1.0, dtype = \"f32\", shape = [B, 2, 8]) : f32[B, 2, 8]\n"
            "  %s = slice(%x, starts = [0, 0, 0], stops = [B, T - 2, 8], steps = [1, 1, 1]) : f32[B, T - 2, 8]\n"
            "  %y = concat(%z, %s, axis = 1) : f32[B, T, 8]\n",
            "f32[B, 2, 8]",
        ),
        ("  %y = cumsum(%x, axis = 1) : f32[B, T, 8]\n", "f32[B, 1, 8]"),
    ],
)
def test_a_look_back_keeps_as_much_as_it_looks_at(body: str, kept: str) -> None:
    made = function(body)
    assert growing_work(made) is None
    assert caches(incremental(made)) == [kept]


def test_what_needs_one_position_keeps_nothing() -> None:
    made = function(
        "  %p = contract(%x, %w, lhs_batch = [], lhs_contract = [2], rhs_batch = [], rhs_contract = [0]) : f32[B, T, 8]\n"
        "  %y = tanh(%p) : f32[B, T, 8]\n"
    )
    after = incremental(made)
    assert caches(after) == []
    assert {str(v.type) for v in after.values()} >= {"f32[B, N, 8]"}
    assert not any("T" in str(v.type) for v in after.values())


def test_a_value_is_kept_once_for_all_orders_of_its_axes() -> None:
    """Keys are kept by heads, as products read them: cut anew at each call they would be stored anew, too."""
    body = (
        "  %h = reshape(%x, shape = [B, T, 2, 4]) : f32[B, T, 2, 4]\n"
        "  %q = transpose(%h, permutation = [0, 2, 1, 3]) : f32[B, 2, T, 4]\n"
        "  %k = transpose(%h, permutation = [0, 2, 3, 1]) : f32[B, 2, 4, T]\n"
        "  %s = contract(%q, %k, lhs_batch = [0, 1], lhs_contract = [3], rhs_batch = [0, 1], rhs_contract = [2])"
        " : f32[B, 2, T, T]\n"
        "  %e = slice(%s, starts = [0, 0, T - 1, 0], stops = [B, 2, T, T], steps = [1, 1, 1, 1]) : f32[B, 2, 1, T]\n"
    )
    assert caches(incremental(function(body, last=""))) == ["f32[T, B, 2, 4]"]


@pytest.mark.parametrize("name", [*CAUSAL, *SEEING_AHEAD])
def test_the_reference_evaluator_agrees(name: str) -> None:
    """Positions in chunks of 3, 1 and 2 give the last position of the whole. numpy sums in an order of its own: 6 addends of
    size 10 at most, so 1e-5 is some ten roundings; a wrong position differs by far more."""
    before = function({**CAUSAL, **SEEING_AHEAD}[name])
    after = incremental(before)
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 6, 8), (8, 8)))
    kept = np.full((0, 2, 8), np.nan, np.float32)
    length = 0
    for chunk in (3, 1, 2):
        length += chunk
        room = np.concatenate([kept, np.full((chunk, 2, 8), np.nan, np.float32)])
        given = {"w": w, "x": x[:, length - chunk : length], f"{CACHE}0": room}
        found = evaluate(after, given, {"B": 2, "T": length, "N": chunk}, np)
        kept = found[f"{CACHE}0"]
        expected = evaluate(before, {"w": w, "x": x[:, :length]}, {"B": 2, "T": length}, np)["y"]
        np.testing.assert_allclose(found["y"], expected, rtol=1e-5, atol=1e-5)


def test_an_incremental_function_stays_as_it_is() -> None:
    made = incremental(function(CAUSAL["at most"]))
    assert incremental(made) is made


def test_a_state_is_only_as_settled_as_its_operands() -> None:
    made = function(CAUSAL["at most"])
    states = prefix_states(made)
    by_name = {value.name: states[value] for value in made.values()}
    assert by_name["y"].settled
    assert by_name["y"].depends
    assert by_name["c"].settled
    assert not by_name["c"].depends
    assert by_name["c"].beyond == {(1, 2): Known(False), (2, 1): Known(True)}
    assert by_name["m"].beyond == {(1, 2): Known(-math.inf)}
    assert by_name["a"].beyond == {(1, 2): Known(0)}
    assert not by_name["e"].settled


@pytest.mark.parametrize(
    ("emit", "facts", "expected"),
    [
        (lambda b, _, x, y: b.add(x, y), (Known(-math.inf), UNKNOWN), Known(-math.inf)),
        (lambda b, _, x, y: b.sub(x, y), (UNKNOWN, Known(math.inf)), Known(-math.inf)),
        (lambda b, _, x, y: b.sub(x, y), (Known(math.inf), Known(math.inf)), UNKNOWN),
        (lambda b, _, x, y: b.mul(x, y), (Known(0), UNKNOWN), Known(0)),
        (lambda b, _, x, y: b.mul(x, y), (Known(-math.inf), UNKNOWN), UNKNOWN),
        (lambda b, _, x, y: b.mul(x, y), (Known(0), Known(math.inf)), UNKNOWN),
        (lambda b, _, x, y: b.mul(x, y), (Known(0.1), Known(0.1)), UNKNOWN),
        (lambda b, _, x, y: b.div(x, y), (Known(0), UNKNOWN), Known(0)),
        (lambda b, _, x, y: b.div(x, y), (UNKNOWN, Known(0)), UNKNOWN),
        (lambda b, _, x, y: b.maximum(x, y), (Known(-math.inf), UNKNOWN), UNKNOWN),
        (lambda b, _, x, y: b.maximum(x, y), (Known(math.inf), UNKNOWN), Known(math.inf)),
        (lambda b, _, x, y: b.logical_and(x, y), (Known(False), UNKNOWN), Known(False)),
        (lambda b, _, x, y: b.logical_or(x, y), (Known(False), UNKNOWN), UNKNOWN),
        (lambda b, _, x: b.exp(x), (Known(-math.inf),), Known(0)),
        (lambda b, _, x: b.tanh(x), (Known(-math.inf),), UNKNOWN),
        (lambda b, _, x: b.cast(x, "f32"), (Index(((0, 1),), 0),), UNKNOWN),
        (lambda b, _, x: b.cast(x, "i64"), (Index(((0, 1),), 0),), Index(((0, 1),), 0)),
        (lambda b, _, x: b.cast(x, "f32"), (Known(True),), Known(1)),
        (lambda b, _, x, y: b.compare("ge", x, y), (Index(((0, 1),), 0), Index(((1, 1),), 0)), Known(False)),
        (lambda b, _, x, y: b.compare("gt", x, y), (Index(((0, 1),), 1), Index(((1, 1),), 0)), Known(False)),
        (lambda b, _, x, y: b.compare("ge", x, y), (Index(((0, 1),), 1), Index(((1, 1),), 0)), UNKNOWN),
        (lambda b, _, x, y: b.compare("ne", x, y), (Index(((0, 1),), 0), Index(((1, 1),), 0)), Known(True)),
        (lambda b, _, x, y: b.compare("ge", x, y), (Index(((0, 2),), 0), Index(((1, 1),), 0)), UNKNOWN),
        (lambda b, _, x, y: b.floor_div(x, y) if x.dtype else x, (UNKNOWN, UNKNOWN), UNKNOWN),
    ],
)
def test_facts_of_elements(emit: object, facts: tuple[Fact, ...], expected: Fact) -> None:
    """Where index 1 is greater than index 0. `UNKNOWN` stands for any finite number."""
    assert fact_of(emit, None, list(facts), (0, 1)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("name", KEPT)
def test_programs_of_which_each_position_is_computed_once(name: str) -> None:
    """As the front end writes them, and simplified: nothing but the last position depends on the length."""
    unit = unit_of(KEPT[name])
    assert growing_note(unit) is None
    made = incremental(run_pipeline(unit.module.function(NEXT_STEP), GRAPH_PASSES))
    verify(made)
    # Two axes of all positions would be scores of all positions for all.
    assert not any([str(dim) for dim in value.type.shape].count("T") > 1 for value in made.values())


@pytest.mark.parametrize("name", WHOLE)
def test_programs_of_which_positions_are_computed_anew_say_so(name: str) -> None:
    note = growing_note(unit_of(WHOLE[name]))
    assert note is not None
    assert note.code == "W0630"
    assert note.level == "note"

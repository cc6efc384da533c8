"""The passes, in order: a literal list with the reason for each line.

In: nothing. Out: the passes from graph to graph that `run_pipeline` runs: `GRAPH_PASSES` on every function, then
`SHARD_PASSES` on a training step of which several shards, or several micro-batches, are summed, or `INCREMENTAL_PASSES`
and `GRAPH_PASSES` again on the function of new positions alone. What follows them gives lowered forms, which are no
functions any more: `split_rows`, `split_phases`, `fuse` on phases, `plan_memory`.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from bmc.ir import Function, Operation
from bmc.ops.lowering import Expanded
from bmc.ops.registry import RowMix
from bmc.ops.table import definition
from bmc.passes.align import align
from bmc.passes.autodiff import autodiff
from bmc.passes.canonicalise import canonicalise
from bmc.passes.cse import cse
from bmc.passes.dce import dce
from bmc.passes.expand import expand
from bmc.passes.fold import fold
from bmc.passes.hoist import hoist
from bmc.passes.incremental import incremental
from bmc.passes.lift import lift
from bmc.passes.manager import Pass, Property
from bmc.passes.rows import operation_rows, row_states
from bmc.passes.shard import RowsDoNotSplit, shard
from bmc.passes.specialise import specialise
from bmc.passes.turns import in_turns_too

__all__ = ["GRAPH_PASSES", "INCREMENTAL_PASSES", "SHARD_PASSES", "expanded", "rows_kept_apart"]


def expanded(by: str) -> Property:
    """No operation is left that the pass `by` must expand."""
    return Property(f"expanded by {by}", partial(_left_over, by))


def _left_over(by: str, function: Function) -> tuple[str, Operation] | None:
    work = list(reversed(function.ops))
    while work:
        op = work.pop()
        lowering = definition(op.name).lowering
        if isinstance(lowering, Expanded) and lowering.by == by:
            return f"{op.name} is still there", op
        work.extend(inner for region in op.regions for inner in region.ops)
    return None


def rows_kept_apart() -> Property:
    """No operation mixes the rows of a shard but through a sum over all shards."""
    return Property("rows kept apart", _mixing)


def _mixing(function: Function) -> tuple[str, Operation] | None:
    states = row_states(function)
    for op in function.ops:
        found = operation_rows(op, [states[value].axis for value in op.operands], function.row)
        if RowMix.OTHER in found:
            return f"{op.name} mixes rows", op
    return None


GRAPH_PASSES: Final = (
    # Before autodiff: a mask that keeps every step would leave its traces in the gradient, which adds up in another order then.
    # Hence not optional: last digits depend on it.
    Pass("specialise", "make constants of what all turns of a scan are given alike", specialise),
    # Before autodiff: the gradient of one large product is two large products, whatever the scan behind it does.
    Pass("hoist", "take out of a scan the products that no carry changes", hoist, optional=True),
    # After hoist, whose products it reorders; before autodiff, so that gradients of weights sum in the order of turns. Not optional
    # for the same reason.
    Pass("align", "let the sequences of scans lie in the order of their turns from where they are made", align),
    # Before the rest, so that gradient rules see operators as they were written, and what follows treats both directions alike.
    Pass("autodiff", "expand gradients by one reverse sweep", autodiff, ensures=(expanded("autodiff"),)),
    # After autodiff, which must see convolutions; before all that treats their products like any other.
    Pass(
        "expand",
        "make the operators of which it consists of each composed one",
        in_turns_too(expand),
        ensures=(expanded("expand"),),
    ),
    # Before canonicalise: 1 * 1 must be a 1 before x * (1 * 1) can be x.
    Pass("fold", "compute what is known and exactly rounded", in_turns_too(fold), optional=True),
    # Before cse: two ways to say one thing must look alike to be found equal.
    Pass("canonicalise", "rewrite operations into simpler ones with the same bits", in_turns_too(canonicalise), optional=True),
    # After the sweeps that make more things equal, and once is enough: nothing later makes new ones.
    Pass("cse", "compute equal things once", in_turns_too(cse), optional=True),
    # After canonicalise, which makes axes of products of the transposes that gradients bring; after cse: each is made once.
    Pass("lift", "take out of a scan's turns what is the same in all of them", lift, optional=True),
    # Last of these: each of the others leaves operations behind that nobody uses.
    Pass("dce", "remove what nobody uses", dce, optional=True),
)

SHARD_PASSES: Final = (
    # After simplification: what is equal or dead need not be summed over shards.
    Pass(
        "shard",
        "make sums over rows partial sums of a shard, and a sum over shards",
        partial(shard, shards=True),
        ensures=(rows_kept_apart(),),
        refusal=RowsDoNotSplit,
    ),
)

INCREMENTAL_PASSES: Final = (
    # After simplification, which leaves fewer values to keep, and after expand, whose products can be followed by position.
    Pass("incremental", "compute new positions of a growing sequence alone, and keep what later ones read", incremental),
)

"""`class_weight`: the weight of each row by its class, given in a list or fitted on the training rows.

In: the model traced over the data, the loss. Out: a tensor of weights like the labels. Guaranteed: what is fitted is a fitted value
of the data block, under the key of the label's output, so that training, evaluation and the stored model have one table.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.frontend.bodies.core import FitRecord
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.trace import Trace, cone
from bmc.frontend.bodies.values import ListValue, Tensor, describe, is_number
from bmc.frontend.errors import train_errors
from bmc.frontend.errors.name_errors import listed
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.train.traced import ModelPass, TrainBlock
from bmc.ir import Value
from bmc.ir.types import is_integer
from bmc.source import Span

__all__ = ["class_weight"]

_BALANCED = "balanced"


def class_weight(
    core: Elaborator, block: TrainBlock, traced: ModelPass, entry: syntax.Setting, bound: Sequence[str], loss: Tensor
) -> Tensor:
    """By the one output of categories or conditions that the loss reads beside the model's inputs. Raises Failure."""
    span = entry.value.span
    value = core.evaluate(entry.value, traced.env)
    name, label, classes = _label(core, traced, bound, loss, span)
    if value == _BALANCED:
        table = _balanced(core, block, name, label, classes, span)
    else:
        if not isinstance(value, ListValue) or not all(is_number(i) for i in value.items):
            wanted = 'a list of numbers, one for each class, or "balanced"'
            raise Failure(train_errors.bad_setting(span, "class_weight", wanted, describe(value)))
        if classes != len(value.items):
            wanted = f"a list of {classes} numbers"
            raise Failure(train_errors.bad_setting(span, "class_weight", wanted, f"one of {len(value.items)}"))
        cells = [core.trace.constant(float(i), core.float_type, (1,)) for i in value.items if isinstance(i, (int, float))]
        table = core.trace.op("concat", *cells, axis=0)
    index = label.value if label.dtype in ("i32", "i64") else core.trace.cast(label.value, "i32")
    return core.tensor(core.trace.op("gather", table, index))


def _label(core: Elaborator, traced: ModelPass, bound: Sequence[str], loss: Tensor, span: Span) -> tuple[str, Tensor, int]:
    """The output's name, its tensor, and how many classes it has."""
    read = {id(v) for op in cone(core.trace.builder.ops, [loss.value], effects=False) for v in op.operands}
    free = [(n, t) for n, t in traced.inputs.items() if n not in bound and id(t.value) in read]
    labels = [(n, t, t.below) for n, t in free if is_integer(t.dtype) and isinstance(t.below, int)]
    if not labels:
        labels = [(n, t, 2) for n, t in free if t.dtype == "bool"]
    if len(labels) != 1:
        wanted = "for a loss that reads one output of categories"
        raise Failure(train_errors.bad_setting(span, "class_weight", wanted, listed([n for n, _, _ in labels]) or "none"))
    return labels[0]


def _balanced(core: Elaborator, block: TrainBlock, name: str, label: Tensor, classes: int, span: Span) -> Value:
    """Rows / (classes that occur x rows of the class), as scikit-learn has it: every class that occurs weighs the same in all. The
    weight of a class without training rows is that of a class with one."""
    key = f"{name}.class_weight"
    behind = label.behind
    if behind is None:
        raise Failure(train_errors.bad_setting(span, "class_weight", "labels of the data block", describe(label)))
    found = next((record for record in block.data.records if key in record.keys), None)
    if found is None:
        data = behind.trace
        core.trace, before = data, core.trace
        try:
            core.at(span)
            weights = data.cast(_weights(data, behind, classes), core.float_type)
        finally:
            core.trace = before
        found = FitRecord((key,), (weights,), span.text, span)
        block.data.records.append(found)
    return core.trace.parameter("fitted", key, found.values[0].type)


def _weights(data: Trace, label: Tensor, classes: int) -> Value:
    """f64[classes], of the data trace."""
    index = label.value if label.dtype in ("i32", "i64") else data.cast(label.value, "i32")
    shape = (classes,)
    counts = data.cast(data.op("bincount", index, size=classes), "f64")
    one = data.constant(1.0, "f64", shape)
    occurring = data.reduce("reduce_sum", data.op("minimum", counts, one), [0])
    rows = data.reduce("reduce_sum", counts, [0])
    share = data.op("div", rows, occurring)
    return data.op("div", data.broadcast(share, shape), data.op("maximum", counts, one))

"""Metrics and predictions of a `train` block.

In: the model traced as in evaluation. Out: the functions `eval` and `predict`, and their specifications. Guaranteed: what is
predicted does not depend on other rows of a batch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.trace import ROW, first_mixing
from bmc.frontend.bodies.values import Datum, Poison, Tensor, describe
from bmc.frontend.errors import train_errors
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.train.loss import loss_of, weighted_sums
from bmc.frontend.train.settings import HIGHER_IS_BETTER, Settings
from bmc.frontend.train.traced import ModelPass, TracedTraining, TrainBlock
from bmc.frontend.unit import MetricSpec, OutputSpec, PredictedColumn, PredictionSpec
from bmc.ir import Poly, Result
from bmc.ir.dims import product, symbols
from bmc.ir.types import is_integer
from bmc.source import Span

__all__ = ["eval_function", "predict_function"]


def _named(expression: syntax.Expr | syntax.Keyed, fallback: str) -> tuple[str, syntax.Expr]:
    """The name of an item of `metrics` or `predict`, and its expression."""
    if isinstance(expression, syntax.Keyed):
        return (expression.key.text if isinstance(expression.key, syntax.Name) else expression.key.value), expression.value
    node: syntax.Expr = expression
    if isinstance(node, syntax.Pipe):
        node = node.stages[-1].callee
    while isinstance(node, syntax.Call):
        node = node.callee
    if isinstance(node, syntax.Name):
        return node.text, expression
    if isinstance(node, syntax.Attribute):
        return node.name.text, expression
    return fallback, expression


def _items(core: Elaborator, entry: syntax.Setting | None, fallback: str) -> list[tuple[str, syntax.Expr, Span]]:
    if entry is None:
        return []
    if not isinstance(entry.value, syntax.ListExpr):
        return [(_named(entry.value, fallback)[0] if fallback != "prediction" else fallback, entry.value, entry.value.span)]
    found: list[tuple[str, syntax.Expr, Span]] = []
    for i, item in enumerate(entry.value.items):
        name, expression = _named(item, f"{fallback}_{i + 1}" if i else fallback)
        if any(name == n for n, _, _ in found):
            core.report(train_errors.metric_twice(item.span, name))
            continue
        found.append((name, expression, item.span))
    return found


def _metric(core: Elaborator, value: Datum, span: Span) -> Tensor:
    """A metric as f64: a number, the mean of a value for each row, or a table."""
    trace = core.trace
    tensor = coercion.scalar(core, value, span)
    if tensor.dtype == "str":
        raise Failure(train_errors.too_many_tables(span, describe(tensor)))
    core.at(span)
    made = trace.cast(tensor.value, "f64")
    if any(trace.has_rows(d) for d in tensor.shape):
        total = trace.reduce("reduce_sum", made, range(tensor.rank))
        made = trace.op("div", total, trace.dim(product(tensor.shape), "f64"))
    elif not all(isinstance(d, int) for d in tensor.shape):
        raise Failure(train_errors.too_many_tables(span, describe(tensor)))
    return core.tensor(made)


def _better(expression: syntax.Expr) -> Literal["min", "max"]:
    node = expression
    if isinstance(node, syntax.Pipe):
        node = node.stages[-1].callee
    while isinstance(node, syntax.Call):
        node = node.callee
    return "max" if isinstance(node, syntax.Name) and node.text in HIGHER_IS_BETTER else "min"


def eval_function(
    core: Elaborator, block: TrainBlock, settings: Settings, traced: ModelPass, bound: Sequence[str], result: TracedTraining
) -> None:
    trace = core.trace
    results: list[Result] = []
    try:
        loss, _ = loss_of(core, settings, traced)
        entry = settings.entries.get("loss")
        core.at(block.declaration.header if entry is None else entry.value.span)
        loss_sum, weight_sum = weighted_sums(core, block, loss, settings, traced, bound)
        results.append(Result(trace.op("div", loss_sum, weight_sum), "output", "loss"))
    except Failure as failure:
        core.report(failure.diagnostic)
    metrics: list[MetricSpec] = []
    for name, expression, span in _items(core, settings.entries.get("metrics"), "metric"):
        if name == "loss":
            core.report(train_errors.metric_twice(span, name))
            continue
        try:
            tensor = _metric(core, core.evaluate(expression, traced.env), expression.span)
        except Failure as failure:
            core.report(failure.diagnostic)
            metrics.append(MetricSpec(name, (), _better(expression)))
            continue
        shape = tuple(d for d in tensor.shape if isinstance(d, int))
        metrics.append(MetricSpec(name, shape, _better(expression)))
        results.append(Result(tensor.value, "output", name))
    result.metrics = tuple(metrics)
    if not core.failed:
        result.eval = trace.cut("eval", results)


def predict_function(core: Elaborator, block: TrainBlock, settings: Settings, traced: ModelPass, result: TracedTraining) -> None:
    entry = settings.entries.get("predict")
    values: list[tuple[str, Datum, Span]] = []
    if entry is None:
        values = [(n, t, block.declaration.header) for n, t in traced.outputs]
    for name, expression, _ in _items(core, entry, "prediction"):
        try:
            values.append((name, core.evaluate(expression, traced.env), expression.span))
        except Failure as failure:
            core.report(failure.diagnostic)
    mapping = {t.value: t.behind.value for t in traced.inputs.values() if t.behind is not None}
    lengths = [bucketing.symbol for bucketing in block.data.bucketings]
    columns: list[PredictedColumn] = []
    results: list[Result] = []
    mixing: list[Span | None] = []
    for name, value, span in values:
        try:
            tensor = _predicted(core, name, value, span, lengths)
        except Failure as failure:
            core.report(failure.diagnostic)
            continue
        column, made = _predicted_column(core, name, tensor)
        one = core.trace.cut("predict", [made], earlier=block.data.trace, mapping=mapping)
        op, place = first_mixing(one)
        if op is not None and (place is None or place not in mixing):
            mixing.append(place)  # one finding for all that it reaches
            core.report(train_errors.mixes_rows(span, name, place))
        columns.append(column)
        results.append(made)
    keep = __kept_columns(core, block, settings)
    if core.failed:
        return
    read_outputs = {p.key for p in core.trace.cut("predict", results).params if p.role == "input"}
    bounded = [(n, t) for n, t in traced.inputs.items() if n in read_outputs and _may_be_outside(t)]
    results += [Result(t.value, "output", PredictionSpec.key_of_bounded(n)) for n, t in bounded]
    function = core.trace.cut("predict", results, earlier=block.data.trace, mapping=mapping)
    result.predict = function
    read = {p.key.removesuffix(".valid").removesuffix(".length") for p in function.params if p.role == "input"}
    needs = tuple(c.name for c in block.data.columns if c.name in read)
    limits = tuple(OutputSpec(n, t.type, t.below if isinstance(t.below, int) else None) for n, t in bounded)
    result.prediction = PredictionSpec(tuple(columns), needs, keep, limits)


def _may_be_outside(output: Tensor) -> bool:
    """Whether a raw row may have an integer beyond the bound that the model relies on. Fitted categories have a slot for others."""
    if not is_integer(output.dtype) or not isinstance(output.below, int):
        return False
    fitted = output.categories is not None and output.categories.table is not None
    return not fitted and not (output.dtype == "u8" and output.below >= 256)


def _predicted(core: Elaborator, name: str, value: Datum, span: Span, lengths: Collection[str]) -> Tensor:
    """One value for each row, its dims known but for `lengths`, which have a most."""
    if isinstance(value, Poison):
        raise Failure
    tensor = coercion.scalar(core, value, span)
    row = Poly.symbol(ROW)
    if tensor.rank == 0:
        tensor = coercion.broadcast_tensor(core, tensor, (row,))
    if tensor.shape[0] != row or not all(symbols(d) <= set(lengths) for d in tensor.shape[1:]):
        open_dims = any(core.trace.has_rows(d) for d in tensor.shape[1:])
        if open_dims:
            raise Failure(train_errors.mixes_rows(span, name, None))
        raise Failure(train_errors.bad_prediction(span, name, describe(tensor)))
    return tensor


def _predicted_column(core: Elaborator, name: str, tensor: Tensor) -> tuple[PredictedColumn, Result]:
    made = Result(tensor.value, "output", name)
    categories = tensor.categories
    if categories is None or not is_integer(tensor.dtype) or (not categories.labels and categories.table is None):
        return PredictedColumn(name, tensor.type), made
    return PredictedColumn(name, tensor.type, "label", categories.table, categories.count, categories.labels), made


def __kept_columns(core: Elaborator, block: TrainBlock, settings: Settings) -> tuple[str, ...]:
    entry = settings.entries.get("keep")
    if entry is None:
        return ()
    items = entry.value.items if isinstance(entry.value, syntax.ListExpr) else (entry.value,)
    known = [c.name for c in block.data.columns]
    kept: list[str] = []
    for item in items:
        text = item.text if isinstance(item, syntax.Name) else item.span.text
        if text in known:
            kept.append(text)
        else:
            core.report(train_errors.unknown_column(item.span, text, known))
    return tuple(kept)

"""A `train` block: model and data joined, the loss, its gradient and the update, metrics, predictions.

In: the syntax of a block and the elaborated data. Out: the functions `init`, `train`, `eval`, `predict` and their
settings. Guaranteed: the body of
the model is traced once as in training and once as in evaluation, with the same keys; what is predicted is cut from the
evaluation trace, so that both are one computation.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bmc.frontend.bodies import arithmetic
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.frozen import frozen_keys
from bmc.frontend.bodies.keys import KeyScope
from bmc.frontend.bodies.trace import ROW, STEP, STEPS, Trace, cone, first_mixing
from bmc.frontend.bodies.values import (
    POISON,
    Bound,
    Closure,
    Datum,
    Environment,
    LayerInstance,
    ListValue,
    Namespace,
    Poison,
    Tensor,
    describe,
    is_number,
)
from bmc.frontend.data.block import DataBlock
from bmc.frontend.errors import layer_errors, train_errors, type_errors
from bmc.frontend.generic import outputs_of, rigid_input
from bmc.frontend.scope import FileScope
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.train.generation import Generation, trace_generation
from bmc.frontend.train.settings import (
    HIGHER_IS_BETTER,
    Clip,
    OptimizerRule,
    Settings,
    read_clip,
    read_optimizer,
    read_stop,
    rule_for,
)
from bmc.frontend.transfer.loading import Loading, read_init
from bmc.frontend.unit import MetricSpec, OutputSpec, PlateauSpec, PredictedColumn, PredictionSpec, StopSpec
from bmc.ir import Function, Poly, Result, Value
from bmc.ir.dims import product, symbols
from bmc.ir.types import is_float, is_integer
from bmc.ops.registry import TypeRuleError
from bmc.record import record, replace
from bmc.source import Span

__all__ = ["TrainBlock", "TracedTraining", "trace_training"]


@record(frozen=True, eq=False)
class TrainBlock:
    """What a train block names: its model with hyper-parameters, and its data."""

    declaration: syntax.Train
    scope: FileScope
    model: Closure
    data: DataBlock

    @property
    def name(self) -> str:
        named = self.declaration.name
        return self.declaration.model.text if named is None else named.text


@dataclass(eq=False)
class TracedTraining:
    """Functions and specifications of one block. `bindings`: (model input, data output)."""

    settings: Settings
    train: Function | None = None
    eval: Function | None = None
    predict: Function | None = None
    bindings: tuple[tuple[str, str], ...] = ()
    metrics: tuple[MetricSpec, ...] = ()
    prediction: PredictionSpec | None = None
    generation: Generation | None = None
    stop: StopSpec | None = None
    plateau: PlateauSpec | None = None
    loss: str = ""
    rules: dict[str, OptimizerRule] = field(default_factory=dict)
    loading: Loading = field(default_factory=Loading)
    traces: list[Trace] = field(default_factory=list)
    outputs: tuple[OutputSpec, ...] = ()


@record(frozen=True, eq=False)
class _Pass:
    """One trace of the model over the data outputs, and the names that the block's expressions see."""

    trace: Trace
    env: Environment
    outputs: list[tuple[str, Tensor]]
    inputs: dict[str, Tensor]


# --- the model over the data -------------------------------------------------------------------------------------------
def _data_inputs(core: Elaborator, block: TrainBlock) -> dict[str, Bound]:
    """Data outputs as inputs of the present trace."""
    made: dict[str, Bound] = {}
    for name, bound in block.data.outputs.items():
        behind = bound.value
        if not isinstance(behind, Tensor):
            made[name] = bound
            continue
        value = core.trace.parameter("input", name, behind.type)
        valid = None if behind.valid is None else core.trace.parameter("input", f"{name}.valid", behind.valid.type)
        made[name] = Bound(
            replace(behind, value=value, trace=core.trace, valid=valid, behind=behind, lengths=None), bound.span
        )
    return made


def _bindings(core: Elaborator, block: TrainBlock, settings: Settings) -> tuple[tuple[str, str], ...]:
    """Which data output feeds which input: by name, unless `inputs` says otherwise."""
    declared = {p.name.text: p for p in block.model.declaration.inputs}
    outputs = block.data.outputs
    chosen: dict[str, str] = {}
    entry = settings.entries.get("inputs")
    if entry is not None:
        items = entry.value.items if isinstance(entry.value, syntax.ListExpr) else ()
        if not items:
            core.report(train_errors.bad_setting(entry.value.span, "inputs", "a list such as `[x = pixels]`", "something else"))
        for item in items:
            if (
                not isinstance(item, syntax.Keyed)
                or not isinstance(item.key, syntax.Name)
                or not isinstance(item.value, syntax.Name)
            ):
                core.report(train_errors.bad_setting(item.span, "inputs", "pairs such as `x = pixels`", "something else"))
            elif item.key.text not in declared:
                core.report(train_errors.unknown_binding(item.key.span, item.key.text, "input", list(declared)))
            elif item.value.text not in outputs:
                core.report(train_errors.unknown_binding(item.value.span, item.value.text, "output", list(outputs)))
            else:
                chosen[item.key.text] = item.value.text
    for name, parameter in declared.items():
        if name in chosen:
            continue
        if name in outputs:
            chosen[name] = name
        elif parameter.default is None:
            where = block.declaration.header
            core.report(train_errors.input_missing(where, block.model.name, name, parameter.span, block.data.name, list(outputs)))
            chosen[name] = ""
    return tuple((n, chosen[n]) for n in declared if n in chosen)


def _run_model(core: Elaborator, block: TrainBlock, bindings: Sequence[tuple[str, str]], trace: Trace) -> _Pass:
    """Trace the model. Where its inputs are wrong, which has been reported, types stand in for them, and only names are checked."""
    core.trace = trace
    core.keys = KeyScope()
    core.binding = None
    inputs = _data_inputs(core, block)
    header = block.declaration
    env = Environment(block.scope)
    positional, keyword = core.arguments(header.arguments or (), env)
    instance = core.apply(block.model, positional, keyword, header.header)
    if not isinstance(instance, LayerInstance):
        raise Failure
    instance.path = ()
    given: dict[str, Bound] = {}
    declared = {p.name.text: p for p in block.model.declaration.inputs}
    for name, output in bindings:
        bound = inputs.get(output)
        if bound is None or isinstance(bound.value, Poison):
            core.names_only = True
            given[name] = rigid_input(core, instance, declared[name], header.header)
            continue
        if isinstance(bound.value, Tensor) and bound.value.valid is not None:
            missing = type_errors.may_be_missing(bound.span, describe(bound.value), f"the input `{name}`", declared[name].span)
            raise Failure(missing)
        given[name] = bound
    result = core.apply_layer(instance, (), given, header.header, None)
    outputs = outputs_of(block.model.declaration, result)
    names = {r.name.text if r.name is not None else "output": r.span for r in block.model.declaration.results}
    values = dict(outputs)
    mine = {n: Bound(values.get(n, POISON), s) for n, s in names.items()}
    bounds: dict[str, Bound] = dict(inputs)
    for name, bound in mine.items():
        bounds[name] = replace(bound, hidden=True) if name in inputs else bound
    model_name, data_name = block.model.name, block.data.name
    bounds.setdefault(model_name, Bound(Namespace(model_name, mine), header.model.span))
    bounds.setdefault(data_name, Bound(Namespace(data_name, inputs), header.data.span))
    env.names.update(bounds)
    tensors = {n: b.value for n, b in inputs.items() if isinstance(b.value, Tensor)}
    traced = _Pass(trace, env, outputs, tensors)
    for entry in header.entries:
        if isinstance(entry, syntax.Let):
            core.run((entry,), env)
    return traced


# --- loss --------------------------------------------------------------------------------------------------------------
def _default_loss(
    core: Elaborator, block: TrainBlock, settings: Settings, traced: _Pass, bound: Sequence[str]
) -> tuple[Tensor, str]:
    """The loss that follows from y's type: cross-entropy of integers, bce of conditions, squares of floats."""
    where = block.declaration.header
    free = [n for n in traced.inputs if n not in bound]
    if len(traced.outputs) != 1:
        raise Failure(train_errors.no_default_loss(where, f"the model has {len(traced.outputs)} outputs"))
    if len(free) != 1 and "y" not in free:
        reason = "no output of the data is left to compare with" if not free else f"it could be any of {', '.join(free)}"
        raise Failure(train_errors.no_default_loss(where, reason))
    label = "y" if "y" in free else free[0]
    name, output = traced.outputs[0]
    target = traced.inputs[label]
    kind = "cross_entropy" if is_integer(target.dtype) else "bce" if target.dtype == "bool" else "mse"
    if target.dtype == "str":
        raise Failure(train_errors.no_default_loss(where, f"`{label}` is text; `category` makes integers of it"))
    callee = core.find(syntax.Name(kind, where), Environment(block.scope))
    if callee is None:
        raise Failure
    value = core.apply(callee.value, [Bound(output, where), Bound(target, where)], {}, where)
    if not isinstance(value, Tensor):
        raise Failure
    return value, f"{kind}({name}, {label})"


def _loss(core: Elaborator, block: TrainBlock, settings: Settings, traced: _Pass, bound: Sequence[str]) -> tuple[Tensor, str]:
    entry = settings.entries.get("loss")
    if entry is None:
        return _default_loss(core, block, settings, traced, bound)
    value = core.evaluate(entry.value, traced.env)
    if isinstance(value, Poison):
        raise Failure
    if not isinstance(value, Tensor) or not is_float(value.dtype):
        raise Failure(train_errors.loss_type(entry.value.span, describe(value)))
    if value.valid is not None:
        raise Failure(type_errors.may_be_missing(entry.value.span, describe(value), "the loss", None))
    return value, entry.value.span.text


def _align(core: Elaborator, weight: Tensor, loss: Tensor, span: Span) -> Value:
    """A weight of leading dims spread over the rest of the loss's shape."""
    shape = weight.shape
    if weight.rank < loss.rank and shape == loss.shape[: weight.rank]:
        return core.trace.op("broadcast", weight.value, shape=loss.shape, axes=tuple(range(weight.rank)))
    if arithmetic.broadcast_shape([shape, loss.shape]) != loss.shape:
        raise Failure(type_errors.broadcast_mismatch(span, "times", loss.type, weight.type, span, span, ()))
    return core.trace.broadcast(weight.value, loss.shape)


def _class_weight(core: Elaborator, traced: _Pass, entry: syntax.Setting, bound: Sequence[str]) -> Tensor:
    """The weight of each row by its class."""
    span = entry.value.span
    value = core.evaluate(entry.value, traced.env)
    labels = [t for n, t in traced.inputs.items() if n not in bound and is_integer(t.dtype) and isinstance(t.below, int)]
    if not isinstance(value, ListValue) or not all(is_number(i) for i in value.items):
        raise Failure(train_errors.bad_setting(span, "class_weight", "a list of numbers, one for each class", describe(value)))
    if len(labels) != 1:
        raise Failure(
            train_errors.bad_setting(span, "class_weight", "for data with one output of categories", f"{len(labels)} of them")
        )
    label = labels[0]
    if label.below != len(value.items):
        raise Failure(
            train_errors.bad_setting(span, "class_weight", f"a list of {label.below} numbers", f"one of {len(value.items)}")
        )
    rows = [core.trace.constant(float(i), core.float_type, (1,)) for i in value.items if isinstance(i, (int, float))]
    table = core.trace.op("concat", *rows, axis=0)
    return core.tensor(core.trace.op("gather", table, label.value))


def _weighted_sums(core: Elaborator, loss: Tensor, settings: Settings, traced: _Pass, bound: Sequence[str]) -> tuple[Value, Value]:
    """(sum of weight x loss, sum of weights), both rank 0. In f64 over a whole split."""
    trace = core.trace
    dtype = "f64" if trace.exact else core.float_type
    value = trace.cast(loss.value, dtype)
    axes = range(loss.rank)
    weights: list[Value] = []
    entry = settings.entries.get("weight")
    if entry is not None:
        given = core.evaluate(entry.value, traced.env)
        weight = arithmetic.scalar(core, given, entry.value.span)
        if weight.dtype in ("bool", "u8", "i32", "i64"):
            weight = arithmetic.to_dtype(core, weight, core.float_type)
        weights.append(trace.cast(_align(core, weight, loss, entry.value.span), dtype))
    classes = settings.entries.get("class_weight")
    if classes is not None:
        by_class = _class_weight(core, traced, classes, bound)
        weights.append(trace.cast(_align(core, by_class, loss, classes.value.span), dtype))
    if not weights:
        return trace.reduce("reduce_sum", value, axes), trace.dim(product(loss.shape), dtype)
    weight_value = weights[0] if len(weights) == 1 else trace.op("mul", weights[0], weights[1])
    total = trace.reduce("reduce_sum", trace.op("mul", value, weight_value), axes)
    return total, trace.reduce("reduce_sum", weight_value, axes)


# --- the step ----------------------------------------------------------------------------------------------------------
def _learning(core: Elaborator, loss_sum: Value, rules: Sequence[OptimizerRule], where: Span) -> dict[str, OptimizerRule]:
    """The rule of each weight; weights that the loss does not reach, and frozen ones, have none that updates."""
    unmatched = [k for k in core.registry.weights if rule_for(rules, k) is None]
    if unmatched:
        core.report(train_errors.unmatched_weight(where, unmatched))
    chosen = {k: r for k in core.registry.weights if (r := rule_for(rules, k)) is not None}
    states = {id(r) for k in core.registry.states if (r := rule_for(rules, k)) is not None and r.value is None}
    for rule in rules:
        if rule not in chosen.values() and id(rule) not in states and core.registry.weights:
            core.report(train_errors.pattern_unused(rule.span, rule.pattern, list(core.registry.weights)))
    return chosen


def _update(core: Elaborator, key: str, rule: OptimizerRule, weight: Value, gradient: Value) -> Value:
    """Run the optimizer's body for one weight."""
    assert rule.value is not None
    closure = rule.value.closure
    declaration = closure.declaration
    step = core.tensor(core.trace.control("control", STEP), weak=True)
    steps = core.tensor(core.trace.control("control", STEPS), weak=True)
    origins = core.registry.weights[key].origins
    available: dict[str, Tensor] = {
        "w": core.tensor(weight, origins=origins),
        "g": core.tensor(gradient, origins=origins),
        "step": step,
        "steps": steps,
    }
    given: dict[str, Bound] = {}
    for parameter in declaration.inputs:
        name = parameter.name.text
        if name not in available:
            raise Failure(train_errors.bad_optimizer(parameter.span, f"an optimizer of `{name}` (inputs are w, g, step, steps)"))
        given[name] = Bound(available[name], rule.span)
    core.updated = key
    with core.scope(KeyScope((key,))):
        value = core.replayed(key, closure, rule.value.hyper, given, rule.span)
    if not isinstance(value, Tensor):
        raise Failure
    made = arithmetic.to_dtype(core, value, weight.type.dtype)
    if made.type != weight.type:
        raise Failure(type_errors.rank_mismatch(rule.span, closure.name, made.type, declaration.signature, str(weight.type)))
    return made.value


def _clipped(core: Elaborator, clip: Clip, gradients: list[Value]) -> list[Value]:
    """By value: each cell within +-limit. By norm: all scaled by min(1, limit / (norm + 1e-6)), the norm over all gradients
    (Pascanu et al. 2013; the 1e-6 is PyTorch's)."""
    trace = core.trace
    if clip.method == "value":
        made = []
        for g in gradients:
            above = trace.op("maximum", g, trace.constant(-clip.limit, g.type.dtype, g.type.shape))
            made.append(trace.op("minimum", above, trace.constant(clip.limit, g.type.dtype, g.type.shape)))
        return made
    dtype = core.float_type
    total: Value | None = None
    for g in gradients:
        square = trace.reduce("reduce_sum", trace.op("mul", g, g), range(g.type.rank))
        total = square if total is None else trace.op("add", total, square)
    if total is None:
        return gradients
    norm = trace.op("sqrt", total)
    ratio = trace.op("div", trace.constant(clip.limit, dtype), trace.op("add", norm, trace.constant(1e-6, dtype)))
    scale = trace.op("minimum", ratio, trace.constant(1.0, dtype))
    return [trace.op("mul", g, trace.broadcast(scale, g.type.shape)) for g in gradients]


def _train_function(
    core: Elaborator, block: TrainBlock, settings: Settings, traced: _Pass, bound: Sequence[str], result: TracedTraining
) -> None:
    trace = core.trace
    header = block.declaration.header
    optimizer = settings.entries.get("optimizer")
    names = Environment(block.scope, traced.env.names)
    entry = settings.entries.get("loss")
    try:
        loss, result.loss = _loss(core, block, settings, traced, bound)
        where = header if entry is None else entry.value.span
        core.at(where)
        accumulate = settings.entries.get("accumulate")
        if accumulate is not None and settings.numbers["accumulate"] != 1 and not any(trace.has_rows(d) for d in loss.shape):
            raise Failure(train_errors.loss_of_batch(where, describe(loss), accumulate.span))
        loss_sum, weight_sum = _weighted_sums(core, loss, settings, traced, bound)
    except Failure as failure:
        core.report(failure.diagnostic)
        read_optimizer(core, optimizer, names, header)  # says what is wrong with it, too
        return
    mean = trace.op("div", loss_sum, weight_sum)
    rules = read_optimizer(core, optimizer, names, header)
    where = header if optimizer is None else optimizer.value.span
    chosen = _learning(core, loss_sum, rules, where)
    result.rules = chosen
    reached = {id(v) for op in cone(trace.builder.ops, [loss_sum], effects=False) for v in op.operands}
    keys = [
        k
        for k, rule in chosen.items()
        if rule.value is not None and ("weight", k) in trace.parameters and id(trace.parameters["weight", k].value) in reached
    ]
    if not keys and not core.failed:
        core.report(train_errors.nothing_learns(where))
    weights = [trace.parameters["weight", k].value for k in keys]
    core.at(header if entry is None else entry.value.span)
    gradients = list(trace.ops("gradient", loss_sum, *weights)) if weights else []
    gradients = [trace.op("div", g, trace.broadcast(weight_sum, g.type.shape)) for g in gradients]
    if "clip" in settings.entries:
        clip = read_clip(core, settings.entries["clip"], Environment(block.scope))
        core.at(settings.entries["clip"].span)
        gradients = _clipped(core, clip, gradients)
    trace.ops("guard_finite", mean)
    layer_states = dict(trace.states.items())
    results = [Result(mean, "output", "loss")]
    tried: set[int] = set()
    for key, weight, gradient in zip(keys, weights, gradients, strict=True):
        if core.failed and id(chosen[key]) in tried:
            continue  # no function will be cut: one weight shows what is wrong with an optimizer
        tried.add(id(chosen[key]))
        try:
            results.append(Result(_update(core, key, chosen[key], weight, gradient), "update", key))
        except Failure as failure:
            core.report(failure.diagnostic)
    moments = {k: v for k, v in trace.states.items() if k not in layer_states}
    for key, value in (*layer_states.items(), *moments.items()):
        if key in layer_states and core.frozen_keys.key(key):
            continue
        parameter = trace.parameters.get(("state", key)) or trace.parameters.get(("moment", key))
        if parameter is None or parameter.value is not value:
            results.append(Result(value, "update", key))
    if not core.failed:
        result.train = trace.cut("train", results)
        if not any(p.role == "input" for p in result.train.params):
            core.report(train_errors.loss_without_data(header if entry is None else entry.value.span, block.data.name))


# --- evaluation --------------------------------------------------------------------------------------------------------
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
    tensor = arithmetic.scalar(core, value, span)
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


def _eval_function(
    core: Elaborator, block: TrainBlock, settings: Settings, traced: _Pass, bound: Sequence[str], result: TracedTraining
) -> None:
    trace = core.trace
    results: list[Result] = []
    try:
        loss, _ = _loss(core, block, settings, traced, bound)
        entry = settings.entries.get("loss")
        core.at(block.declaration.header if entry is None else entry.value.span)
        loss_sum, weight_sum = _weighted_sums(core, loss, settings, traced, bound)
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


def _predict_function(core: Elaborator, block: TrainBlock, settings: Settings, traced: _Pass, result: TracedTraining) -> None:
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
    keep = _keep(core, block, settings)
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
    tensor = arithmetic.scalar(core, value, span)
    row = Poly.symbol(ROW)
    if tensor.rank == 0:
        tensor = arithmetic.broadcast_tensor(core, tensor, (row,))
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


def _keep(core: Elaborator, block: TrainBlock, settings: Settings) -> tuple[str, ...]:
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


def _require_watched(
    core: Elaborator, block: TrainBlock, result: TracedTraining, watch: StopSpec | PlateauSpec, span: Span
) -> None:
    """A plateau is of a number that each epoch gives: the loss of the training rows, anything of other splits but `test`."""
    split, metric = watch.split, watch.metric
    table = any(m.name == metric and m.shape for m in result.metrics)
    splits = block.data.split.names
    if split not in splits or split == "test" or table or (split == "train" and metric != "loss"):
        core.report(train_errors.not_watched(span, split, metric, splits))


def _guarded_generation(core: Elaborator, block: TrainBlock, entry: syntax.Setting, result: TracedTraining) -> None:
    try:
        bindings = dict(result.bindings)
        result.generation = trace_generation(core, block.declaration, block.scope, block.model, block.data, entry, bindings)
    except Failure as failure:
        core.report(failure.diagnostic)
    except TypeRuleError as error:
        core.report(type_errors.rule_violated(entry.span, error.message))


# --- all of it ---------------------------------------------------------------------------------------------------------
def _require_both_modes(core: Elaborator, traces: Sequence[Trace]) -> None:
    """A parameter that is made behind `if training` (or behind its opposite) must be used in the other mode, too."""
    if len(traces) < 2 or core.failed:
        return
    train, evaluation = traces
    for found in core.registry.in_one_mode.values():
        learned = ("weight", found.key) in train.parameters
        if not learned or ("weight", found.key) not in evaluation.parameters:
            core.report(layer_errors.in_one_mode(found.span, found.key, found.condition, learned))


def trace_training(core: Elaborator, block: TrainBlock) -> TracedTraining:
    """Elaborate one block; what is wrong is reported, and then functions are missing."""
    settings = Settings.read(core, block.declaration, Environment(block.scope))
    result = TracedTraining(settings)
    result.bindings = _bindings(core, block, settings)
    bound = [output for _, output in result.bindings]
    core.frozen_keys = frozen_keys(settings.entries.get("optimizer"), block.scope)
    try:
        traced = _run_model(core, block, result.bindings, Trace("train", ROW, training=True))
        result.traces.append(traced.trace)
        _train_function(core, block, settings, traced, bound, result)
    except Failure as failure:
        core.report(failure.diagnostic)
    except TypeRuleError as error:
        core.report(type_errors.rule_violated(block.declaration.header, error.message))
    try:
        traced = _run_model(core, block, result.bindings, Trace("eval", ROW, exact=True))
        result.traces.append(traced.trace)
        result.outputs = tuple(OutputSpec(n, t.type, None) for n, t in traced.outputs)
        _eval_function(core, block, settings, traced, bound, result)
        _predict_function(core, block, settings, traced, result)
    except Failure as failure:
        core.report(failure.diagnostic)
    except TypeRuleError as error:
        core.report(type_errors.rule_violated(block.declaration.header, error.message))
    _require_both_modes(core, result.traces)
    if "init" in settings.entries:
        result.loading = read_init(core, settings.entries["init"], Environment(block.scope))
    entry = settings.entries.get("next")
    if entry is not None and not core.failed:
        _guarded_generation(core, block, entry, result)
    modes = {m.name: m.mode for m in result.metrics}
    if "stop" in settings.entries and not core.failed:  # after an error the metrics may be unknown
        try:
            result.stop = read_stop(core, settings.entries["stop"], Environment(block.scope), modes)
            _require_watched(core, block, result, result.stop, settings.entries["stop"].value.span)
        except Failure as failure:
            core.report(failure.diagnostic)
    plateau = core.registry.plateau
    if plateau is not None and not core.failed:
        split, _, metric = plateau.on.partition(".")
        if metric != "loss" and metric not in modes:
            core.report(train_errors.bad_stop(plateau.span, f"there is no metric `{metric}`", ["loss", *modes]))
            return result
        result.plateau = PlateauSpec(
            split, metric, plateau.factor, plateau.patience, plateau.delta, plateau.least, modes.get(metric, "min")
        )
        _require_watched(core, block, result, result.plateau, plateau.span)
    return result

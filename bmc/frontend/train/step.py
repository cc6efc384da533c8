"""A training step: the gradient of the loss, clipped, and the optimizer of each weight.

In: the model traced as in training. Out: the function `train`. Guaranteed: each weight has the first rule whose pattern matches its
key; frozen ones, and those that the loss does not reach, keep their bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.keys import KeyScope
from bmc.frontend.bodies.trace import STEP, STEPS, cone
from bmc.frontend.bodies.values import Bound, Environment, Tensor, describe, is_number
from bmc.frontend.errors import train_errors, type_errors
from bmc.frontend.train.loss import loss_of, weighted_sums
from bmc.frontend.train.settings import Clip, OptimizerRule, Settings, read_clip, read_optimizer, rule_for
from bmc.frontend.train.traced import ModelPass, TracedTraining, TrainBlock
from bmc.ir import Result, Value
from bmc.source import Span

__all__ = ["train_function"]


def _learning(core: Elaborator, loss_sum: Value, rules: Sequence[OptimizerRule], where: Span) -> dict[str, OptimizerRule]:
    """The rule of each weight; weights that the loss does not reach, and frozen ones, have none that updates."""
    unmatched = [k for k in core.registry.weights if rule_for(rules, k) is None]
    if unmatched:
        core.report(train_errors.unmatched_weight(where, unmatched))
    chosen = {k: r for k in core.registry.weights if (r := rule_for(rules, k)) is not None}
    for rule in rules:
        _warn_of_rate(core, rule)
    states = {id(r) for k in core.registry.states if (r := rule_for(rules, k)) is not None and r.value is None}
    for rule in rules:
        if rule not in chosen.values() and id(rule) not in states and core.registry.weights:
            core.report(train_errors.pattern_unused(rule.span, rule.pattern, list(core.registry.weights)))
    return chosen


_STEP_IS_RATE = frozenset({"adam", "adamw", "rmsprop", "adagrad"})
"""Optimizers of the library that divide by the gradient's size: a step moves a weight by about the rate."""


def _warn_of_rate(core: Elaborator, rule: OptimizerRule) -> None:
    if rule.value is None or rule.value.closure.name not in _STEP_IS_RATE or not rule.value.closure.scope.library:
        return
    rate = rule.value.hyper.get("lr")
    if rate is not None and is_number(rate.value) and isinstance(rate.value, (int, float)) and rate.value >= 1:
        core.report(train_errors.large_rate(rate.span, rule.value.closure.name, rate.value))


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
    made = coercion.to_dtype(core, value, weight.type.dtype)
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


def train_function(
    core: Elaborator, block: TrainBlock, settings: Settings, traced: ModelPass, bound: Sequence[str], result: TracedTraining
) -> None:
    trace = core.trace
    header = block.declaration.header
    optimizer = settings.entries["optimizer"]
    names = Environment(block.scope, traced.env.names)
    entry = settings.entries.get("loss")
    try:
        loss, result.loss = loss_of(core, settings, traced)
        where = header if entry is None else entry.value.span
        core.at(where)
        accumulate = settings.entries.get("accumulate")
        if accumulate is not None and settings.numbers["accumulate"] != 1 and not any(trace.has_rows(d) for d in loss.shape):
            raise Failure(train_errors.loss_of_batch(where, describe(loss), accumulate.span))
        loss_sum, weight_sum = weighted_sums(core, block, loss, settings, traced, bound)
    except Failure as failure:
        core.report(failure.diagnostic)
        read_optimizer(core, optimizer, names)  # says what is wrong with it, too
        return
    mean = trace.op("div", loss_sum, weight_sum)
    rules = read_optimizer(core, optimizer, names)
    where = optimizer.value.span
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

"""A `train` block: model and data joined, the loss, its gradient and the update, metrics, predictions.

In: the syntax of a block and the elaborated data. Out: the functions `init`, `train`, `eval`, `predict` and their
settings. Guaranteed: the body of
the model is traced once as in training and once as in evaluation, with the same keys; what is predicted is cut from the
evaluation trace, so that both are one computation.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.frozen import frozen_keys
from bmc.frontend.bodies.trace import ROW, Trace
from bmc.frontend.bodies.values import Environment
from bmc.frontend.errors import layer_errors, train_errors, type_errors
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.train.defaults import complete, shown_at_header
from bmc.frontend.train.evaluation import eval_function, predict_function
from bmc.frontend.train.generation import trace_generation
from bmc.frontend.train.joined import bind_inputs, run_model
from bmc.frontend.train.leaks import warn_of_leaks
from bmc.frontend.train.settings import Settings, read_stop
from bmc.frontend.train.step import train_function
from bmc.frontend.train.traced import TracedTraining, TrainBlock
from bmc.frontend.transfer.loading import read_init
from bmc.frontend.unit import OutputSpec, PlateauSpec, StopSpec
from bmc.ops.registry import TypeRuleError
from bmc.source import Span

__all__ = ["TrainBlock", "TracedTraining", "trace_training"]


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
    result = _trace(core, block)
    core.diagnostics[:] = [shown_at_header(block, found) for found in core.diagnostics]
    return result


def _trace(core: Elaborator, block: TrainBlock) -> TracedTraining:
    settings = Settings.read(core, block.declaration, Environment(block.scope))
    result = TracedTraining(settings)
    result.bindings = bind_inputs(core, block, settings)
    bound = [output for _, output in result.bindings]
    core.frozen_keys = frozen_keys(settings.entries.get("optimizer"), block.scope)
    try:
        traced = run_model(core, block, result.bindings, Trace("train", ROW, training=True))
        result.traces.append(traced.trace)
        result.settings = settings = complete(core, block, settings, traced, bound)
        train_function(core, block, settings, traced, bound, result)
    except Failure as failure:
        core.report(failure.diagnostic)
    except TypeRuleError as error:
        core.report(type_errors.rule_violated(block.declaration.header, error.message))
    try:
        traced = run_model(core, block, result.bindings, Trace("eval", ROW, exact=True))
        result.traces.append(traced.trace)
        result.outputs = tuple(OutputSpec(n, t.type, None) for n, t in traced.outputs)
        if not settings.complete:
            result.settings = settings = complete(core, block, settings, traced, bound)
        eval_function(core, block, settings, traced, bound, result)
        predict_function(core, block, settings, traced, result)
    except Failure as failure:
        core.report(failure.diagnostic)
    except TypeRuleError as error:
        core.report(type_errors.rule_violated(block.declaration.header, error.message))
    _require_both_modes(core, result.traces)
    warn_of_leaks(core, block, settings, result.bindings)
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

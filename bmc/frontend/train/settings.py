"""The plain settings of a train block: numbers, the optimizer's patterns, clipping, stopping.

In: the entries of the block. Out: values and the lines of the report of defaults. Guaranteed: an unknown key, a key set
twice, and a value of the
wrong kind are reported with their spans; everything else has its default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.frozen import matches
from bmc.frontend.bodies.values import Closure, Constructed, Datum, Environment, KeyedItem, ListValue, Special, describe
from bmc.frontend.errors import train_errors, type_errors
from bmc.frontend.errors.later import not_yet
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.unit import SettingReport, StopSpec
from bmc.record import record
from bmc.source import Span

__all__ = [
    "DEFAULTS",
    "DEFAULT_OPTIMIZER",
    "DEFAULT_STOP",
    "HIGHER_IS_BETTER",
    "KEYS",
    "BY_ROWS",
    "Clip",
    "OptimizerRule",
    "Settings",
    "read_clip",
    "read_optimizer",
    "read_stop",
    "rule_for",
]

KEYS = (
    "loss",
    "weight",
    "class_weight",
    "optimizer",
    "clip",
    "metrics",
    "predict",
    "next",
    "inputs",
    "batch",
    "shards",
    "accumulate",
    "epochs",
    "steps",
    "stop",
    "seed",
    "init",
    "memory",
    "keep",
)

DEFAULTS: Mapping[str, int] = MappingProxyType({"batch": 32, "shards": 0, "accumulate": 1, "seed": 0})
"""Numbers that do not follow from anything. How many epochs there are follows from the number of rows."""

DEFAULT_OPTIMIZER = "adamw(lr = cosine(3e-3), weight_decay = 0.1)"
"""A rate that falls to nothing needs no choice of when to stop; the decay keeps a net of some hundred units from learning a few
hundred rows by heart (`benchmarks/tables.py`)."""

DEFAULT_STOP = "plateau(valid.loss, patience = 50)"
"""The epoch of the least loss is kept anyway: this saves time, and is patient enough to cost nothing else."""

_REPORTED = (
    "loss", "metrics", "optimizer", "predict", "batch", "shards", "accumulate", "epochs", "steps", "stop", "seed", "clip", "init",
    "next",
)  # fmt: skip

HIGHER_IS_BETTER = frozenset({"accuracy", "auc", "f1", "r2", "precision", "recall", "top_k_accuracy"})
"""Library metrics of which more is better; for any other metric less is, unless `mode = "max"` says so."""


@record(frozen=True)
class Settings:
    """The settings of a block by key. `chosen`: the texts of those that are not written; `bmc.frontend.train.defaults` adds them to
    the entries."""

    entries: Mapping[str, syntax.Setting]
    numbers: Mapping[str, int | None]
    chosen: Mapping[str, str]
    complete: bool = False

    def with_chosen(self, entries: Mapping[str, syntax.Setting], texts: Mapping[str, str]) -> Settings:
        """With entries for what was left open."""
        return Settings({**self.entries, **entries}, self.numbers, {**self.chosen, **texts}, True)

    def report(self) -> tuple[SettingReport, ...]:
        """The lines of what is written and of what was chosen."""
        lines = []
        for key in _REPORTED:
            if key in self.chosen:
                lines.append(SettingReport(key, self.chosen[key], True))
            elif key in self.entries:
                lines.append(SettingReport(key, self.entries[key].value.span.text, False))
            elif self.numbers.get(key) is not None:
                lines.append(SettingReport(key, _shown(key, self.numbers[key]), True))
            elif key == "epochs" and "steps" not in self.entries:
                lines.append(SettingReport(key, BY_ROWS, True))
        return tuple(lines)

    @staticmethod
    def read(core: Core, block: syntax.Train, env: Environment) -> Settings:
        """Report what is wrong with keys and numbers."""
        entries: dict[str, syntax.Setting] = {}
        for entry in block.entries:
            if not isinstance(entry, syntax.Setting):
                continue
            key = entry.key.text
            if key not in KEYS:
                core.report(train_errors.unknown_key(entry.key.span, key, KEYS))
            elif key in entries:
                core.report(train_errors.key_twice(entry.key.span, key, entries[key].key.span))
            else:
                entries[key] = entry
        numbers: dict[str, int | None] = {"steps": None, "epochs": None}
        for key, default in DEFAULTS.items():
            numbers[key] = default
        for key in (*DEFAULTS, "epochs", "steps"):
            if key in entries:
                numbers[key] = _whole(core, entries[key], env, 0 if key == "seed" else 1)
        if "steps" in entries and "epochs" in entries:
            core.report(train_errors.both_lengths(entries["steps"].key.span, entries["epochs"].key.span))
        if "steps" in entries:
            numbers["epochs"] = None
        shards = numbers["shards"]
        if "shards" in entries and shards is not None and shards & (shards - 1):
            core.report(train_errors.bad_setting(entries["shards"].value.span, "shards", "a power of two", str(shards)))
        for key, feature in (("memory", "memory"),):
            if key in entries:
                core.report(not_yet(entries[key].span, feature))
        return Settings(entries, numbers, {})


BY_ROWS = "by the number of rows"


def _shown(key: str, value: int | None) -> str:
    return "by the size of the work" if key == "shards" and value == 0 else str(value)


def _whole(core: Core, entry: syntax.Setting, env: Environment, least: int) -> int | None:
    try:
        value = core.evaluate(entry.value, env)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**62:
            return value
        large = isinstance(value, int) and value >= 2**62
        wanted = "a whole number below 2 ** 62" if large else f"a whole number, at least {least}"
        raise Failure(train_errors.bad_setting(entry.value.span, entry.key.text, wanted, describe(value)))
    except Failure as failure:
        core.report(failure.diagnostic)
    return DEFAULTS.get(entry.key.text)


# --- optimizers --------------------------------------------------------------------------------------------------------
@record(frozen=True, eq=False)
class OptimizerRule:
    """One entry of the list: `value` None leaves matching parameters as they are."""

    pattern: str
    value: Constructed | None
    text: str
    span: Span


def _optimizer(core: Core, value: Datum, span: Span) -> Constructed | None:
    if isinstance(value, Closure) and value.kind == "optimizer":
        value = core.apply(value, (), {}, span)
    if isinstance(value, Constructed) and value.closure.kind == "optimizer":
        return value
    if isinstance(value, Special) and value.name == "frozen":
        return None
    raise Failure(train_errors.bad_optimizer(span, describe(value)))


def read_optimizer(core: Core, entry: syntax.Setting, env: Environment) -> list[OptimizerRule]:
    """The rules in order. Raises Failure."""
    expression = entry.value
    value = core.evaluate(expression, env)
    if not isinstance(value, ListValue):
        return [OptimizerRule("*", _optimizer(core, value, expression.span), expression.span.text, expression.span)]
    rules: list[OptimizerRule] = []
    nodes = expression.items if isinstance(expression, syntax.ListExpr) else ()
    for i, item in enumerate(value.items):
        span = nodes[i].span if i < len(nodes) else expression.span
        if not isinstance(item, KeyedItem):
            raise Failure(train_errors.bad_optimizer(span, "an entry without a pattern"))
        node = nodes[i] if i < len(nodes) else None
        text = node.value.span.text if isinstance(node, syntax.Keyed) else span.text
        rules.append(OptimizerRule(item.key, _optimizer(core, item.value, span), text, span))
    return rules


def rule_for(rules: Sequence[OptimizerRule], key: str) -> OptimizerRule | None:
    """The first rule whose pattern matches."""
    return next((r for r in rules if matches(r.pattern, key)), None)


# --- clip and stop -----------------------------------------------------------------------------------------------------
@record(frozen=True)
class Clip:
    method: Literal["norm", "value"]
    limit: float


def read_clip(core: Core, entry: syntax.Setting, env: Environment) -> Clip:
    """`clip = norm(1.0)` or `value(0.5)`. Raises Failure."""
    node = entry.value
    if not isinstance(node, syntax.Call) or not isinstance(node.callee, syntax.Name) or len(node.arguments) != 1:
        raise Failure(train_errors.bad_clip(node.span))
    method = node.callee.text
    limit = core.evaluate(node.arguments[0].value, env)
    if method not in ("norm", "value"):
        raise Failure(train_errors.bad_clip(node.span))
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or limit <= 0:
        raise Failure(type_errors.wrong_value(node.arguments[0].span, method, "a positive number", describe(limit)))
    return Clip("norm" if method == "norm" else "value", float(limit))


def read_stop(core: Core, entry: syntax.Setting, env: Environment, metrics: Mapping[str, Literal["min", "max"]]) -> StopSpec:
    """`stop = plateau(valid.loss, patience = 3)`. Raises Failure."""
    node = entry.value
    if not isinstance(node, syntax.Call) or not isinstance(node.callee, syntax.Name) or node.callee.text != "plateau":
        raise Failure(train_errors.bad_stop(node.span, "`stop` is a plateau of a metric"))
    positional = [a.value for a in node.arguments if a.name is None]
    if len(positional) != 1:
        raise Failure(train_errors.bad_stop(node.span, "a plateau is of one metric"))
    split, metric = metric_of(positional[0], metrics)
    patience, delta = 5, 0.0
    mode: Literal["min", "max"] = metrics.get(metric, "min")
    for argument in node.arguments:
        if argument.name is None:
            continue
        value = core.evaluate(argument.value, env)
        name = argument.name.text
        if name == "patience" and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            patience = value
        elif name == "delta" and isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
            delta = float(value)
        elif name == "mode" and value in ("min", "max"):
            mode = "max" if value == "max" else "min"
        elif name in ("patience", "delta", "mode"):
            raise Failure(type_errors.wrong_value(argument.value.span, name, "another value", describe(value)))
        else:
            raise Failure(train_errors.bad_stop(argument.span, f"a plateau has no `{name}`"))
    return StopSpec(split, metric, patience, delta, mode)


def metric_of(node: syntax.Expr, metrics: Mapping[str, Literal["min", "max"]]) -> tuple[str, str]:
    """`valid.loss` or `loss` as (split, metric). Raises Failure."""
    if isinstance(node, syntax.Attribute) and isinstance(node.value, syntax.Name):
        split, metric = node.value.text, node.name.text
    elif isinstance(node, syntax.Name):
        split, metric = "valid", node.text
    else:
        raise Failure(train_errors.bad_stop(node.span, "this is no metric"))
    if metric != "loss" and metric not in metrics:
        raise Failure(train_errors.bad_stop(node.span, f"there is no metric `{metric}`", ["loss", *metrics]))
    return split, metric

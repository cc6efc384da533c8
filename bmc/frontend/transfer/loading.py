"""`init`: which weights and states begin as tensors of a file.

In: the setting, the weights and states of the unit, the headers of files at hand. Out: `StoredSpec`s and `LoadedSpec`s. Guaranteed:
the first pattern that matches a key decides; keys, shapes and dtypes agree, or are reported at the entry, before any data is read;
a file that is not there is left to whoever is going to read it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.frozen import matches
from bmc.frontend.bodies.values import Environment, KeyedItem, ListValue, Special, describe
from bmc.frontend.errors import train_errors, transfer_errors, type_errors
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.transfer.stored import Stored, StoredTensor, Unreadable
from bmc.frontend.unit import LoadedSpec, StoredSpec
from bmc.ir import TensorType
from bmc.ir.types import is_float
from bmc.record import record
from bmc.source import Span

__all__ = ["Loading", "read_init", "stored_at_hand", "stored_spec"]

_ARGUMENTS = ("key", "prefix", "names", "transpose")
_FLOATS = frozenset({"f16", "bf16", "f32", "f64"})


@record(frozen=True, eq=False)
class _Rule:
    """One entry: `file` None leaves what matches as the program makes it."""

    pattern: str
    span: Span
    file: StoredSpec | None = None
    key: str | None = None
    prefix: str | None = None
    names: tuple[tuple[str, str], ...] = ()
    transpose: bool | tuple[int, ...] = False


@dataclass(eq=False)
class Loading:
    """What `init` comes to."""

    stored: list[StoredSpec] = field(default_factory=list)
    loaded: list[LoadedSpec] = field(default_factory=list)


def stored_spec(path: str, span: Span) -> StoredSpec:
    """A path as the source that names it means it."""
    return StoredSpec(os.path.normpath(os.path.join(os.path.dirname(span.file.name), path)), path, span)


def stored_at_hand(core: Core, spec: StoredSpec) -> Stored | None:
    """The header of a file. None where it is not there, where no file may be opened, or after a report."""
    if not core.opens or not os.path.lexists(spec.path):
        return None
    from bmc.frontend.transfer.headers import read_stored  # noqa: PLC0415 - see its docstring

    try:
        return read_stored(spec.path)
    except Unreadable as error:
        core.report(transfer_errors.stored_unreadable(spec.span, spec.shown, str(error)))
    except OSError as error:
        core.report(transfer_errors.stored_unreadable(spec.span, spec.shown, error.strerror or str(error)))
    return None


def read_init(core: Core, entry: syntax.Setting, env: Environment) -> Loading:
    """`init = ...`, once all weights and states are known. What is wrong is reported."""
    loading = Loading()
    try:
        rules = _rules(core, entry.value, env)
    except Failure as failure:
        core.report(failure.diagnostic)
        return loading
    types = {w.key: (w.type, w.span) for w in core.registry.weights.values()}
    types.update({s.key: (s.type, s.span) for s in core.registry.states.values()})
    left = list(types)
    known: dict[str, Stored | None] = {}
    for rule in rules:
        keys = [k for k in left if matches(rule.pattern, k)]
        left = [k for k in left if k not in keys]
        if not keys and types and not core.failed:  # after an error parameters may be missing
            core.report(train_errors.pattern_unused(rule.span, rule.pattern, list(types)))
        if rule.file is None:
            continue
        loading.stored.append(rule.file)
        if rule.file.path not in known:
            known[rule.file.path] = stored_at_hand(core, rule.file)
        found = known[rule.file.path]
        if rule.key is not None and len(keys) > 1:
            core.report(transfer_errors.one_key_for_several(rule.span, rule.key, keys))
        elif found is not None:
            loading.loaded += _resolved(core, rule, rule.file, found.tensors, {k: types[k] for k in keys})
    return loading


# --- syntax ------------------------------------------------------------------------------------------------------------
def _rules(core: Core, expression: syntax.Expr, env: Environment) -> list[_Rule]:
    if not isinstance(expression, syntax.ListExpr):
        return [_rule(core, "*", expression, expression.span, env)]
    rules: list[_Rule] = []
    for item in expression.items:
        if not isinstance(item, syntax.Keyed):
            raise Failure(transfer_errors.unpatterned(item.span))
        pattern = item.key.text if isinstance(item.key, syntax.Name) else item.key.value
        rules.append(_rule(core, pattern, item.value, item.span, env))
    return rules


def _rule(core: Core, pattern: str, expression: syntax.Expr, span: Span, env: Environment) -> _Rule:
    callee = expression.callee if isinstance(expression, syntax.Call) else None
    if not isinstance(expression, syntax.Call) or not isinstance(callee, syntax.Name) or callee.text != "load":
        value = core.evaluate(expression, env)
        if isinstance(value, Special) and value.name == "fresh":
            return _Rule(pattern, span)
        raise Failure(transfer_errors.bad_init(expression.span, describe(value)))
    path: str | None = None
    key = prefix = None
    names: tuple[tuple[str, str], ...] = ()
    transpose: bool | tuple[int, ...] = False
    for argument in expression.arguments:
        at, name = argument.value, None if argument.name is None else argument.name.text
        if name == "names":
            names = _names(core, at, env)
            continue
        value = core.evaluate(at, env)
        if name is None and path is None:
            path = _text(value, "the path", at.span)
        elif name == "key":
            key = _text(value, name, at.span)
        elif name == "prefix":
            prefix = _text(value, name, at.span)
        elif name == "transpose":
            transpose = _transpose(value, at.span)
        elif name is None:
            raise Failure(transfer_errors.bad_init(at.span, "a second path"))
        else:
            raise Failure(transfer_errors.unknown_load_argument(argument.span, name, _ARGUMENTS))
    if not path:
        raise Failure(transfer_errors.bad_init(expression.span, "`load` without a path"))
    if key is not None and (prefix is not None or names):
        raise Failure(transfer_errors.bad_init(expression.span, "`key` beside `prefix` or `names`"))
    return _Rule(pattern, expression.span, stored_spec(path, expression.span), key, prefix, names, transpose)


def _text(value: object, name: str, span: Span) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise Failure(type_errors.wrong_value(span, name, "a text", describe(value)))  # type: ignore[arg-type]  # any datum
    return value


def _names(core: Core, expression: syntax.Expr, env: Environment) -> tuple[tuple[str, str], ...]:
    """`["w" = "weight"]`: parts of a key here, and what the file calls them."""
    value = core.evaluate(expression, env)
    items = value.items if isinstance(value, ListValue) else ()
    pairs = [(i.key, i.value) for i in items if isinstance(i, KeyedItem)]
    texts = tuple((here, there) for here, there in pairs if isinstance(there, str))
    if not items or len(texts) != len(items):
        raise Failure(type_errors.wrong_value(expression.span, "names", 'pairs such as `["w" = "weight"]`', describe(value)))
    return texts


def _transpose(value: object, span: Span) -> bool | tuple[int, ...]:
    if isinstance(value, bool):
        return value
    items = value.items if isinstance(value, ListValue) else ()
    order = tuple(i for i in items if isinstance(i, int) and not isinstance(i, bool))
    if not order or sorted(order) != list(range(len(items))):
        wanted = "true, or a list of all axes of the tensor in their new order"
        raise Failure(type_errors.wrong_value(span, "transpose", wanted, describe(value)))  # type: ignore[arg-type]  # any datum
    return order


# --- against a header --------------------------------------------------------------------------------------------------
def _resolved(
    core: Core, rule: _Rule, file: StoredSpec, tensors: Mapping[str, StoredTensor], wanted: Mapping[str, tuple[TensorType, Span]]
) -> list[LoadedSpec]:
    names = _chosen_names(rule, list(wanted), tensors)
    missing = [(k, s) for k, s in names.items() if s not in tensors]
    if missing:
        core.report(transfer_errors.tensor_missing(rule.span, file.shown, missing, list(tensors)))
        return []
    loaded: list[LoadedSpec] = []
    wrong: list[tuple[str, str, str, str]] = []
    turned = True
    for key, source in names.items():
        tensor, (kind, _) = tensors[source], wanted[key]
        if not _converts(tensor.dtype, kind.dtype):
            core.report(transfer_errors.dtype_of_tensor(rule.span, file.shown, key, str(kind), source, tensor.dtype))
            return []
        order = _order(rule.transpose, len(tensor.shape))
        if order is not None and _fits(tensor.shape, order, kind):
            loaded.append(LoadedSpec(key, file, source, order))
            continue
        wrong.append((key, str(kind), source, str(tensor)))
        other = _order(True, len(tensor.shape)) or ()
        turned = turned and rule.transpose is False and _fits(tensor.shape, other, kind)
    if wrong:
        declared = wanted[wrong[0][0]][1]
        core.report(transfer_errors.shape_of_tensor(rule.span, file.shown, wrong, declared, turned))
    return loaded


def _chosen_names(rule: _Rule, keys: Sequence[str], tensors: Mapping[str, StoredTensor]) -> dict[str, str]:
    """Key here → name there. Without `prefix` the names are the keys, or else the keys without the beginning that the pattern
    fixes (`enc.` of "enc.*"): one of both for the whole entry, whichever finds more, and the keys themselves if both find as
    many."""
    if rule.key is not None:
        return dict.fromkeys(keys, rule.key)
    fixed = rule.pattern[: next((i for i, c in enumerate(rule.pattern) if c in "*?["), len(rule.pattern))]
    fixed = fixed[: fixed.rfind(".") + 1]

    def under(prefix: str) -> dict[str, str]:
        return {k: prefix + _renamed(k[len(fixed) :], rule.names) for k in keys}

    if rule.prefix is not None:
        return under(rule.prefix)
    ways = (under(fixed), under(""))
    return max(ways, key=lambda way: sum(source in tensors for source in way.values()))


def _renamed(key: str, names: Sequence[tuple[str, str]]) -> str:
    """The key with its parts called otherwise; names of several parts (`step.hh.w`) come before those of fewer."""
    rules = sorted(((here.split("."), there) for here, there in names), key=lambda rule: -len(rule[0]))
    parts, made = key.split("."), []
    while parts:
        here, there = next(((h, t) for h, t in rules if parts[: len(h)] == h), (parts[:1], parts[0]))
        made.append(there)
        parts = parts[len(here) :]
    return ".".join(made)


def _converts(found: str, wanted: str) -> bool:
    return found in _FLOATS if is_float(wanted) else found == wanted


def _order(transpose: bool | tuple[int, ...], rank: int) -> tuple[int, ...] | None:
    """The order of axes. `true`: [out, in, k...] of PyTorch becomes [k..., in, out]. None for a list that has another rank."""
    if isinstance(transpose, tuple):
        return transpose if len(transpose) == rank else None
    return (*range(2, rank), 1, 0) if transpose and rank > 1 else tuple(range(rank))


def _fits(shape: Sequence[int], order: Sequence[int], wanted: TensorType) -> bool:
    """Whether the axes in this order are those wanted; kernels may be matrices `[k... x in, out]`."""
    turned = tuple(shape[i] for i in order)
    matrix = (math.prod(turned[:-1]), turned[-1]) if len(turned) > 2 else turned
    return wanted.shape in (turned, matrix)

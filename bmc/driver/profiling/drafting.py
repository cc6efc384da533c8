"""A whole program for a table: a data block that reads it as it is, a model, and an empty train block.

In: a profile, perhaps the column that is to be learned. Out: source text. Guaranteed: it checks; what was left out is said in it,
and why; a guess is called one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from bmc.driver.profiling.features import Feature, features_of, filled
from bmc.driver.profiling.naming import is_name, names_of, quoted
from bmc.driver.profiling.profile import ColumnProfile, Profile
from bmc.driver.profiling.profiling_errors import no_target, unfit_target
from bmc.errors import BmcError
from bmc.frontend.syntax.format import format_source
from bmc.record import record
from bmc.source import SourceFile

__all__ = ["Draft", "draft_of"]

_TARGET_NAMES = re.compile(r"target|label|class|outcome|survived|species|price|quality|result|churn|default", re.IGNORECASE)
_UNFIT = ("identity", "constant", "empty", "nested", "foreign", "prose", "date", "timestamp", "array")
_MOST_INTEGER_CLASSES = 10
_MOST_CLASSES = 200
_MOST_LABELS = 40
_SAME = 0.99999
_ENOUGH = 20


@record(frozen=True)
class Draft:
    """`guessed`: nobody said that `target` is to be learned."""

    text: str
    target: str
    guessed: bool


@record(frozen=True)
class _Goal:
    """`output`: the last layer's units and the model's output; `where`: what keeps rows without a target out."""

    column: ColumnProfile
    type: str
    expression: str
    units: int
    note: str = ""


def draft_of(profile: Profile, target: str | None = None) -> Draft:
    """Raises BmcError: there is no such column, or none to learn."""
    column = _target(profile, target)
    left_out = {c.header: c.note for c in profile.columns if c.role in ("identity", "constant", "empty", "nested", "foreign")}
    left_out.update(dict(profile.unreadable))
    for other in profile.columns:
        if other is not column and other.header not in left_out and (reason := _leak(other, column)):
            left_out[other.header] = reason
    inputs = [c for c in profile.columns if c is not column and c.header not in left_out]
    names = names_of([c.header for c in profile.columns], ("x", "y", "B", "F", "T", "Net", "h", "estimate", "logits", "score"))
    goal = _goal(column, names[column.header], complete=profile.complete)
    features = features_of(inputs, names, profile.rows)
    if not features:
        raise BmcError(unfit_target(None, f"beside {column.header!r} no column is left to learn from", []))
    lines = [*_data(profile, goal, names, inputs, features, left_out, guessed=target is None), "", *_model(goal, features)]
    lines += ["", f"train Net on {_data_name(profile.path)} {{}}"]
    text = format_source(SourceFile("<draft>", "\n".join(lines) + "\n"))
    return Draft(text, column.header, target is None)


# --- what is learned ------------------------------------------------------------------------------------------------------
def _target(profile: Profile, wanted: str | None) -> ColumnProfile:
    columns = {c.header: c for c in profile.columns}
    fit = [header for header, column in columns.items() if _fit(column)]
    if wanted is not None:
        found = columns.get(wanted)
        if found is None:
            by_name = {name: header for header, name in names_of(list(columns), ()).items()}
            found = columns.get(by_name.get(wanted, ""))
        if found is None:
            raise BmcError(no_target(str(profile.path), wanted, list(columns)))
        if found.role in _UNFIT:
            raise BmcError(unfit_target(found.header, found.note or f"it holds {found.role}s", fit))
        if found.role == "category" and (found.distinct is None or found.distinct > _MOST_CLASSES):
            count = "thousands of" if found.distinct is None else f"{found.distinct:,}"
            raise BmcError(unfit_target(found.header, f"it has {count} different texts", fit))
        return found
    if not fit:
        raise BmcError(unfit_target(None, "no column has numbers or a few categories", []))
    named = [header for header in fit if _TARGET_NAMES.search(header)]
    if "y" in fit and not {"x", "z"} & set(columns):
        named.append("y")
    return columns[named[-1] if named else fit[-1]]


def _fit(column: ColumnProfile) -> bool:
    few = column.role != "category" or (column.distinct is not None and column.distinct <= _MOST_CLASSES)
    return column.role not in _UNFIT and few


def _goal(column: ColumnProfile, name: str, *, complete: bool) -> _Goal:
    numbers = column.numbers
    if column.role == "flag":
        return _Goal(column, "bool", filled(column, name, "false"), 1)
    if column.role == "category":
        count = len(column.labels)
        known = filled(column, name, quoted(column.labels[0]))
        if complete and count <= _MOST_LABELS:
            return _Goal(column, "str", f"{known} |> category([{', '.join(map(quoted, column.labels))}])", count)
        return _Goal(column, "str", f"{known} |> category(max = {count + 1})", count + 1, "the last place is for other texts")
    assert numbers is not None
    if numbers.whole and column.distinct is not None and column.distinct <= _MOST_INTEGER_CLASSES and column.type.startswith("i"):
        classes = sorted(int(Decimal(label.strip().replace(",", "."))) for label in column.labels)  # 1.0 is one
        if len(set(classes)) == len(classes):
            listed = str(len(classes)) if classes == list(range(len(classes))) else f"[{', '.join(map(str, classes))}]"
            note = "" if len(classes) == 2 else "as a quantity: number(...) |> standardize, and one output"
            return _Goal(column, column.type, f"{filled(column, name, str(classes[0]))} |> category({listed})", len(classes), note)
    scaled = "log1p |> standardize" if numbers.skewed else "standardize"
    return _Goal(column, "f32", f"{filled(column, name, '0')} |> {scaled}", 1)


# --- leaks ------------------------------------------------------------------------------------------------------------------
def _leak(column: ColumnProfile, target: ColumnProfile) -> str:
    """Why a column looks like the target in another form, "" if it does not."""
    pairs = [(a, b) for a, b in zip(column.head, target.head, strict=False) if a and b]
    if len(pairs) < _ENOUGH or target.distinct == 1:
        return ""
    if column.numbers is not None and target.numbers is not None and (target.distinct is None or target.distinct > 2):
        one, two = column.head_numbers, target.head_numbers
        both = np.isfinite(one) & np.isfinite(two)
        one, two = one[both], two[both]
        if len(one) >= _ENOUGH and one.std() > 0 and two.std() > 0:
            together = abs(float(np.mean((one - one.mean()) * (two - two.mean())) / (one.std() * two.std())))
            return f"it tells {target.header!r}: their correlation is {together:.6f}" if together > _SAME else ""
        return ""
    if target.role not in ("category", "flag") or column.distinct != target.distinct:
        return ""
    forward, back = dict(pairs), {b: a for a, b in pairs}
    if all(forward[a] == b and back[b] == a for a, b in pairs):
        return f"it tells {target.header!r}: each of its values goes with one"
    return ""


# --- the text -----------------------------------------------------------------------------------------------------------------
def _data_name(path: Path) -> str:
    parts = re.findall(r"[A-Za-z0-9]+", path.name.split(".")[0])
    name = "".join(part[:1].upper() + part[1:] for part in parts)
    return name if name and is_name(name) and name != "Net" else f"Table{name}" if name else "Table"


def _source(profile: Profile) -> str:
    options = [quoted(str(profile.path))]
    gaps = profile.gaps
    if gaps:
        options.append(f"na = [{', '.join(quoted(text) for text in ('', *(g for g in gaps if g)))}]")
    options += [f"{key} = {quoted(value)}" for key, value in profile.options]
    return f"{profile.form}({', '.join(options)})"


def _column_lines(
    profile: Profile, goal: _Goal, names: Mapping[str, str], types: Mapping[str, str], left_out: Mapping[str, str]
) -> Iterator[str]:
    for column in profile.columns:
        header, name = column.header, names[column.header]
        missing = f"    # {column.missing:,} of {column.rows:,} missing" if column.missing else ""
        if header in left_out:
            continue
        kind = goal.type if column is goal.column else types[header]
        spelt = name if header == name else f"{quoted(header)} as {name}"
        yield f"    {spelt}: {kind}{'?' if column.missing else ''}{missing}"


def _data(
    profile: Profile, goal: _Goal, names: Mapping[str, str], inputs: Sequence[ColumnProfile], features: Sequence[Feature],
    left_out: Mapping[str, str], *, guessed: bool,
) -> Iterator[str]:  # fmt: skip
    rows = f"{profile.rows:,} rows" if profile.complete else f"the first {profile.rows:,} rows"
    yield f"# Drafted from {rows} of {profile.path.name}: a beginning, to be read and changed."
    if guessed:
        yield f"# That {_comment(goal.column.header)} is to be learned is a guess: `--target COLUMN` says otherwise."
    yield ""
    yield f"data {_data_name(profile.path)} {{"
    yield f"  source = {_source(profile)}"
    yield ""
    yield "  columns {"
    yield from _column_lines(profile, goal, names, {f.column.header: f.type for f in features}, left_out)
    yield "  }"
    for header, reason in left_out.items():
        yield f"  # left out: {_comment(header) if header else 'a column'}, {_comment(reason, quote=False)}"
    yield ""
    target = names[goal.column.header]
    if goal.column.missing:
        yield f"  where not is_missing({target})"
        yield ""
    for feature in features:
        yield from (f"  {line}" for line in feature.outputs)
    parts = [part for feature in features for part in feature.parts]
    if parts:
        yield "  x = concat("
        yield from (f"    {part}," for part in parts)
        yield "  )"
    note = f"    # {goal.note}" if goal.note else ""
    yield f"  y = {goal.expression}{note}"
    yield ""
    shares = "train = 0.7, valid = 0.15, test = 0.15" if profile.rows < 1000 else "train = 0.8, valid = 0.1, test = 0.1"
    for column in profile.columns:
        if column.cuts and column.header not in left_out:
            valid, test = column.cuts
            yield f"  # by time: split = by_time({names[column.header]}, valid = {quoted(valid)}, test = {quoted(test)})"
            break
    yield f"  split = by_hash({shares}, seed = 1)"
    yield "}"


def _comment(text: str, *, quote: bool = True) -> str:
    """On one line, and short."""
    shown = re.sub(r"[\x00-\x1f\x7f]+", " ", text)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return f"`{shown}`" if quote else shown


def _model(goal: _Goal, features: Sequence[Feature]) -> Iterator[str]:
    texts = [f for f in features if f.inputs]
    inputs = ["x: f32[B, F]"] if any(f.parts for f in features) else []
    inputs += [item for feature in texts for item in feature.inputs]
    many = goal.units > 1
    output = "logits: f32[B, " + str(goal.units) + "]" if many else f"{'score' if goal.type == 'bool' else 'estimate'}: f32[B]"
    yield f"model Net(hidden = 64)({', '.join(inputs)}) -> ({output}) {{"
    for feature in texts:
        yield from (f"  {line}" for line in feature.body)
    parts = (["x"] if any(f.parts for f in features) else []) + [f.result for f in texts]
    together = ", ".join(parts)
    start = together if len(parts) == 1 else f"concat({together})"
    yield f"  h = {start} |> dense(hidden) as fc1 |> relu |> dense(hidden) as fc2 |> relu"
    yield f"  return h |> dense({goal.units}) as out{'' if many else ' |> squeeze(-1)'}"
    yield "}"

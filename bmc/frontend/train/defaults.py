"""What a train block leaves open, chosen: the settings as source text, elaborated as if they had been written.

In: the settings of a block, its model traced over the data. Out: the settings with an entry for each key that was left open and can
be known before the rows are. Guaranteed: pasting what was chosen into the block gives the same program; a finding within it is
shown at the block's first line. How many epochs follows from the number of rows: the runtime's rule.

Loss, metrics and predictions follow from the type of the output that is learned:

- integers below K: cross-entropy of K scores, or of one score for two classes binary cross-entropy; accuracy, for two classes the
  area under the ROC curve; the category and its probability
- conditions: binary cross-entropy; accuracy and area; whether, and its probability
- floats: squares; root mean square, absolute difference and R², in the unit of the column where there is a way back
- other integers: squares of their difference, as floats

Metrics and predictions are chosen along with the loss; where a loss is written, what it means is the writer's to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bmc.errors import Diagnostic, Label
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.trace import cone
from bmc.frontend.bodies.values import Environment, Poison, Tensor
from bmc.frontend.errors import train_errors
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.syntax.parse import parse
from bmc.frontend.train.settings import DEFAULT_OPTIMIZER, DEFAULT_STOP, Settings
from bmc.frontend.train.traced import ModelPass, TrainBlock
from bmc.ir.types import is_float, is_integer
from bmc.record import record, replace
from bmc.source import SourceFile

__all__ = ["FILE_NAME", "complete", "shown_at_header"]

FILE_NAME = "<defaults>"
"""The file that chosen settings are read from, in locations."""

_KEYS = ("loss", "metrics", "optimizer", "predict", "stop")


@record(frozen=True)
class _Goal:
    """What is learned. `output`, `label`: what the block calls the model's output and the output of the data; `name`: the column
    that the latter comes from, and what its prediction is called."""

    output: str
    label: str
    name: str
    made: Tensor
    target: Tensor


def complete(
    core: Elaborator, block: TrainBlock, settings: Settings, traced: ModelPass, bound: Sequence[str]
) -> Settings:
    """The settings with what was left open. What does not follow from the data is reported, and stays open."""
    chosen: dict[str, str] = {}
    entries = settings.entries
    if "loss" not in entries:
        try:
            chosen.update(_by_type(core, block, settings, traced, _goal(block, settings, traced, bound)))
        except Failure as failure:
            core.report(failure.diagnostic)
    if "optimizer" not in entries:
        chosen["optimizer"] = DEFAULT_OPTIMIZER
    if not {"stop", "epochs", "steps"} & set(entries) and "valid" in block.data.split.names:
        chosen["stop"] = DEFAULT_STOP
    texts = {key: chosen[key] for key in _KEYS if key in chosen and key not in entries}
    return settings.with_chosen(_parsed(texts), texts)


def _parsed(texts: Mapping[str, str]) -> dict[str, syntax.Setting]:
    lines = "".join(f"  {key} = {value}\n" for key, value in texts.items())
    tree, _ = parse(SourceFile(FILE_NAME, f"train M on D {{\n{lines}}}\n"))
    block = next(d for d in tree.declarations if isinstance(d, syntax.Train))
    return {entry.key.text: entry for entry in block.entries if isinstance(entry, syntax.Setting)}


def shown_at_header(block: TrainBlock, diagnostic: Diagnostic) -> Diagnostic:
    """A finding within a chosen setting, at the first line of the block, with the setting beside it."""
    if all(label.span.file.name != FILE_NAME for label in diagnostic.labels):
        return diagnostic
    header = block.declaration.header
    inside = next(label.span for label in diagnostic.labels if label.span.file.name == FILE_NAME)
    line = inside.file.line(inside.line).strip()
    others = tuple(label for label in diagnostic.labels if label.span.file.name != FILE_NAME)
    primary = any(label.primary and label.span.file.name == FILE_NAME for label in diagnostic.labels)
    labels = (Label(header, "in a setting that is not written, and so chosen", primary), *others)
    notes = (*diagnostic.notes, f"chosen: `{line}`; write another")
    suggestions = tuple(s for s in diagnostic.suggestions if s.span is None or s.span.file.name != FILE_NAME)
    return replace(diagnostic, labels=labels, notes=notes, suggestions=suggestions)


# --- what is learned -----------------------------------------------------------------------------------------------------
def _goal(block: TrainBlock, settings: Settings, traced: ModelPass, bound: Sequence[str]) -> _Goal:
    """The model's only output, and the output of the data that it is to equal. Raises Failure."""
    where = block.declaration.header
    weighing = settings.entries.get("weight")
    read = set() if weighing is None else set(re.findall(r"\w+", weighing.value.span.text))
    free = [n for n in traced.inputs if n not in bound and (n == "y" or n not in read)]
    results = block.model.declaration.results
    if len(results) != 1:
        raise Failure(train_errors.no_default_loss(where, f"the model has {len(results)} outputs"))
    if not traced.outputs:
        raise Failure  # what is wrong with it has been reported
    broken = [n for n, b in block.data.outputs.items() if n not in bound and isinstance(b.value, Poison)]
    if "y" in broken or (broken and "y" not in free):
        raise Failure  # what is wrong with it has been reported
    if len(free) != 1 and "y" not in free:
        reason = "no output of the data is left to compare with" if not free else f"it could be any of {', '.join(free)}"
        raise Failure(train_errors.no_default_loss(where, reason))
    label = "y" if "y" in free else free[0]
    output, made = traced.outputs[0]
    target = traced.inputs[label]
    if target.dtype == "str":
        raise Failure(train_errors.no_default_loss(where, f"`{label}` is text; `category` makes integers of it"))
    if target.valid is not None:
        reason = f"cells of `{label}` may be missing: `where not is_missing(...)` and `fill` leave none"
        raise Failure(train_errors.no_default_loss(where, reason))
    name = _column_of(target) or (output if output != label else label)
    if name in _kept(settings):
        name = output
    both = output in traced.inputs  # a name of both is written with where it comes from
    return _Goal(
        f"{block.model.name}.{output}" if both else output, f"{block.data.name}.{label}" if both and output == label else label,
        name, made, target,
    )  # fmt: skip


def _kept(settings: Settings) -> set[str]:
    entry = settings.entries.get("keep")
    return set() if entry is None else set(re.findall(r"\w+", entry.value.span.text))


def _column_of(target: Tensor) -> str | None:
    """The only column that an output of the data is made of."""
    if target.behind is None:
        return None
    data = target.behind.trace
    columns = {id(p.value): p.key for p in data.parameters.values() if p.role == "input"}
    names = {columns[id(target.behind.value)]} if id(target.behind.value) in columns else set()
    for op in cone(data.builder.ops, [target.behind.value], effects=False):
        names |= {columns[id(v)] for v in op.operands if id(v) in columns}
    names = {name.removesuffix(".valid").removesuffix(".length") for name in names}
    return names.pop() if len(names) == 1 else None


# --- what follows from its type --------------------------------------------------------------------------------------------
def _by_type(core: Elaborator, block: TrainBlock, settings: Settings, traced: ModelPass, goal: _Goal) -> dict[str, str]:
    """`loss`, and `metrics` and `predict` where they have a meaning. Raises Failure."""
    made, target = goal.made, goal.target
    shaped = goal.output
    if made.rank == target.rank + 1 and made.shape[-1] == 1:
        shaped = f"squeeze({goal.output}, -1)"
    elif target.rank == made.rank + 1 and target.shape[-1] == 1 and is_float(target.dtype):
        shaped = f"unsqueeze({goal.output}, -1)"
    one_score = shaped != goal.output or made.shape == target.shape
    classes = is_integer(target.dtype) and (target.below is not None or target.categories is not None)
    scores = classes and made.shape[:-1] == target.shape
    if not scores and not (one_score and (not classes or target.below == 2)):
        reason = f"`{goal.output}` is {made.type}, and `{goal.label}` is {target.type}"
        raise Failure(train_errors.no_default_loss(block.declaration.header, reason))
    if target.dtype == "bool":
        found = _yes_or_no(goal, shaped, f"{shaped} > 0")
    elif is_integer(target.dtype) and not classes:
        found = _numbers(core, traced, replace(goal, label=f"number({goal.label})"), shaped)
    elif is_integer(target.dtype) and one_score and target.below == 2:
        label = f"label_of(integer({shaped} > 0), {goal.label})"
        found = _yes_or_no(goal, shaped, label if target.categories is not None else f"integer({shaped} > 0)")
    elif classes:
        found = _classes(goal)
    else:
        found = _numbers(core, traced, goal, shaped)
    functions = {key: set(re.findall(r"(\w+)\(", text)) for key, text in found.items()}
    hidden = {n for n in traced.env.names if n in functions["loss"]}
    if hidden:
        reason = f"`{min(hidden)}` has another meaning in this block"
        raise Failure(train_errors.no_default_loss(block.declaration.header, reason))
    if "next" in settings.entries:  # what goes on position by position is not predicted by row
        found.pop("predict", None)
    return {key: text for key, text in found.items() if not functions[key] & set(traced.env.names)}


def _classes(goal: _Goal) -> dict[str, str]:
    scores, label = goal.output, goal.label
    found = {"loss": f"cross_entropy({scores}, {label})", "metrics": f"[accuracy({scores}, {label})]"}
    width, below = goal.made.shape[-1], goal.target.below
    if isinstance(width, int) and isinstance(below, int) and width < below:
        return {"loss": found["loss"]}  # which says so
    if goal.target.rank != 1 or width != below:
        return found
    if goal.made.rank == 2 and goal.made.shape[-1] == 2:
        found["metrics"] = f"[accuracy({scores}, {label}), auc({scores}[:, 1] - {scores}[:, 0], {label})]"
    answer = f"label_of({scores}, {label})" if goal.target.categories is not None else f"argmax({scores})"
    found["predict"] = _predicted(goal, answer, f"max(softmax({scores}), axis = -1)")
    return found


def _yes_or_no(goal: _Goal, score: str, answer: str) -> dict[str, str]:
    label = goal.label
    found = {"loss": f"bce({score}, {label})", "metrics": f"[accuracy({score}, {label})]"}
    if goal.target.rank == 1:
        found["metrics"] = f"[accuracy({score}, {label}), auc({score}, {label})]"
        found["predict"] = _predicted(goal, answer, f"sigmoid({score})")
    return found


def _predicted(goal: _Goal, answer: str, probability: str = "") -> str:
    """What is learned under the name of its column, how sure that is, and the model's output as it is."""
    items = {goal.name: answer}
    if probability:
        items["probability" if goal.name != "probability" else "confidence"] = probability
    items.setdefault(goal.output.rpartition(".")[2], goal.output)
    return f"[{', '.join(f'{name} = {text}' for name, text in items.items())}]"


def _numbers(core: Elaborator, traced: ModelPass, goal: _Goal, shaped: str) -> dict[str, str]:
    """In the unit of the column where `undo` finds a way back."""
    x, y = shaped, goal.label
    found = {"loss": f"mse({x}, {y})"}
    back = _way_back(core, traced, f"undo({x}, {y})")
    if back is not None and back.trace is core.trace:
        found["predict"] = _predicted(goal, f"undo({x}, {y})")
        x, y = f"undo({x}, {y})", f"undo({y}, {y})"
    found["metrics"] = f"[rmse({x}, {y}), mae = mae({x}, {y}), r2 = r2({x}, {y})]"
    return found


def _way_back(core: Elaborator, traced: ModelPass, text: str) -> Tensor | None:
    """What `undo` gives, None where there is no way back, or none to go."""
    tree, _ = parse(SourceFile(FILE_NAME, f"let value = {text}\n"))
    declared = tree.declarations[0]
    assert isinstance(declared, syntax.Let)
    call = declared.value
    assert isinstance(call, syntax.Call)
    env = Environment(traced.env.scope, traced.env.names)
    try:
        before = core.evaluate(call.arguments[0].value, env)
        after = core.evaluate(call, env)
    except Failure:
        return None
    same = isinstance(before, Tensor) and isinstance(after, Tensor) and after.value is before.value
    return after if isinstance(after, Tensor) and not same else None

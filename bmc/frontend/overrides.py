"""`--set KEY=VALUE`: changes to the text of the program, before anything is elaborated.

In: a program and (key, value text) pairs. Out: the files with the changes written into them. Guaranteed: what is
elaborated, and what the artefact
stores, is the changed text; a key that reaches nothing is reported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from bmc.errors import Diagnostic
from bmc.frontend.errors import name_errors
from bmc.frontend.scope import FileScope, Program
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.syntax.parse import parse
from bmc.frontend.train.settings import KEYS
from bmc.source import SourceFile, Span

__all__ = ["apply_overrides"]


_INSTEAD = {"epochs": "steps", "steps": "epochs"}
"""Either says how long to train: setting one takes the place of the other."""


def _edit_train(block: syntax.Train, key: str, value: str, others: Collection[str]) -> tuple[Span, str] | None:
    """Where a key of a train block is, or would be, and what is written there. `others`: all keys that are set."""
    settings = {e.key.text: e for e in block.entries if isinstance(e, syntax.Setting)}
    if key in settings:
        return settings[key].value.span, value
    instead = _INSTEAD.get(key)
    if instead in settings and instead not in others:
        return settings[instead].span, f"{key} = {value}"
    if key not in KEYS:
        return None
    if block.entries:
        end = block.entries[-1].span.end
        return Span(block.span.file, end, end), f"\n  {key} = {value}"
    close = block.span.end - 1
    return Span(block.span.file, close, close), f"\n  {key} = {value}\n"


def _edit_hyper(program: Program, scope: FileScope, block: syntax.Train, key: str, value: str) -> tuple[Span, str] | None:
    """A hyper-parameter of the model in the header of its train block."""
    found = program.resolve(scope, block.model.text)
    if found is None or not isinstance(found[1], syntax.Callable):
        return None
    names = [p.name.text for p in found[1].hyper or ()]
    if key not in names:
        return None
    for i, argument in enumerate(block.arguments or ()):
        if (argument.name is not None and argument.name.text == key) or (argument.name is None and i == names.index(key)):
            return argument.value.span, value
    at = block.model.span.end
    if block.arguments is None:
        return Span(block.span.file, at, at), f"({key} = {value})"
    if not block.arguments:
        return Span(block.span.file, at + 1, at + 1), f"{key} = {value}"
    end = block.arguments[-1].span.end
    return Span(block.span.file, end, end), f", {key} = {value}"


def _joined(edits: Sequence[tuple[Span, str]]) -> list[tuple[Span, str]]:
    """Insertions at one place in one: those of a train block stand one after the other, those of a header in one list."""
    places: dict[tuple[int, int], tuple[Span, list[str]]] = {}
    for span, text in edits:
        places.setdefault((span.start, span.end), (span, []))[1].append(text)
    made = []
    for span, texts in places.values():
        if all(text.startswith("(") for text in texts):
            texts = [f"({', '.join(text[1:-1] for text in texts)})"]
        elif len(texts) > 1 and span.file.text[span.start - 1] == "(":
            texts = [", ".join(texts)]
        made.append((span, "".join(texts)))
    return made


def _edit_let(program: Program, key: str, value: str) -> tuple[Span, str] | None:
    for scope in program.scopes.values():
        declared = scope.declarations.get(key)
        if not scope.library and isinstance(declared, syntax.Let):
            return declared.value.span, value
    return None


def _candidates(program: Program, block: syntax.Train | None) -> list[str]:
    names = [n for s in program.scopes.values() if not s.library for n, d in s.declarations.items() if isinstance(d, syntax.Let)]
    if block is not None:
        found = program.resolve(program.main, block.model.text)
        if found is not None and isinstance(found[1], syntax.Callable):
            names += [p.name.text for p in found[1].hyper or ()]
        names += KEYS
    return names


def apply_overrides(
    program: Program, block: syntax.Train | None, overrides: Mapping[str, str]
) -> tuple[Sequence[SourceFile], list[Diagnostic]]:
    """The program's own files, changed, the main one first, and what is wrong. A key of the train block comes before a
    hyper-parameter of its
    model, and that before a `let`."""
    errors: list[Diagnostic] = []
    edits: dict[SourceFile, list[tuple[Span, str]]] = {}
    for key, value in overrides.items():
        tree, wrong = parse(SourceFile("--set", f"let value = {value}\n"))
        if wrong or len(tree.declarations) != 1 or "\n" in value:
            errors.append(name_errors.override_syntax(key, value))
            continue
        edit = None
        if block is not None:
            edit = _edit_train(block, key, value, overrides) or _edit_hyper(program, program.main, block, key, value)
        edit = edit or _edit_let(program, key, value)
        if edit is None:
            errors.append(name_errors.nothing_to_override(key, _candidates(program, block)))
        else:
            edits.setdefault(edit[0].file, []).append(edit)
    files: list[SourceFile] = []
    for scope in program.scopes.values():
        if scope.library:
            continue
        text = scope.file.text
        for span, replacement in sorted(_joined(edits.get(scope.file, ())), key=lambda e: e[0].start, reverse=True):
            text = text[: span.start] + replacement + text[span.end :]
        files.append(scope.file if text == scope.file.text else SourceFile(scope.file.name, text))
    return files, errors

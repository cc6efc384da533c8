"""Names of a file that nothing reads: most often the other half of a slip.

In: a program without errors. Out: warnings. Guaranteed: only names that the file itself declares and can read nowhere else are
meant: bindings and parameters of bodies, models' hyper-parameters, and `let`s; not what is unpacked beside something that is
read, nor names that begin with `_`.
"""

from __future__ import annotations

import re
from collections import Counter

from bmc.errors import Diagnostic
from bmc.frontend.errors import name_errors
from bmc.frontend.scope import Program
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.syntax.walk import walk
from bmc.source import Span

__all__ = ["unread_names"]

_WORD = re.compile(r"[A-Za-z_]\w*")


def unread_names(program: Program) -> list[Diagnostic]:
    """A warning for each name of the main file that nothing reads."""
    found: list[Diagnostic] = []
    for declaration in program.main.declarations.values():
        if isinstance(declaration, syntax.Callable):
            found += _of_body(declaration)
    for data in program.main.data.values():
        words = _words(data.span)
        lets = [e.name for e in data.entries if isinstance(e, syntax.Let)]
        found += [name_errors.unread(name.span, name.text, "this `let`") for name in lets if _once(name, words)]
    return found


def _words(span: Span) -> Counter[str]:
    """How often each word stands in the code; comments and texts aside."""
    code = re.sub(r'"(?:[^"\\\n]|\\.)*"|#[^\n]*', " ", span.text)
    return Counter(_WORD.findall(code))


def _once(name: syntax.Name, words: Counter[str]) -> bool:
    return words[name.text] == 1 and not name.text.startswith("_")


def _of_body(declaration: syntax.Callable) -> list[Diagnostic]:
    words = _words(declaration.span)
    found: list[Diagnostic] = []

    def say(name: syntax.Name, what: str) -> None:
        if _once(name, words):
            found.append(name_errors.unread(name.span, name.text, what))

    if declaration.kind == "model":  # a layer may have what others of its kind have, to be given in their place
        for parameter in declaration.hyper or ():
            say(parameter.name, "this hyper-parameter")
    for node in walk(declaration):
        if isinstance(node, syntax.Assign) and all(_once(t.name, words) for t in node.targets):
            say(node.targets[0].name, "this binding")
        elif isinstance(node, syntax.Param):
            say(node.name, "this parameter")
        elif isinstance(node, syntax.Let):
            say(node.name, "this `let`")
    return found

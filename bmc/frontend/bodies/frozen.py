"""Patterns over keys, and `frozen`: what the optimizer's list leaves as it is, known before the model is traced.

In: the syntax of the setting. Out: whether a key is frozen, and whether a whole layer is. Guaranteed: a layer all of whose own
parameters and states are frozen is applied as in evaluation (`training` is false in it): its statistics are those that it began
with, its dropout is off, and what it computes while training is what it computes later.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from bmc.frontend.scope import FileScope
from bmc.frontend.syntax import tree as syntax
from bmc.record import record

__all__ = ["FrozenKeys", "frozen_keys", "matches"]

_NOBODY = "\0"
"""A name that no pattern spells out: what is frozen under it is frozen by `path.*`."""


def matches(pattern: str, key: str) -> bool:
    """`*` stands for any part of a key, dots included."""
    return fnmatch.fnmatchcase(key, pattern)


@record(frozen=True)
class FrozenKeys:
    """(pattern, whether it freezes) in order; the first match decides."""

    patterns: tuple[tuple[str, bool], ...] = ()

    def key(self, key: str) -> bool:
        return next((frozen for pattern, frozen in self.patterns if matches(pattern, key)), False)

    def below(self, path: str) -> bool | None:
        """Whether everything below a key path is frozen, or nothing is; None where patterns tell keys there apart."""
        for pattern, frozen in self.patterns:
            fixed = pattern.partition("*")[0]
            if pattern == fixed + "*" and f"{path}.".startswith(fixed):
                return frozen
            if any(c in pattern for c in "?[") or pattern.count("*") > 1 or (not pattern.endswith("*") and "*" in pattern):
                return None if self.freezes else False
            if fixed.startswith(f"{path}."):
                return None if self.freezes else False
        return False

    @property
    def freezes(self) -> bool:
        """Whether any pattern does."""
        return any(frozen for _, frozen in self.patterns)

    def layer(self, path: Sequence[str], declaration: syntax.Callable) -> bool:
        """Whether the layer at `path` is frozen as a whole: by its own parameters and states, or, without any, by its path."""
        if not self.freezes:
            return False
        names = _declared(declaration.body) or [_NOBODY]
        return all(self.key(".".join((*path, name))) for name in names)


def _declared(body: Sequence[syntax.Statement]) -> list[str]:
    names: list[str] = []
    for statement in body:
        if isinstance(statement, (syntax.Param, syntax.State)):
            names.append(statement.name.text)
        elif isinstance(statement, syntax.If):
            for branch in statement.branches:
                names += _declared(branch.body)
            names += _declared(statement.otherwise or ())
    return names


def frozen_keys(entry: syntax.Setting | None, scope: FileScope) -> FrozenKeys:
    """From `optimizer = [...]`, written there or in a `let` of the file."""
    if entry is None:
        return FrozenKeys()
    value: syntax.Expr = entry.value
    if isinstance(value, syntax.Name):
        name = value.text
        declared = next((s.declarations[name] for s in scope.visible() if name in s.declarations), None)
        if isinstance(declared, syntax.Let):
            value = declared.value
    if not isinstance(value, syntax.ListExpr):
        return FrozenKeys((("*", _is_frozen(value)),))
    keyed = [item for item in value.items if isinstance(item, syntax.Keyed)]
    return FrozenKeys(
        tuple((i.key.text if isinstance(i.key, syntax.Name) else i.key.value, _is_frozen(i.value)) for i in keyed)
    )


def _is_frozen(expression: syntax.Expr) -> bool:
    return isinstance(expression, syntax.Name) and expression.text == "frozen"

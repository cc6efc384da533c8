"""Key paths: what parameters, random sites and fitted values are called.

In: explicit names (`as name`, a layer's binding) and kinds. Out: names unique within a scope. Guaranteed: the result
depends on the
text of the scope alone: the same body gives the same keys in every trace; two equal explicit names are reported by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bmc.source import Span

__all__ = ["KeyScope"]


@dataclass(eq=False)
class KeyScope:
    """The names given so far in one application of a layer, or one pass of a `repeat`. `named`: no default name leads here."""

    path: tuple[str, ...] = ()
    named: bool = True
    explicit: dict[str, Span] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def claim(self, name: str, span: Span) -> Span | None:
        """Take an explicit name. The span that took it before, if any."""
        before = self.explicit.get(name)
        if before is None:
            self.explicit[name] = span
        return before

    def default(self, kind: str) -> str:
        """`kind`, `kind_2`, ...: the next default name that no explicit name has taken."""
        while True:
            count = self.counts.get(kind, 0) + 1
            self.counts[kind] = count
            name = kind if count == 1 else f"{kind}_{count}"
            if name not in self.explicit:
                return name

    def key(self, name: str) -> str:
        return ".".join((*self.path, name))

    def inner(self, *names: str, named: bool = True) -> KeyScope:
        """A scope below this one, with no names yet."""
        return KeyScope((*self.path, *names), self.named and named)

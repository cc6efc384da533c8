"""An LALR(1) table as plain data, and its JSON form.

In: JSON text made by `Table.to_json`. Out: `Table`. Guaranteed: `from_json(to_json(t))` equals `t`; a text that is not a
table raises ValueError, never anything else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

__all__ = ["Rule", "Table"]


@dataclass(frozen=True)
class Rule:
    """One production. `action` names what its alias makes; None for a list rule (`_x`) or a passed-on single child."""

    origin: str
    size: int
    action: str | None

    @property
    def is_list(self) -> bool:
        return self.origin.startswith("_")


@dataclass(frozen=True)
class Table:
    """`states[s][symbol]` is a state to go to, if >= 0, else `-1 - r` for a reduction by `rules[r]`.

    Parsing starts in state 0 and has succeeded when state `accept` is entered.
    """

    rules: tuple[Rule, ...]
    states: tuple[dict[str, int], ...]
    accept: int

    def to_json(self) -> str:
        content = {
            "rules": [[r.origin, r.size, r.action] for r in self.rules],
            "states": self.states,
            "accept": self.accept,
        }
        return json.dumps(content, separators=(",", ":"), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Table:
        content = json.loads(text)
        try:
            rules = tuple(Rule(str(origin), int(size), action) for origin, size, action in content["rules"])
            return Table(rules, tuple(content["states"]), int(content["accept"]))
        except (KeyError, TypeError) as e:
            raise ValueError(f"not an LALR table: {e}") from e

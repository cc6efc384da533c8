"""Builds the LALR table of a grammar with lark.

In: the text of a grammar whose terminals are all declared (`%declare`): tokens are made elsewhere. Out: `Table`.
Guaranteed: lark's strict mode finds no conflict, or `lark.exceptions.GrammarError` is raised; the same text gives the same
table, since states are numbered in the order in which a walk over sorted symbols meets them.
"""

from __future__ import annotations

from collections.abc import Iterator

from lark import Lark, Token
from lark.grammar import Rule as LarkRule
from lark.lexer import Lexer

from bmc_grammar.table import Rule, Table

__all__ = ["build_table"]


class _NoTokens(Lexer):
    """Stands where lark wants a lexer: only the table is used."""

    def __init__(self, lexer_conf: object) -> None:
        del lexer_conf

    def lex(self, lexer_state: object, parser_state: object) -> Iterator[Token]:
        del lexer_state, parser_state
        return iter(())


def _rule(rule: LarkRule) -> Rule:
    origin, size = str(rule.origin.name), len(rule.expansion)
    if origin.startswith("_") or (rule.alias is None and size == 1 and rule.options.expand1):
        return Rule(origin, size, None)
    return Rule(origin, size, rule.alias or origin)


def build_table(grammar: str) -> Table:
    """The table of `grammar`, whose start rule is `start`."""
    lark = Lark(grammar, parser="lalr", strict=True, lexer=_NoTokens)
    made = lark.parser.parser._parse_table
    number = {made.start_states["start"]: 0}
    order = [made.start_states["start"]]
    rules: dict[LarkRule, int] = {}
    states: list[dict[str, int]] = []
    for state in order:  # grows while walked
        row: dict[str, int] = {}
        for symbol, (action, argument) in sorted(made.states[state].items()):
            if action.name == "Shift":
                if argument not in number:
                    number[argument] = len(order)
                    order.append(argument)
                row[symbol] = number[argument]
            else:
                row[symbol] = -1 - rules.setdefault(argument, len(rules))
        states.append(row)
    return Table(tuple(_rule(r) for r in rules), tuple(states), number[made.end_states["start"]])

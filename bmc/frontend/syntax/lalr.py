"""Runs an LALR table over tokens, and recovers by statement.

In: a table, tokens, an `Actions` that makes values, a handler that is told of failures. Out: the value of the start rule.
Guaranteed: never raises on any tokens; linear time: after a failure the stack is cut back to where the failing statement
started, the statement is skipped by its brackets, and an ERROR stands for it, so that no statement is read twice; values are
never nested deeper than `MAX_DEPTH`.

Why not lark's own loop: importing lark costs more than checking a file, and its recovery drops tokens, which cascades.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from bmc.frontend.syntax.tokens import Token
from bmc.record import record
from bmc_grammar import Table

__all__ = ["MAX_DEPTH", "Actions", "Failure", "run"]

MAX_DEPTH = 120


# A symbol on the stack: its value, the indices of its first and last token, its depth. A plain tuple, since one is made for
# each token and each node.
Entry: TypeAlias = tuple[Any, int, int, int]


class Actions(Protocol):
    """Makes a value of the children of a production; `first` and `last` are the indices of its tokens."""

    def action(self, name: str) -> Callable[[list[Any], int, int], Any]: ...


@record(frozen=True)
class Failure:
    """Token `index` cannot come next, or (`too_deep`) ends something nested too deeply. `statement` is the index of the
    token that the failing statement starts with, `end` of the one after it."""

    index: int
    statement: int
    end: int
    expected: frozenset[str]
    too_deep: bool


def _accepts(table: Table, states: Sequence[int], kind: str) -> bool:
    """Whether `kind` can really be shifted: rows of an LALR table may reduce on a token that no later state takes."""
    popped = len(states)
    pushed: list[int] = []
    while True:
        state = pushed[-1] if pushed else states[popped - 1]
        if state == table.accept:
            return kind == "$END"
        act = table.states[state].get(kind)
        if act is None:
            return False
        if act >= 0:
            return True
        rule = table.rules[-1 - act]
        size = rule.size
        while size and pushed:
            pushed.pop()
            size -= 1
        popped -= size
        pushed.append(table.states[pushed[-1] if pushed else states[popped - 1]][rule.origin])


def _expected(table: Table, states: Sequence[int]) -> frozenset[str]:
    """The terminals that can come next; nonterminals of the same row are written in small letters."""
    return frozenset(k for k in table.states[states[-1]] if k.lstrip("$").isupper() and _accepts(table, states, k))


def _statement_height(rows: Sequence[dict[str, int]], states: Sequence[int], stack: Sequence[Entry]) -> int:
    """How many states to keep so that the failing statement may start anew: down to where an ERROR is taken, past blocks that
    are closed but not reduced yet, which belong to the failing statement."""
    height, closed = len(states), 0
    while closed or "ERROR" not in rows[states[height - 1]]:
        height -= 1
        value = stack[height - 1][0]
        if isinstance(value, Token):
            closed += (value.kind == "RBRACE") - (value.kind == "LBRACE" and closed > 0)
    return height


def _statement_end(tokens: Sequence[Token], start: int) -> int:
    depth = 0
    for i in range(start, len(tokens)):
        kind = tokens[i].kind
        if kind in ("LPAR", "LSQB", "LBRACE"):
            depth += 1
        elif kind in ("RPAR", "RSQB", "RBRACE"):
            if depth == 0:
                return i
            depth -= 1
        elif depth == 0 and kind in ("NEWLINE", "$END"):
            return i
    return len(tokens) - 1


def run(table: Table, tokens: Sequence[Token], actions: Actions, on_failure: Callable[[Failure], str | None], patience: int) -> Any:
    """The value of the start rule; None after more than `patience` failures.

    `on_failure` returns the kind as which the failing token should be read instead, or None to skip its statement.
    """
    rows = table.states
    makers = [None if r.is_list or r.action is None else actions.action(r.action) for r in table.rules]
    rules = [(r.origin, r.size, r.is_list, maker) for r, maker in zip(table.rules, makers, strict=True)]
    passes_on = [maker is None and not is_list for _, _, is_list, maker in rules]
    chains: dict[tuple[int, int, str], int] = {}
    states = [0]
    stack: list[Entry] = []
    index, kind = 0, tokens[0].kind
    recovered_at = -1

    while True:
        act = rows[states[-1]].get(kind)
        too_deep = False
        if act is not None and act < 0:
            origin, size, is_list, maker = rules[-1 - act]
            if passes_on[-1 - act]:  # a single child, passed on
                # Nearly all reductions are these, a dozen in a row for the levels of precedence: done once, remembered.
                key = (states[-2], states[-1], kind)
                state = chains.get(key)
                if state is None:
                    state = rows[states[-2]][origin]
                    further = rows[state].get(kind)
                    while further is not None and further < 0 and passes_on[-1 - further]:
                        state = rows[states[-2]][rules[-1 - further][0]]
                        further = rows[state].get(kind)
                    chains[key] = state
                states[-1] = state
                continue
            if size:
                children = stack[-size:]
                depth = max([c[3] for c in children]) + (not is_list)
                too_deep = depth > MAX_DEPTH
                if not too_deep:
                    del stack[-size:], states[-size:]
                    first, last = children[0][1], children[-1][2]
                    if maker is not None:
                        value = maker([c[0] for c in children], first, last)
                    elif size == 3:  # list SEPARATOR item
                        value = children[0][0]
                        value.append(children[2][0])
                    else:
                        value = [children[-1][0]]
                    stack.append((value, first, last, depth))
            else:
                assert maker is not None
                stack.append((maker([], index, index - 1), index, index - 1, 1))
            if not too_deep:
                state = rows[states[-1]][origin]
                if state == table.accept:
                    return stack[-1][0]
                states.append(state)
                continue
        elif act is not None:
            stack.append((tokens[index], index, index, 0))
            states.append(act)
            index += 1
            kind = tokens[index].kind
            continue

        # The token cannot come next. Recovery: cut back to where a statement may start, and skip the failing one.
        height = _statement_height(rows, states, stack)
        statement = stack[height - 1][1] if height <= len(stack) else index
        end = max(_statement_end(tokens, statement), index if recovered_at < index else index + 1)
        expected: frozenset[str] = frozenset() if too_deep else _expected(table, states)
        patience -= 1
        if patience < 0:
            return None
        instead = on_failure(Failure(index, statement, end, expected, too_deep))
        if instead is not None and instead in expected:
            kind = instead
            continue
        if index == len(tokens) - 1 and recovered_at == index:
            return None
        recovered_at = index = min(end, len(tokens) - 1)
        del states[height:], stack[height - 1 :]
        stack.append((None, statement, max(statement, end - 1), 0))
        states.append(rows[states[-1]]["ERROR"])
        kind = tokens[index].kind

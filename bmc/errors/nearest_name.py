"""The candidate that a misspelt name most likely means.

In: a name, and the names that would be right. Out: one of these, or None when none is near enough to be worth saying.
Guaranteed: deterministic (ties go to the candidate given first); work is bounded by 64 characters a name.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["nearest", "nothing_else_near"]

_LONGEST = 64


def _distance(a: str, b: str, limit: int) -> int:
    """Optimal string alignment distance (insert, delete, replace, swap neighbours; Damerau 1964), or limit + 1 if above."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate nearest to `name`: at most a third of its letters differ (at least one may, for names of two or more),
    upper and lower case and `_` counting half; of a name of one letter, the letter twice. `name` itself is never the answer."""
    if not 0 < len(name) <= _LONGEST:
        return None
    candidates = list(candidates)
    doubled = next((c for c in candidates if {len(c), len(name)} == {1, 2} and (c * 2 == name or name * 2 == c)), None)
    if len(name) == 1 or doubled is not None:
        return doubled
    limit = max(1, len(name) // 3)
    best: tuple[int, int, str] | None = None
    folded = name.lower().replace("_", "")
    for candidate in candidates:
        if candidate == name or len(candidate) > _LONGEST:
            continue
        plain = _distance(folded, candidate.lower().replace("_", ""), limit)
        found = (plain, _distance(name, candidate, 2 * limit), candidate)
        if plain <= limit and (best is None or found[:2] < best[:2]):
            best = found
    # A name of two letters of which one differs is a different name.
    return best[2] if best is not None and best[0] < max(len(folded), 1) - (len(folded) < 3) else None


def nothing_else_near(name: str, near: str, candidates: Iterable[str]) -> bool:
    """Whether `name` is `near` with one slip of the fingers, and with one slip nothing else."""
    if len(name) < 3 and near != name * 2:
        return False
    folded = name.lower().replace("_", "")
    within = {c for c in candidates if c != name and _distance(folded, c.lower().replace("_", ""), 1) <= 1}
    return within == {near}

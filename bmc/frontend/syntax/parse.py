"""Text to syntax tree: tokens, brackets, layout, table; and the words for what failed.

In: a `SourceFile`. Out: the tree, and the diagnostics. Guaranteed: `parse` never raises on any text; it reports errors of
several statements in one run, at most `MAX_ERRORS`, ordered by position; without an error the tree is complete, with one
the failing statements are missing from it. Linear time in the length of the text.
"""

from __future__ import annotations

import gc

from bmc.errors import Diagnostic
from bmc.frontend.errors import syntax_errors
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.syntax.brackets import match_brackets
from bmc.frontend.syntax.failures import Failures
from bmc.frontend.syntax.lalr import MAX_DEPTH, run
from bmc.frontend.syntax.layout import lay_out
from bmc.frontend.syntax.tokens import tokenize
from bmc.frontend.syntax.tree_builder import TreeBuilder
from bmc.source import SourceFile, Span
from bmc_grammar import load_table

__all__ = ["MAX_DEPTH", "MAX_ERRORS", "parse"]

MAX_ERRORS = 50


def parse(file: SourceFile, start: int = 0, end: int | None = None) -> tuple[syntax.File, tuple[Diagnostic, ...]]:
    """The syntax tree of a file and what is wrong with it; see the module for what is guaranteed. `start`, `end`: of these
    characters alone, which hold whole declarations; spans are those of the whole file."""
    # Nothing that parsing makes is garbage, but looking for some takes up to half of the time of a large file.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _parse(file, start, end)
    finally:
        if collecting:
            gc.enable()


def _parse(file: SourceFile, start: int, end: int | None) -> tuple[syntax.File, tuple[Diagnostic, ...]]:
    raw, lexical = tokenize(file, start, end)
    matched, unmatched = match_brackets(file, raw)
    tokens = lay_out(matched)
    builder = TreeBuilder(file, tokens)
    failures = Failures(file, tokens)
    tree = run(load_table("bm"), tokens, builder, failures.report, MAX_ERRORS + 1)
    whole = Span(file, 0, len(file.text))
    errors = sorted(lexical + unmatched + failures.errors + builder.errors, key=_position)
    if len(errors) > MAX_ERRORS:
        stop = errors[MAX_ERRORS].span or whole
        errors = [*errors[:MAX_ERRORS], syntax_errors.too_many_errors(stop, MAX_ERRORS)]
    return (tree if isinstance(tree, syntax.File) else syntax.File((), whole)), tuple(errors)


def _position(diagnostic: Diagnostic) -> int:
    return diagnostic.span.start if diagnostic.span is not None else 0

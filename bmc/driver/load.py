"""From a path or a text to a unit: parsed, elaborated, with all findings.

In: a source (`FILE`, `FILE:NAME`, `-`, or a text), overrides (`--set`), the float type. Out: the `Unit`, or BmcError with every
diagnostic. Guaranteed: imports neither numpy nor llvmlite; a `use` is read relative to the file that says it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Literal

from bmc.driver import generation_errors, run_errors
from bmc.errors import BmcError, Diagnostic
from bmc.frontend.elaborate import Checked, check, elaborate
from bmc.frontend.errors import transfer_errors
from bmc.frontend.syntax.read_source import read_source
from bmc.frontend.unit import NEXT, Unit
from bmc.passes.expand import expand
from bmc.passes.prefix import growing_work
from bmc.passes.shard import unsplittable
from bmc.record import record
from bmc.source import SourceFile

__all__ = ["FloatType", "SourceText", "check_source", "find_source", "growing_note", "load_unit", "parse_overrides", "text_source"]

FloatType = Literal["f32", "f64"]


@record(frozen=True)
class SourceText:
    """A program's main file. `select`: the train block or model picked. `given`: files that come with it (an artefact's), which
    stand in for those on disk. `on_disk`: whether what it uses may be read from disk."""

    main: SourceFile
    select: str | None = None
    given: tuple[SourceFile, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    float_type: FloatType = "f32"
    on_disk: bool = True


def find_source(
    argument: str, overrides: Mapping[str, str] | None = None, float_type: FloatType = "f32", select: str | None = None
) -> SourceText:
    """The source that a command line names: `FILE`, `FILE:NAME` or `-`. Raises BmcError when it cannot be read."""
    path = argument
    head, separator, tail = argument.rpartition(":")
    if separator and head and tail.isidentifier() and not os.path.exists(argument):
        path, select = head, tail
    return SourceText(read_source(path), select, (), dict(overrides or {}), float_type)


def text_source(
    text: str, overrides: Mapping[str, str] | None = None, float_type: FloatType = "f32", select: str | None = None
) -> SourceText:
    """A program given as text; what it uses and its data are relative to the current folder."""
    return SourceText(SourceFile("<text>", text), select, (), dict(overrides or {}), float_type)


def parse_overrides(items: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` texts as a mapping. ValueError names one that is not of this form, or a key given twice."""
    found: dict[str, str] = {}
    for item in items:
        key, separator, value = item.partition("=")
        if not separator or not key.strip() or not value.strip():
            raise ValueError(f"{item!r} is not of the form KEY=VALUE")
        if key.strip() in found:
            raise ValueError(f"{key.strip()!r} is given twice")
        found[key.strip()] = value.strip()
    return found


def load_unit(source: SourceText) -> Unit:
    """Elaborate the block that is picked. Raises BmcError with every error and warning; a unit carries its own warnings."""
    files = (source.main, *source.given)
    read = read_source if source.on_disk else None
    unit, diagnostics = elaborate(files, source.select, source.overrides, source.float_type, read, source.on_disk)
    if unit is None or any(d.level == "error" for d in diagnostics):
        raise BmcError(diagnostics)
    return unit


def check_source(source: SourceText) -> Checked:
    """What is wrong with any block of a file, warnings and notes included, and the units that are right."""
    found = check((source.main, *source.given), source.overrides, source.float_type, read_source if source.on_disk else None)
    units = found.units
    more = (*_refused_shards(units), *_not_at_hand(units), *_growing(units))
    return replace(found, diagnostics=(*found.diagnostics, *more))


def _not_at_hand(units: Sequence[Unit]) -> list[Diagnostic]:
    """Files of other models that are not there: what is taken from them is checked when they are."""
    specs = [s for u in units for s in (*u.stored, *([u.data.base] if u.data is not None and u.data.base is not None else []))]
    return [transfer_errors.not_at_hand(s.span, s.shown) for s in {s.path: s for s in specs}.values() if not os.path.exists(s.path)]


def _growing(units: Sequence[Unit]) -> list[Diagnostic]:
    """Notes on sequences of which each new position costs work at all others."""
    return [note for unit in units if (note := growing_note(unit)) is not None]


def growing_note(unit: Unit) -> Diagnostic | None:
    """A note, if generation cannot keep what it computes."""
    if unit.generation is None:
        return None
    op = growing_work(expand(unit.module.function(NEXT)))
    return None if op is None else generation_errors.grows(unit.generation.input, op.name, op.location.spans, unit.generation.span)


def _refused_shards(units: Sequence[Unit]) -> list[Diagnostic]:
    """Train blocks that ask for shards or accumulation of rows that cannot be cut: an error before data, as every other."""
    refused = []
    for unit in units:
        if unit.training is not None and (unit.training.shards > 1 or unit.training.accumulate > 1):
            op = unsplittable(unit.module.function("train"))
            if op is not None:
                refused.append(run_errors.rows_do_not_split(op.name, op.location.spans))
    return refused

"""`fitted = "base.bmz"`: statistics, vocabularies and categories of another model, instead of those of these rows.

In: the file's header, the fits of the block in order. Out: the keys of fitted values that are taken from it. Guaranteed: a value is
reused only where the output of that name is written as it was there, its capacity is the same, and so is everything that it
depends on; what is fitted anew although the other model has it is said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bmc.frontend.bodies.core import Core
from bmc.frontend.errors import transfer_errors
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.transfer.stored import Stored
from bmc.frontend.unit import FitSpec, FittedSpec, StoredSpec
from bmc.ir.types import is_float
from bmc.source import Span

__all__ = ["reused_keys", "written_out"]

_WORD = re.compile(r"[^\W\d]\w*")


def written_out(core: Core, entries: Sequence[syntax.Let | syntax.Output]) -> dict[str, str]:
    """Each output and `let` of a data block as it is written, on one line, and behind it those that it names, and the `let`s of the
    files: `w |> vocab(max = 9); w = words(line)`."""
    texts: dict[str, str] = {}
    for scope in core.program.scopes.values():
        if not scope.library:
            lets = (d for d in scope.declarations.values() if isinstance(d, syntax.Let))
            texts.update((d.name.text, on_one_line(d.value.span.text)) for d in lets)
    texts.update((e.name.text, on_one_line(e.value.span.text)) for e in entries)
    return {e.name.text: _with_named(e.name.text, texts) for e in entries}


def _with_named(name: str, texts: Mapping[str, str]) -> str:
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        for word in _WORD.findall(texts[waiting.pop(0)]):
            if word in texts and word != name and word not in found:
                found[word] = None
                waiting.append(word)
    return "; ".join([texts[name], *(f"{n} = {texts[n]}" for n in found)])


def on_one_line(text: str) -> str:
    """Source text without its line breaks and indentation."""
    return " ".join(text.split())


def reused_keys(
    core: Core,
    file: StoredSpec,
    stored: Stored,
    fits: Sequence[FitSpec],
    fitted: Sequence[FittedSpec],
    places: Mapping[str, Span],
) -> tuple[str, ...]:
    """Keys whose values are taken from the file; warnings for the others that it has. `places`: where outputs are written."""
    if stored.kind != "bmz":
        core.report(transfer_errors.stored_unreadable(file.span, file.shown, "it is no .bmz: only those hold fitted values"))
        return ()
    specs = {f.key: f for f in fitted}
    reused: set[str] = set()
    said: set[str] = set()
    for fit in fits:
        reasons = [r for k in fit.keys if (r := _difference(specs[k], stored)) is not None]
        depends = [d for d in fit.depends if d not in reused]
        name = fit.keys[0].partition(".")[0]
        if not reasons and not depends:
            reused.update(fit.keys)
        elif name not in said and any(k.partition(".")[0] == name for k in stored.fitted):
            said.add(name)
            reason = reasons[0] if reasons else f"it depends on `{depends[0].partition('.')[0]}`, which is"
            core.report(transfer_errors.fitted_anew(places.get(name, specs[fit.keys[0]].span), name, file.shown, reason))
    if fits and not reused:
        names = list(dict.fromkeys(k.partition(".")[0] for k in stored.fitted))
        core.report(transfer_errors.nothing_reused(file.span, file.shown, names))
    return tuple(k for k in specs if k in reused)


def _difference(spec: FittedSpec, stored: Stored) -> str | None:
    """Why a value cannot be reused, None if it can."""
    name = spec.key.partition(".")[0]
    found = stored.fitted.get(spec.key)
    if found is None:
        return f"the other model has no `{spec.key}`"
    made = stored.made.get(name)
    if made is not None and made != spec.made:
        return f"there it is `{made}`"
    same = found.dtype == spec.type.dtype or (is_float(found.dtype) and is_float(spec.type.dtype))
    if found.shape != spec.type.shape or not same:
        return f"`{spec.key}` is {spec.type} here and {found} there"
    return None

"""Texts and sequences that a trained model continues.

In: a session whose program has `next`, a prompt, settings. Out: what follows, piece by piece. Guaranteed: the prompt takes the data
block's own path; the same model, prompt, settings and seed give the same continuation, kept or computed anew; whatever cannot go
well is said before the first position is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from bmc.driver import generation_errors
from bmc.driver.preparing import check_bound
from bmc.driver.session import Session
from bmc.errors import BmcError, Diagnostic
from bmc.frontend.unit import ENCODE, NEXT, NEXT_STEP, GenerationSpec, PromptSpec
from bmc.record import record
from bmc_runtime.binding import BoundFunction
from bmc_runtime.characters import lower, words
from bmc_runtime.generation import continued, recomputed
from bmc_runtime.mapping import map_rows
from bmc_runtime.memory import DTYPES, Array, allocate, dtype_name
from bmc_runtime.table import Column, text_column

__all__ = ["GenerateOptions", "Prompt", "Prompted", "Texts", "continuation", "generation_of", "prompt_of", "texts_of"]

Prompted = str | bytes | Sequence[int] | Array
"""A text, bytes, or integers: `[length]`, or `[rows, length]` to continue several at once."""


@record(frozen=True)
class GenerateOptions:
    """`settings`: temperature, top_k, top_p where they are not those of the file; None keeps everything. `keep`: whether what
    does not change between positions is kept; the result is the same."""

    tokens: int = 200
    seed: int = 0
    settings: Mapping[str, float | None] = {}
    keep: bool = True


@record(frozen=True, eq=False)
class Prompt:
    """`ids` [rows, length]. `warnings`: what of it the model does not know."""

    ids: Array
    warnings: tuple[Diagnostic, ...] = ()


def generation_of(session: Session) -> GenerationSpec:
    """Raises BmcError for a model that is not asked how it goes on."""
    found = session.unit.generation
    if found is None:
        raise BmcError(generation_errors.no_next(session.unit.name, session.unit.training is not None))
    return found


# --- the prompt ----------------------------------------------------------------------------------------------------------
def prompt_of(session: Session, given: Prompted) -> Prompt:
    """The integers of a prompt. Raises BmcError."""
    spec = generation_of(session)
    if isinstance(given, str | bytes):
        return _text_prompt(session, spec, given)
    array = np.asarray(given)
    rows = array[None] if array.ndim == 1 else array
    if rows.ndim != 2 or not (np.issubdtype(rows.dtype, np.integer) or rows.size == 0):
        reason = f"it is {array.dtype}{list(array.shape)}, neither text nor integers"
        raise BmcError(generation_errors.bad_prompt(reason, spec.span))
    if 0 in rows.shape:
        raise BmcError(generation_errors.empty_prompt(spec.span))
    limit = spec.below if spec.below is not None else int(np.iinfo(DTYPES[spec.dtype].name).max) + 1
    outside = rows[(rows < 0) | (rows >= limit)]
    if outside.size:
        raise BmcError(generation_errors.bad_prompt(f"it has {int(outside.flat[0])}, outside 0..{limit - 1}", spec.span))
    return Prompt(rows.astype(DTYPES[spec.dtype]))


def _text_prompt(session: Session, spec: GenerationSpec, text: str | bytes) -> Prompt:
    """A text cut into cells, and through `encode`. Raises BmcError."""
    if spec.prompt is None:
        raise BmcError(generation_errors.no_text(spec.input, spec.span))
    cells = _cells(session, spec, spec.prompt, text)
    if not len(cells):
        raise BmcError(generation_errors.empty_prompt(spec.span))
    function = BoundFunction(session.library(ENCODE), ENCODE, session.store)
    column = cells.data.reshape(1, -1)
    ids = map_rows(function, {spec.prompt.column: column}, 1, {"U": column.shape[1]})[spec.input]
    if spec.below is not None:
        check_bound(spec.input, spec.below, ids, None)
    unknown = _unknown(session, spec.prompt, spec, ids[0], cells)
    return Prompt(ids, (generation_errors.unknown_cells(spec.prompt.unit, unknown),) if unknown else ())


def _cells(session: Session, spec: GenerationSpec, prompt: PromptSpec, text: str | bytes) -> Column:
    """One cell for each position. Raises BmcError."""
    if prompt.unit == "bytes":
        # What is no UTF-8 on a command line arrives as lone surrogates, and leaves as the bytes that it was.
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        if prompt.lower:
            raw = lower(_decoded(raw, spec)).encode("utf-8")
        return Column("u8", np.frombuffer(raw, np.uint8))
    whole = _decoded(text, spec)
    if prompt.unit == "numbers":
        try:
            dtype = session.unit.module.function(ENCODE).param(prompt.column).value.type.dtype
            return Column(dtype, np.array([int(word) for word in whole.split()], DTYPES[dtype]))
        except (ValueError, OverflowError):
            reason = "a prompt of this model is whole numbers with blanks between"
            raise BmcError(generation_errors.bad_prompt(reason, spec.span)) from None
    return text_column(words(whole) if prompt.unit == "words" else list(whole))


def _decoded(text: str | bytes, spec: GenerationSpec) -> str:
    """Text that is UTF-8. Raises BmcError."""
    try:
        return text.decode("utf-8") if isinstance(text, bytes) else text.encode("utf-8").decode("utf-8")
    except UnicodeError:
        raise BmcError(generation_errors.bad_prompt("it is not UTF-8", spec.span)) from None


def _unknown(session: Session, prompt: PromptSpec, spec: GenerationSpec, ids: Array, cells: Column) -> list[str]:
    """The cells that became the last slot of a fitted table, which stands for all others; each once."""
    if prompt.table is None or spec.below is None:
        return []
    found = cells.to_python()
    return list(dict.fromkeys(str(found[i]) for i in np.flatnonzero(ids == spec.below - 1).tolist()))


# --- what follows --------------------------------------------------------------------------------------------------------
def continuation(session: Session, prompt: Prompt, options: GenerateOptions) -> Iterator[Array]:
    """The integers that follow the prompt, those of all rows position by position. Raises BmcError before the first."""
    spec = generation_of(session)
    given = _settings(spec, options.settings)
    if prompt.ids.shape[1] < spec.least:
        reason = f"it has {prompt.ids.shape[1]} positions, and the model looks at {spec.least} at least"
        raise BmcError(generation_errors.bad_prompt(reason, spec.span))
    longest = prompt.ids.shape[1] + options.tokens - 1
    if spec.limit is not None and longest > spec.limit:
        raise BmcError(generation_errors.too_long(prompt.ids.shape[1], options.tokens, spec.limit, spec.limited_by))
    name = NEXT_STEP if options.keep else NEXT
    library, store, ids, seed = session.library(name), session.store, prompt.ids, options.seed
    if options.keep:
        turns = continued(library, name, store, given, spec.input, ids, seed, spec.limit)
    else:
        turns = recomputed(library, name, store, given, spec.input, ids, seed)
    return islice(turns, options.tokens)


def _settings(spec: GenerationSpec, given: Mapping[str, float | None]) -> dict[str, Array]:
    """The inputs of `next` beside the sequence. Raises BmcError."""
    values = dict(spec.settings)
    for name, value in given.items():
        if name not in values:
            raise BmcError(generation_errors.no_such_setting(name, list(values), spec.span))
        wanted, allowed = _ALLOWED[name]
        if value is None and name in _EVERYTHING:
            values[name] = _EVERYTHING[name]
        elif value is None or not allowed(value):
            raise BmcError(generation_errors.bad_setting(name, wanted, value, spec.span))
        else:
            values[name] = float(value)
    made = {}
    for name, value in values.items():
        made[name] = allocate("f64", ())
        made[name][...] = value
    return made


_EVERYTHING = {"top_k": 0.0, "top_p": 1.0}
_ALLOWED: Mapping[str, tuple[str, Callable[[float], bool]]] = {
    "temperature": ("a number, at least 0", lambda x: 0 <= x < math.inf),
    "top_k": ("a whole number, at least 1, or `none`", lambda x: 1 <= x < math.inf and x == int(x)),
    "top_p": ("a probability, above 0 and at most 1, or `none`", lambda x: 0 < x <= 1),
}


# --- back to text --------------------------------------------------------------------------------------------------------
def texts_of(session: Session) -> Texts | None:
    """From integers back to text; None where they stand for nothing that could be written."""
    spec = generation_of(session)
    prompt = spec.prompt
    if prompt is None or not (prompt.same or prompt.labels or prompt.table is not None):
        return None
    names: list[str | int] = list(prompt.labels)
    if prompt.table is not None:
        known = session.store[prompt.table]
        used = int(session.store[prompt.count]) if prompt.count is not None else len(known)
        names = Column(dtype_name(known), known[:used]).to_python()
    return Texts(prompt, tuple(names))


@record(frozen=True)
class Texts:
    """`names`: what the integers stand for; () where they are the cells themselves."""

    prompt: PromptSpec
    names: tuple[str | int, ...]

    @property
    def raw(self) -> bool:
        """Whether pieces are bytes, of which a character may have several."""
        return self.prompt.unit == "bytes"

    def piece(self, number: int) -> bytes:
        """One position as UTF-8, with what stands between it and the one before."""
        if self.raw:
            return bytes([number & 255])
        other = not (self.prompt.same or 0 <= number < len(self.names))
        text = str(number) if self.prompt.same else "\ufffd" if other else str(self.names[number])
        between = "" if self.prompt.unit == "chars" else " "
        return (between + text).encode("utf-8", "replace")

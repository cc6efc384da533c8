"""What the integers of a data output stand for, and the way from text to them and back.

In: an output's specification and the fitted values of a model. Out: `Vocabulary`. Guaranteed: `encode` gives the integers that the
data block makes of the same text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bmc.frontend.unit import OutputSpec
from bmc.record import record
from bmc_runtime.characters import lower, words
from bmc_runtime.memory import Array
from bmc_runtime.reducers.distinct import texts_of

__all__ = ["OTHER", "Vocabulary", "vocabulary_of"]

OTHER = "\ufffd"
"""What stands for integers that mean other: the replacement character."""


@record(frozen=True)
class Vocabulary:
    """`parts`: what 0, 1, ... stand for; of bytes, each byte. `unit`: what of a text one integer is: whole, words, chars, bytes.
    `lower`: text is taken in lower case. `other`: the integer of what is no part, None where there is none."""

    parts: tuple[bytes, ...]
    unit: str
    lower: bool
    other: int | None

    def decode(self, integers: Sequence[int]) -> str:
        """The text that integers stand for: words with a space between them, all else one after the other."""
        other = OTHER.encode()
        found = [self.parts[i] if 0 <= i < len(self.parts) else other for i in integers]
        return (b" " if self.unit == "words" else b"").join(found).decode("utf-8", "replace")

    def encode(self, text: str) -> list[int]:
        """The integers of a text. ValueError: it has a part that stands for nothing, and nothing means other."""
        cased = lower(text) if self.lower else text
        if self.unit == "bytes":
            return list(cased.encode())
        cut = words(cased) if self.unit == "words" else list(cased) if self.unit == "chars" else [cased]
        places: Mapping[bytes, int] = {part: i for i, part in enumerate(self.parts)}
        found: list[int] = []
        for part in cut:
            place = places.get(part.encode(), self.other)
            if place is None:
                raise ValueError(f"{part!r} is not in the vocabulary")
            found.append(place)
        return found


def vocabulary_of(output: OutputSpec, store: Mapping[str, Array]) -> Vocabulary | None:
    """The vocabulary of a data output; None where its integers stand for no text. `store`: fitted values by key."""
    spec = output.vocabulary
    if spec is None:
        return None
    if spec.unit == "bytes":
        return Vocabulary(tuple(bytes([i]) for i in range(256)), "bytes", spec.lower, None)
    if spec.table is None:
        return Vocabulary(tuple(str(label).encode() for label in spec.labels), spec.unit, spec.lower, None)
    table = store[spec.table]
    used = int(store[spec.count]) if spec.count is not None else len(table)
    cells = texts_of(table[:used]) if table.dtype.names else [str(number).encode() for number in table[:used].tolist()]
    return Vocabulary(tuple(cells), spec.unit, spec.lower, spec.size - 1)

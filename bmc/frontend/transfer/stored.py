"""What the file of another model holds: names, dtypes and shapes.

In: nothing; `headers` makes these. Out: records. Guaranteed: cheap to import, which `headers` is not.
"""

from __future__ import annotations

from collections.abc import Mapping

from bmc.record import record

__all__ = ["Stored", "StoredTensor", "Unreadable"]


class Unreadable(ValueError):
    """Says why."""


@record(frozen=True)
class StoredTensor:
    """`begin` and `end`: bytes of the file that hold it, row-major and little-endian; 0, 0 in a `.bmz`, which is read otherwise."""

    dtype: str
    shape: tuple[int, ...]
    begin: int = 0
    end: int = 0

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@record(frozen=True)
class Stored:
    """`tensors`: weights and states by key. `fitted`: fitted values by key, and `made`: for each output with such values what it
    was made by; both of a `.bmz` alone."""

    kind: str
    tensors: Mapping[str, StoredTensor]
    fitted: Mapping[str, StoredTensor]
    made: Mapping[str, str]

"""What the main process and its workers say to each other: fixed records over pipes.

A worker is told once what to load (`Setup`, JSON after its length), then gets one `Command` for each stage of each step and answers
with one status byte.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import IO, Any

__all__ = ["DONE", "FAILED", "NOT_FINITE", "Command", "read_setup", "write_setup"]

DONE, NOT_FINITE, FAILED = b"\0", b"\1", b"\2"

_LENGTH = struct.Struct("<q")
_COMMAND = struct.Struct("<qqqqqqqqd")


@dataclass(frozen=True)
class Command:
    """Run stage `stage` of a micro-batch of `rows` rows, which are `order[start:start + rows]`.

    `gather`: fetch the rows first (at a micro-batch's first stage). `first_row`: the micro-batch's first row within the
    effective batch of `all_rows` rows. `factor`: plateau's.
    """

    stage: int
    gather: int
    start: int
    rows: int
    first_row: int
    all_rows: int
    step: int
    epoch: int
    factor: float

    def write(self, pipe: IO[bytes]) -> None:
        pipe.write(_COMMAND.pack(*astuple(self)))
        pipe.flush()

    @staticmethod
    def read(pipe: IO[bytes]) -> Command | None:
        """The next command; None when the main process has closed the pipe."""
        data = pipe.read(_COMMAND.size)
        return Command(*_COMMAND.unpack(data)) if len(data) == _COMMAND.size else None


def write_setup(pipe: IO[bytes], setup: Mapping[str, Any]) -> None:
    text = json.dumps(setup).encode()
    pipe.write(_LENGTH.pack(len(text)) + text)
    pipe.flush()


def read_setup(pipe: IO[bytes]) -> dict[str, Any]:
    """EOFError: the main process is gone."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError("no setup")
    (length,) = _LENGTH.unpack(head)
    found: dict[str, Any] = json.loads(pipe.read(length))
    return found

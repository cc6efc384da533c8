"""Opens data files: on this machine, on other file systems, standard input.

In: the name of a file as users write it, a path or a URI. Out: `Stream`s of bytes from front to back, and files to seek in.
Guaranteed: opening never waits, whatever lies there (a pipe without a writer, a device); nothing but a regular file is read; what
`gzip` wrote, as the ending `.gz` says, is expanded as it is read, never as a whole; a file that changes while it is read is an
error, so nobody gets half of each state.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import select
import stat
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, Protocol, Self

from bmc.data import data_errors
from bmc.data.files.naming import is_compressed, is_remote
from bmc.errors import BmcError
from bmc.source import Span

__all__ = ["STANDARD_INPUT", "Stream", "open_as_it_is", "open_file", "open_stream", "seekable", "standard_input"]

STANDARD_INPUT = "<stdin>"

_GZIP = b"\x1f\x8b"
_PART = 1 << 20
_PAUSE = 0.05
"""Seconds without a byte after which what has come is worth an answer."""
_LONGEST_WAIT = 0.25
"""Seconds after which it is, however many bytes still come."""
_SHOWN = 8
"""Bytes that show a format."""
_MOST_EXPANDED = 1 << 32
"""Bytes that a compressed file may expand to where a reader has to seek in it: a file of 4 MiB can pretend to hold 4 GiB."""


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class Stream:
    """The bytes of one file. `size`: how many the file has where it lies, None if nobody knows; `done`: how many of these have been
    read. `live`: a pipe or a terminal, behind which someone may wait for answers to what is there already. Errors of reading are
    BmcErrors."""

    def __init__(
        self,
        name: str,
        file: IO[bytes],
        span: Span | None,
        *,
        size: int | None,
        compressed: bool = False,
        encoding: str = "",
        live: bool = False,
    ) -> None:
        self.name, self.size, self._file, self._span, self.live = name, size, file, span, live
        self._state = _state_of(file)
        self._source: _Readable = gzip.GzipFile(fileobj=file, mode="rb") if compressed else file
        self._compressed = compressed
        self._encoding, self._line = encoding, 1
        self._decoder = codecs.getincrementaldecoder(encoding)() if encoding else None
        self._begun, self._ended = b"", False
        self._read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._file is not sys.stdin.buffer:
            self._file.close()

    @property
    def done(self) -> int:
        if not self._compressed:
            return self._read
        try:
            return self._file.tell()
        except OSError:
            return 0

    def peek(self, size: int) -> bytes:
        """The next bytes, which are still there to be read: fewer than `size` only before the end."""
        while len(self._begun) < size and (part := self._text(size - len(self._begun))):
            self._begun += part
        return self._begun[:size]

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end. Raises BmcError: the file is damaged, or changed."""
        if self._begun:
            parts, self._begun = [self._begun[:size]], self._begun[size:]
        else:
            parts = []
        left = size - sum(map(len, parts))
        while left > 0 and (part := self._text(left)):
            parts.append(part[:left])
            self._begun = part[left:]
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def some(self, size: int) -> tuple[bytes, bool]:
        """The next bytes, at most `size`, and whether the end is known to be reached. Of a file as many as there are; of what is
        live those that come within a moment."""
        if not self.live:
            found = self.read(size)
            return found, len(found) < size
        until = time.monotonic() + _LONGEST_WAIT
        parts = [self._begun[:size] or self._text(size)]
        self._begun = self._begun[size:]
        left = size - len(parts[0])
        while parts[-1] and left > 0 and (pause := min(_PAUSE, until - time.monotonic())) > 0:
            if not select.select([self._file], [], [], pause)[0]:
                break
            parts.append(self._text(left))
            left -= len(parts[-1])
        return b"".join(parts), not any(parts)

    def begin(self, size: int) -> bytes:
        """As `peek`; of what is live no more than shows what it is: a line, or some bytes."""
        if not self.live:
            return self.peek(size)
        while len(self._begun) < min(size, _SHOWN) and b"\n" not in self._begun and (part := self._text(size)):
            self._begun += part
        return self._begun[:size]

    def fill(self, place: memoryview) -> tuple[int, bool]:
        """As `some`, into memory that is there: how many bytes, and whether the end is known to be reached."""
        if self.live or self._compressed or self._decoder is not None or not isinstance(self._file, io.RawIOBase):
            found, last = self.some(len(place))
            place[: len(found)] = found
            return len(found), last
        done = min(len(self._begun), len(place))
        place[:done], self._begun = self._begun[:done], self._begun[done:]
        while done < len(place):
            try:
                count = self._file.readinto(place[done:]) or 0
            except OSError as error:
                raise BmcError(_cannot_read(self.name, error, self._span)) from None
            done += count
            self._read += count
            if not count:
                self._end()
                return done, True
        return done, False

    def all(self) -> bytes:
        """All that is left. For formats that are read as a whole."""
        parts = []
        while part := self.read(_PART):
            parts.append(part)
        return b"".join(parts)

    def _text(self, size: int) -> bytes:
        """Some bytes of content, in UTF-8 where there is another encoding; none at the end."""
        if self._decoder is None:
            return self._part(size)
        while not self._ended:
            part = self._part(size)
            text = self._decoded(part, last=not part)
            if text:
                return text
        return b""

    def decode(self, encoding: str) -> None:
        """What has not been read is text of this encoding: it is read as UTF-8 from here on. Raises BmcError."""
        self._encoding, self._decoder = encoding, codecs.getincrementaldecoder(encoding)()
        self._begun = self._decoded(self._begun, last=self._ended)

    def _decoded(self, part: bytes, *, last: bool) -> bytes:
        assert self._decoder is not None
        try:
            text = self._decoder.decode(part, last)
        except UnicodeDecodeError as error:
            line = self._line + str(error.object[: error.start], "latin-1").count("\n")
            found = data_errors.not_encoded(self.name, line, error.object[error.start], self._encoding)
            raise BmcError(found) from None
        self._line += text.count("\n")
        return text.encode("utf-8", "surrogatepass")

    def _part(self, size: int) -> bytes:
        if self._ended:
            return b""
        try:
            # What is live gives what is there, and waits for nothing but the first byte.
            at_once = self.live and isinstance(self._source, io.BufferedReader)
            part = self._source.read1(size) if at_once else self._source.read(size)  # type: ignore[attr-defined]
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BmcError(_no_gzip(self.name, error, self._span)) from None
        except (OSError, ValueError) as error:
            raise BmcError(_cannot_read(self.name, error, self._span)) from None
        if part is None:
            raise BmcError(data_errors.cannot_read(self.name, "it has nothing to read now", self._span))
        self._read += len(part)
        if not part:
            self._end()
        return part

    def _end(self) -> None:
        self._ended = True
        if self._state is not None and _state_of(self._file) != self._state:
            raise BmcError(data_errors.cannot_read(self.name, "it changed while it was read", self._span))


def _state_of(file: IO[bytes]) -> tuple[int, int] | None:
    """What tells whether a file was written to: its size and time. None for what is no regular file."""
    try:
        found = os.fstat(file.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _opened(name: str, span: Span | None) -> tuple[IO[bytes], int | None]:
    """A file, and its size. Raises BmcError unless it is a regular one that can be read."""
    if is_remote(name):
        from bmc.data.files.remote import open_remote  # noqa: PLC0415 - importing Arrow takes a tenth of a second

        return open_remote(name, span)
    try:
        # A pipe without a writer would block an ordinary open for ever.
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise BmcError(data_errors.no_such_data(name, span)) from None
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
        raise BmcError(_cannot_read(name, error, span)) from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        if stat.S_ISDIR(found.st_mode):
            raise BmcError(data_errors.is_a_directory(name, span))
        raise BmcError(data_errors.no_regular_file(name, "a pipe" if stat.S_ISFIFO(found.st_mode) else "a device", span))
    return open(handle, "rb", buffering=0), found.st_size


def _cannot_read(name: str, error: Exception, span: Span | None) -> Any:
    return data_errors.cannot_read(name, getattr(error, "strerror", None) or str(error), span)


def _no_gzip(name: str, error: Exception, span: Span | None) -> Any:
    return data_errors.cannot_read(name, f"it is no gzip file, or damaged: {error}", span)


def open_stream(name: str, span: Span | None, encoding: str = "") -> Stream:
    """The content of a file from front to back, as UTF-8 if it is in another `encoding`. Raises BmcError."""
    file, size = _opened(name, span)
    return Stream(name, file, span, size=size, compressed=is_compressed(name), encoding=encoding)


def standard_input() -> Stream:
    """Standard input, expanded if it is compressed."""
    stream = Stream(STANDARD_INPUT, sys.stdin.buffer, None, size=None, live=_is_live(sys.stdin.buffer))
    first = stream.peek(2)
    if first != _GZIP:
        return stream
    return Stream(STANDARD_INPUT, _Joined(stream), None, size=None, compressed=True)  # type: ignore[arg-type]


def _is_live(file: IO[bytes]) -> bool:
    """Whether bytes come when someone writes them."""
    if os.name != "posix" or not isinstance(file, io.BufferedReader):
        return False
    try:
        return not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError):
        return False


class _Joined:
    """A stream as `gzip` reads files."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(size if size >= 0 else _PART)

    def tell(self) -> int:
        return self._stream.done

    def close(self) -> None:
        self._stream.close()


def open_as_it_is(name: str, span: Span | None) -> IO[bytes]:
    """A file to seek in, not expanded. Raises BmcError."""
    return _opened(name, span)[0]


@contextmanager
def open_file(name: str, span: Span | None) -> Iterator[IO[bytes]]:
    """A file to seek in, as it lies there; what is compressed goes through an unnamed temporary file. Raises BmcError."""
    if is_compressed(name):
        with open_stream(name, span) as stream, seekable(stream, span) as file:
            yield file
        return
    file, _ = _opened(name, span)
    before = _state_of(file)
    with file:
        yield file
        if _state_of(file) != before:
            raise BmcError(data_errors.cannot_read(name, "it changed while it was read", span))


@contextmanager
def seekable(stream: Stream, span: Span | None) -> Iterator[IO[bytes]]:
    """What a stream has, in an unnamed temporary file. Raises BmcError."""
    with tempfile.TemporaryFile(prefix="bmc-") as file:
        while part := stream.read(_PART):
            if file.tell() + len(part) > _MOST_EXPANDED:
                reason = f"it holds more than {_MOST_EXPANDED >> 30} GiB, compressed: expand it first"
                raise BmcError(data_errors.cannot_read(stream.name, reason, span))
            file.write(part)
        file.seek(0)
        yield file

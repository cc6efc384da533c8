"""Reads a source from disk or standard input.

In: a path as the user gave it, or `-`. Out: a `SourceFile`. Guaranteed: anything that is not at most `MAX_BYTES` of UTF-8 text
without NUL raises `BmcError` with an E07xx diagnostic; no more than `MAX_BYTES` + 1 bytes are read, so that a device or an
endless pipe ends too; a pipe that nobody writes to is not waited for.
"""

from __future__ import annotations

import os
import stat
import sys

from bmc.errors import BmcError
from bmc.frontend.errors import source_errors
from bmc.source import SourceFile, Span

__all__ = ["MAX_BYTES", "read_source"]

MAX_BYTES = 1024 * 1024  # far above any program; a source of this size parses in a few seconds
_ZIP = b"PK\x03\x04"


def read_source(path: str) -> SourceFile:
    """The source at `path`; `-` is standard input, named `<stdin>`. Raises BmcError."""
    name = "<stdin>" if path == "-" else path
    try:
        content = sys.stdin.buffer.read(MAX_BYTES + 1) if path == "-" else _content(path)
    except (FileNotFoundError, NotADirectoryError):
        raise BmcError(source_errors.no_such_file(path)) from None
    except IsADirectoryError:
        raise BmcError(source_errors.is_a_directory(path)) from None
    except (OSError, ValueError) as e:  # ValueError: a path that holds a NUL
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise BmcError(source_errors.cannot_read(path, reason)) from None
    if content.startswith(_ZIP):
        raise BmcError(source_errors.model_file(name))
    if len(content) > MAX_BYTES:
        raise BmcError(source_errors.too_large(name, MAX_BYTES))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as e:
        before = content[: e.start].decode("utf-8")
        shown = SourceFile(name, before + content[e.start :].decode("utf-8", "replace"))
        span = Span(shown, len(before), len(before) + 1)
        raise BmcError(source_errors.not_utf8(span, e.start, content[e.start])) from None
    nul = text.find("\0")
    source = SourceFile(name, text)
    if nul >= 0:
        raise BmcError(source_errors.nul_byte(Span(source, nul, nul + 1)))
    return source


def _content(path: str) -> bytes:
    """The first bytes of a file. Raises OSError."""
    # An ordinary open of a pipe waits until somebody writes.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(handle, "rb", buffering=0) as file:
        found = bytearray()
        if stat.S_ISFIFO(os.fstat(handle).st_mode):
            try:
                found += os.read(handle, MAX_BYTES + 1)
            except BlockingIOError:
                pass  # somebody is about to write
            else:
                if not found:
                    raise OSError("nothing is written to this pipe")
        os.set_blocking(handle, True)
        while len(found) <= MAX_BYTES and (part := file.read(MAX_BYTES + 1 - len(found))):
            found += part
    return bytes(found)

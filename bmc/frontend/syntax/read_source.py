"""Reads a source from disk or standard input.

In: a path as the user gave it, or `-`. Out: a `SourceFile`. Guaranteed: anything that is not at most `MAX_BYTES` of UTF-8 text
without NUL raises `BmcError` with an E07xx diagnostic; no more than `MAX_BYTES` + 1 bytes are read, so that a device or an
endless pipe ends too.
"""

from __future__ import annotations

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
        if path == "-":
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(MAX_BYTES + 1)
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

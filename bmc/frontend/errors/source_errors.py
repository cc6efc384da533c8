"""Errors of reading a source, as named constructors.

In: a path or a span. Out: `Diagnostic`s with codes E0701 to E0706 of `bmc.errors.catalogue.files`.
"""

from __future__ import annotations

from bmc.errors import Diagnostic, Label
from bmc.source import Span

__all__ = ["cannot_read", "is_a_directory", "model_file", "no_such_file", "not_utf8", "nul_byte", "too_large"]


def no_such_file(path: str) -> Diagnostic:
    """E0701"""
    return Diagnostic("E0701", f"there is no file {path!r}")


def is_a_directory(path: str) -> Diagnostic:
    """E0702"""
    return Diagnostic("E0702", f"{path!r} is a directory, not a file")


def not_utf8(span: Span, offset: int, byte: int) -> Diagnostic:
    """E0703: `offset` is that of the byte in the file, `span` is where it stands in the text before it."""
    return Diagnostic(
        "E0703",
        f"{span.file.name} is not UTF-8 text",
        (Label(span, f"byte 0x{byte:02x} at offset {offset}", primary=True),),
        ("sources are UTF-8; `iconv -f LATIN1 -t UTF-8` converts an old text",),
    )


def nul_byte(span: Span) -> Diagnostic:
    """E0704"""
    return Diagnostic("E0704", f"{span.file.name} contains a NUL byte", (Label(span, "here", primary=True),))


def too_large(name: str, limit: int) -> Diagnostic:
    """E0705: `limit` in bytes."""
    return Diagnostic(
        "E0705",
        f"{name} is larger than {limit // 1024 // 1024} MiB",
        notes=("a source is a program; data belongs into files of its own",),
    )


def model_file(name: str) -> Diagnostic:
    """E0706: a zip archive, as model files are."""
    return Diagnostic(
        "E0706",
        f"{name} is an archive, not a source",
        notes=("if it is a model that `bmc train` wrote: `bmc inspect FILE --sources` shows the program in it",),
    )


def cannot_read(path: str, reason: str) -> Diagnostic:
    """E0706: `reason` is the system's."""
    return Diagnostic("E0706", f"cannot read {path!r}: {reason}")

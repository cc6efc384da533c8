"""Keeps built LALR tables in a directory that only the user can write.

In: a grammar's name. Out: its `Table`, read from the cache when a verified one is there, else built and, where the cache
can be had, stored. Guaranteed: a cached table is data (JSON), is read only from a directory and a file that belong to this
user and that nobody else can write, and is used only if its hash is right; anything else is built anew. Its name is a hash
of the grammar's text, lark's `__init__` (which holds its version), the Python version and the form of the table.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from functools import cache
from importlib.util import find_spec

from bmc_grammar.table import Table

__all__ = ["cache_directory", "grammar_text", "load_table"]

_FORM = b"bmc LALR table 1"
_FOLDER = os.path.dirname(os.path.abspath(__file__))


def grammar_text(name: str) -> str:
    """The text of `NAME.lark` in this package. Raises FileNotFoundError for a grammar that is not there."""
    with open(os.path.join(_FOLDER, f"{name}.lark"), encoding="utf-8") as file:
        return file.read()


def _key(grammar: str) -> str:
    parts = [_FORM, sys.version.encode(), grammar.encode()]
    lark = find_spec("lark")
    if lark is not None and lark.origin is not None:
        with open(lark.origin, "rb") as file:
            parts.append(file.read())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _private(info: os.stat_result) -> bool:
    """Whether only this user can write: on Windows, where modes say nothing, a profile's folder is taken to be so."""
    if not hasattr(os, "geteuid"):
        return True
    return info.st_uid == os.geteuid() and not info.st_mode & 0o077


def cache_directory() -> str | None:
    """The directory of cached tables, mode 0700, made if need be; None if there can be none that is safe."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(base):
        return None
    path = os.path.join(base, "bmc", "grammar")
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        if not os.path.isdir(path):
            os.mkdir(path, mode=0o700)
        info = os.lstat(path)
    except OSError:
        return None
    return path if stat.S_ISDIR(info.st_mode) and _private(info) else None


def _read(path: str) -> Table | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    with open(descriptor, encoding="utf-8") as file:
        if not _private(os.fstat(descriptor)):
            return None
        try:
            digest, body = file.readline().strip(), file.read()
            return Table.from_json(body) if hashlib.sha256(body.encode()).hexdigest() == digest else None
        except ValueError:  # not UTF-8, not JSON, or not a table: built anew
            return None


def _write(path: str, table: Table) -> None:
    body = table.to_json()
    temporary = f"{path}.{os.getpid()}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(hashlib.sha256(body.encode()).hexdigest() + "\n" + body)
        os.replace(temporary, path)
    except OSError:
        return  # a full or read-only disk costs time at the next start, nothing else


@cache
def load_table(name: str) -> Table:
    """The LALR table of grammar `name`. Raises `lark.exceptions.GrammarError` if the grammar has a conflict."""
    grammar = grammar_text(name)
    directory = cache_directory()
    path = os.path.join(directory, f"{name}-{_key(grammar)}.json") if directory is not None else None
    table = _read(path) if path is not None else None
    if table is None:
        from bmc_grammar.build import build_table  # noqa: PLC0415  lark is slow to import, and a cached table needs none

        table = build_table(grammar)
        if path is not None:
            _write(path, table)
    return table

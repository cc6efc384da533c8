"""The headers of data files at hand, against the columns declared.

In: sources and columns. Out: reports of columns that a file does not have. Guaranteed: no more is read than the first line of a csv
file and the array headers of an npz file, and only of the first file of each source that exists. Imported only then: a check
without files should not pay for zip.
"""

from __future__ import annotations

import ast
import csv
import gzip
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence

from bmc.frontend.bodies.core import Core
from bmc.frontend.errors import data_errors
from bmc.frontend.unit import ColumnSpec, SourceSpec

__all__ = ["check_header"]

_MAX_HEADER = 1 << 20

_DAMAGE = (
    OSError, EOFError, csv.Error, zipfile.BadZipFile, zlib.error, struct.error, ValueError, TypeError, KeyError, SyntaxError,
    RuntimeError, MemoryError,
)  # fmt: skip
"""What reading a file ends in that is not as its writer made it: headers of arrays are Python literals."""


def check_header(core: Core, spec: SourceSpec, path: str, columns: Sequence[ColumnSpec]) -> None:
    """Report declared columns that the file `path` of a source does not have."""
    encoding = dict(spec.options).get("encoding", "UTF-8")
    try:
        if spec.kind == "csv":
            _check_csv(core, spec, path, columns)
        elif spec.kind == "npz":
            _check_npz(core, spec, path, columns)
    except UnicodeDecodeError:
        # In UTF-16 every other byte of a header is 0; older files are of an encoding with a byte for each character.
        other = "utf-16" if _begins(path, (b"\xff\xfe", b"\xfe\xff")) else "latin-1"
        reason = f"it is not {encoding} text"
        core.report(data_errors.header_unreadable(spec.span, path, reason, f'write `encoding = "{other}"` if it is that'))
    except _DAMAGE as error:
        core.report(data_errors.header_unreadable(spec.span, path, str(error) or type(error).__name__))


def _begins(path: str, marks: tuple[bytes, ...]) -> bool:
    with open(path, "rb") as file:
        return file.read(2).startswith(marks)


def _check_csv(core: Core, spec: SourceSpec, path: str, columns: Sequence[ColumnSpec]) -> None:
    options = dict(spec.options)
    zipped = path.lower().endswith(".gz")
    by_name = "\t" if path.lower().removesuffix(".gz").endswith(".tsv") else ","
    separator = options.get("separator", by_name)
    encoding = options.get("encoding", "utf-8-sig")
    with (gzip.open if zipped else open)(path, "rt", encoding=encoding, newline="") as file:
        records = csv.reader(iter(lambda: file.readline(_MAX_HEADER), ""), delimiter=separator)
        headers = next((record for record in records if record), [])
    if headers:
        headers[0] = headers[0].removeprefix("\ufeff")
    absent = [column for column in columns if column.header not in headers]
    other = next((sign for sign in ";\t,|" if len(headers) == 1 and sign != separator and sign in headers[0]), "")
    if absent and other:
        core.report(data_errors.other_separator(spec.span, path, other, headers[0], given="separator" in options))
        return
    for column in absent:
        core.report(data_errors.column_not_in_file(column.span, column.header, path, headers, spec.span))


_NPY_DTYPES = {"b1": "bool", "u1": "u8", "i4": "i32", "i8": "i64", "f4": "f32", "f8": "f64"}
_NPY_KINDS = {"U": "text", "S": "bytes", "O": "objects", "M": "timestamps"}
_SIMPLE = re.compile(r"^[<>|=]([biufUSM]).*$")


def _npy_header(archive: zipfile.ZipFile, name: str) -> tuple[str, tuple[int, ...]]:
    """(dtype text, shape) of one array: the .npy format, NEP 1."""
    with archive.open(name) as member:
        magic = member.read(8)
        if magic[:6] != b"\x93NUMPY":
            raise ValueError(f"{name} is no array")
        size = struct.unpack("<H", member.read(2))[0] if magic[6] == 1 else struct.unpack("<I", member.read(4))[0]
        if size > _MAX_HEADER:
            raise ValueError(f"the header of {name} is too long")
        header = ast.literal_eval(member.read(size).decode("latin-1").strip())
    if not isinstance(header, dict):
        raise ValueError(f"the header of {name} is malformed")
    return str(header["descr"]), tuple(header["shape"])


def _check_npz(core: Core, spec: SourceSpec, path: str, columns: Sequence[ColumnSpec]) -> None:
    if path.lower().endswith(".gz"):
        return  # the directory of an archive is at its end: finding it would expand the file
    with zipfile.ZipFile(path) as archive:
        names = [n.removesuffix(".npy") for n in archive.namelist()]
        for column in columns:
            if column.header not in names:
                core.report(data_errors.column_not_in_file(column.span, column.header, path, names, spec.span))
                continue
            dtype, shape = _npy_header(archive, column.header + ".npy")
            if not _fits(column, dtype, shape):
                kind = column.dtype if column.kind == "plain" else column.kind
                plain = dtype.lstrip("<>|=")
                found = _NPY_DTYPES.get(plain, _NPY_KINDS.get(plain[:1], plain))
                declared, there = _typed(kind, column.cell), _typed(found, shape[1:])
                core.report(data_errors.column_type_in_file(column.span, column.name, declared, there, path, spec.span))


def _typed(dtype: str, cell: tuple[int, ...]) -> str:
    return f"{dtype}[{', '.join(map(str, cell))}]" if cell else dtype


def _fits(column: ColumnSpec, dtype: str, shape: tuple[int, ...]) -> bool:
    """Whether the reader takes an array for this column, if the values of its cells are right."""
    found = _SIMPLE.match(dtype)
    if found is None or len(shape) < (2 if column.ragged else 1) or shape[2 if column.ragged else 1 :] != column.cell:
        return False
    if column.kind != "plain":
        return found[1] in "MUS"
    return found[1] in ("US" if column.dtype == "str" else "biuf" if column.dtype == "bool" else "iuf")

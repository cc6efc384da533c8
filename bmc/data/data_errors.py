"""Errors of tables, as named constructors.

In: names, values, spans of declarations. Out: `Diagnostic`s with codes E0720 to E0739 of `bmc.errors.catalogue.files`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bmc.data.cells.rules import type_text
from bmc.errors import Diagnostic, Label, Suggestion, nearest
from bmc.frontend.unit import ColumnSpec, SourceSpec
from bmc.source import Span

__all__ = [
    "cannot_convert", "cannot_read", "cannot_write", "different_files", "different_lengths", "duplicate_header",
    "empty_file", "is_a_directory", "long_record", "malformed", "missing_cell", "more_errors", "no_pillow", "no_regular_file",
    "no_such_column", "no_such_data", "no_such_source", "no_window", "not_encoded", "not_remote", "not_utf8", "nul_byte",
    "ragged_row", "unknown_format", "utf_16", "wrong_type",
]  # fmt: skip

_WHERE = "the source is declared here"


def _declared(span: Span | None, text: str) -> tuple[Label, ...]:
    return () if span is None else (Label(span, text, primary=True),)


def _named(sign: str) -> str:
    return {"\t": "tab", ",": "comma", ";": "semicolon", ":": "colon"}.get(sign, f"`{sign}`")


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _column(spec: ColumnSpec) -> tuple[Label, ...]:
    return (Label(spec.span, f"declared as {type_text(spec)} here", primary=True),)


def no_such_data(pattern: str, span: Span | None) -> Diagnostic:
    """E0720"""
    what = f"no file matches {pattern!r}" if any(c in pattern for c in "*?[") else f"there is no data file {pattern!r}"
    notes = ("paths are relative to the folder of the file that has the data block; `--data NAME=PATH` gives another",)
    return Diagnostic("E0720", what, _declared(span, _WHERE), notes if span and "://" not in pattern else ())


def is_a_directory(path: str, span: Span | None) -> Diagnostic:
    """E0721"""
    return Diagnostic("E0721", f"{path!r} is a directory, not a data file", _declared(span, _WHERE))


def cannot_read(path: str, reason: str, span: Span | None) -> Diagnostic:
    """E0721: `reason` is the system's."""
    return Diagnostic("E0721", f"cannot read {path!r}: {reason}", _declared(span, _WHERE))


def no_regular_file(path: str, what: str, span: Span | None) -> Diagnostic:
    """E0721: `what` it is."""
    note = "data is read more than once, and at any place; `bmc predict` reads a stream from standard input: write `-` for the file"
    return Diagnostic("E0721", f"{path!r} is {what}, not a data file", _declared(span, _WHERE), (note,))


def not_remote(uri: str, kind: str, span: Span | None) -> Diagnostic:
    """E0721: `kind` of source is read from this machine only."""
    return Diagnostic("E0721", f"cannot read {uri!r}: {kind}(...) reads files of this machine only", _declared(span, _WHERE))


def no_such_column(spec: ColumnSpec, file: str, present: Sequence[str], separator: str = "") -> Diagnostic:
    """E0722. `separator`: what was taken to stand between the cells of csv."""
    near = nearest(spec.header, present)
    if separator and len(present) == 1:
        other = next((sign for sign in ";\t,|:" if sign != separator and sign in present[0]), "")
        if other:
            shown = {"\t": "\\t"}.get(other, other)
            fix = f'write `separator = "{shown}"` behind the name of the file'
            what = f"{file} has no column {spec.header!r}: its first line has no {_named(separator)} in it"
            return Diagnostic("E0722", what, _column(spec), (f"the first line is {_short(present[0])}",), (Suggestion(fix),))
    padded = next((name for name in present if name != spec.header and name.strip() == spec.header.strip()), "")
    if padded:
        near = ""
    shown = ", ".join(map(repr, present[:12])) + (f" and {len(present) - 12} more" if len(present) > 12 else "")
    suggestions = (Suggestion(f"there is a column {near!r}"),) if near else ()
    if padded:
        declaration = f"{_quoted(padded)} as {spec.name}: {type_text(spec)}"
        suggestions = (Suggestion(f"its header has spaces around it: declare it as `{declaration}`"),)
    elif present and present[0].startswith("#"):
        suggestions = (Suggestion("a csv file has no comments: take out the lines that begin with `#`"),)
    notes: tuple[str, ...] = (f"{file} has {shown}" if present else f"{file} has no column",)
    if spec.nullable and not suggestions:
        notes = (*notes, "a column whose cells are all missing is there, and empty")
    return Diagnostic("E0722", f"{file} has no column {spec.header!r}", _column(spec), notes, suggestions)


def duplicate_header(spec: ColumnSpec, file: str) -> Diagnostic:
    """E0723"""
    return Diagnostic("E0723", f"{file} has several columns {spec.header!r}", _column(spec), ("it must be clear which is meant",))


def empty_file(file: str, what: str, span: Span | None) -> Diagnostic:
    """E0724: `what` is missing."""
    return Diagnostic("E0724", f"{file} is empty: it has no {what}", _declared(span, _WHERE))


def not_utf8(file: str, line: int, byte: int) -> Diagnostic:
    """E0725"""
    note = 'text is read as UTF-8; older files are often Latin-1: `encoding = "latin-1"` behind the name of a csv file reads them'
    return Diagnostic("E0725", f"{file}, line {line}: byte 0x{byte:02x} is not part of UTF-8 text", notes=(note,))


def not_encoded(file: str, line: int, byte: int, encoding: str) -> Diagnostic:
    """E0725: text of another encoding."""
    return Diagnostic("E0725", f"{file}, line {line}: byte 0x{byte:02x} is not part of text in {encoding}")


def utf_16(file: str, span: Span | None) -> Diagnostic:
    """E0725"""
    note = 'a csv file of UTF-16 is read with `encoding = "utf-16"` behind its name; `iconv -f UTF-16 -t UTF-8` converts any text'
    return Diagnostic("E0725", f"{file} begins as UTF-16 text does, and text is read as UTF-8", _declared(span, _WHERE), (note,))


def long_record(file: str, line: int, limit: int, *, quoted: bool) -> Diagnostic:
    """E0727"""
    what = f"{file}, line {line}: the record that begins here has not ended after {limit >> 20} MiB"
    note = "a quote that is never closed takes all that follows for its text" if quoted else "this may be no text of this format"
    return Diagnostic("E0727", what, notes=(note,))


def nul_byte(file: str, line: int) -> Diagnostic:
    """E0725"""
    note = "UTF-16 has NUL bytes too: `iconv -f UTF-16 -t UTF-8` converts such a text"
    return Diagnostic("E0725", f"{file}, line {line} has a NUL byte: this is not a text file", notes=(note,))


def ragged_row(file: str, place: str, found: int, wanted: int) -> Diagnostic:
    """E0726"""
    return Diagnostic(
        "E0726",
        f"{file}, {place} has {found} cells, the header has {wanted}",
        notes=("a separator inside a text needs quotes around the text; a line above the header has to go",),
    )


def malformed(file: str, place: str, reason: str) -> Diagnostic:
    """E0727: the file is not of its format. `place` may be empty."""
    return Diagnostic("E0727", f"{file}{', ' if place else ''}{place}: {reason}")


def cannot_convert(spec: ColumnSpec, file: str, place: str, value: str, why: str) -> Diagnostic:
    """E0728"""
    notes = (f"in column {spec.header!r}",)
    what = _advice(spec, value[1:-1]) if value.startswith("'") else ""
    if "before its decimals" in why and _DECIMAL_POINT.fullmatch(value[1:-1].strip()):
        what = 'the source says `decimal = ","`, and that of all numbers: take it out, or rewrite columns with points'
    return Diagnostic("E0728", f"{file}, {place}: {value} {why}", _column(spec), notes, (Suggestion(what),) if what else ())


_CURRENCY = re.compile(r"[$€£¥]\s*[-+]?[\d.,]+|[-+]?[\d.,]+\s*[$€£¥]")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?|[-+]?\d{1,3}([ '\u00a0\u202f]\d{3})+([.,]\d*)?|[-+]?\d{1,3}(\.\d{3})+,\d*")
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")
_DECIMAL_POINT = re.compile(r"[-+]?\d*\.\d+")
_INTEGER = re.compile(r"[-+]?\d+")
_OTHER_DATE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}[./]\d{1,2}[./]\d{1,2}")
_YES_NO = ("yes", "no", "y", "n", "t", "f", "on", "off", "ja", "nein")


def _advice(spec: ColumnSpec, text: str) -> str:
    """What to do about a cell that people write and the rules do not have; "" where nobody knows."""
    text = text.strip()
    gaps = "?" if spec.nullable else ""
    if spec.dtype == "bool" and text.lower() in _YES_NO:
        return f'declare `{spec.name}: str{gaps}`, and write `{spec.name} == "{text}"`, which is true or false'
    if spec.kind != "plain":
        return "dates are written year-month-day, as 2024-02-29: convert the column" if _OTHER_DATE.fullmatch(text) else ""
    if spec.dtype in ("i32", "u8") and _INTEGER.fullmatch(text) and len(text) < 19:
        return f"declare it as `{spec.name}: i64{gaps}`"
    if spec.dtype == "i64" and _INTEGER.fullmatch(text):
        return f"an i64 has at most 19 digits: what only identifies a row, or a category, is text: `{spec.name}: str{gaps}`"
    if _CURRENCY.fullmatch(text):
        return "a number has no sign of a currency: take it out of the file"
    if text.endswith("%"):
        return "a number has no percent sign: take it out of the file"
    if _DECIMAL_COMMA.fullmatch(text) and not _THOUSANDS.fullmatch(text):
        return (
            'a file with decimal commas is read with `decimal = ","` behind its name (and usually `separator = ";"`); '
            "if other columns have points, rewrite this one"
        )
    if _THOUSANDS.fullmatch(text):
        return "a number has nothing between its thousands: take it out of the file"
    if text and len(text) < 10 and not any(c.isdigit() for c in text):
        return f'if it stands for a missing cell, list it in the source: `na = ["", "{text}"]`'
    return ""


def missing_cell(spec: ColumnSpec, file: str, place: str, na: Sequence[str]) -> Diagnostic:
    """E0729"""
    notes = (f"missing are: {', '.join(map(repr, na))}",) if na else ()
    fix = f"declare it as {type_text(spec)}? and say what stands for it, as in `{spec.name} |> fill(...)`"
    return Diagnostic(
        "E0729", f"{file}, {place}: the cell of {spec.header!r} is missing", _column(spec), notes, (Suggestion(fix),)
    )


def more_errors(diagnostic: Diagnostic, count: int, *, whole: bool = True) -> Diagnostic:
    """The diagnostic with a note of what was left out. `whole`: the file was read to its end."""
    note = f"and {'' if whole else 'at least '}{count} more bad cell{'s' if count > 1 else ''}"
    return Diagnostic(diagnostic.code, diagnostic.message, diagnostic.labels, (*diagnostic.notes, note), diagnostic.suggestions)


def wrong_type(spec: ColumnSpec, file: str, found: str) -> Diagnostic:
    """E0730"""
    return Diagnostic("E0730", f"{file}: column {spec.header!r} holds {found}, not {type_text(spec)}", _column(spec))


def different_lengths(file: str, lengths: Sequence[tuple[str, int]]) -> Diagnostic:
    """E0731"""
    shown = ", ".join(f"{name!r} has {rows}" for name, rows in lengths)
    return Diagnostic("E0731", f"{file}: columns must have the same number of rows", notes=(shown,))


def no_such_source(name: str, names: Sequence[str]) -> Diagnostic:
    """E0732: of `--data NAME=PATH`."""
    near = nearest(name, names)
    return Diagnostic(
        "E0732",
        f"there is no source {name!r}",
        notes=(f"sources are: {', '.join(names)}",),
        suggestions=(Suggestion(f"did you mean {near!r}?"),) if near else (),
    )


def unknown_format(path: str, formats: Sequence[str]) -> Diagnostic:
    """E0733"""
    return Diagnostic("E0733", f"the name {path!r} does not say which format it is", notes=(f"formats are: {', '.join(formats)}",))


def no_window(source: SourceSpec, series: int) -> Diagnostic:
    """E0724: rows are windows, and nothing is as long as one."""
    size = source.window.size if source.window is not None else 0
    what = "it is" if series == 1 else f"all of its {series} series are"
    return Diagnostic("E0724", f"{source.name} has no window of {size}: {what} shorter", _declared(source.span, _WHERE))


def different_files(source: SourceSpec, counts: Mapping[str, int]) -> Diagnostic:
    """E0731: a file for each column."""
    shown = ", ".join(f"{name!r} has {files}" for name, files in counts.items())
    return Diagnostic("E0731", "columns must have the same number of files", _declared(source.span, _WHERE), (shown,))


def no_pillow(span: Span | None) -> Diagnostic:
    """E0735"""
    notes = ("`pip install 'bmc-lang[images]'` installs it",)
    return Diagnostic("E0735", "pictures are read by Pillow, which is not installed", _declared(span, _WHERE), notes)


def cannot_write(path: str, reason: str) -> Diagnostic:
    """E0734: `reason` is the system's."""
    return Diagnostic("E0734", f"cannot write {path!r}: {reason}")

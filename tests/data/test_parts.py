"""Text cut into parts of any size gives what it gives as a whole: the same rows, lines and errors."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bmc.data.files.opening import Stream
from bmc.data.formats import csv_format, csv_records
from bmc.data.formats.csv_arrow import ArrowReader
from bmc.data.formats.csv_format import read_csv
from bmc.data.formats.csv_records import Layout, Part, header_of, lines_in, parts_of, records_of
from bmc.data.formats.jsonl_format import read_jsonl
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec
from bmc.source import SourceFile, Span

_SPAN = Span(SourceFile("m.bm", ""), 0, 0)
_COLUMNS = (
    ColumnSpec("a", "a", "str", "plain", True, (), _SPAN),
    ColumnSpec("b", "b", "f64", "plain", True, (), _SPAN),
)


def stream_of(content: bytes, encoding: str = "") -> Stream:
    return Stream("t.csv", io.BytesIO(content), None, size=len(content), encoding=encoding)


def in_parts(content: bytes, size: int) -> list[tuple[int, list[str]]]:
    """Every record and the line that it begins in, as parts of this size have them."""
    found = []
    for part in parts_of(stream_of(content), ",", size):
        assert part.text or part.last
        found += [(part.line + line, cells) for line, cells in records_of(part.text, ",")]
    return found


def by_csv(content: bytes) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline=""))
    found, start = [], 1
    for cells in reader:
        if cells:
            found.append((start, cells))
        start = reader.line_num + 1
    return found


_PIECES = st.lists(
    st.sampled_from(["a", "é", "中", ",", '"', '""', "\n", "\r\n", "\r", " ", '"x\ny"', '"x""y",', ',"\r\n",', '5" b', "1.5"]),
    max_size=24,
)
_CELLS = st.lists(st.sampled_from(["1", "2.5", "NA", "x", '"p\nq"', '"é""中"', "", "0x1", " 7 ", "inf"]), max_size=30)
_LINES = st.lists(
    st.sampled_from(['{"a": "é", "b": 1}', "", "  ", '{"b": null, "a": "x"}', "[]", "{oops", '{"a": "中", "b": "y"}']), max_size=12
)


@settings(max_examples=600, deadline=None)
@given(_PIECES, st.integers(1, 40))
@example(['"', "\n", '"', ",", "\r", "\n", "a"], 1)
@example(["a", ",", '"x\ny"', "\r\n", '5" b', "\n", "a"], 5)
@example(["\r", "\r", "a"], 1)
def test_records_do_not_depend_on_parts(pieces: list[str], size: int) -> None:
    content = "".join(pieces).encode()
    try:
        found = in_parts(content, size)
    except BmcError as error:
        assert "a quote is never closed" in str(error)  # noqa: PT017
        # One more line stays in the last record.
        assert by_csv(content + b"\nz\n")[-1][1] != ["z"]
    else:
        assert found == by_csv(content)
        assert by_csv(content + b"\nz\n")[-1][1] == ["z"]


def outcome(content: bytes, size: int, *, small: int) -> Any:
    before = csv_format.SMALL
    csv_format.SMALL = small
    try:
        rows: list[Any] = []
        bad = []
        for raw in read_csv(stream_of(content), _COLUMNS, ("", "NA"), part_bytes=size):
            cells = [raw.columns[spec.name] for spec in _COLUMNS]
            rows += zip(*(found.column.to_python() for found in cells), strict=True)
            bad += [(raw.place(cell.row), cell.value, cell.why) for found in cells for cell in found.bad]
            bad += [(raw.place(cell.row), str(cell.cells), "cells") for cell in raw.broken]
        return rows, sorted(bad)
    except BmcError as error:
        return [diagnostic.message for diagnostic in error.diagnostics]
    finally:
        csv_format.SMALL = before


@settings(max_examples=250, deadline=None)
@given(_CELLS, st.integers(1, 64), st.data())
def test_cells_do_not_depend_on_parts_or_reader(cells: list[str], size: int, data: Any) -> None:
    """With tiny parts every boundary occurs; whoever reads them, rows, bad cells and their lines are the same."""
    ends = data.draw(st.sampled_from(["\n", "\r\n"]))
    pairs = [f"{cells[i]},{cells[i + 1]}" for i in range(0, len(cells) - 1, 2)]
    begin, end = data.draw(st.sampled_from(["", "\ufeff"])), data.draw(st.sampled_from(["", ends]))
    content = (begin + ends.join(["a,b", *pairs]) + end).encode()
    whole = outcome(content, 1 << 20, small=1 << 20)
    for small in (1 << 20, 0):
        assert outcome(content, size, small=small) == whole


@pytest.mark.parametrize("cells", [
    ["1", "2.0", "-3"], ["1.0", ""], ["1.0", "nan"], ["nan"], ["1.0", "inf"], ["9007199254740993.0"], ["9007199254740992", "1.0"],
    ["9007199254740993", "1.0"], ["1.5"], ["1e3", "2.0"], ["0x10"], ["0x10", "1.0"], [" 7", "1.0"], ["1.0", "x"], ["1.0", "1" * 30],
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["i32", "i64"])
def test_integers_that_are_written_as_floats(cells: list[str], dtype: Any) -> None:
    """What a column with gaps becomes elsewhere: Arrow may take it as floats, the rules decide."""
    spec = ColumnSpec("b", "b", dtype, "plain", True, (), _SPAN)
    part = Part("".join(f"x,{cell}\n" for cell in cells).encode(), 2, True)
    layout = Layout("t.csv", (spec,), ("",), ",", ("a", "b"))
    quick, slow = ArrowReader(layout).read(part), csv_format._by_record(layout, part)
    if quick is not None:
        assert [(c.row, c.why) for c in quick.columns["b"].bad] == [(c.row, c.why) for c in slow.columns["b"].bad]
        assert quick.columns["b"].column.to_python() == slow.columns["b"].column.to_python()


def test_text_of_other_encodings() -> None:
    text = "a,b\n" + "naïve,1\n" * 40
    wanted = outcome(text.encode(), 1 << 20, small=1 << 20)
    for encoding in ("latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32", "shift_jisx0213"):
        found = []
        for raw in read_csv(stream_of(text.encode(encoding), encoding), _COLUMNS, ("",), part_bytes=7):
            found += zip(*(raw.columns[name].column.to_python() for name in "ab"), strict=True)
        assert found == wanted[0], encoding
    with pytest.raises(BmcError, match=r"line 3: byte 0x81 is not part of text in cp1252"):
        list(read_csv(stream_of(b"a,b\n1,2\n\x81,3\n", "cp1252"), _COLUMNS, ("",)))


def test_a_record_without_an_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_records, "LONGEST_RECORD", 1000)
    for content in (b'a,b\n1,2\n"never' + b"x" * 5000 + b"\n", b"a,b\n1,2\n" + b"x" * 5000 + b"\n"):
        with pytest.raises(BmcError, match="line 3: the record that begins here has not ended"):
            list(read_csv(stream_of(content), _COLUMNS, ("",), part_bytes=8))


def test_headers_over_several_lines() -> None:
    first = next(parts_of(stream_of(b'\n\n"two\r\nlines",b\n1,2\n'), ",", 1 << 10))
    found = header_of(first, ",")
    assert found is not None
    header, rest = found
    assert (header, rest.text, rest.line) == (["two\r\nlines", "b"], b"1,2\n", 5)
    assert lines_in(b"a\rb\r\nc\n") == 3


@settings(max_examples=150, deadline=None)
@given(_LINES, st.integers(1, 50), st.booleans())
def test_json_lines_do_not_depend_on_parts(lines: list[str], size: int, ended: bool) -> None:
    content = ('{"a": "first", "b": 0}\n' + "\n".join(lines) + ("\n" if ended else "")).encode()

    def read(part_bytes: int) -> Any:
        found: list[Any] = []
        for raw in read_jsonl(stream_of(content), _COLUMNS, (), part_bytes=part_bytes):
            columns = [raw.columns[name].column.to_python() for name in "ab"]
            found += [(*cells, raw.place(row)) for row, cells in enumerate(zip(*columns, strict=True))]
            found += [(raw.place(cell.row), cell.why) for cell in raw.broken]
            found += [(raw.place(cell.row), cell.value) for name in "ab" for cell in raw.columns[name].bad]
        return sorted(found, key=str)

    assert read(size) == read(1 << 20)

"""Source locations in IR text: written, read back with the sources or without, by line and column."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bmc.ir import NOWHERE, Function, Location, Module, Parameter, TensorType, Value
from bmc.ir.text import print_module
from bmc.ir.text_locations import FileTable
from bmc.ops.build import Builder
from bmc.ops.parse_text import parse_module
from bmc.source import SourceFile, Span

MODEL = SourceFile("m.bm", "let a = 1\n\nlet é = exp(a)\n")
LIBRARY = SourceFile("std.bm", "fn relu(x) {\n  return maximum(x, 0)\n}\n")


def module(*locations: Location) -> Module:
    b = Builder()
    x = Value(TensorType("f32", ()), "x")
    for location in locations:
        with b.at(location):
            b.exp(x)
    return Module((Function("f", (Parameter(x, "input", "x"),), tuple(b.ops), (), None),))


def span(file: SourceFile, text: str) -> Span:
    start = file.text.index(text)
    return Span(file, start, start + len(text))


def read(text: str, **sources: SourceFile) -> list[Location]:
    known = {file.name: file for file in sources.values()}
    again = parse_module(SourceFile("t.bmir", text), known)
    assert print_module(again, with_locs=True) == text
    return [op.location for op in again.functions[0].ops]


def test_what_is_written() -> None:
    here, there = span(MODEL, "exp(a)"), span(LIBRARY, "maximum(x, 0)")
    text = print_module(
        module(Location((here,)), Location((here, there), gradient=True), NOWHERE, Location((), True)), with_locs=True
    )
    assert text.splitlines()[:4] == ["locations {", '  0 = "m.bm"', '  1 = "std.bm"', "}"]
    ends = [line.partition(" @ ")[2] for line in text.splitlines() if "exp(%x)" in line]
    assert ends == ["0:3:9-3:15", "gradient 0:3:9-3:15, 1:2:10-2:23", "", "gradient"]
    assert "@" not in print_module(module(Location((here,))))


def test_with_the_sources_spans_are_the_same() -> None:
    locations = (Location((span(MODEL, "exp(a)"), span(LIBRARY, "relu"))), Location((span(MODEL, "é"),), gradient=True), NOWHERE)
    assert read(print_module(module(*locations), with_locs=True), a=MODEL, b=LIBRARY) == list(locations)


def test_without_the_sources_lines_and_columns_are_the_same() -> None:
    (location,) = read(print_module(module(Location((span(MODEL, "exp(a)"),))), with_locs=True))
    (found,) = location.spans
    assert found.file is not MODEL
    assert str(found) == "m.bm:3:9"
    assert found.file.position(found.end) == (3, 15)
    assert not found.file.text.strip()


def test_a_source_that_has_changed_is_not_trusted() -> None:
    text = print_module(module(Location((span(MODEL, "exp(a)"),))), with_locs=True)
    shorter = replace(MODEL, text="let a = 1\n")
    (location,) = read(text, a=shorter)
    assert location.spans[0].file is not shorter
    assert str(location.spans[0]) == "m.bm:3:9"


def test_a_text_without_a_table_is_its_own_source() -> None:
    text = print_module(module(NOWHERE))
    (op,) = parse_module(SourceFile("t.bmir", text)).functions[0].ops
    assert op.location.spans[0].text == "%exp = exp(%x)"
    assert str(op.location.spans[0]) == "t.bmir:3:3"


@given(st.text(alphabet="ab é\n", max_size=60), st.data())
def test_any_span_goes_around(text: str, data: st.DataObject) -> None:
    file = SourceFile('a "b".bm', text)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    location = Location((Span(file, start, end),))
    printed = print_module(module(location), with_locs=True)
    assert read(printed, a=file) == [location]
    (blank,) = read(printed)
    assert [blank.spans[0].file.position(n) for n in (blank.spans[0].start, blank.spans[0].end)] == [
        file.position(start),
        file.position(end),
    ]


def test_files_are_numbered_as_they_are_met() -> None:
    table = FileTable()
    assert table.text(Location((span(LIBRARY, "relu"), span(MODEL, "let")))) == "@ 0:1:4-1:8, 1:1:1-1:4"
    assert [file.name for file in table.files] == ["std.bm", "m.bm"]

"""Which files are read, in which order, and what is said when a table is not what its block declares."""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bmc.data import read_blocks, read_rows, read_source
from bmc.data.formats import csv_format
from bmc.errors import BmcError
from bmc.frontend.unit import WindowSpec
from bmc.record import replace

Put = Callable[[str, str | bytes], Path]
Golden = Callable[[str, str], None]


def test_patterns_are_read_in_the_order_of_names(declare: Any, put: Put) -> None:
    for name, mass in (("b/2.csv", 3), ("a/9.csv", 1), ("b/10.csv", 2)):
        put(name, f"mass\n{mass}\n{mass}.5\n")
    (table,) = read_source(declare.data(declare.columns("mass: f32"), declare.source("csv", "*/*.csv"))).values()
    assert table.columns["mass"].to_python() == [1, 1.5, 2, 2.5, 3, 3.5]
    assert [table.origin.locate(row) for row in (1, 2)] == [
        (str(declare.folder / "a/9.csv"), 1), (str(declare.folder / "b/10.csv"), 0),
    ]  # fmt: skip
    assert table.origin.counts() == (2, 2, 2)


def test_a_file_may_be_called_like_a_pattern(declare: Any, put: Put) -> None:
    put("[x].csv", "mass\n1\n")
    (table,) = read_source(declare.data(declare.columns("mass: f32"), declare.source("csv", "[x].csv"))).values()
    assert table.rows == 1


def test_sources_may_be_splits(declare: Any, put: Put) -> None:
    put("train.csv", "mass\n1\n2\n")
    put("test.csv", "mass\n3\n")
    train = declare.source("csv", "train.csv", name="train", split="train")
    test = declare.source("csv", "test.csv", name="test", split="test")
    tables = read_source(declare.data(declare.columns("mass: f32"), train, test))
    assert {split: table.rows for split, table in tables.items()} == {"train": 2, "test": 1}
    replaced = read_source(declare.data(declare.columns("mass: f32"), train, test), {"test": {"mass": [7, 8, 9]}})
    assert replaced["test"].columns["mass"].to_python() == [7, 8, 9]


def test_only_used_columns_need_to_be_there(declare: Any, put: Put) -> None:
    put("birds.csv", "mass,other\n1,x\n")
    spec = declare.data(declare.columns("mass: f32", "age: i32"), declare.source("csv", "birds.csv"))
    assert list(read_source(spec, columns=["mass"])[None].columns) == ["mass"]
    with pytest.raises(BmcError, match="E0722"):
        read_source(spec)


def test_replacing_a_source(declare: Any, put: Put, tmp_path: Path) -> None:
    put("birds.csv", "mass\n1\n")
    np.savez(tmp_path / "other.npz", mass=np.array([5.0]))
    spec = declare.data(declare.columns("mass: f32"), declare.source("csv", "birds.csv"))
    for given in (tmp_path / "other.npz", str(put("other.jsonl", '{"mass": 5}')), {"mass": [5]}):
        assert read_source(spec, {"Birds": given})[None].columns["mass"].to_python() == [5]
    strange = put("other.data", "mass\n5\n")  # a name that says nothing: the declared format
    assert read_source(spec, {"Birds": strange})[None].columns["mass"].to_python() == [5]


def test_headers_are_matched_exactly(declare: Any, put: Put) -> None:
    path = put("h.csv", '" mass ","unit, ""price"""\n1,2\n')
    columns = [declare.column("mass: f32", " mass "), declare.column("bill: f32?", 'unit, "price"')]
    assert read_rows(path, columns).table.columns["bill"].to_python() == [2]


def test_standard_input_shows_its_format(declare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"mass": [1.0, 2.0]})
    npz, parquet, file, stream = (io.BytesIO() for _ in range(4))
    np.savez(npz, mass=np.array([1.0, 2.0]))
    pq.write_table(table, parquet)
    for sink, writer in ((file, pa.ipc.new_file), (stream, pa.ipc.new_stream)):
        with writer(sink, table.schema) as out:
            out.write_table(table)
    lines = b'{"mass": 1}\n{"mass": 2}\n'
    given = [b"mass\n1\n2\n", lines, b"\xef\xbb\xbf \n" + lines, gzip.compress(lines)]
    for data in (*given, *(sink.getvalue() for sink in (npz, parquet, file, stream))):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        assert read_rows("-", declare.columns("mass: f32")).table.columns["mass"].to_python() == [1, 2]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    with pytest.raises(BmcError):
        read_rows("-", declare.columns("mass: f32"), form="csv")


def test_standard_input_is_cut_as_the_source_is(declare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of windows, or of a text, reads of standard input what it would read of a file."""

    def rows(data: bytes, source: Any, column: Any) -> list[Any]:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        (found,) = read_rows("-", [column], source).table.columns.values()
        return list(found.to_python())

    mass, byte = declare.column("mass: f32"), replace(declare.column("small: u8?"), nullable=False)
    windows = replace(declare.source("csv", "a.csv"), window=WindowSpec(size=2, stride=1))
    assert rows(b"mass\n1\n2\n3\n", windows, mass) == [[1, 2], [2, 3]]
    assert rows(b"one\ntwo words\n", declare.source("text", "a.txt"), declare.column("label: str")) == ["one", "two words"]
    text = replace(declare.source("bytes", "a.txt"), window=WindowSpec(size=2, stride=2))
    assert rows(b"abcd", text, byte) == [[97, 98], [99, 100]]
    whole = io.BytesIO()
    np.savez(whole, small=np.array([[1, 2]], np.uint8))
    assert rows(whole.getvalue(), text, byte) == [[1, 2]]
    with pytest.raises(BmcError) as refused:
        rows(b"mass\n1\n", windows, mass)
    assert refused.value.diagnostics[0].code == "E0724"


def test_standard_input_is_in_the_encoding_of_the_source(declare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = replace(declare.source("csv", "a.csv"), options=(("encoding", "utf-16"),))
    for data in ("sex\né\n中", "sex\né\n中\n"):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data.encode("utf-16"))))
        assert read_rows("-", declare.columns("sex: str?"), source).table.columns["sex"].to_python() == ["é", "中"]


def test_standard_input_has_the_tabs_of_the_source(declare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"name\tmass\na,b\t1\n")))
    found = read_rows("-", declare.columns("mass: f32"), declare.source("csv", "birds.tsv.gz"))
    assert found.table.columns["mass"].to_python() == [1]


def test_no_rows_are_fine_for_prediction(declare: Any, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put("empty.csv", "mass,sex\n")
    for small in (csv_format.SMALL, 0):
        monkeypatch.setattr(csv_format, "SMALL", small)
        table = read_rows(path, declare.columns("mass: f32", "sex: str?")).table
        assert (table.rows, table.columns["sex"].to_python()) == (0, [])


def test_rows_are_counted_where_no_column_is_wanted(tmp_path: Path) -> None:
    """A generator draws from noise alone: one row for each that is given."""
    columns = {"a": np.arange(6).reshape(3, 2), "b": np.arange(3)}
    path = tmp_path / "some.npz"
    np.savez(path, **columns)
    assert read_rows(path, []).table.rows == 3
    assert read_rows(columns, []).table.rows == 3
    (tmp_path / "some.csv").write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    assert read_rows(tmp_path / "some.csv", []).table.rows == 2


def test_bad_rows_may_be_kept(declare: Any, put: Put) -> None:
    path = put("birds.csv", "mass,sex\n1,a\nx,b\n3,c\n4\n,e\n6,f\n")
    rows = read_rows(path, declare.columns("mass: f32", "sex: str?"), keep_bad=True)
    assert rows.table.columns["mass"].to_python() == [1, 0, 3, 0, 0, 6]
    assert {row: text.removeprefix(f"{path}, ") for row, text in rows.errors.items()} == {
        1: "line 3: 'x' is not a number, in column 'mass'",
        3: "line 5 has 1 cells, the header has 2",
        4: "line 6: the cell of 'mass' is missing",
    }
    lines = put("birds.jsonl", '{"mass": 1}\n[]\n{"mass": "x"}\n{oops\n')
    assert list(read_rows(lines, declare.columns("mass: f32"), keep_bad=True).errors) == [3, 2, 1]


def test_large_files_say_the_same(declare: Any, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond `SMALL` is diagnosed as one below it."""
    rows = [f'{i},"line\nbreak {i}"' for i in range(9000)]
    for at, row in ((8000, "oops,x"), (8500, ",x"), (8600, "1,2,3")):
        bad = put("birds.csv", "mass,sex\n" + "\n".join([*rows[:at], row, *rows[at:]]) + "\n")
        texts = []
        for small in (1 << 17, 1 << 30):
            assert (bad.stat().st_size > small) == (small == 1 << 17)
            monkeypatch.setattr(csv_format, "SMALL", small)
            with pytest.raises(BmcError) as caught:
                read_rows(bad, declare.columns("mass: f32", "sex: str?"))
            texts.append(str(caught.value))
        assert texts[0] == texts[1]
        assert f"line {2 * at + 2}" in texts[0]


CSV_CASES = {
    "missing column": "name,sexx,mass\nAda,f,1\n",
    "missing column without a near one": "weight\n1\n",
    "repeated header": "mass,mass,sex\n1,2,f\n",
    "not a number": "mass,sex\n1,f\nheavy,f\n",
    "missing cell": "mass,sex\n1,f\nNA,f\n",
    "many": "mass,sex\n" + "x,f\n" * 7,
    "ragged": "mass,sex\n1,f\n2,f,3\n",
    "a quote left open": 'mass,sex\n1,f\n2,"f\n3,f\n',
    "nothing": "",
    "blank lines": "\n\n",
    "no rows": "mass,sex\n",
    "latin-1": b"mass,sex\n1,f\n2," + b"\xe9\n",
    "utf-16": "mass,sex\n1,f\n".encode("utf-16"),
    "nul": b"mass,sex\n1,\0\n",
}


def test_csv_refusals(declare: Any, put: Put, golden: Golden) -> None:
    texts: list[str] = []
    for title, content in CSV_CASES.items():
        put("birds.csv", content)
        spec = declare.data(declare.columns("sex: str?", "mass: f32"), declare.source("csv", "birds.csv"))
        with declare.refused(texts, title):
            read_source(spec)
    golden("csv", "\n".join(texts))


def test_cell_refusals(declare: Any, put: Put, golden: Golden) -> None:
    texts: list[str] = []
    for declaration, text in (
        ("age: i32", "1.5"), ("age: i32", "4000000000"), ("small: u8?", "-1"), ("id: i64", "9223372036854775808"),
        ("ok: bool", "yes"), ("born: date", "1/2/2024"), ("born: date", "2023-02-29"), ("seen: timestamp?", "noon"),
        ("name: str", "NA"), ("born: date", ""),
    ):  # fmt: skip
        path = put("t.csv", f"x,{declaration.partition(':')[0]}\n1,{text}\n")
        with declare.refused(texts, f"{declaration} = {text}"):
            read_rows(path, declare.columns(declaration), na=("", "NA"))
    golden("cells", "\n".join(texts))


def test_file_refusals(declare: Any, put: Put, golden: Golden, tmp_path: Path) -> None:
    texts: list[str] = []
    columns = declare.columns("mass: f32")
    (tmp_path / "folder.csv").mkdir()
    for title, path in (("no file", "none.csv"), ("no match", "x/*.csv"), ("a folder", "folder.csv"), ("a NUL", "a\0b.csv")):
        with declare.refused(texts, title):
            read_source(declare.data(columns, declare.source("csv", path)))
    with declare.refused(texts, "an unknown source"):
        read_source(declare.data(columns, declare.source("csv", "none.csv")), {"Bird": "x.csv"})
    with declare.refused(texts, "a replacement that is not there"):
        read_source(declare.data(columns, declare.source("csv", "none.csv")), {"Birds": tmp_path / "gone.csv"})
    with declare.refused(texts, "an unknown format"):
        read_rows(tmp_path / "birds.xlsx", columns)
    golden("files", "\n".join(texts))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser reads everything")
def test_unreadable_files(declare: Any, put: Put) -> None:
    path = put("birds.csv", "mass\n1\n")
    path.chmod(0)
    with pytest.raises(BmcError, match=r"E0721.*Permission denied"):
        read_rows(path, declare.columns("mass: f32"))


def test_typed_refusals(declare: Any, put: Put, golden: Golden, tmp_path: Path) -> None:
    texts: list[str] = []

    def npz(title: str, declaration: str, **arrays: Any) -> None:
        np.savez(tmp_path / "t.npz", **arrays)
        with declare.refused(texts, title):
            read_rows(tmp_path / "t.npz", declare.columns(*declaration.split("; ")))

    npz("npz: text for a number", "mass: f32", mass=np.array(["1"]))
    npz("npz: bool for a number", "mass: f32", mass=np.array([True]))
    npz("npz: number for text", "name: str", name=np.array([1]))
    npz("npz: number for a date", "born: date", born=np.array([1]))
    npz("npz: cells of another shape", "image: u8[2, 3]", image=np.zeros((4, 6), np.uint8))
    npz("npz: a scalar", "mass: f32", mass=np.float32(1))
    npz("npz: complex", "mass: f32", mass=np.array([1j]))
    npz("npz: objects", "mass: f32", mass=np.array([1, "x"], object))
    npz("npz: out of range", "image: u8[2, 3]", image=np.arange(251, 263).reshape(2, 2, 3))
    npz("npz: not integral", "age: i32", age=np.array([1.0, 2.5, np.inf]))
    npz("npz: a missing cell", "mass: f32", mass=np.array([1, np.nan]))
    npz("npz: a time in a date", "born: date", born=np.array(["2024-02-29T12"], "M8[h]"))
    npz("npz: lengths", "mass: f32; age: i32", mass=np.zeros(3), age=np.zeros(2))
    npz("npz: no such array", "mass: f32", Mass=np.zeros(3))
    for title, name, content in (
        ("npz: not one", "t.npz", b"PK\x03\x04oops"), ("npz: text", "t.npz", b"hello"), ("npz: one array", "t.npz", npy()),
        ("parquet: not one", "t.parquet", b"PAR1 oops PAR1"), ("parquet: text", "t.parquet", b"mass\n1\n"),
        ("jsonl", "t.jsonl", b"{\n"),
        ("jsonl: not objects", "t.jsonl", b'{"mass": 1}\n3\n'), ("jsonl: not UTF-8", "t.jsonl", b'{"mass": 1}\n"\xff"'),
        ("jsonl: nowhere", "t.jsonl", b'{"Mass": 1}\n'), ("jsonl: text", "t.jsonl", b'{"mass": "1"}\n'),
        ("jsonl: deep", "t.jsonl", b"[" * 100_000),
    ):  # fmt: skip
        put(name, content)
        with declare.refused(texts, title):
            read_rows(tmp_path / name, declare.columns("mass: f32"))
    for title, declaration, array in (
        ("parquet: text for a number", "mass: f32", pa.array(["1"])), ("parquet: bool for a number", "mass: f32", pa.array([True])),
        ("parquet: number for text", "name: str", pa.array([1])), ("parquet: bytes for text", "name: str", pa.array([b"x"])),
        ("parquet: a time of day", "seen: timestamp?", pa.array([1], pa.time32("s"))),
        ("parquet: null", "mass: f32", pa.array([1.0, None])),
        ("parquet: too large", "age: i32", pa.array([2**31, 5])), ("parquet: a list", "mass: f32", pa.array([[1.0]])),
        ("parquet: number for a cell", "pair: f32[2]?", pa.array([1.0])),
        ("parquet: a short cell", "pair: f32[2]?", pa.array([[1.0]])),
    ):  # fmt: skip
        pq.write_table(pa.table({declaration.partition(":")[0]: array}), tmp_path / "t.parquet")
        with declare.refused(texts, title):
            read_rows(tmp_path / "t.parquet", declare.columns(declaration))
    for title, given in (
        ("memory: text", {"mass": ["x"], "age": [1]}), ("memory: lengths", {"mass": [1], "age": [1, 2]}),
        ("memory: one", {"mass": 3, "age": [1]}),
    ):  # fmt: skip
        with declare.refused(texts, title):
            read_rows(given, declare.columns("mass: f32", "age: i32"))
    golden("typed", "\n".join(texts))


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def test_nothing_is_unpickled(declare: Any, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    np.savez(tmp_path / "trap.npz", mass=np.array([Trap()], object))
    with pytest.raises(BmcError, match="E0730"):
        read_rows(tmp_path / "trap.npz", declare.columns("mass: f32"))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_damaged_files_end_in_a_diagnostic(declare: Any, put: Put, tmp_path: Path, kind: str) -> None:
    import random

    if kind == "npz":
        np.savez_compressed(tmp_path / "whole.npz", mass=np.arange(500.0), age=np.arange(500))
    else:
        pq.write_table(pa.table({"mass": np.arange(500.0), "age": np.arange(500)}), tmp_path / "whole.parquet")
    whole = (tmp_path / f"whole.{kind}").read_bytes()
    rng = random.Random(1)
    for _ in range(150):
        at = rng.randrange(len(whole))
        broken = whole[:at] if rng.random() < 0.3 else whole[:at] + rng.randbytes(3) + whole[at + 3 :]
        path = put(f"t.{kind}", broken)
        try:
            read_rows(path, declare.columns("mass: f32", "age: i32"))
        except BmcError as error:
            assert error.diagnostics  # noqa: PT017 - some damage does not show, most ends here


def test_small_files_need_no_arrow(put: Put) -> None:
    import subprocess

    path = put("t.csv", "mass\n1\n")
    code = (
        "import sys\nfrom bmc.data import read_rows\n"
        "from bmc.frontend.unit import ColumnSpec\nfrom bmc.source import SourceFile, Span\n"
        "spec = ColumnSpec('mass', 'mass', 'f32', 'plain', False, (), Span(SourceFile('m.bm', ''), 0, 0))\n"
        f"assert read_rows({str(path)!r}, [spec]).table.rows == 1\nassert 'pyarrow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_decimal_commas(declare: Any, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("comma.csv", "mass;age;sex\n1,5;3,0;a,b\n-2;4;c.d\n1e3;5;x\n")
    put("point.csv", "mass;age;sex\n1.5;3;x\n")
    source = replace(declare.source("csv", "comma.csv"), options=(("separator", ";"), ("decimal", ",")))
    columns = declare.columns("mass: f32", "age: i32", "sex: str?")
    for small in (csv_format.SMALL, 0):
        monkeypatch.setattr(csv_format, "SMALL", small)
        (table,) = read_source(declare.data(columns, source)).values()
        found = {name: column.to_python() for name, column in table.columns.items()}
        assert found == {"mass": [1.5, -2, 1000], "age": [3, 4, 5], "sex": ["a,b", "c.d", "x"]}
        with pytest.raises(BmcError, match=r"'1\.5' is not a number with ',' before its decimals") as caught:
            read_source(declare.data(columns, replace(source, paths=("point.csv",))))
        assert "take it out" in caught.value.diagnostics[0].suggestions[0].message


def test_what_people_write_for_numbers(declare: Any, put: Put, golden: Golden) -> None:
    texts: list[str] = []
    for declaration, text in (
        ("mass: f32", "3,14"), ("mass: f32", "1,234.5"), ("mass: f32", "1.234,5"), ("mass: f32", "1 234"), ("mass: f32", "$5.20"),
        ("mass: f32", "20 €"), ("mass: f32", "12%"), ("mass: f32", "?"), ("ok: bool", "No"), ("maybe: bool?", "no"),
        ("small: u8?", "300"), ("seen: timestamp?", "02/29/2024"),
    ):  # fmt: skip
        path = put("t.csv", f'x,{declaration.partition(":")[0]}\n1,"{text}"\n')
        with declare.refused(texts, f"{declaration} = {text}"):
            read_rows(path, declare.columns(declaration), na=("",))
    golden("habits", "\n".join(texts))


def test_files_of_a_pattern_may_order_their_columns_as_they_like(declare: Any, put: Put) -> None:
    put("1.csv", "mass,sex\n1,a\n")
    put("2.csv", "sex,other,mass\nb,9,2\n")
    spec = declare.data(declare.columns("mass: f32", "sex: str?"), declare.source("csv", "[123].csv"))
    assert read_source(spec)[None].columns["mass"].to_python() == [1, 2]
    put("3.csv", "sex,other\nb,9\n")
    with pytest.raises(BmcError, match=r"E0722.*3\.csv has no column 'mass'"):
        read_source(spec)


def test_headers_with_spaces_or_another_separator(declare: Any, put: Put, golden: Golden) -> None:
    texts: list[str] = []
    for title, content in (
        ("spaces", "name, mass \nx,1\n"), ("semicolons", "name;mass\nx;1\n"), ("tabs", "name\tmass\nx\t1\n"),
        ("a comment", "# made by hand\nname,mass\nx,1\n"), ("compressed", gzip.compress(b"mass\n1\n")),
        ("a parquet file", b"PAR1\0\0\0\0PAR1"),
    ):  # fmt: skip
        with declare.refused(texts, title):
            read_rows(put("t.csv", content), declare.columns("mass: f32"))
    golden("headers", "\n".join(texts))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "npz"])
def test_a_file_that_changes_while_it_is_read(declare: Any, put: Put, tmp_path: Path, kind: str) -> None:
    """Nobody gets half of each state; what is unlinked meanwhile can be read to its end."""
    if kind == "npz":
        np.savez(tmp_path / "t.npz", mass=np.zeros(3_000_000))
        path = tmp_path / "t.npz"
    else:
        lines = ('{"mass": 1, "x": "' + "y" * 80 + '"}\n') * 300_000
        path = put(f"t.{kind}", "mass\n" + ("1." + "0" * 60 + "\n") * 500_000 if kind == "csv" else lines)
    for act, right in ((path.unlink, True), (lambda: path.open("ab").write(b"\n"), False)):
        blocks = read_blocks(declare.data(declare.columns("mass: f32"), declare.source(kind, path.name)))
        saved = path.read_bytes()
        next(blocks)
        act()
        if right:
            assert sum(block.table.rows for block in blocks) > 100_000
        else:
            with pytest.raises(BmcError, match=r"E0721.*it changed while it was read"):
                list(blocks)
        path.write_bytes(saved)

"""Declarations to read tables by, files to read, and the text of what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bmc.errors import BmcError
from bmc.errors.render import render_all
from bmc.frontend.unit import ColumnKind, ColumnSpec, DataSpec, SourceSpec, SplitSpec
from bmc.source import SourceFile, Span

SOURCE = SourceFile(
    "m.bm",
    "data Birds {\n"
    '  source = csv("birds.csv", na = ["", "NA"])\n'
    "  columns { name: str;  sex: str?;  mass: f32;  bill: f32?;  age: i32;  small: u8?;  id: i64;  ok: bool;  maybe: bool?;\n"
    "    far: f64?;  born: date;  seen: timestamp?;  image: u8[2, 3];  pair: f32[2]?;  words: str[2];\n"
    "    series: f32[T, 2]; label: str; tags: str[T]; n: i32[T]; series: f64[3]; label: f32; series: f64[T, 1] }\n"
    "}\n",
)
_KINDS: dict[str, tuple[str, ColumnKind]] = {"date": ("i32", "date"), "timestamp": ("i64", "timestamp")}


class Declare:
    """Makes specifications whose spans lie in SOURCE."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def span(self, text: str) -> Span:
        start = SOURCE.text.index(text)
        return Span(SOURCE, start, start + len(text))

    def column(self, declaration: str, header: str | None = None) -> ColumnSpec:
        """One of the columns of SOURCE."""
        name, _, kind = declaration.partition(": ")
        base, _, cell = kind.removesuffix("?").rstrip("]").partition("[")
        dtype, column_kind = _KINDS.get(base, (base, "plain"))
        dims = [part.strip() for part in cell.split(",")] if cell else []
        ragged = dims.pop(0) if dims and not dims[0].isdigit() else ""
        shape, nullable = tuple(map(int, dims)), kind.endswith("?")
        return ColumnSpec(name, header or name, dtype, column_kind, nullable, shape, self.span(declaration), ragged)

    def columns(self, *declarations: str) -> list[ColumnSpec]:
        return [self.column(declaration) for declaration in declarations]

    def source(self, kind: str, *paths: str, name: str = "Birds", split: str | None = None) -> SourceSpec:
        """Relative to the test's folder."""
        return SourceSpec(name, kind, paths, str(self.folder), ("", "NA"), split, (), self.span("source"))  # type: ignore[arg-type]

    def data(self, columns: list[ColumnSpec], *sources: SourceSpec) -> DataSpec:
        names = tuple(spec.name for spec in columns)
        return DataSpec("Birds", sources, tuple(columns), names, SplitSpec("none", ()), (), (), (), False, None)

    @contextmanager
    def refused(self, texts: list[str], title: str) -> Iterator[None]:
        """Appends to `texts` all that is said when the block raises BmcError."""
        with pytest.raises(BmcError) as caught:
            yield
        texts.append(f"== {title}\n" + render_all(caught.value.diagnostics).replace(f"{self.folder}/", ""))


@pytest.fixture
def declare(tmp_path: Path) -> Declare:
    return Declare(tmp_path)


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a file into the test's folder."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    return write

"""Reads folders of pictures: PNG and JPEG files, through Pillow.

In: a folder, or one picture. Out: `RawTable`s with the columns `image` (`u8[H, W, C]`, or `u8[H, W]`), `folder` (the path, within
the source, of the folder that a picture lies in; "" for the source itself) and `file` (the picture's path within the source).
Guaranteed: rows in the order of `file`, by bytes; every picture has the declared size and number of channels, or an error names it.

Grey pictures have one channel, coloured ones three, with transparency four. A palette is looked up, black and white become 0 and
255; nothing else is converted: a grey picture among coloured ones is an error, for nobody has said what is to become of it.
Pillow is imported where there is a picture to read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmc.data import data_errors
from bmc.data.blocks import MOST_ROWS
from bmc.data.cells.convert import Converted, from_texts
from bmc.data.formats.raw import BrokenRow, RawTable
from bmc.errors import BmcError
from bmc.frontend.data.sources import IMAGES
from bmc.frontend.unit import ColumnSpec
from bmc.source import Span
from bmc_runtime.table import Column

__all__ = ["picture_names", "read_folder"]

_MODES: Mapping[int, str] = MappingProxyType({1: "L", 3: "RGB", 4: "RGBA"})
_SHOWN: Mapping[str, str] = MappingProxyType(
    {"1": "black and white", "L": "grey", "RGB": "coloured", "RGBA": "coloured with transparency", "LA": "grey with transparency"}
)
_EXACT: Mapping[str, tuple[str, ...]] = MappingProxyType({"L": ("1",), "RGB": ("P",), "RGBA": ("P",)})
"""What becomes a mode without a loss."""


_MOST_BYTES = 16 << 20
"""Of the pictures that are read together."""


class _BadPicture(ValueError):
    """Says why a file is no picture for the column."""


def read_folder(
    folder: Path, columns: Sequence[ColumnSpec], endings: Sequence[str], span: Span | None
) -> Iterator[RawTable]:
    """The pictures in a folder and the folders below, some at a time; `folder` may be a single picture, too. Raises BmcError: there
    is none, or Pillow is not installed. What is wrong with a picture is in `broken`."""
    if folder.is_dir():
        files = picture_names(folder, endings or IMAGES)
    else:
        folder, files = folder.parent, [folder.name]
    if not files:
        shown = ", ".join(endings or IMAGES)
        raise BmcError(data_errors.empty_file(str(folder), f"picture ({shown})", span))
    row_bytes = sum(int(np.prod(spec.cell)) for spec in columns if spec.dtype == "u8")
    step = max(1, _MOST_BYTES // max(row_bytes, 1))
    for start in range(0, len(files), min(step, MOST_ROWS)):
        yield _pictures(folder, files[start : start + min(step, MOST_ROWS)], columns, span)


def _pictures(folder: Path, files: Sequence[str], columns: Sequence[ColumnSpec], span: Span | None) -> RawTable:
    broken: dict[int, BrokenRow] = {}
    found: dict[str, Converted] = {}
    for spec in columns:
        if spec.header == "file":
            found[spec.name] = from_texts(spec, files, frozenset())
        elif spec.header == "folder":
            found[spec.name] = from_texts(spec, [os.path.dirname(name) for name in files], frozenset())
        else:
            found[spec.name] = Converted(_images(folder, files, spec, broken, span))
    return RawTable(found, len(files), lambda row: files[row], tuple(broken[row] for row in sorted(broken)))


def picture_names(folder: Path, endings: Sequence[str]) -> list[str]:
    """The paths of the pictures in a folder and below, by their bytes. What begins with a dot does not count."""
    wanted, found = tuple(f".{ending}" for ending in endings), []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inner = os.path.relpath(place, folder)
        for name in names:
            if name.lower().endswith(wanted) and not name.startswith("."):
                found.append((name if inner == os.curdir else os.path.join(inner, name)).replace(os.sep, "/"))
    return sorted(found, key=os.fsencode)


def _images(folder: Path, files: Sequence[str], spec: ColumnSpec, broken: dict[int, BrokenRow], span: Span | None) -> Column:
    if len(spec.cell) not in (2, 3) or spec.dtype != "u8":
        raise BmcError(data_errors.wrong_type(spec, str(folder), "pictures, which are u8[H, W, channels]"))
    channels = spec.cell[2] if len(spec.cell) == 3 else 1
    if channels not in _MODES:
        raise BmcError(data_errors.wrong_type(spec, str(folder), "pictures of 1, 3 or 4 channels"))
    library = _pillow(span)
    made = np.zeros((len(files), *spec.cell), np.uint8)
    for row, name in enumerate(files):
        try:
            made[row] = _pixels(library, folder / name, _MODES[channels], spec.cell)
        except _BadPicture as error:
            broken[row] = BrokenRow(row, str(error))
    return Column("u8", made)


def _pillow(span: Span | None) -> Any:
    try:
        from PIL import Image  # noqa: PLC0415 - an extra
    except ImportError:
        raise BmcError(data_errors.no_pillow(span)) from None
    return Image


def _pixels(library: Any, path: Path, mode: str, cell: tuple[int, ...]) -> NDArray[np.uint8]:
    """The values of a picture. _BadPicture: it is damaged, or of another size or kind."""
    height, width = cell[:2]
    try:
        if not path.is_file():
            raise _BadPicture("this is no file")
        with library.open(path, formats=("PNG", "JPEG")) as picture:
            if picture.size != (width, height):
                raise _BadPicture(f"the picture is {picture.size[1]} high and {picture.size[0]} wide, not {height} and {width}")
            if picture.mode != mode and picture.mode not in _EXACT[mode]:
                found, wanted = _SHOWN.get(picture.mode, f"of mode {picture.mode}"), _SHOWN[mode]
                raise _BadPicture(f"the picture is {found}, not {wanted}")
            picture.load()
            if picture.mode == "P" and mode == "RGB" and "transparency" in picture.info:
                raise _BadPicture("the picture is coloured with transparency, not coloured")
            return np.asarray(picture.convert(mode), np.uint8).reshape(cell)
    except _BadPicture:
        raise
    except (OSError, SyntaxError, ValueError, MemoryError, library.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is damaged"
        raise _BadPicture(f"this is no PNG or JPEG file that can be read: {reason.replace(str(path), path.name)}") from None

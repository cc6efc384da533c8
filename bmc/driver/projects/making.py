"""A new project: a folder with a program, data to train it on, and the commands to begin with.

In: a name, a template. Out: the files written. Guaranteed: nothing that is there is overwritten; what is written trains as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from bmc.driver import run_errors
from bmc.driver.projects.rows import FILES
from bmc.errors import BmcError
from bmc_runtime.atomic import write_bytes

__all__ = ["TEMPLATES", "make_project"]

TEMPLATES = tuple(FILES)

_WHAT: Mapping[str, str] = MappingProxyType({
    "tabular": "houses.csv: 600 made sales of houses; new.csv: four without a price.",
    "image": "shapes.npz: 900 pictures of 16 x 16 pixels, each a circle, a square, a triangle or a cross.",
    "sequence": "waves.npz: 600 series of 40 steps, each a sine, a square wave or a saw.",
    "text": "reviews.csv: 900 made sentences of guests; new.csv: three more.",
})  # fmt: skip


def make_project(folder: Path, template: str) -> list[Path]:
    """Write the project; its files. Raises BmcError."""
    name = folder.name
    if not name or not all(c.isalnum() or c in "_-" for c in name):
        raise BmcError(run_errors.no_project(str(folder), "its name has other characters than letters, digits, _ and -"))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BmcError(run_errors.no_project(str(folder), "it is there already, and not empty"))
    program = files("bmc").joinpath("templates", f"{template}.bm").read_text(encoding="utf-8").replace("NAME", name)
    content = {f"{name}.bm": program.encode(), "README.md": _readme(name, template).encode(), **FILES[template]()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, data in content.items():
            write_bytes(folder / file, data)
    except OSError as error:
        raise BmcError(run_errors.cannot_write(str(folder), error.strerror or str(error))) from None
    return [folder / file for file in content]


def _readme(name: str, template: str) -> str:
    rows = {"tabular": "new.csv", "text": "new.csv", "image": "shapes.npz", "sequence": "waves.npz"}[template]
    return f"""# {name}

```
bmc check {name}.bm                    # types, shapes and columns, before anything runs
bmc train {name}.bm                    # writes {name}.bmz
bmc eval {name}.bmz                    # the rows that training has not seen
bmc predict {name}.bmz {rows}          # answers for raw rows
bmc plot {name}.bmz                    # pictures: curves, and how right it is (needs matplotlib)
bmc stats {name}.bm                    # what it costs, layer by layer
```

{_WHAT[template]} The data is made up: put yours in its place, and change `columns` in {name}.bm to what it has.
"""

"""A new project: a folder with a program, data to train it on, and the commands to begin with.

In: a name, a template. Out: the files written. Guaranteed: nothing that is there is overwritten; what is written trains as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from bmc.driver import run_errors
from bmc.driver.profiling.drafting import draft_of
from bmc.driver.profiling.profile import profile_of
from bmc.driver.projects.rows import FILES
from bmc.errors import BmcError
from bmc.record import record, replace
from bmc_runtime.atomic import write_bytes

__all__ = ["TEMPLATES", "TableProject", "make_project", "project_of_table"]

TEMPLATES = tuple(FILES)

_WHAT: Mapping[str, str] = MappingProxyType({
    "tabular": "houses.csv: 600 made sales of houses; new.csv: four without a price.",
    "image": "shapes.npz: 900 pictures of 16 x 16 pixels, each a circle, a square, a triangle or a cross.",
    "sequence": "waves.npz: 600 series of 40 steps, each a sine, a square wave or a saw.",
    "text": "reviews.csv: 900 made sentences of guests; new.csv: three more.",
})  # fmt: skip


@record(frozen=True)
class TableProject:
    """`guessed`: nobody said that `target` is to be learned."""

    files: tuple[Path, ...]
    target: str
    guessed: bool


def make_project(folder: Path, template: str) -> list[Path]:
    """Write the project; its files. Raises BmcError."""
    name = _free(folder)
    program = files("bmc").joinpath("templates", f"{template}.bm").read_text(encoding="utf-8").replace("NAME", name)
    rows = {"tabular": "new.csv", "text": "new.csv", "image": "shapes.npz", "sequence": "waves.npz"}[template]
    what = f"{_WHAT[template]} The data is made up: put yours in its place, and change `columns` in {name}.bm to what it has."
    content = {f"{name}.bm": program.encode(), "README.md": _readme(name, rows, what).encode(), **FILES[template]()}
    return _write(folder, content)


def project_of_table(folder: Path, table: Path, target: str | None) -> TableProject:
    """A project for a table at hand, which is copied, with the program that is drafted for it. Raises BmcError."""
    name = _free(folder)
    profile = profile_of(table)
    draft = draft_of(replace(profile, path=Path(table.name)), target)
    what = f"{name}.bm was drafted from {table.name}: read it, and change what you know better. `{draft.target}` is what it learns."
    content = {f"{name}.bm": draft.text.encode(), "README.md": _readme(name, table.name, what).encode()}
    written = _write(folder, content)
    try:
        shutil.copyfile(table, folder / table.name)
    except OSError as error:
        raise BmcError(run_errors.cannot_write(str(folder / table.name), error.strerror or str(error))) from None
    return TableProject((*written, folder / table.name), draft.target, draft.guessed)


def _free(folder: Path) -> str:
    """The name of a project that can be made there. Raises BmcError."""
    name = folder.name
    if not name or not all(c.isalnum() or c in "_-" for c in name):
        raise BmcError(run_errors.no_project(str(folder), "its name has other characters than letters, digits, _ and -"))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BmcError(run_errors.no_project(str(folder), "it is there already, and not empty"))
    return name


def _write(folder: Path, content: Mapping[str, bytes]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, data in content.items():
            write_bytes(folder / file, data)
    except OSError as error:
        raise BmcError(run_errors.cannot_write(str(folder), error.strerror or str(error))) from None
    return [folder / file for file in content]


def _readme(name: str, rows: str, what: str) -> str:
    commands = (
        (f"bmc check {name}.bm", "types, shapes and columns, before anything runs"),
        (f"bmc train {name}.bm", f"writes {name}.bmz"),
        (f"bmc eval {name}.bmz", "the rows that training has not seen"),
        (f"bmc predict {name}.bmz {rows}", "answers for raw rows"),
        (f"bmc plot {name}.bmz", "pictures: curves, and how right it is (needs matplotlib)"),
        (f"bmc stats {name}.bm", "what it costs, layer by layer"),
    )
    width = max(len(command) for command, _ in commands)
    lines = "\n".join(f"{command:{width}}    # {meaning}" for command, meaning in commands)
    return f"""# {name}

```
{lines}
```

{what}
"""

"""What a start of `bmc check` may cost, counted rather than timed: the bound of 0.25 s is held by `benchmarks/startup.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "benchmarks" / "w1.bm"
# Each of these with what it imports takes 3 to 100 ms, and none is needed to check a source without data at hand.
HEAVY = ["numpy", "llvmlite", "pyarrow", "rich", "lark", "importlib.metadata", "email", "socket", "zipfile", "tempfile"]


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def _table() -> None:
    """The grammar's table is in the cache."""
    from bmc_grammar import load_table

    load_table("bm")


@pytest.mark.usefixtures("_table")
def test_check_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom bmc.cli import main\n"
        f"try:\n    main(['check', {str(EXAMPLE)!r}])\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    assert _run(code) == "[]"


def test_few_classes_are_compiled_as_dataclasses() -> None:
    """A dataclass takes 0.2 to 1 ms to define; of 200 classes all but the hottest and the changeable ones are records."""
    code = (
        "import dataclasses\nreal, made = dataclasses.dataclass, []\n"
        "def counted(cls=None, /, **options):\n"
        "    if cls is None:\n        return lambda cls: counted(cls, **options)\n"
        "    made.append(cls.__qualname__)\n    return real(cls, **options)\n"
        "dataclasses.dataclass = counted\n"
        "import bmc.cli.commands.check\n"
        "assert len(made) <= 40, made\nprint(len(made) > 5)\n"
    )
    assert _run(code) == "True"

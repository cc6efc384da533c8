"""What all tests share: golden texts, and the example programs.

`golden(name, text)` compares a text with `golden/<test file>/<name>.txt` beside the test. `pytest --update-golden` writes these
files instead; without it a missing file fails, so that a new text is looked at and committed.

`pytest -m "" --slow-sample N` runs one slow test in N beside all others, picked by the hash of its name: what `.ci/run` does, since
all of them take most of an hour.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent / "examples"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")
    parser.addoption("--slow-sample", type=int, default=1, metavar="N", help="of the slow tests run one in N")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the slow tests that are not in the sample."""
    one_in = config.getoption("--slow-sample")
    left_out = [i for i in items if i.get_closest_marker("slow") and zlib.crc32(i.nodeid.encode()) % one_in]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [i for i in items if i not in set(left_out)]


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares `text` with the golden file `name` of this test file."""
    folder = request.path.parent / "golden" / request.path.stem.removeprefix("test_")
    update = request.config.getoption("--update-golden")

    def check(name: str, text: str) -> None:
        path = folder / f"{name}.txt"
        if update:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"{path} is missing: run pytest --update-golden and look at what it writes"
        assert text == path.read_text(encoding="utf-8")

    return check


@pytest.fixture(params=sorted(p.name for p in EXAMPLES.glob("*.bm")))
def example(request: pytest.FixtureRequest) -> Path:
    """Each example program of tests/examples in turn."""
    return EXAMPLES / str(request.param)

"""What all tests share: golden texts, and the example programs.

`golden(name, text)` compares a text with `golden/<test file>/<name>.txt` beside the test. `pytest --update-golden` writes these
files instead; without it a missing file fails, so that a new text is looked at and committed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent / "examples"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")


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

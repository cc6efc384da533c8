"""`docs/operators.md` is what the records say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmc.ops.reference_page import operator_reference
from bmc.ops.table import operators

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_page_is_current(request: pytest.FixtureRequest) -> None:
    text = operator_reference()
    if request.config.getoption("--update-golden"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.exists(), f"{PAGE} is missing: run pytest --update-golden"
    assert PAGE.read_text(encoding="utf-8") == text


def test_every_operator_has_an_entry() -> None:
    text = operator_reference()
    assert [line for line in text.splitlines() if line.startswith("### ")] == [f"### `{name}`" for name in operators()]

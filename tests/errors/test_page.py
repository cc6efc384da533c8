"""The list of codes of docs/diagnostics.md is that of the catalogue. `--update-golden` writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmc.errors.catalogue.page import codes_table

PAGE = Path(__file__).parents[2] / "docs" / "diagnostics.md"
MARK = "<!-- written from bmc/errors/catalogue by tests/errors/test_page.py -->\n"


def test_the_page_lists_every_code(request: pytest.FixtureRequest) -> None:
    head, mark, listed = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert mark
    if request.config.getoption("--update-golden"):
        PAGE.write_text(head + mark + codes_table(), encoding="utf-8")
        listed = codes_table()
    assert listed == codes_table(), "pytest --update-golden tests/errors/test_page.py writes the list"

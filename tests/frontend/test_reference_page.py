"""The reference pages are those that the code writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmc.frontend.reference_page import language_reference, library_reference

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize(("name", "text"), [("language.md", language_reference()), ("library.md", library_reference())])
def test_the_page_is_up_to_date(name: str, text: str, request: pytest.FixtureRequest) -> None:
    path = DOCS / name
    if request.config.getoption("--update-golden"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run pytest --update-golden and look at what it writes"


def test_every_declaration_of_the_library_says_what_it_does() -> None:
    page = library_reference()
    sections = page.split("### ")[1:]
    assert len(sections) > 45
    assert [s.partition("\n")[0] for s in sections if s.partition("\n\n")[2].startswith("```")] == []

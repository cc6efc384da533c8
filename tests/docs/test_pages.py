"""What pages say can be followed: links lead somewhere, programs in fences marked `bm` are right and formatted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bmc.frontend.elaborate import check
from bmc.frontend.syntax.format import format_source
from bmc.source import SourceFile

ROOT = Path(__file__).parents[2]
PAGES = sorted(p for folder in (".", "docs", "models", "benchmarks", "models/*") for p in ROOT.glob(f"{folder}/*.md"))
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")
_PROGRAM = re.compile(r"^```bm\n(.*?)^```$", re.M | re.S)
_WRONG = "E0319"
"""The tutorial's first program has one mistake, which it then repairs; tests/docs/test_tutorial.py compares what is said of it."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_programs_are_right_and_formatted(page: Path) -> None:
    for text in _PROGRAM.findall(page.read_text(encoding="utf-8")):
        file = SourceFile("page.bm", text)
        assert format_source(file) == text
        found = [d.code for d in check([file]).diagnostics]
        assert found == ([_WRONG] if "concat(temp |> standardize" in text else []), text


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in sorted((ROOT / "docs").glob("*.md")) if p.name != "README.md" and f"]({p.name})" not in index] == []

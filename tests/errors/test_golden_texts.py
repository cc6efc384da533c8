"""That the full text of every code of the catalogue stands in a golden file of some test."""

from __future__ import annotations

import re
from pathlib import Path

from bmc.errors.catalogue import all_entries

TESTS = Path(__file__).parents[1]


def test_every_code_has_a_golden_text() -> None:
    files = [path for path in TESTS.glob("**/golden/**/*.txt") if path.parent != Path(__file__).parent / "golden" / "render"]
    texts = "".join(path.read_text(encoding="utf-8") for path in files)
    shown = set(re.findall(r"^(?:error|warning|note)\[([EW]\d{4})\]", texts, re.MULTILINE))
    explained = {entry.code for entry in all_entries()}
    assert explained - shown == set(), "these have no test of their full text"
    assert shown - explained == set(), "`bmc explain` does not know these"

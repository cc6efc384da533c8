"""The catalogue: codes, ranges, texts."""

from __future__ import annotations

import importlib
import re

from bmc.errors.catalogue import all_entries, explain, explanation_text
from bmc.errors.catalogue.entry import Entry

RANGES = {"01": "syntax", "02": "names", "03": "types", "04": "layers", "05": "data", "06": "train", "07": "files",
          "08": "run", "09": "not_yet"}  # fmt: skip


def test_codes_are_unique_and_stand_in_the_module_of_their_range() -> None:
    codes = [e.code for e in all_entries()]
    assert len(codes) == len(set(codes)) > 20
    for number, module in RANGES.items():
        entries = importlib.import_module(f"bmc.errors.catalogue.{module}").ENTRIES
        assert all(re.fullmatch(rf"[EW]{number}\d\d", e.code) for e in entries)
        assert list(entries) == sorted(entries, key=lambda e: e.code)


def test_texts_are_complete_and_fit_a_terminal() -> None:
    for entry in all_entries():
        assert entry.title
        assert not entry.title.endswith(".")
        assert len(entry.title) < 80
        assert entry.explanation.rstrip().endswith((".", "`", "?", ")"))
        assert bool(entry.wrong) == bool(entry.right)


def test_explain_finds_codes_in_any_case_and_nothing_else() -> None:
    for entry in all_entries():
        assert explain(entry.code) is entry
        assert explain(entry.code.lower()) is entry
    assert explain("E9999") is None
    assert explain("") is None


def test_explanation_text_shows_all_parts() -> None:
    text = explanation_text(Entry("E0199", "Title", "Why.", "a\n\nb", "c"))
    assert text == "E0199: Title\n\nWhy.\n\nWrong:\n    a\n\n    b\n\nRight:\n    c\n"
    assert explanation_text(Entry("E0199", "Title", "Why.")) == "E0199: Title\n\nWhy.\n"

"""The JSON form: the schema's keys, positions in bytes and code points."""

from __future__ import annotations

import json

from bmc.errors import Diagnostic, Label, Suggestion
from bmc.errors.json_form import SCHEMA, diagnostic_json
from bmc.errors.render import render
from bmc.source import SourceFile, Span


def test_one_object_on_one_line_with_all_parts() -> None:
    file = SourceFile("ä.bm", "let é = 1\nlet b = (\n2)\n")
    span = Span(file, file.text.index("("), file.text.index(")") + 1)
    diagnostic = Diagnostic(
        "E0301",
        "m",
        (Label(span, "l", primary=True), Label(Span(file, 4, 5))),
        ("n",),
        (Suggestion("s", Span(file, 4, 5), "e"), Suggestion("t"), Suggestion("u", Span(file, 4, 5), "f", certain=True)),
    )
    line = diagnostic_json(diagnostic)
    assert "\n" not in line
    read = json.loads(line)
    assert list(read) == ["schema", "code", "level", "message", "spans", "children", "rendered"]
    assert (read["schema"], read["code"], read["level"], read["message"]) == (SCHEMA, "E0301", "error", "m")
    first, second = read["spans"]
    assert first == {
        "file_name": "ä.bm", "byte_start": 19, "byte_end": 23, "line_start": 2, "line_end": 3, "column_start": 9,
        "column_end": 3, "is_primary": True, "label": "l", "suggested_replacement": None,
        "suggestion_applicability": None,
    }  # fmt: skip
    assert file.text.encode()[first["byte_start"] : first["byte_end"]] == b"(\n2)"
    assert (second["byte_start"], second["byte_end"], second["label"], second["is_primary"]) == (4, 6, None, False)
    note, fix, advice, certain = read["children"]
    assert note == {"level": "note", "message": "n", "spans": []}
    assert fix["level"] == "help"
    assert fix["spans"][0]["suggested_replacement"] == "e"
    assert fix["spans"][0]["suggestion_applicability"] == "MaybeIncorrect"
    assert certain["spans"][0]["suggestion_applicability"] == "MachineApplicable"
    assert advice == {"level": "help", "message": "t", "spans": []}
    assert read["rendered"] == render(diagnostic)


def test_lone_surrogates_become_valid_text() -> None:
    file = SourceFile("a\udcff.bm", "let \ud800 = 1")
    line = diagnostic_json(Diagnostic("E0102", "x \ud800", (Label(Span(file, 4, 5), "\udcff", primary=True),)))
    line.encode("utf-8")
    assert json.loads(line)["spans"][0]["label"] == "?"

"""Words of other frameworks lead to words that are there."""

from __future__ import annotations

import re

from bmc.frontend.bodies.core import TYPE_NAMES
from bmc.frontend.elaborate import check
from bmc.frontend.errors.foreign import FOREIGN, FOREIGN_MODULES
from bmc.frontend.primitives import primitives
from bmc.frontend.scope import library_files
from bmc.source import SourceFile

KEYS = {"batch", "epochs", "optimizer", "loss", "seed", "stop", "lr"}
SOURCES = {"csv", "parquet"}


def test_every_word_leads_to_one_of_the_language() -> None:
    ours = {*primitives(), *library_files(), *TYPE_NAMES, *KEYS, *SOURCES}
    assert {word for word in FOREIGN.values() if word not in ours} == set()
    assert {word for word in FOREIGN if word in {*primitives(), *library_files()}} == set()
    assert all(re.fullmatch(r"\w+", word) for word in (*FOREIGN, *FOREIGN_MODULES))


def test_a_module_before_a_dot_is_passed_over() -> None:
    text = "model M(x: f32[B, 4]) -> f32[B, 3] { return x |> nn.Linear(3) as out }"
    (found,) = check([SourceFile("m.bm", text)]).diagnostics
    assert found.message == "nothing is called `Linear` here"
    assert [(s.span.text if s.span else "", s.replacement, s.certain) for s in found.suggestions] == [("nn.Linear", "dense", True)]

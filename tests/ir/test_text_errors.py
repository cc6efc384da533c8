"""The full text of each diagnostic of IR text, and that every constructor of one has a case."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bmc.errors import BmcError
from bmc.errors.render import render_all
from bmc.ir import text_errors
from bmc.ops.parse_text import parse_module
from bmc.source import SourceFile


def body(text: str) -> str:
    return 'function "f" rows B {\n  param %x: f32[B] = input "x"\n  ' + text + "\n}\n"


def located(location: str) -> str:
    return 'locations { 0 = "a" }\n' + body(f"%y = neg(%x) : f32[B] {location}")


# name: (constructor, text). The name starts with the code of the diagnostic.
CASES = {
    "E0750-junk": ("unexpected", "junk"),
    "E0750-end": ("unexpected", 'function "f" {'),
    "E0750-bracket": ("unexpected", body("%y = neg(%x) : f32[B, ]")),
    "E0750-character": ("unknown_character", body("%y = neg(%x) : f32[B] $")),
    "E0750-open-string": ("unknown_character", body('output "y = %x')),
    "E0750-escape": ("bad_string", body('output "\\q" = %x')),
    "E0751-operator": ("no_operator", body("%y = negg(%x) : f32[B]")),
    "E0752-unknown": ("unknown_attribute", body("%y = transpose(%x, permutatoin = [0]) : f32[B]")),
    "E0752-lacks": ("missing_attribute", body("%y = transpose(%x) : f32[B]")),
    "E0752-value": ("bad_attribute", body('%y = transpose(%x, permutation = ["a"]) : f32[B]')),
    "E0752-twice": ("wrong_attributes", body("%y = transpose(%x, permutation = [0], permutation = [0]) : f32[B]")),
    "E0752-results": ("wrong_attributes", body("%y, %z = neg(%x) : f32[B]")),
    "E0753-undefined": ("undefined", body("%y = neg(%z) : f32[B]")),
    "E0753-twice": ("defined_twice", body("%x = neg(%x) : f32[B]")),
    "E0754-dtype": ("unknown_dtype", body("%y = neg(%x) : g32[B]")),
    "E0754-role": ("unknown_role", 'function "f" { param %x: f32[] = thing "x" }'),
    "E0754-file": ("unknown_file", located("@ 3:1:1-1:2")),
    "E0755-positions": ("positions_too_large", located("@ 0:0:1-1:2")),
    "E0755-digits": ("too_large", body(f"%y = neg(%x) : f32[{'1' * 21}]")),
    "E0755-zero": ("too_large", body("%y = neg(%x) : f32[1 // 0]")),
    "E0755-deep": ("too_deep", body(f"%y = neg(%x) : f32[{'(' * 70}B{')' * 70}]")),
}


@pytest.mark.parametrize("name", CASES)
def test_the_text_of_a_diagnostic(name: str, golden: Callable[[str, str], None]) -> None:
    with pytest.raises(BmcError) as caught:
        parse_module(SourceFile("m.bmir", CASES[name][1]))
    found = caught.value.diagnostics
    assert found[0].code == name.partition("-")[0]
    golden(name, render_all(found))


def test_every_constructor_has_a_case() -> None:
    assert {constructor for constructor, _ in CASES.values()} == set(text_errors.__all__)

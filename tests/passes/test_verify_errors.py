"""The full text of what a check of a user's IR text finds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bmc.errors import BmcError
from bmc.errors.render import render_all
from bmc.ops.parse_text import parse_module
from bmc.passes.verify import check_module
from bmc.source import SourceFile

TEXT = """function "f" rows B {
  param %x: f32[B, 4] = input "x"
  param %w: f32[4] = weight "w"
  %y = add(%x, %w) : f32[B, 4]
  %s = reduce_sum(%y, axes = [3]) : f32[4]
  %t = reduce_sum(%x, axes = [0]) : f32[5]
  output "y" = %y
}
"""


def test_the_text_of_types_that_do_not_fit(golden: Callable[[str, str], None]) -> None:
    module = parse_module(SourceFile("m.bmir", TEXT))
    with pytest.raises(BmcError) as caught:
        check_module(module)
    found = caught.value.diagnostics
    assert [d.code for d in found] == ["E0756"] * 3
    golden("E0756-types", render_all(found))

"""Every file of the library stands as `bmc fmt` writes it, and parses without a finding."""

from __future__ import annotations

import pytest

from bmc.frontend.scope import installed_library
from bmc.frontend.syntax.format import format_source
from bmc.frontend.syntax.parse import parse
from bmc.source import SourceFile


@pytest.mark.parametrize("file", installed_library(), ids=lambda file: file.name)
def test_a_file_of_the_library_is_formatted(file: SourceFile) -> None:
    assert parse(file)[1] == ()
    assert format_source(file) == file.text

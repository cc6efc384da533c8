"""Batches from mapped files: what the process holds of them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bmc.data.formats.corpus import corpus_of, mapped
from bmc.data.windowing import Items, windows_of
from bmc.frontend.unit import WindowSpec
from bmc_runtime.feeding import Forgetting


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_pages_of_a_mapped_file_are_given_back(tmp_path: Path) -> None:
    """Also through the windows that are cut from it: their column knows the file by `keep` alone."""
    path = tmp_path / "corpus"
    path.write_bytes(b"x" * (1 << 20))
    content = mapped(str(path), None)
    column = corpus_of(content, str(path), "bytes")
    table = windows_of([Items(str(path), {"b": column}, len(column))], WindowSpec(size=64, stride=64, by=(), order="")).table
    forgetting = Forgetting(table.take(table.origin.ids[::2]))
    assert int(content.sum()) == ord("x") << 20
    assert _resident(path) >= 1 << 20
    forgetting.after(1 << 25)
    assert _resident(path) >= 1 << 20
    forgetting.after(1 << 25)
    assert _resident(path) == 0
    assert content[-1] == ord("x")


def _resident(path: Path) -> int:
    """Bytes of a file's pages that this process maps."""
    entry = Path("/proc/self/smaps").read_text().partition(str(path))[2]
    found = re.search(r"Rss: +([0-9]+) kB", entry)
    assert found is not None
    return int(found[1]) * 1024

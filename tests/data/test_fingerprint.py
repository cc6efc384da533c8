"""The fingerprint of data follows its content and its declaration, never its folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bmc.data import fingerprint
from bmc.errors import BmcError

Put = Callable[[str, str | bytes], Path]


def test_follows_content_and_declaration(declare: Any, put: Put) -> None:
    put("one/birds.csv", "mass\n1\n")
    put("two/birds.csv", "mass\n1\n")
    put("three/birds.csv", "mass\n2\n")
    mass = declare.columns("mass: f32")
    first = fingerprint(declare.data(mass, declare.source("csv", "one/birds.csv")))
    assert len(first) == 64
    assert first == fingerprint(declare.data(mass, declare.source("csv", "two/birds.csv")))
    assert first == fingerprint(declare.data(mass, declare.source("csv", "x.csv")), {"Birds": declare.folder / "one/birds.csv"})
    for other in (
        declare.data(mass, declare.source("csv", "three/birds.csv")),
        declare.data(declare.columns("mass: f32", "age: i32"), declare.source("csv", "one/birds.csv")),
        declare.data(mass, declare.source("csv", "*/birds.csv")),
    ):
        assert fingerprint(other) != first


def test_sees_both_ends_of_large_files(declare: Any, put: Put) -> None:
    content = bytearray(os.urandom(3 << 20))
    spec = declare.data(declare.columns("mass: f32"), declare.source("csv", "big.csv"))
    seen = set()
    for at in (None, 0, (1 << 20) - 1, (2 << 20), (3 << 20) - 1):
        changed = bytearray(content)
        if at is not None:
            changed[at] ^= 1
        put("big.csv", bytes(changed))
        seen.add(fingerprint(spec))
    assert len(seen) == 5


def test_columns_in_memory_count_by_value(declare: Any) -> None:
    spec = declare.data(declare.columns("mass: f32"), declare.source("csv", "x.csv"))
    of = [
        fingerprint(spec, {"Birds": {"mass": given}})
        for given in (np.zeros(3), np.zeros(3)[::-1], np.ones(3), np.zeros(3, np.float32), [0.0, 0.0, 0.0], ["a"])
    ]
    assert of[0] == of[1]
    assert len(set(of)) == 5


def test_missing_files_are_refused(declare: Any) -> None:
    with pytest.raises(BmcError, match="E0720"):
        fingerprint(declare.data(declare.columns("mass: f32"), declare.source("csv", "none.csv")))

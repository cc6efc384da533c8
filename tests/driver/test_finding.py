"""Literals in texts, and cells of several categories, by the whole path."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import bmc
from bmc.errors.render import render_all
from tests.columns import program, transformed

TEXTS = ["Fiat 500", "", None, "VW Golf GTI", "gti", "Éclair gt", "GTIGTI"]


def test_literals_in_texts() -> None:
    lines = """a = contains(name, "GTI")
      b = lower(name |> fill("")) |> contains("gti")
      c = starts_with(name, "VW")
      d = name |> fill("") |> lower |> ends_with("gti")
      e = lower(name |> fill("")) |> starts_with("é")
      f = contains(name, "")
      where not contains(name, "never") or starts_with(name, "x")"""
    found = transformed("name: str?", lines, list("abcdef"), {"name": TEXTS})
    whole = [t or "" for t in TEXTS]
    assert found["a"].tolist() == ["GTI" in t for t in whole]
    assert found["b"].tolist() == ["gti" in t.lower() for t in whole]
    assert found["c"].tolist() == [t.startswith("VW") for t in whole]
    assert found["d"].tolist() == [t.lower().endswith("gti") for t in whole]
    assert found["e"].tolist() == [t.lower().startswith("é") for t in whole]
    assert found["f"].tolist() == [bool(t) for t in TEXTS]  # an empty cell is missing, and holds nothing


def test_cells_of_several_categories() -> None:
    genres = ["drama|crime", "comedy", "", None, "crime|drama|crime", "dramatic", "Drama|sci fi"]
    known = ["drama", "crime", "sci fi"]
    lines = """a = multihot(genre, ["drama", "crime", "sci fi"])
      b = lower(genre |> fill("")) |> multihot(["drama"])
      c = genre |> fill("") |> words |> vocab(max = 4) |> multihot(max = 8)"""
    found = transformed("genre: str?", lines, ["a", "b", "c"], {"genre": genres})
    pieces = [(g or "").split("|") for g in genres]
    np.testing.assert_array_equal(found["a"], [[float(k in p) for k in known] for p in pieces])
    np.testing.assert_array_equal(found["b"][:, 0], [1, 0, 0, 0, 1, 0, 1])
    # By count: crime 3, drama 2, then Drama (capitals come first) of those with one; all others are the last place.
    vocabulary = ["crime", "drama", "Drama"]
    words = [(g or "").replace("|", " ").split() for g in genres]
    want = [[float(k in w) for k in vocabulary] + [float(any(x not in vocabulary for x in w))] for w in words]
    np.testing.assert_array_equal(found["c"], want)


def test_what_is_no_text_or_no_list(golden: Callable[[str, str], None]) -> None:
    calls = [
        'contains(k, "a")', "contains(name, 3)", "multihot(name)", 'multihot(name, ["a|b"])', 'multihot(name, ["a"], by = "||")',
        'contains(words(name), "a")',
    ]  # fmt: skip
    lines = "\n ".join(f"{name} = {call}" for name, call in zip("abcdef", calls, strict=True))
    with pytest.raises(bmc.BmcError) as caught:
        bmc.compile(program("name: str\n k: i32", lines, list("abcdef")))
    golden("no_text", render_all(caught.value.diagnostics))

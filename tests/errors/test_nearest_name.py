"""Suggestions for misspelt names: what is offered, what is not."""

from __future__ import annotations

import time

import pytest

from bmc.errors import nearest

NAMES = ["optimizer", "metrics", "batch", "epochs", "steps", "relu", "gelu", "dense", "weight_decay", "lr", "logits", "x", "y"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("optimiser", "optimizer"),
        ("Optimizer", "optimizer"),
        ("metric", "metrics"),
        ("bacth", "batch"),
        ("epoch", "epochs"),
        ("reul", "relu"),
        ("weightdecay", "weight_decay"),
        ("weight_deacy", "weight_decay"),
        ("Dense", "dense"),
        ("learning_rate", None),
        ("zzz", None),
        ("z", None),
        ("", None),
        ("ab", None),
        ("dense", None),  # it is right: nothing to suggest
        ("optimizer" * 100, None),
    ],
)
def test_nearest(name: str, meant: str | None) -> None:
    assert nearest(name, list(NAMES)) == (meant if name not in NAMES else nearest(name, NAMES))
    if name == "dense":
        assert nearest(name, NAMES) is None


def test_ties_go_to_the_first() -> None:
    assert nearest("elu", ["relu", "gelu"]) == "relu"
    assert nearest("elu", ["gelu", "relu"]) == "gelu"


def test_many_candidates_are_quick() -> None:
    start = time.process_time()
    assert nearest("weight_deacy_of_layer", [f"some_other_name_{i}" for i in range(2000)]) is None
    assert time.process_time() - start < 2

"""That what is kept between positions gives the bits of computing the whole prefix anew."""

from __future__ import annotations

import numpy as np
import pytest

from tests.generation.programs import KEPT, WHOLE, Scored, both, session_of, unit_of

PROGRAMS = {**KEPT, **WHOLE}


OFTEN = frozenset(
    ("rotary, grouped queries", "learned positions", "gru", "causal convolutions", "running means", "no mask", "backwards")
)
CASES = [
    pytest.param(name, float_type, marks=() if name in OFTEN and float_type == "f32" else pytest.mark.slow)
    for name in PROGRAMS
    for float_type in ("f32", "f64")
]


@pytest.mark.parametrize(("name", "float_type"), CASES)
def test_scores_of_every_length_have_the_bits_of_the_whole_prefix(name: str, float_type: str) -> None:
    """In chunks of several positions and of one; two rows, so that axes of rows stand between positions and cells."""
    scored = Scored(session_of(unit_of(PROGRAMS[name], float_type=float_type)))
    ids = np.random.default_rng(3).integers(0, 19, (2, 41))
    chunks = (9, *(1,) * 12, 5, 1, 2, *(1,) * 12)
    for length, found in scored.kept(ids, chunks, room=48):
        assert found.tobytes() == scored.recomputed(ids[:, :length]).tobytes(), length


@pytest.mark.parametrize("name", ["learned positions", "lstm of two layers"])
def test_the_same_integers_are_drawn(name: str) -> None:
    """Through the runtime: the prompt at once, then position by position, over two doublings of the room."""
    session = session_of(unit_of(PROGRAMS[name]))
    prompt = np.random.default_rng(4).integers(0, 19, (2, 3))
    count = 61 if name == "learned positions" else 140
    whole, kept = both(session, prompt, count)
    np.testing.assert_array_equal(kept, whole)
    assert len(np.unique(kept)) > 3
    assert (kept[:, 0] != kept[:, 1]).any()  # rows draw on their own


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rotary, grouped queries", "learned positions", "alibi", "gru"])
def test_long_sequences_of_wide_models(name: str) -> None:
    """Depths beyond a block of K, rows beyond a tile, columns beyond a panel: positions, like widths, fall into other tiles."""
    model = PROGRAMS[name].replace("D = 32", "D = 192").replace("D = 24", "D = 192").replace("gru(24)", "gru(160)")
    scored = Scored(session_of(unit_of(model.replace("float[64, D]", "float[1024, D]"))))
    ids = np.random.default_rng(6).integers(0, 19, (1, 700))
    for length, found in scored.kept(ids, (530, 1, 1, 100, 1, 7, *(1,) * 6), room=700):
        assert found.tobytes() == scored.recomputed(ids[:, :length]).tobytes(), length


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    session = session_of(unit_of(KEPT["rotary, grouped queries"]))
    prompts = np.random.default_rng(5).integers(0, 19, (3, 6))
    _, together = both(session, prompts, 30)
    _, alone = both(session, prompts[:1], 30)  # the first row: draws are keyed by the number of the row
    np.testing.assert_array_equal(together[:, :1], alone)

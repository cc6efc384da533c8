"""Rows to predict, and to train on, as Python programs have them: what is in them decides, not who holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import bmc

PROGRAM = """data D {
  source = csv("d.csv", na = ["", "NA"])
  columns { n: f32?; i: i64; t: str?; when: timestamp; b: bool; out: f32 }
  x = stack([n |> fill(0) |> standardize, number(is_missing(n)), number(i == 1152921504606846976), number(b)], axis = -1)
  y = out
  word = t |> fill("none") |> category(max = 4)
}
model M(x: f32[B, 4], word: i32[B]) -> (p: f32[B]) { return concat(x, word |> embedding(4, 2)) |> dense(1) |> squeeze(-1) }
train M on D { loss = mse(p, y); predict = [p = p]; keep = [i, when, t]; epochs = 1 }
"""

BIG = 2**60
"""No f64 tells it from its neighbour."""

COLUMNS: Mapping[str, list[Any]] = {
    "n": [1.5, None, -0.25, 3.0],
    "i": [BIG, BIG + 1, -1, 0],
    "t": ["a", "é", None, "NA"],
    "when": ["2024-02-29 12:30:00", "1969-12-31 23:59:59.5", "2024-01-01", "2024-01-01 00:00:01"],
    "b": [True, False, True, False],
    "out": [0.0, 1.0, 2.0, 3.0],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bmc.Model:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return bmc.compile(PROGRAM).train(dict(COLUMNS))


def times() -> np.ndarray[Any, Any]:
    return np.array(COLUMNS["when"], "M8[us]")


def arrow() -> Any:
    table = pa.table({name: cells for name, cells in COLUMNS.items() if name != "when"})
    return table.append_column("when", pa.array(times()))


def frame() -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({**COLUMNS, "when": times()}, index=[9, 8, 7, 6])


class Stream:
    """Someone else's table: it has names, and offers Arrow's interface."""

    def __init__(self) -> None:
        self.schema = arrow().schema

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return arrow().__arrow_c_stream__(requested_schema)


def mixed() -> Any:
    """Columns of objects that Arrow has no type for."""
    found = frame()
    found["note"] = [1, "two", None, 3.0]
    return found


def nullable() -> Any:
    """pandas' own types of columns."""
    pandas = pytest.importorskip("pandas")
    found = frame()
    found["n"] = pandas.array([1.5, None, -0.25, 3.0], dtype="Float32")
    found["i"] = pandas.array(COLUMNS["i"], dtype="Int64")
    found["t"] = pandas.Categorical(COLUMNS["t"])
    return found


FORMS = {
    "records": lambda: [{name: cells[row] for name, cells in COLUMNS.items()} for row in range(4)],
    "records that lack what is missing": lambda: [
        {name: cells[row] for name, cells in COLUMNS.items() if cells[row] is not None} for row in range(4)
    ],
    "lists of numpy's numbers": lambda: {
        **COLUMNS,
        "n": [np.float32(1.5), np.float32(np.nan), np.float64(-0.25), np.int16(3)],
        "i": [np.int64(BIG), np.uint64(BIG + 1), np.int8(-1), np.float32(0)],
        "when": [*times()[:2], np.datetime64("2024-01-01"), np.datetime64("2024-01-01T00:00:01", "ns")],
        "b": [np.True_, np.uint8(0), np.True_, np.False_],
        "t": [np.str_("a"), "é", None, "NA"],
    },
    "Arrow's table": arrow,
    "Arrow's record batch": lambda: arrow().to_batches()[0],
    "Arrow's columns": lambda: {name: arrow()[name] for name in COLUMNS},
    "Arrow's arrays": lambda: {name: arrow()[name].combine_chunks() for name in COLUMNS},
    "a stream": Stream,
    "pandas": frame,
    "pandas' columns": lambda: {name: frame()[name] for name in COLUMNS},
    "pandas, objects": mixed,
    "pandas, columns of objects": lambda: {name: mixed()[name].astype(object) for name in COLUMNS},
    "pandas, nullable": nullable,
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_each_form_are_predicted_alike(model: bmc.Model, form: str) -> None:
    wanted = model.predict(dict(COLUMNS))
    assert wanted["i"].tolist() == COLUMNS["i"]
    assert wanted["t"].tolist() == ["a", "é", None, None]
    found = model.predict(FORMS[form]())
    assert list(found) == list(wanted)
    for name in wanted:
        assert found[name].tolist() == wanted[name].tolist(), name
    assert found["p"].tobytes() == wanted["p"].tobytes()


def test_a_structured_array_has_columns(model: bmc.Model) -> None:
    wanted = model.predict(dict(COLUMNS))
    kind = [("n", "f4"), ("i", "i8"), ("t", "U2"), ("when", "M8[us]"), ("b", "?")]
    rows = np.zeros(2, kind)
    for row, at in enumerate((0, 3)):
        rows[row] = (COLUMNS["n"][at], COLUMNS["i"][at], COLUMNS["t"][at], times()[at], COLUMNS["b"][at])
    assert model.predict(rows)["p"].tobytes() == wanted["p"][[0, 3]].tobytes()


@pytest.mark.parametrize("form", ["pandas", "Arrow's table", "records"])
def test_training_takes_them_too(model: bmc.Model, form: str) -> None:
    program = bmc.compile(PROGRAM)
    for data in (FORMS[form](), {"D": FORMS[form]()}):
        if not (form == "records" and isinstance(data, dict)):
            trained = program.train(data)
            assert all(trained.weights[key].tobytes() == model.weights[key].tobytes() for key in model.weights)
    assert model.evaluate("train", FORMS[form]()).loss == model.evaluate("train", dict(COLUMNS)).loss


def test_blocks_and_bad_rows(model: bmc.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {name: cells * 5 for name, cells in COLUMNS.items()}
    whole = model.predict(rows)
    monkeypatch.setattr("bmc.data.row_blocks._MOST_ROWS", 7)
    blocks = list(model.predict_blocks(rows))
    assert [len(block["p"]) for block in blocks] == [7, 7, 6]
    assert b"".join(block["p"].tobytes() for block in blocks) == whole["p"].tobytes()
    assert model.predict(rows)["p"].tobytes() == whole["p"].tobytes()
    rows["when"] = [*rows["when"][:9], "yesterday", *rows["when"][10:]]
    with pytest.raises(bmc.BmcError, match="'yesterday' is not a timestamp"):
        model.predict(rows)
    kept = model.predict(rows, on_error="column")
    assert [row for row, text in enumerate(kept["error"]) if text] == [9]
    assert "row 10: 'yesterday' is not a timestamp like 2024-02-29 12:30:00, in column 'when'" in kept["error"][9]
    values = whole["p"].tolist()
    assert kept["p"].tolist() == [None if row == 9 else value for row, value in enumerate(values)]
    assert model.predict(rows, on_error="skip")["p"].tolist() == values[:9] + values[10:]


def test_a_prediction_called_error_leaves_no_room(model: bmc.Model) -> None:
    named = bmc.compile(PROGRAM, overrides={"predict": "[error = p, p = p]"}).train(dict(COLUMNS))
    assert list(named.predict(dict(COLUMNS)))[:2] == ["error", "p"]
    with pytest.raises(bmc.BmcError, match="already: there is no room"):
        named.predict(dict(COLUMNS), on_error="column")
    assert "error" in named.predict(dict(COLUMNS), on_error="column", only="p")


def test_what_is_no_table_is_said(model: bmc.Model) -> None:
    for value in (7, None, [1, 2], np.zeros(3), object()):
        with pytest.raises(bmc.BmcError, match="E0809"):
            model.predict(value)

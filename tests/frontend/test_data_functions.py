"""Data blocks: columns, fits, conditions, categories, splits, and the way back, run by the reference evaluator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RNG = np.random.default_rng(2)
N = 40
PRICE = RNG.lognormal(size=N).astype(np.float32)
THERE = RNG.uniform(size=N) > 0.3
CITY = np.array([["Rom", "Wien", "Bern", "Oslo"][i] for i in RNG.choice(4, N, p=[0.5, 0.3, 0.15, 0.05])], dtype=object)
COLUMNS = {
    "price": np.where(THERE, PRICE, -1000).astype(np.float32),  # what a missing cell holds must not matter
    "price.valid": THERE,
    "sold": RNG.uniform(0, 10, N).astype(np.float32),
    "city": CITY,
    "note": CITY,
    "note.valid": THERE,
    "n": RNG.integers(0, 5, N),
    "day": RNG.integers(-3000, 20000, N),
    "pair": RNG.normal(size=(N, 2)).astype(np.float32),
}


def program(outputs: str, predict: str = "", width: str = "F", clauses: str = "", columns: str = "") -> str:
    predict = f"predict = {predict}" if predict else ""
    return f"""
data D {{
  source = npz("d.npz")
  columns {{ price: f32?; sold: f32; city: str; note: str?; n: i32; day: date; pair: f32[2]
    {columns} }}
  {clauses}
  {outputs}
}}
model M(x: f32[B, {width}]) -> (out: f32[B]) {{ return sum(x, axis = -1) }}
train M on D {{ loss = out; {predict} }}
"""


def output(run_of: Callable[..., Any], expression: str, rows: Any = slice(None)) -> Any:
    """x of one expression, fitted on all rows, in f64."""
    run = run_of(program(f"x = {expression}"), float_type="f64")
    return run.prepare({k: v[rows] for k, v in COLUMNS.items()})["x"]


def test_gaps_are_filled_by_a_fitted_statistic(run_of: Callable[..., Any]) -> None:
    run = run_of(program("x = concat(price |> fill(median), price |> fill(2), is_missing(price) |> number)"), float_type="f64")
    x = run.prepare(COLUMNS)["x"]
    median = np.median(PRICE[THERE].astype(np.float64))
    np.testing.assert_allclose(run.store["x.fill.median"], median, rtol=1e-15)
    np.testing.assert_allclose(x[:, 0], np.where(THERE, PRICE, median))
    np.testing.assert_allclose(x[:, 1], np.where(THERE, PRICE, 2))
    np.testing.assert_allclose(x[:, 2], ~THERE)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("fit(mean(price))", lambda p: p.mean()),
        ("fit(std(price))", lambda p: p.std()),
        ("fit(sum(price))", lambda p: p.sum()),
        ("fit(max(price) - min(price))", np.ptp),
        ("fit(median(price))", np.median),
        ("fit(quantile(price, 0.9))", lambda p: np.quantile(p, 0.9)),
    ],
)
def test_statistics_skip_gaps(run_of: Callable[..., Any], expression: str, expected: Callable[[Any], float]) -> None:
    x = output(run_of, f"concat(sold * 0 + {expression})")
    # f64 sums of 40 positive terms.
    np.testing.assert_allclose(x[:, 0], expected(PRICE[THERE].astype(np.float64)), rtol=1e-14)


def test_standardize_and_minmax_of_vectors(run_of: Callable[..., Any]) -> None:
    pair = COLUMNS["pair"].astype(np.float64)
    np.testing.assert_allclose(output(run_of, "pair |> standardize"), (pair - pair.mean(0)) / pair.std(0), rtol=1e-12)
    np.testing.assert_allclose(output(run_of, "pair |> minmax"), (pair - pair.min(0)) / np.ptp(pair, axis=0), rtol=1e-12)
    np.testing.assert_array_equal(output(run_of, "pair * 0 + 3 |> standardize"), np.zeros((N, 2)))


def test_fits_are_of_the_training_rows_alone(run_of: Callable[..., Any]) -> None:
    run = run_of(program("x = concat(sold |> standardize)"), float_type="f64")
    run.prepare({k: v[:20] for k, v in COLUMNS.items()})
    sold = COLUMNS["sold"].astype(np.float64)
    x = run("data", COLUMNS)["x"][:, 0]
    np.testing.assert_allclose(x, (sold - sold[:20].mean()) / sold[:20].std(), rtol=1e-12)


def test_categories_of_text(run_of: Callable[..., Any]) -> None:
    np.testing.assert_array_equal(
        output(run_of, 'city |> onehot(["Wien", "Rom", "Bern"])'), (CITY[:, None] == np.array(["Wien", "Rom", "Bern"])) * 1.0
    )
    # Three places: the two most frequent, and the rest in the last.
    names, counts = np.unique(CITY.astype(str), return_counts=True)
    first, second = names[np.lexsort((names, -counts))][:2]
    expected = np.stack([first == CITY, second == CITY, (first != CITY) & (second != CITY)], 1)
    np.testing.assert_array_equal(output(run_of, "city |> onehot(max = 3)"), expected * 1.0)
    np.testing.assert_array_equal(
        output(run_of, 'note |> fill("Bern") |> onehot(["Bern"])')[:, 0], (~THERE | (CITY == "Bern")) * 1.0
    )


def test_categories_of_integers(run_of: Callable[..., Any]) -> None:
    n = COLUMNS["n"]
    np.testing.assert_array_equal(output(run_of, "n |> onehot(5)"), np.eye(5)[n])
    np.testing.assert_array_equal(output(run_of, "n |> onehot([4, 2])"), (n[:, None] == [4, 2]) * 1.0)
    assert output(run_of, "n |> onehot(max = 8)").shape == (N, 8)


def test_dates(run_of: Callable[..., Any]) -> None:
    days = np.datetime64("1970-01-01") + COLUMNS["day"]
    weekday = np.array([d.astype(object).weekday() for d in days])
    np.testing.assert_array_equal(output(run_of, "weekday(day) |> onehot"), np.eye(7)[weekday])
    since = (days - np.datetime64("2015-01-01")).astype(int)
    np.testing.assert_allclose(output(run_of, 'concat(days_since(day, "2015-01-01") / 365)')[:, 0], since / 365, rtol=1e-15)
    np.testing.assert_array_equal(
        output(run_of, 'concat(day >= "2001-02-03" |> number)')[:, 0], days >= np.datetime64("2001-02-03")
    )


def test_where_and_what_predict_needs(run_of: Callable[..., Any]) -> None:
    clauses = 'where sold > 2 and not is_missing(price) or note == "Rom"'
    run = run_of(program("x = concat(sold, n |> number)\n  y = price |> fill(0)", clauses=clauses))
    kept = run("where", COLUMNS)["where"]
    np.testing.assert_array_equal(kept, ((COLUMNS["sold"] > 2) & THERE) | ((CITY == "Rom") & THERE))
    assert run.unit.prediction.needs == ("sold", "n")
    assert run.unit.data.used == ("price", "sold", "note", "n")
    assert [o.name for o in run.unit.data.outputs] == ["x"]


def test_undo_walks_back_to_the_column(run_of: Callable[..., Any]) -> None:
    text = program("x = pair\n  y = price |> fill(median) |> log1p |> standardize", predict="[back = undo(out, y), raw = out]")
    run = run_of(text, float_type="f64")
    run.prepare(COLUMNS)
    given = run("predict", {"pair": COLUMNS["pair"]})
    filled = np.where(THERE, PRICE, run.store["y.fill.median"]).astype(np.float64)
    logs = np.log1p(filled)
    np.testing.assert_allclose(given["back"], np.expm1(given["raw"] * logs.std() + logs.mean()), rtol=1e-12)
    assert run.unit.prediction.needs == ("pair",)


def test_undo_of_a_part_of_a_column(run_of: Callable[..., Any]) -> None:
    """Fitted values of all places are taken to the places that the output holds."""
    text = program(
        "x = pair\n  let both = pair |> standardize\n  y = both[:, 1]\n  "
        "turned = transpose(reshape(2 * both, [-1, 2, 1]))[:, :, 1:]",
        predict="[back = undo(out, y), raw = out, turned = undo(unsqueeze(unsqueeze(out, -1), -1), turned)]",
    )
    run = run_of(text, float_type="f64")
    run.prepare(COLUMNS)
    given = run("predict", {"pair": COLUMNS["pair"]})
    pair = COLUMNS["pair"].astype(np.float64)
    std, mean = pair[:, 1].std(), pair[:, 1].mean()
    np.testing.assert_allclose(given["back"], given["raw"] * std + mean, rtol=1e-12)
    np.testing.assert_allclose(given["turned"][:, 0, 0], given["raw"] / 2 * std + mean, rtol=1e-12)


def test_labels_of_categories(run_of: Callable[..., Any]) -> None:
    text = """
data D {
  source = csv("d.csv")
  columns { a: f32; city: str; n: i32 }
  x = concat(a, -a)
  fitted_ = city |> category(max = 3)
  listed = city |> category(["Rom", "Wien"])
  number_ = n |> category(2)
}
model M(x: f32[B, F]) -> (s: f32[B, F]) { return x }
train M on D {
  loss = cross_entropy(s, listed)
  predict = [a = label_of(concat(s, s[:, 0]), fitted_), b = softmax(s) |> label_of(listed), c = label_of(s, number_), d = argmax(s)]
  keep = [city]
}
"""
    run = run_of(text)
    columns = {c.name: c for c in run.unit.prediction.columns}
    assert [c.kind for c in columns.values()] == ["label", "label", "plain", "plain"]
    assert (columns["a"].table, columns["a"].count) == ("fitted_.category.table", "fitted_.category.count")
    assert columns["b"].labels == ("Rom", "Wien")
    assert run.unit.prediction.keep == ("city",)
    assert run.unit.prediction.needs == ("a",)
    np.testing.assert_array_equal(run("predict", {"a": np.array([1.0, -1.0])})["b"], [0, 1])
    assert [f.keys[0] for f in run.unit.data.fits] == ["fitted_.category.table"]


def test_fits_may_rest_on_fits(run_of: Callable[..., Any]) -> None:
    run = run_of(program("x = concat(price |> fill(median) |> standardize |> minmax)"), float_type="f64")
    x = run.prepare(COLUMNS)["x"][:, 0]
    assert (x.min(), x.max()) == (0, 1)
    fits = run.unit.data.fits
    assert [f.keys[0] for f in fits] == [
        "x.fill.median", "x.standardize.mean", "x.standardize.std", "x.minmax.least", "x.minmax.most",
    ]  # fmt: skip
    for i, fit in enumerate(fits):
        assert set(fit.depends) <= {k for f in fits[:i] for k in f.keys}


def test_splits(unit_of: Callable[..., Any]) -> None:
    def split(text: str) -> Any:
        return unit_of(program("x = pair", clauses=f"split = {text}")).data.split

    assert split("by_hash(train = 0.8, valid = 0.2, seed = 7, key = [city, n])") == type(split("by_order(train = 1.0)"))(
        "hash", ("train", "valid"), (0.8, 0.2), 7, ("city", "n")
    )
    timed = split('by_time(day, valid = "2023-01-01", test = "2023-07-01")')
    assert (timed.method, timed.names, timed.key) == ("time", ("train", "valid", "test"), ("day",))
    assert timed.boundaries == (19358, 19539)  # days since 1970-01-01, by date -d
    text = program("x = pair").replace('npz("d.npz")', '[train = npz("a.npz"), test = npz("b.npz")]')
    data = unit_of(text).data
    assert (data.split.method, data.split.names) == ("sources", ("train", "test"))
    assert [(s.name, s.split, s.paths) for s in data.sources] == [("train", "train", ("a.npz",)), ("test", "test", ("b.npz",))]


def test_headers_of_files_at_hand_are_checked(findings_of: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('a,"unit price"\n1,2\n')
    text = f"""
data D {{
  source = csv("{tmp_path}/d.csv")
  columns {{ a: f32; "unit price" as price: f32; prize: f32 }}
  x = concat(a, price)
}}
model M(x: f32[B, F]) -> (out: f32[B]) {{ return sum(x, axis = -1) }}
train M on D {{ loss = out }}
"""
    found = findings_of(text)
    assert 'has no column "prize"' in found
    assert found.count("error[") == 1
    np.savez(tmp_path / "d.npz", a=np.zeros((3, 2), np.float32), b=np.zeros(3))
    text = text.replace("csv(", "npz(").replace("d.csv", "d.npz")
    text = text.replace('a: f32; "unit price" as price: f32; prize: f32', "a: f32[3]; b: f64").replace("concat(a, price)", "a")
    assert "`a` is declared as f32[3], but" in findings_of(text)


def test_metrics(run_of: Callable[..., Any]) -> None:
    text = """
data D {
  source = npz("d.npz")
  columns { s: f32[3]; k: i32; v: f32; t: f32 }
  x = s
  y = k |> category(3)
  up = k == 1
  score = v
  truth = t
}
model M(x: f32[B, F], score: f32[B]) -> (s: f32[B, F], v: f32[B]) { return x, score }
train M on D {
  loss = cross_entropy(s, y)
  metrics = [accuracy(s, y), auc(v, up), f1 = f1(v, up), macro = f1(s, y), mae(v, truth), rmse(v, truth), r2(v, truth),
    confusion(s, y), worst = max(abs(v - truth))]
}
"""
    run = run_of(text)
    n = 50
    s, k = RNG.normal(size=(n, 3)).astype(np.float32), RNG.integers(0, 3, n)
    v, t = np.round(RNG.normal(size=n), 1).astype(np.float32), RNG.normal(size=n).astype(np.float32)  # rounded: ties
    out = run("eval", {"x": s, "y": k, "up": k == 1, "score": v, "truth": t})
    guess = s.argmax(1)
    assert out["accuracy"] == pytest.approx((guess == k).mean(), rel=1e-15)
    pairs = [(a > b) + 0.5 * (a == b) for a in v[k == 1] for b in v[k != 1]]
    assert out["auc"] == pytest.approx(np.mean(pairs), rel=1e-14)

    def f1(g: Any, y: Any) -> float:
        return float(2 * (g & y).sum() / (g.sum() + y.sum()))

    assert out["f1"] == pytest.approx(f1(v > 0, k == 1), rel=1e-15)
    # Per-class shares are f32 vectors: half a unit of 2 ** -24 each.
    assert out["macro"] == pytest.approx(np.mean([f1(guess == c, k == c) for c in range(3)]), rel=3e-7)
    error = (v - t).astype(np.float64)  # f32 differences, as the model's outputs have them
    assert out["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-14)
    assert out["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=2e-7)  # squares are rounded to f32
    assert out["r2"] == pytest.approx(1 - (error**2).sum() / ((t - t.mean(dtype=np.float64)) ** 2).sum(), rel=1e-6)
    table = np.zeros((3, 3))
    np.add.at(table, (k, guess), 1)
    np.testing.assert_array_equal(out["confusion"], table)
    assert {m.name: (m.shape, m.mode) for m in run.unit.training.metrics}["confusion"] == ((3, 3), "min")
    assert {m.name: m.mode for m in run.unit.training.metrics}["auc"] == "max"


def test_gaps_of_conditions_are_filled_by_true_or_false(run_of: Callable[..., Any]) -> None:
    text = program("x = unsqueeze(sale |> fill(WITH) |> number, 1)", columns="sale: bool?")
    columns = {**COLUMNS, "sale": (PRICE > 1) & THERE, "sale.valid": THERE}
    for word, filler in (("true", True), ("false", False)):
        x = run_of(text.replace("WITH", word)).prepare(columns)["x"]
        np.testing.assert_array_equal(x[:, 0], np.where(THERE, PRICE > 1, filler))
    with pytest.raises(AssertionError, match="wants true or false, or `mode`, not the number 0"):
        run_of(text.replace("WITH", "0"))


@pytest.mark.parametrize("symbol", ["==", "!="])
def test_conditions_are_compared(run_of: Callable[..., Any], symbol: str) -> None:
    found = output(run_of, f"concat((sold > 2) {symbol} (n > 1) |> number)")[:, 0]
    equal = (COLUMNS["sold"] > 2) == (COLUMNS["n"] > 1)
    np.testing.assert_array_equal(found, equal if symbol == "==" else ~equal)

@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("price |> fill(0) |> bucketize(4) |> onehot", "price |> fill(0) |> bucketize(bins = 4) |> onehot"),
        ("cross(city, n, 16) |> onehot", "cross(city, n, n = 16) |> onehot"),
        ("number(day - \"2015-01-01\") |> unsqueeze(-1)", "number(days_since(day, \"2015-01-01\")) |> unsqueeze(-1)"),
        ("number(\"2015-01-01\" - day) |> unsqueeze(-1)", "number(-days_since(day, \"2015-01-01\")) |> unsqueeze(-1)"),
        ("length(city) |> number |> unsqueeze(-1)", "city |> chars |> length |> number |> unsqueeze(-1)"),
    ],
)
def test_other_ways_to_write_it(run_of: Callable[..., Any], expression: str, same: str) -> None:
    found = output(run_of, expression)
    np.testing.assert_array_equal(found, output(run_of, same))
    assert len(np.unique(found, axis=0)) > 1


def test_cross_without_a_size_tells_all_pairs_apart(run_of: Callable[..., Any]) -> None:
    found = output(run_of, "cross(city, n) |> onehot(max = 32)").argmax(axis=-1)
    pairs = [f"{c} {n}" for c, n in zip(CITY, COLUMNS["n"], strict=True)]
    assert len({*zip(pairs, found.tolist(), strict=True)}) == len({*pairs}) == len({*found.tolist()})


def test_mode_of_floats_has_one_zero_and_no_nan(run_of: Callable[..., Any]) -> None:
    cells = np.array([0.0, -0.0, np.nan, np.nan, np.nan, 2.5, 2.5, -1.0, 0.0, 7.0], np.float32)
    there = np.arange(10) < 9
    run = run_of(program("x = concat(price |> fill(mode))"), float_type="f64")
    rows = {k: v[:10] for k, v in COLUMNS.items()} | {"price": cells, "price.valid": there}
    assert run.prepare(rows)["x"][9, 0] == 0
    assert not np.signbit(run.store["x.fill.mode"])


def test_counts_of_words_by_row(run_of: Callable[..., Any]) -> None:
    texts = np.array(["b a b", "", "a c b b b", "b"], dtype=object)
    rows = {k: v[:4] for k, v in COLUMNS.items()} | {"city": texts}
    run = run_of(program("x = city |> words |> vocab(max = 3) |> counts"), float_type="f64")
    np.testing.assert_array_equal(run.prepare(rows)["x"], [[2, 1, 0], [0, 0, 0], [3, 1, 1], [1, 0, 0]])


@pytest.mark.parametrize(
    ("clause", "says"),
    [
        ("x = price |> fill(0) |> quantile", "`x |> to_uniform`"),
        ("x = number(month(day)) + (month(day) |> onehot(12) |> sum(axis = -1))", "`x |> onehot`"),
        ("x = number(city in [\"Rom\"])", "`is_in(x, "),
        ("x = city |> words |> counts", "`vocab(max = n)`"),
        ("x = n |> count_encode |> unsqueeze(-1)", "`x |> category(max = 100)`"),
        ("x = pair; split = city", "`by_column(city)`"),
        ("x = pair; split = by_hash(by = city, train = 0.5)", "`key = [city]`"),
        ("x = pair; split = by_time(train = 0.5, test = 0.5, column = day)", "`by_order(train = 0.8, test = 0.2)`"),
    ],
)
def test_what_is_meant_is_said(findings_of: Callable[..., str], clause: str, says: str) -> None:
    assert says in findings_of(program(clause))

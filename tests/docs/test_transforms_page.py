"""The program of the page on transforms, from a csv file to predictions for rows with gaps and values never seen."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import bmc

PAGE = Path(__file__).parent.parent.parent / "docs" / "transforms.md"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def rides(path: Path, rows: int) -> None:
    """Fares that depend on rain, hour, seats and city, with gaps."""
    rng = np.random.default_rng(2)
    lines = ["taken,city,driver,rain,seats,fare,id"]
    for i in range(rows):
        city, hour, seats, rain = int(rng.integers(0, 8)), int(rng.integers(0, 24)), int(rng.integers(1, 8)), float(rng.normal())
        fare = (3 + city + (hour > 20) * 4 + seats * 0.5) * np.exp(0.2 * rain)
        taken, driver = f"2024-0{1 + i % 9}-1{i % 9} {hour:02}:30:00", f"d{int(rng.integers(0, 30))}"
        cells = [taken, f"c{city}", driver, f"{rain:.3f}", str(seats)]
        for place in (0, 2, 3, 4):
            cells[place] = "" if rng.random() < 0.1 else cells[place]
        lines.append(",".join([*cells, f"{fare:.2f}" if i % 50 else "0", str(10**12 + i)]))
    path.write_text("\n".join(lines) + "\n")


def test_the_program_learns_and_takes_rows_never_seen(tmp_path: Path) -> None:
    rides(tmp_path / "rides.csv", 2000)
    (found,) = re.findall(r"^```bm\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    (tmp_path / "rides.bm").write_text(found)
    fares = {}
    for fold in (0, 3):
        program = bmc.compile(tmp_path / "rides.bm", overrides={"FOLD": fold, "epochs": 6, "optimizer": "adam(lr = 3e-3)"})
        model = program.train()
        scores = model.evaluate("test")
        assert scores.loss < 0.2  # of a standardized target: predicting its mean gives some 0.4
        sizes = [model.evaluate(split).rows for split in ("train", "valid", "test")]
        assert sum(sizes) == 1960  # fares of 0 aside
        rows = {
            "taken": [None, "2031-12-31 23:59:59"], "city": ["nowhere", "c1"], "driver": [None, "unheard"], "rain": [None, 900.0],
            "seats": [None, -5],
        }  # fmt: skip
        whole = model.predict(rows)["fare"]
        assert np.isfinite(whole).all()
        for i in range(2):
            assert model.predict({name: cells[i : i + 1] for name, cells in rows.items()})["fare"].tobytes() == whole[i].tobytes()
        fares[fold] = whole.tolist()
    assert fares[0] != fares[3]

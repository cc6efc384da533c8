"""What is shown while data is read."""

from __future__ import annotations

import pytest

from bmc.cli import progress
from bmc.cli.progress import TrainDisplay


def test_reading_shows_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([5.0, 6.0, 16.0, 17.0, 27.0])
    monkeypatch.setattr(progress, "perf_counter", lambda: next(clock))
    display = TrainDisplay(None)
    for done in (0, 1_000_000, 550_000_000, 600_000_000, 1_100_000_000):
        display.on_read(done, 2_000_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "read 550 MB of 2 GB (28 %), 50 MB/s",
        "read 1.1 GB of 2 GB (55 %), 50 MB/s",
    ]


def test_a_size_that_nobody_knows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([5.0, 25.0])
    monkeypatch.setattr(progress, "perf_counter", lambda: next(clock))
    display = TrainDisplay(None)
    display.on_read(0, None)
    display.on_read(4000, None)
    assert capsys.readouterr().err == "read 4 kB, 200 B/s\n"


def test_passes_of_fitting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([5.0, 15.0, 25.0])
    monkeypatch.setattr(progress, "perf_counter", lambda: next(clock))
    display = TrainDisplay(None)
    for done in (1000, 100_000, 150_000):
        display.on_fit(done, 100_000)
    assert capsys.readouterr().err.splitlines() == [
        "fitting, pass 1: 100 %, 10,000 rows/s",
        "fitting, pass 2: 50 %, 7,500 rows/s",
    ]

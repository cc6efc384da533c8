"""The default settings are good ones: test scores beside scikit-learn's nets of the same size (`benchmarks/tables.py`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("table", ["wine", "breast_cancer", "diabetes"])
def test_scores_are_not_below_scikit_learns(table: str) -> None:
    """Over five splits: one of 36 to 114 test rows alone would be off by several points either way."""
    pytest.importorskip("sklearn")
    pytest.importorskip("mlxtend")
    path = os.pathsep.join(str(p) for p in (ROOT, ROOT / "runtime", ROOT / "grammar", ROOT / "benchmarks"))
    command = [sys.executable, ROOT / "benchmarks" / "tables.py", table, "--seeds", "5"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kept" in done.stdout

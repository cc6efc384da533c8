"""What the tests of elaboration share: units from text, their diagnostics as text, and runs of their functions by reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from bmc.errors import Diagnostic
from bmc.errors.render import render
from bmc.frontend.elaborate import elaborate
from bmc.frontend.unit import Unit
from bmc.ops.evaluate import bindings_of, evaluate
from bmc.passes.autodiff import autodiff
from bmc.source import SourceFile

CONTROL_F = np.array([1.0, 0.0, 0.0, 0.0])


class Run:
    """A unit whose functions run by the reference evaluator; `store` holds weights, states, moments and fitted values."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.store: dict[str, Any] = {}

    def control(self, step: int, steps: int = 100, rows: int = 0, seed: int = 0) -> Any:
        return np.array([seed, step, 0, steps, 0, rows, 0, 0], dtype=np.int64)

    def __call__(
        self, name: str, inputs: Mapping[str, Any] | None = None, step: int = 0, steps: int = 100, rows: int = 0
    ) -> dict[str, Any]:
        """Results of one function by key; updates are kept in the store as well."""
        function = autodiff(self.unit.module.function(name))
        given = {"control": self.control(step, steps, rows), "control_f": CONTROL_F, **self.store, **(inputs or {})}
        arrays = {p.key: np.asarray(given[p.key]) for p in function.params}
        arrays = {
            p.key: arrays[p.key] if p.value.type.dtype == "str" else arrays[p.key].astype(dtypes[p.value.type.dtype])
            for p in function.params
        }
        results = evaluate(function, arrays, bindings_of(function, arrays), np)
        self.store.update({r.key: results[r.key] for r in function.results if r.role == "update"})
        return results

    def prepare(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Initial values, fits in order, and the data outputs of some columns."""
        self("init")
        assert self.unit.data is not None
        for fit in self.unit.data.fits:
            self(fit.function, columns)
        return self("data", columns)


dtypes = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "u8": np.uint8, "bool": np.bool_}


def texts(diagnostics: tuple[Diagnostic, ...]) -> str:
    return "\n".join(render(d) for d in diagnostics)


@pytest.fixture
def unit_of() -> Callable[..., Unit]:
    """The unit of a text; fails with the diagnostics."""

    def make(text: str, select: str | None = None, **options: Any) -> Unit:
        unit, diagnostics = elaborate([SourceFile("m.bm", text)], select, **options)
        assert unit is not None, texts(diagnostics)
        return unit

    return make


@pytest.fixture
def run_of(unit_of: Callable[..., Unit]) -> Callable[..., Run]:
    def make(text: str, select: str | None = None, **options: Any) -> Run:
        return Run(unit_of(text, select, **options))

    return make


@pytest.fixture
def findings_of() -> Callable[..., str]:
    """All diagnostics of a text, rendered."""

    def make(text: str, select: str | None = None, **options: Any) -> str:
        return texts(elaborate([SourceFile("m.bm", text)], select, **options)[1])

    return make

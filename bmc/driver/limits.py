"""A run-time dim that a slice does not allow, as a diagnostic: a sequence that is longer than its table of positions.

In: what the runtime raised, and the unit. Out: a `BmcError` that shows the slice, and where the sliced parameter is declared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bmc.driver import run_errors
from bmc.errors import BmcError
from bmc.frontend.unit import Unit
from bmc.passes.memory.limits import demands
from bmc.source import Span
from bmc_runtime.binding import BeyondLimit

__all__ = ["explained_limits"]


@contextmanager
def explained_limits(unit: Unit) -> Iterator[None]:
    """Raises BmcError in the place of BeyondLimit."""
    try:
        yield
    except BeyondLimit as error:
        raise BmcError(run_errors.beyond_limit(str(error), *_places(unit, error.text))) from None


def _places(unit: Unit, text: str) -> tuple[tuple[Span, ...], Span | None]:
    """Where the slice stands, and the parameter that it is of, if it is one."""
    declared = {spec.key: spec.span for spec in unit.weights}
    for function in unit.module.functions:
        keys = {param.value: param.key for param in function.params if param.role == "weight"}
        for limit, op in demands(function):
            if limit.text == text:
                return op.location.spans, declared.get(keys.get(op.operands[0], ""))
    return (), None

"""Building operations with inferred types: the one way by which stages make IR.

In: operator names, operand values, attributes. Out: values, with the operations appended in order. Guaranteed: each operation has
the result types of its operator's type rule and a location.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bmc.ir import NOWHERE, Location, Operation, Region, Value
from bmc.ops.registry import NoAttrs, TypeRuleError
from bmc.ops.table import definition

__all__ = ["Builder"]


class Builder:
    """Appends operations to `ops`. `location` is what new operations get unless told otherwise."""

    def __init__(self, location: Location = NOWHERE) -> None:
        self.ops: list[Operation] = []
        self.location = location

    @contextmanager
    def at(self, location: Location) -> Iterator[None]:
        """Operations built inside get `location`."""
        before, self.location = self.location, location
        try:
            yield
        finally:
            self.location = before

    def operation(
        self, name: str, operands: Sequence[Value], attrs: object = NoAttrs(), regions: tuple[Region, ...] = (), hint: str = ""
    ) -> Operation:
        """Append one operation. Raises TypeRuleError when the operand types do not fit."""
        record = definition(name)
        least, most = record.arity if isinstance(record.arity, tuple) else (record.arity, record.arity)
        if len(operands) < least or (most is not None and len(operands) > most):
            raise TypeRuleError(f"{name} takes {least} operands, not {len(operands)}")
        types = record.infer([v.type for v in operands], attrs)
        op = Operation(name, tuple(operands), attrs, tuple(Value(t, hint) for t in types), regions, self.location)
        self.ops.append(op)
        return op

    def emit(self, name: str, *operands: Value, attrs: object = NoAttrs(), hint: str = "") -> Value:
        """Append an operation of one result and return the result."""
        return self.operation(name, operands, attrs, hint=hint).result

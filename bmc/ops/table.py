"""The registry itself: all operator records by name, collected from the modules of this folder."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bmc.ops import binary, choice, contract, control, index, order, random, reduce, shape, sources, text, unary
from bmc.ops.kernel import kernel_operator
from bmc.ops.registry import Operator

__all__ = ["definition", "operators"]

_MODULES = (unary, binary, choice, sources, random, shape, reduce, contract, index, order, text, control)


def _collect() -> Mapping[str, Operator]:
    records: dict[str, Operator] = {}
    for record in (*(record for module in _MODULES for record in module.OPERATORS), kernel_operator(definition)):
        if record.name in records:
            raise TypeError(f"operator {record.name} is defined twice")
        records[record.name] = record
    return MappingProxyType(records)


def operators() -> Mapping[str, Operator]:
    """All operators by name."""
    return _TABLE


def definition(name: str) -> Operator:
    """The record of one operator; KeyError when there is none."""
    return _TABLE[name]


_TABLE = _collect()

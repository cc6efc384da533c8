"""The registry itself: all operator records by name, collected from the modules of this folder."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bmc.ops import arithmetic
from bmc.ops.registry import Operator

__all__ = ["definition", "operators"]


def _collect() -> Mapping[str, Operator]:
    records: dict[str, Operator] = {}
    for module in (arithmetic,):
        for record in module.OPERATORS:
            if record.name in records:
                raise TypeError(f"operator {record.name} is defined twice")
            records[record.name] = record
    return MappingProxyType(records)


_TABLE = _collect()


def operators() -> Mapping[str, Operator]:
    """All operators by name."""
    return _TABLE


def definition(name: str) -> Operator:
    """The record of one operator; KeyError when there is none."""
    return _TABLE[name]

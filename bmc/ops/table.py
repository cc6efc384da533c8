"""The registry itself: all operator records by name, collected from the modules of this folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType

from bmc.ops import (
    binary,
    cache,
    choice,
    contract,
    control,
    index,
    kernel,
    order,
    pool,
    random,
    reduce,
    scan,
    shape,
    sources,
    statistics,
    text,
    text_find,
    text_parts,
    unary,
    window,
)
from bmc.ops.registry import Operator

__all__ = ["chapters", "definition", "operators"]

_MODULES = (
    unary, binary, choice, sources, random, shape, window, pool, reduce, contract, index, order, statistics, text, text_find,
    text_parts, cache, control,
)  # fmt: skip


def operators() -> Mapping[str, Operator]:
    """All operators by name."""
    return _TABLE


def definition(name: str) -> Operator:
    """The record of one operator; KeyError when there is none."""
    return _TABLE[name]


def chapters() -> Sequence[tuple[str, Sequence[Operator]]]:
    """All operators by what they are about: the first sentence of each module, and the module's records."""
    return _CHAPTERS


def _title(module: ModuleType) -> str:
    return " ".join((module.__doc__ or "").split()).split(". ")[0].rstrip(".")


def _collect() -> Mapping[str, Operator]:
    records: dict[str, Operator] = {}
    for _, chapter in _CHAPTERS:
        for record in chapter:
            if record.name in records:
                raise TypeError(f"operator {record.name} is defined twice")
            records[record.name] = record
    return MappingProxyType(records)


_CHAPTERS: Sequence[tuple[str, Sequence[Operator]]] = (
    *((_title(module), module.OPERATORS) for module in _MODULES),
    (_title(scan), (scan.scan_operator(definition), scan.loop_operator(definition))),
    (_title(kernel), (kernel.kernel_operator(definition),)),
)
_TABLE = _collect()

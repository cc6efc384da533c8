"""Random sites as numbers that kernels are called with, so that layers which differ in nothing else share their code.

In: an operation to be written. Out: the same with a run-time number in the place of each site's name, and what the numbers are.
Guaranteed: numbers are named in the order in which sites first appear, so equal layers become equal operations.
"""

from __future__ import annotations

from collections.abc import Mapping

from bmc.ir import Operation, Poly, Region
from bmc.ops import philox
from bmc.ops.random import PlacedRandomAttrs, RandomAttrs
from bmc.record import replace

__all__ = ["without_sites"]


def without_sites(op: Operation) -> tuple[Operation, Mapping[str, int]]:
    """The operation, and the value of each number by name, as a signed 64-bit integer."""
    sites: dict[str, str] = {}
    made = _placed(op, sites)
    return made, {name: _signed(philox.site_hash(site)) for site, name in sites.items()}


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


def _placed(op: Operation, sites: dict[str, str]) -> Operation:
    if isinstance(op.attrs, RandomAttrs):
        a = op.attrs
        name = sites.setdefault(a.site, f"site.{len(sites):06}")
        return replace(op, attrs=PlacedRandomAttrs(a.dtype, a.shape, Poly.symbol(name), a.rows))
    if not op.regions:
        return op
    regions = tuple(_placed_region(region, sites) for region in op.regions)
    return op if all(a is b for a, b in zip(regions, op.regions, strict=True)) else replace(op, regions=regions)


def _placed_region(region: Region, sites: dict[str, str]) -> Region:
    ops = tuple(_placed(op, sites) for op in region.ops)
    return region if all(a is b for a, b in zip(ops, region.ops, strict=True)) else replace(region, ops=ops)

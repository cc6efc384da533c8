"""Kernels of their own, for operators that are neither element-wise nor a fold nor a product, by the name in `Opaque.kernel`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from llvmlite import ir

from bmc.codegen.opaque.movement import (
    emit_append,
    emit_bincount,
    emit_concat,
    emit_gather,
    emit_pad,
    emit_scatter_add,
    emit_scatter_along,
    emit_take_along,
)
from bmc.codegen.opaque.pooling import emit_max_pool_grad
from bmc.codegen.opaque.search import emit_argmax, emit_argmin, emit_cumsum, emit_search_sorted, emit_sort, emit_top_k
from bmc.codegen.opaque.text import emit_int_lookup, emit_str_default, emit_str_equal, emit_str_lookup, emit_str_select
from bmc.codegen.opaque.text_find import emit_str_find
from bmc.codegen.opaque.text_parts import emit_int_hash, emit_str_bytes, emit_str_count, emit_str_hash, emit_str_parts
from bmc.ir import Operation

__all__ = ["OPAQUE_KERNELS"]

OPAQUE_KERNELS: Final[Mapping[str, Callable[[ir.Module, str, Operation, bool], ir.Function]]] = MappingProxyType(
    {
        "append": emit_append,
        "argmax": emit_argmax,
        "argmin": emit_argmin,
        "bincount": emit_bincount,
        "concat": emit_concat,
        "cumsum": emit_cumsum,
        "gather": emit_gather,
        "int_hash": emit_int_hash,
        "int_lookup": emit_int_lookup,
        "max_pool_grad": emit_max_pool_grad,
        "pad": emit_pad,
        "scatter_add": emit_scatter_add,
        "scatter_along": emit_scatter_along,
        "search_sorted": emit_search_sorted,
        "sort": emit_sort,
        "str_bytes": emit_str_bytes,
        "str_count": emit_str_count,
        "str_equal": emit_str_equal,
        "str_hash": emit_str_hash,
        "str_lookup": emit_str_lookup,
        "str_parts": emit_str_parts,
        "str_default": emit_str_default,
        "str_find": emit_str_find,
        "str_select": emit_str_select,
        "take_along": emit_take_along,
        "top_k": emit_top_k,
    }
)

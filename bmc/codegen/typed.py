"""What the types of the IR leave open, checked where code generation relies on it: element dtypes and attributes.

A failure is a bug of the compiler: the verifier has seen every operation before it comes here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeVar

from bmc.errors import CompilerBug
from bmc.ir import Operation, Value
from bmc.ops.element import Dtype

__all__ = ["attributes", "element_dtype", "float_dtype_of"]

_ELEMENTS: Final[Mapping[str, Dtype]] = MappingProxyType(
    {"bool": "bool", "u8": "u8", "i32": "i32", "i64": "i64", "f32": "f32", "f64": "f64"}
)

A = TypeVar("A")


def element_dtype(dtype: str) -> Dtype:
    """A dtype whose elements fit registers: any but `str`."""
    found = _ELEMENTS.get(dtype)
    if found is None:
        raise CompilerBug("codegen", f"{dtype} is no element type")
    return found


def float_dtype_of(value: Value) -> Literal["f32", "f64"]:
    """The dtype of a value of floats."""
    dtype = value.type.dtype
    if dtype == "f32":
        return "f32"
    if dtype == "f64":
        return "f64"
    raise CompilerBug("codegen", f"{value.type} is no tensor of floats")


def attributes(op: Operation, kind: type[A]) -> A:
    """The attributes of an operation whose operator has attributes `kind`."""
    if not isinstance(op.attrs, kind):
        raise CompilerBug("codegen", f"{op.name} has no {kind.__name__}")
    return op.attrs

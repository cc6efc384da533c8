"""Types of values: a dtype and a shape.

`str` is the dtype of text cells (UTF-8 bytes with offsets at run time); `bool` and `u8` take a byte each. Rank 0,
zero-size dims and several free dims at once are legal everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from bmc.ir.dims import Dim, Poly, Shape, product

__all__ = ["DTYPES", "FLOATS", "INTEGERS", "ITEM_BYTES", "TensorType", "is_float", "is_integer"]

DTYPES = ("bool", "u8", "i32", "i64", "f32", "f64", "str")
FLOATS = ("f32", "f64")
INTEGERS = ("u8", "i32", "i64")
ITEM_BYTES = {"bool": 1, "u8": 1, "i32": 4, "i64": 8, "f32": 4, "f64": 8}


def is_float(dtype: str) -> bool:
    return dtype in FLOATS


def is_integer(dtype: str) -> bool:
    return dtype in INTEGERS


@dataclass(frozen=True)
class TensorType:
    """`dtype[shape]`, row-major."""

    dtype: str
    shape: Shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def elements(self) -> Dim:
        return product(self.shape)

    @property
    def is_static(self) -> bool:
        return not any(isinstance(dim, Poly) for dim in self.shape)

    def with_shape(self, shape: Shape) -> TensorType:
        return TensorType(self.dtype, shape)

    def with_dtype(self, dtype: str) -> TensorType:
        return TensorType(dtype, self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"

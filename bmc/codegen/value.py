"""Values of one element type in LLVM IR: their types in registers and memory, and the text of constants.

In: an element type. Out: LLVM types, sizes, and `Value`, the pair of an IR value and its element type. A bool is an i1
in registers and a byte (0 or 1) in memory.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

from llvmlite import ir

from bmc.ops.element import INTEGER_DTYPES, Dtype

_SCALAR_TYPES: Final[dict[str, ir.Type]] = {
    "bool": ir.IntType(1),
    "u8": ir.IntType(8),
    "i32": ir.IntType(32),
    "i64": ir.IntType(64),
    "f32": ir.FloatType(),
    "f64": ir.DoubleType(),
}
BITS: Final[dict[str, int]] = {"bool": 1, "u8": 8, "i32": 32, "i64": 64, "f32": 32, "f64": 64}
_BYTES: Final[dict[str, int]] = {"bool": 1, "u8": 1, "i32": 4, "i64": 8, "f32": 4, "f64": 8}

BYTE: Final = ir.IntType(8)
I64: Final = ir.IntType(64)
POINTER: Final = ir.PointerType()


@dataclass(frozen=True)
class Value:
    """W elements of one dtype: an IR value of the scalar type (W = 1) or of a vector type."""

    ir: ir.Value
    dtype: Dtype


def scalar_type(dtype: Dtype) -> ir.Type:
    """The register type of one element."""
    return _SCALAR_TYPES[dtype]


def memory_type(dtype: Dtype) -> ir.Type:
    """The type of one element in memory: the register type, but a byte for a bool."""
    return BYTE if dtype == "bool" else _SCALAR_TYPES[dtype]


def size_of(dtype: Dtype) -> int:
    """Bytes of one element in memory."""
    return _BYTES[dtype]


def int_dtype_of(dtype: Dtype) -> Dtype:
    """The integer dtype with the size of a float dtype."""
    return "i32" if dtype == "f32" else "i64"


def literal(dtype: Dtype, value: float) -> str:
    """The text of a scalar constant. f32 is printed as the double it equals, as LLVM wants."""
    if dtype == "bool":
        return "true" if value else "false"
    if dtype in INTEGER_DTYPES:
        bits = BITS[dtype]
        wrapped = int(value) & ((1 << bits) - 1)
        return str(wrapped - (1 << bits) if dtype != "u8" and wrapped >> (bits - 1) else wrapped)
    double = float(value)
    if dtype == "f32" and math.isfinite(double):
        try:
            double = struct.unpack("<f", struct.pack("<f", double))[0]
        except OverflowError:
            double = math.copysign(math.inf, double)
    return f"0x{struct.unpack('<Q', struct.pack('<d', double))[0]:016x}"

"""The output function of splitmix64 (Steele, Lea, Flood 2014), a bijection of 64 bits: of values at run time, and of constants."""

from __future__ import annotations

from llvmlite import ir

from bmc.codegen.value import I64

__all__ = ["mixed", "mixed_constant", "word"]

_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def word(value: int) -> ir.Constant:
    """64 bits as LLVM's signed constants have them."""
    return ir.Constant(I64, value - (1 << 64) if value >> 63 else value)


def mixed(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The word that comes from state x."""
    x = builder.add(x, word(_STEP))
    x = builder.mul(builder.xor(x, builder.lshr(x, I64(30))), word(_FIRST))
    x = builder.mul(builder.xor(x, builder.lshr(x, I64(27))), word(_SECOND))
    return builder.xor(x, builder.lshr(x, I64(31)))


def mixed_constant(x: int) -> ir.Constant:
    """The same of a number that is known."""
    x = (x + _STEP) & _MASK
    x = ((x ^ (x >> 30)) * _FIRST) & _MASK
    x = ((x ^ (x >> 27)) * _SECOND) & _MASK
    return word(x ^ (x >> 31))

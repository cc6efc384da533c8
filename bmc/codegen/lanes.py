"""Basic operations on W elements at once, as LLVM IR: arithmetic, comparison, conversion, bits and memory.

In: an llvmlite `IRBuilder`, a width W (1: scalars, else vectors of W elements) and the FMA class of the target.
Out: instructions at the builder's position. `Lanes` is all that the polynomials of `bmc.codegen.math` need; `Emitter`
adds them and is the whole `ElementBuilder`.

Guaranteed: no fast-math flag is ever set, so an instruction is exactly its IEEE operation, and every method computes
each element from that element's operands alone, by the same operations at every width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from llvmlite import ir

from bmc.codegen.value import BITS, BYTE, I64, POINTER, Value, literal, memory_type, scalar_type, size_of
from bmc.ops.element import FLOAT_DTYPES, INTEGER_DTYPES, Dtype, Element, Predicate

_COMPARISONS: Final[dict[str, str]] = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_OVERLOAD: Final[dict[str, str]] = {"bool": "i1", "u8": "i8", "i32": "i32", "i64": "i64", "f32": "f32", "f64": "f64"}


class Lanes:
    """Emits basic operations on values of `width` elements at the position of `builder`.

    `fused` is the FMA class: True makes `fma` one rounding (llvm.fma), False a product and a sum.
    """

    def __init__(self, builder: ir.IRBuilder, width: int, fused: bool) -> None:
        if width < 1:
            raise ValueError(f"a vector has at least one element, not {width}")
        self.builder = builder
        self.width = width
        self.fused = fused

    # --- types and constants -----------------------------------------------------------------------------------
    def type_of(self, dtype: Dtype) -> ir.Type:
        """The register type of a value of this width."""
        return self._wide(scalar_type(dtype))

    def constant(self, dtype: Dtype, value: float) -> Value:
        text = literal(dtype, value)
        if self.width == 1:
            return Value(ir.FormattedConstant(scalar_type(dtype), text), dtype)
        # llvmlite would write the literal W times, which LLVM would then parse W times.
        splat = ir.FormattedConstant(scalar_type(dtype), f"splat ({scalar_type(dtype)} {text})")
        splat.type = self.type_of(dtype)
        return Value(splat, dtype)

    def lane_numbers(self) -> Value:
        """0, 1, ... W - 1 as i64."""
        if self.width == 1:
            return self.constant("i64", 0)
        return Value(ir.Constant(self.type_of("i64"), list(range(self.width))), "i64")

    def broadcast(self, scalar: ir.Value, dtype: Dtype) -> Value:
        """A scalar IR value of the dtype's register type, in every lane."""
        if self.width == 1:
            return Value(scalar, dtype)
        vector = self.type_of(dtype)
        first = self.builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.width), None)
        return Value(self.builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros), dtype)

    def extract(self, x: Element, lane: int) -> ir.Value:
        """The scalar IR value in one lane."""
        value = self._value(x)
        return value.ir if self.width == 1 else self.builder.extract_element(value.ir, ir.IntType(32)(lane))

    def collect(self, scalars: Sequence[ir.Value], dtype: Dtype) -> Value:
        """W scalar IR values as the lanes of one value."""
        if len(scalars) != self.width:
            raise ValueError(f"{len(scalars)} scalars cannot fill {self.width} lanes")
        if self.width == 1:
            return Value(scalars[0], dtype)
        vector: ir.Value = ir.Constant(self.type_of(dtype), ir.Undefined)
        for lane, scalar in enumerate(scalars):
            vector = self.builder.insert_element(vector, scalar, ir.IntType(32)(lane))
        return Value(vector, dtype)

    # --- memory ------------------------------------------------------------------------------------------------
    def load(self, pointer: ir.Value, offset: ir.Value, dtype: Dtype) -> Value:
        """W consecutive elements, from element `offset` (i64) of the array at `pointer`; aligned to one element."""
        address = self._address(pointer, offset, dtype)
        loaded = self.builder.load(address, align=size_of(dtype), typ=self._wide(memory_type(dtype)))
        return self._from_memory(loaded, dtype)

    def store(self, x: Element, pointer: ir.Value, offset: ir.Value) -> None:
        """Write W consecutive elements from element `offset` of the array at `pointer`."""
        value = self._value(x)
        address = self._address(pointer, offset, value.dtype)
        self.builder.store(self._to_memory(value), address, align=size_of(value.dtype))

    def masked_load(self, pointer: ir.Value, offset: ir.Value, dtype: Dtype, mask: Element) -> Value:
        """As `load` where the bool `mask` holds; elsewhere memory is not touched and the element is zero."""
        address = self._address(pointer, offset, dtype)
        vector = ir.VectorType(memory_type(dtype), self.width)
        mask_vector = self._as_vector(self._value(mask, "bool"))
        name = f"llvm.masked.load.v{self.width}{_OVERLOAD['u8' if dtype == 'bool' else dtype]}.p0"
        align = ir.IntType(32)
        function = self.declare(name, vector, [POINTER, align, mask_vector.type, vector])
        zeros = ir.Constant(vector, None)
        loaded = self.builder.call(function, [address, align(size_of(dtype)), mask_vector, zeros])
        return self._from_memory(self._first_if_scalar(loaded), dtype)

    def masked_store(self, x: Element, pointer: ir.Value, offset: ir.Value, mask: Element) -> None:
        """As `store` where the bool `mask` holds; elsewhere memory is not touched."""
        value = self._value(x)
        address = self._address(pointer, offset, value.dtype)
        mask_vector = self._as_vector(self._value(mask, "bool"))
        stored = self._as_vector(Value(self._to_memory(value), value.dtype))
        name = f"llvm.masked.store.v{self.width}{_OVERLOAD['u8' if value.dtype == 'bool' else value.dtype]}.p0"
        align = ir.IntType(32)
        function = self.declare(name, ir.VoidType(), [stored.type, POINTER, align, mask_vector.type])
        self.builder.call(function, [stored, address, align(size_of(value.dtype)), mask_vector])

    def load_scalar(self, pointer: ir.Value, offset: ir.Value, dtype: Dtype) -> Value:
        """One element, in every lane."""
        address = self._address(pointer, offset, dtype)
        loaded = self.builder.load(address, align=size_of(dtype), typ=memory_type(dtype))
        if dtype == "bool":
            loaded = self.builder.icmp_unsigned("!=", loaded, BYTE(0))
        return self.broadcast(loaded, dtype)

    def tail_mask(self, count: ir.Value) -> Value:
        """The bool that holds in the lanes below `count` (i64)."""
        lanes = self.lane_numbers()
        return self.compare("lt", lanes, self.broadcast(count, "i64"))

    # --- arithmetic --------------------------------------------------------------------------------------------
    def add(self, x: Element, y: Element) -> Value:
        a, b = self._numbers(x, y)
        emit = self.builder.fadd if a.dtype in FLOAT_DTYPES else self.builder.add
        return Value(emit(a.ir, b.ir), a.dtype)

    def sub(self, x: Element, y: Element) -> Value:
        a, b = self._numbers(x, y)
        emit = self.builder.fsub if a.dtype in FLOAT_DTYPES else self.builder.sub
        return Value(emit(a.ir, b.ir), a.dtype)

    def mul(self, x: Element, y: Element) -> Value:
        a, b = self._numbers(x, y)
        emit = self.builder.fmul if a.dtype in FLOAT_DTYPES else self.builder.mul
        return Value(emit(a.ir, b.ir), a.dtype)

    def div(self, x: Element, y: Element) -> Value:
        a, b = self._floats(x, y)
        return Value(self.builder.fdiv(a.ir, b.ir), a.dtype)

    def floor_div(self, x: Element, y: Element) -> Value:
        return self._divide(x, y)[0]

    def rem(self, x: Element, y: Element) -> Value:
        return self._divide(x, y)[1]

    def fma(self, x: Element, y: Element, z: Element) -> Value:
        a, b = self._floats(x, y)
        c = self._value(z, a.dtype)
        if not self.fused:
            return self.add(self.mul(a, b), c)
        return self._intrinsic("llvm.fma", a.dtype, a, b, c)

    def neg(self, x: Element) -> Value:
        a = self._number(x)
        emit = self.builder.fneg if a.dtype in FLOAT_DTYPES else self.builder.neg
        return Value(emit(a.ir), a.dtype)

    def abs(self, x: Element) -> Value:
        a = self._number(x)
        if a.dtype in FLOAT_DTYPES:
            return self._intrinsic("llvm.fabs", a.dtype, a)
        if a.dtype == "u8":
            return a
        return self.select(self.compare("lt", a, self.constant(a.dtype, 0)), self.neg(a), a)

    def sign(self, x: Element) -> Value:
        a = self._number(x)
        zero, one = self.constant(a.dtype, 0), self.constant(a.dtype, 1)
        positive = self.compare("gt", a, zero)
        if a.dtype == "u8":
            return self.select(positive, one, zero)
        return self.select(positive, one, self.select(self.compare("lt", a, zero), self.constant(a.dtype, -1), a))

    def minimum(self, x: Element, y: Element) -> Value:
        return self._extremum("<", x, y)

    def maximum(self, x: Element, y: Element) -> Value:
        return self._extremum(">", x, y)

    def clamp_above(self, x: Element, limit: float) -> Value:
        """x, but `limit` where x is greater. NaN stays."""
        a = self._number(x)
        bound = self.constant(a.dtype, limit)
        return self.select(self.compare("gt", a, bound), bound, a)

    def clamp_below(self, x: Element, limit: float) -> Value:
        """x, but `limit` where x is less. NaN stays."""
        a = self._number(x)
        bound = self.constant(a.dtype, limit)
        return self.select(self.compare("lt", a, bound), bound, a)

    def copy_sign(self, magnitude: Element, sign: Element) -> Value:
        """`magnitude` with the sign bit of `sign`."""
        a, b = self._floats(magnitude, sign)
        return self._intrinsic("llvm.copysign", a.dtype, a, b)

    def sqrt(self, x: Element) -> Value:
        a = self._float(x)
        return self._intrinsic("llvm.sqrt", a.dtype, a)

    def rsqrt(self, x: Element) -> Value:
        a = self._float(x)
        return self.div(self.constant(a.dtype, 1.0), self.sqrt(a))

    def floor(self, x: Element) -> Value:
        a = self._float(x)
        return self._intrinsic("llvm.floor", a.dtype, a)

    def ceil(self, x: Element) -> Value:
        a = self._float(x)
        return self._intrinsic("llvm.ceil", a.dtype, a)

    def round(self, x: Element) -> Value:
        a = self._float(x)
        return self._intrinsic("llvm.roundeven", a.dtype, a)

    def trunc(self, x: Element) -> Value:
        a = self._float(x)
        return self._intrinsic("llvm.trunc", a.dtype, a)

    def power_integer(self, x: Element, exponent: int) -> Value:
        a = self._number(x)
        if exponent < 0 and a.dtype not in FLOAT_DTYPES:
            raise TypeError(f"a negative power of {a.dtype} has no value")
        remaining, square = abs(exponent), a
        product: Value | None = None
        while remaining:
            if remaining & 1:
                product = square if product is None else self.mul(product, square)
            remaining >>= 1
            if remaining:
                square = self.mul(square, square)
        one = self.constant(a.dtype, 1)
        if product is None:
            return one
        return self.div(one, product) if exponent < 0 else product

    # --- comparison, choice, logic -----------------------------------------------------------------------------
    def compare(self, predicate: Predicate, x: Element, y: Element) -> Value:
        a, b = self._same(x, y)
        comparison = _COMPARISONS[predicate]
        if a.dtype in FLOAT_DTYPES:
            emit = self.builder.fcmp_unordered if predicate == "ne" else self.builder.fcmp_ordered
        else:
            emit = self.builder.icmp_signed if a.dtype in ("i32", "i64") else self.builder.icmp_unsigned
        return Value(emit(comparison, a.ir, b.ir), "bool")

    def select(self, condition: Element, x: Element, y: Element) -> Value:
        a, b = self._same(x, y)
        return Value(self.builder.select(self._value(condition, "bool").ir, a.ir, b.ir), a.dtype)

    def logical_and(self, x: Element, y: Element) -> Value:
        return Value(self.builder.and_(self._value(x, "bool").ir, self._value(y, "bool").ir), "bool")

    def logical_or(self, x: Element, y: Element) -> Value:
        return Value(self.builder.or_(self._value(x, "bool").ir, self._value(y, "bool").ir), "bool")

    def logical_xor(self, x: Element, y: Element) -> Value:
        return Value(self.builder.xor(self._value(x, "bool").ir, self._value(y, "bool").ir), "bool")

    def logical_not(self, x: Element) -> Value:
        return self.logical_xor(x, self.constant("bool", True))

    def is_nan(self, x: Element) -> Value:
        a = self._float(x)
        return Value(self.builder.fcmp_unordered("uno", a.ir, a.ir), "bool")

    def is_finite(self, x: Element) -> Value:
        a = self._float(x)
        return self.compare("lt", self.abs(a), self.constant(a.dtype, math.inf))

    def any_lane(self, condition: Element) -> ir.Value:
        """An i1: does the bool hold in some lane?"""
        value = self._value(condition, "bool")
        if self.width == 1:
            return value.ir
        function = self.declare(f"llvm.vector.reduce.or.v{self.width}i1", ir.IntType(1), [value.ir.type])
        return self.builder.call(function, [value.ir])

    # --- conversion --------------------------------------------------------------------------------------------
    def cast(self, x: Element, dtype: Dtype) -> Value:
        a = self._value(x)
        if a.dtype == dtype:
            return a
        if dtype == "bool":
            return self.compare("ne", a, self.constant(a.dtype, 0))
        if a.dtype == "bool":
            return self.select(a, self.constant(dtype, 1), self.constant(dtype, 0))
        return Value(self._convert(a, dtype), dtype)

    def bitcast(self, x: Element, dtype: Dtype) -> Value:
        a = self._number(x)
        if BITS[a.dtype] != BITS[dtype] or dtype == "bool":
            raise TypeError(f"the bits of {a.dtype} are not those of a {dtype}")
        return a if a.dtype == dtype else Value(self.builder.bitcast(a.ir, self.type_of(dtype)), dtype)

    # --- bits --------------------------------------------------------------------------------------------------
    def bit_and(self, x: Element, y: Element) -> Value:
        a, b = self._integers(x, y)
        return Value(self.builder.and_(a.ir, b.ir), a.dtype)

    def bit_or(self, x: Element, y: Element) -> Value:
        a, b = self._integers(x, y)
        return Value(self.builder.or_(a.ir, b.ir), a.dtype)

    def bit_xor(self, x: Element, y: Element) -> Value:
        a, b = self._integers(x, y)
        return Value(self.builder.xor(a.ir, b.ir), a.dtype)

    def shift_left(self, x: Element, count: int) -> Value:
        a = self._shifted(x, count)
        return Value(self.builder.shl(a.ir, self.constant(a.dtype, count).ir), a.dtype)

    def shift_right(self, x: Element, count: int) -> Value:
        a = self._shifted(x, count)
        return Value(self.builder.lshr(a.ir, self.constant(a.dtype, count).ir), a.dtype)

    def mul_high(self, x: Element, y: Element) -> Value:
        a, b = self._integers(x, y)
        if a.dtype == "i32":
            wide = self._wide(I64)
            product = self.builder.mul(self.builder.zext(a.ir, wide), self.builder.zext(b.ir, wide))
            upper = self.builder.lshr(product, self.constant("i64", 32).ir)
            return Value(self.builder.trunc(upper, a.ir.type), "i32")
        if a.dtype == "i64":
            return self._mul_high_64(a, b)
        raise TypeError(f"no upper half of a product of {a.dtype}")

    def _mul_high_64(self, a: Value, b: Value) -> Value:
        """Schoolbook product of 32-bit halves: vector units have no wider one, some targets only a call."""
        low_bits = self.constant("i64", 0xFFFFFFFF)
        a_low, a_high = self.bit_and(a, low_bits), self.shift_right(a, 32)
        b_low, b_high = self.bit_and(b, low_bits), self.shift_right(b, 32)
        low = self.mul(a_low, b_low)
        cross = self.add(self.mul(a_high, b_low), self.shift_right(low, 32))
        middle = self.add(self.mul(a_low, b_high), self.bit_and(cross, low_bits))
        upper = self.add(self.mul(a_high, b_high), self.shift_right(cross, 32))
        return self.add(upper, self.shift_right(middle, 32))

    # --- details -----------------------------------------------------------------------------------------------
    def _wide(self, element: ir.Type) -> ir.Type:
        return element if self.width == 1 else ir.VectorType(element, self.width)

    def _value(self, x: Element, dtype: Dtype | None = None) -> Value:
        if not isinstance(x, Value):
            raise TypeError(f"{type(x).__name__} is not a value of this builder")
        if dtype is not None and x.dtype != dtype:
            raise TypeError(f"expected {dtype}, found {x.dtype}")
        return x

    def _same(self, x: Element, y: Element) -> tuple[Value, Value]:
        a = self._value(x)
        return a, self._value(y, a.dtype)

    def _number(self, x: Element) -> Value:
        a = self._value(x)
        if a.dtype == "bool":
            raise TypeError("arithmetic on bool")
        return a

    def _numbers(self, x: Element, y: Element) -> tuple[Value, Value]:
        a = self._number(x)
        return a, self._value(y, a.dtype)

    def _float(self, x: Element) -> Value:
        a = self._value(x)
        if a.dtype not in FLOAT_DTYPES:
            raise TypeError(f"expected a float, found {a.dtype}")
        return a

    def _floats(self, x: Element, y: Element) -> tuple[Value, Value]:
        a = self._float(x)
        return a, self._value(y, a.dtype)

    def _integers(self, x: Element, y: Element) -> tuple[Value, Value]:
        a = self._value(x)
        if a.dtype not in INTEGER_DTYPES:
            raise TypeError(f"expected an integer, found {a.dtype}")
        return a, self._value(y, a.dtype)

    def _shifted(self, x: Element, count: int) -> Value:
        a, _ = self._integers(x, x)
        if not 0 <= count < BITS[a.dtype]:
            raise ValueError(f"a {a.dtype} cannot be shifted by {count}")
        return a

    def _extremum(self, comparison: str, x: Element, y: Element) -> Value:
        a, b = self._numbers(x, y)
        if a.dtype not in FLOAT_DTYPES:
            compare = self.builder.icmp_unsigned if a.dtype == "u8" else self.builder.icmp_signed
            return Value(self.builder.select(compare(comparison, a.ir, b.ir), a.ir, b.ir), a.dtype)
        # Unordered: x where either is NaN, which leaves only a NaN in y to put right.
        chosen = self.builder.select(self.builder.fcmp_unordered(comparison, a.ir, b.ir), a.ir, b.ir)
        return self.select(self.is_nan(b), b, Value(chosen, a.dtype))

    def _divide(self, x: Element, y: Element) -> tuple[Value, Value]:
        """Floor quotient and remainder of integers. LLVM leaves x / 0 and least / -1 undefined: neither is emitted."""
        a, b = self._integers(x, y)
        zero, one = self.constant(a.dtype, 0), self.constant(a.dtype, 1)
        by_zero = self.compare("eq", b, zero)
        if a.dtype == "u8":
            divisor = self.select(by_zero, one, b)
            quotient = Value(self.builder.udiv(a.ir, divisor.ir), a.dtype)
            remainder = self.sub(a, self.mul(quotient, divisor))
            return self.select(by_zero, zero, quotient), self.select(by_zero, zero, remainder)
        by_minus_one = self.compare("eq", b, self.constant(a.dtype, -1))
        divisor = self.select(self.logical_or(by_zero, by_minus_one), one, b)
        truncated = Value(self.builder.sdiv(a.ir, divisor.ir), a.dtype)
        rest = self.sub(a, self.mul(truncated, divisor))
        differ = self.compare("lt", self.bit_xor(rest, divisor), zero)
        down = self.logical_and(self.compare("ne", rest, zero), differ)
        quotient = self.select(down, self.sub(truncated, one), truncated)
        quotient = self.select(by_minus_one, self.neg(a), self.select(by_zero, zero, quotient))
        # By 0 or -1 the division above was by 1, whose remainder is 0.
        remainder = self.select(down, self.add(rest, divisor), rest)
        return quotient, remainder

    def _convert(self, a: Value, dtype: Dtype) -> ir.Value:
        """Conversion between two different numeric dtypes."""
        target = self.type_of(dtype)
        if a.dtype in FLOAT_DTYPES and dtype in FLOAT_DTYPES:
            return self.builder.fpext(a.ir, target) if dtype == "f64" else self.builder.fptrunc(a.ir, target)
        if a.dtype in FLOAT_DTYPES:
            kind = "llvm.fptoui.sat" if dtype == "u8" else "llvm.fptosi.sat"
            name = f"{kind}.{self._overload(dtype)}.{self._overload(a.dtype)}"
            return self.builder.call(self.declare(name, target, [a.ir.type]), [a.ir])
        if dtype in FLOAT_DTYPES:
            return self.builder.uitofp(a.ir, target) if a.dtype == "u8" else self.builder.sitofp(a.ir, target)
        if BITS[dtype] < BITS[a.dtype]:
            return self.builder.trunc(a.ir, target)
        return self.builder.zext(a.ir, target) if a.dtype == "u8" else self.builder.sext(a.ir, target)

    def _overload(self, dtype: Dtype) -> str:
        return _OVERLOAD[dtype] if self.width == 1 else f"v{self.width}{_OVERLOAD[dtype]}"

    def _intrinsic(self, name: str, dtype: Dtype, *operands: Value) -> Value:
        """Call an intrinsic overloaded on one type, which all operands and the result have."""
        own = self.type_of(dtype)
        function = self.declare(f"{name}.{self._overload(dtype)}", own, [own] * len(operands))
        return Value(self.builder.call(function, [operand.ir for operand in operands]), dtype)

    def declare(self, name: str, result: ir.Type, parameters: Sequence[ir.Type]) -> ir.Function:
        """The function of that name in the module, declared if it is not there yet."""
        module = self.builder.module
        known = module.globals.get(name)
        return known if known is not None else ir.Function(module, ir.FunctionType(result, parameters), name)

    def _address(self, pointer: ir.Value, offset: ir.Value, dtype: Dtype) -> ir.Value:
        return self.builder.gep(pointer, [offset], inbounds=True, source_etype=memory_type(dtype))

    def _from_memory(self, loaded: ir.Value, dtype: Dtype) -> Value:
        if dtype == "bool":
            return self.compare("ne", Value(loaded, "u8"), self.constant("u8", 0))
        return Value(loaded, dtype)

    def _to_memory(self, value: Value) -> ir.Value:
        return self.builder.zext(value.ir, self._wide(BYTE)) if value.dtype == "bool" else value.ir

    def _as_vector(self, value: Value) -> ir.Value:
        """A vector of one lane where W is 1: the masked intrinsics know no scalars."""
        if self.width > 1:
            return value.ir
        vector = ir.VectorType(value.ir.type, 1)
        return self.builder.insert_element(ir.Constant(vector, ir.Undefined), value.ir, ir.IntType(32)(0))

    def _first_if_scalar(self, vector: ir.Value) -> ir.Value:
        return vector if self.width > 1 else self.builder.extract_element(vector, ir.IntType(32)(0))

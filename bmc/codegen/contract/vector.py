"""Vectors of one dtype in LLVM IR: types, broadcasts, masks of valid lanes, masked memory access, the multiply-add.

All pointers are opaque and address elements; vector accesses assume element alignment only. A masked access never
touches memory outside the lanes of its mask.
"""

from collections.abc import Sequence

from llvmlite import ir

from bmc.codegen.contract.spec import ELEMENT_BYTES, VECTOR_BYTES, Dtype

POINTER = ir.PointerType()
INDEX = ir.IntType(64)
BIT = ir.IntType(1)


class FunctionPointer:
    """An address that can be called: opaque pointers do not know the function type that llvmlite's `call` asks for."""

    def __init__(self, address: ir.Value, function_type: ir.FunctionType) -> None:
        self.type = address.type
        self.function_type = function_type
        self._address = address

    def get_reference(self) -> str:
        return str(self._address.get_reference())


def element_type(dtype: Dtype) -> ir.Type:
    return ir.FloatType() if dtype == "f32" else ir.DoubleType()


def lanes_of(dtype: Dtype) -> int:
    """Elements of one 32-byte vector: the `w` of an epilogue's accumulator."""
    return VECTOR_BYTES // ELEMENT_BYTES[dtype]


def vector_type(dtype: Dtype) -> ir.VectorType:
    return ir.VectorType(element_type(dtype), lanes_of(dtype))


def index(value: int) -> ir.Constant:
    return ir.Constant(INDEX, value)


def splat(builder: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    """The vector whose every lane is `scalar`."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(first, undefined, zeros)


def at(builder: ir.IRBuilder, base: ir.Value, offset: ir.Value, dtype: Dtype) -> ir.Value:
    """The address of element `offset` from `base`."""
    return builder.gep(base, [offset], source_etype=element_type(dtype))


def lane_mask(builder: ir.IRBuilder, count: ir.Value, dtype: Dtype) -> ir.Value:
    """A `<w x i1>`: lane l is valid when l < `count` (an i64 of any size, also negative)."""
    lanes = lanes_of(dtype)
    # Lane numbers as wide as the elements let the comparison give the mask in place.
    number = ir.IntType(32) if dtype == "f32" else INDEX
    if dtype == "f32":
        full = index(lanes)
        bounded = builder.select(builder.icmp_signed("<", count, full), count, full)
        count = builder.trunc(bounded, number)
    numbers = ir.Constant(ir.VectorType(number, lanes), list(range(lanes)))
    return builder.icmp_signed("<", numbers, splat(builder, count, lanes))


def load(builder: ir.IRBuilder, pointer: ir.Value, value_type: ir.Type) -> ir.Value:
    return builder.load(pointer, align=_alignment(value_type), typ=value_type)


def store(builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value) -> None:
    builder.store(value, pointer, align=_alignment(value.type))


def masked_load(builder: ir.IRBuilder, pointer: ir.Value, mask: ir.Value | None, value_type: ir.VectorType) -> ir.Value:
    """The vector at `pointer`; lanes outside `mask` are zero and their memory is not read. No mask: a plain load."""
    if mask is None:
        return load(builder, pointer, value_type)
    name = f"llvm.masked.load.{_suffix(value_type)}.p0"
    parameters = [POINTER, ir.IntType(32), mask.type, value_type]
    function = _declare(builder.module, name, ir.FunctionType(value_type, parameters))
    alignment = ir.Constant(ir.IntType(32), _alignment(value_type))
    return builder.call(function, [pointer, alignment, mask, ir.Constant(value_type, None)])


def masked_store(builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value, mask: ir.Value | None) -> None:
    """Store the lanes of `mask`; the other lanes' memory is not touched. No mask: a plain store."""
    if mask is None:
        store(builder, value, pointer)
        return
    name = f"llvm.masked.store.{_suffix(value.type)}.p0"
    parameters = [value.type, POINTER, ir.IntType(32), mask.type]
    function = _declare(builder.module, name, ir.FunctionType(ir.VoidType(), parameters))
    builder.call(function, [value, pointer, ir.Constant(ir.IntType(32), _alignment(value.type)), mask])


def multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value, *, fma: bool) -> ir.Value:
    """a * b + c, rounded once (`fma`) or twice."""
    if not fma:
        return builder.fadd(builder.fmul(a, b), c)
    name = f"llvm.fma.{_suffix(a.type)}"
    function = _declare(builder.module, name, ir.FunctionType(a.type, [a.type] * 3))
    return builder.call(function, [a, b, c])


def internal_function(module: ir.Module, name: str, parameters: Sequence[ir.Type], *, cold: bool = False) -> ir.Function | None:
    """A new internal `void` function, or None when the module already holds it: shared kernels are emitted once.

    `cold`: nothing in it is worth optimising, because all time goes to the functions it calls. LLVM then spends a
    quarter of the time on it.
    """
    if name in module.globals:
        return None
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), name)
    function.linkage = "internal"
    function.attributes.add("nounwind")
    if cold:
        function.attributes.add("noinline")
        function.attributes.add("optnone")
    return function


def _alignment(value_type: ir.Type) -> int:
    element = value_type.element if isinstance(value_type, ir.VectorType) else value_type
    if isinstance(element, ir.IntType):
        return max(1, int(element.width) // 8)
    return 4 if isinstance(element, ir.FloatType) else 8


def _suffix(value_type: ir.VectorType) -> str:
    element = value_type.element
    if isinstance(element, ir.IntType):
        return f"v{value_type.count}i{element.width}"
    return f"v{value_type.count}f{32 if isinstance(element, ir.FloatType) else 64}"


def _declare(module: ir.Module, name: str, function_type: ir.FunctionType) -> ir.Function:
    existing = module.globals.get(name)
    return existing if existing is not None else ir.Function(module, function_type, name)

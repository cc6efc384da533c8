"""Basic operations against numpy and Python's exact arithmetic, at the widths that kernels use."""

import ctypes
import math
import re
from fractions import Fraction

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from bmc.codegen.emitter import Emitter
from bmc.codegen.value import I64, POINTER
from bmc.ops.element import ElementBuilder

NUMPY = {"bool": np.bool_, "u8": np.uint8, "i32": np.int32, "i64": np.int64, "f32": np.float32, "f64": np.float64}
WIDTHS = [1, 4, 8]
SPECIAL_FLOATS = [0.0, -0.0, 1.0, -1.5, 2.5, 0.5, math.inf, -math.inf, math.nan, 1e-310, 3e9, -3e9, 1e-40, 255.5]


def samples(dtype, count=64, seed=0):
    """Pairs of operands in which every special value meets every other, then random bits."""
    rng = np.random.default_rng(seed)
    numpy = NUMPY[dtype]
    if dtype == "bool":
        special = np.array([False, True])
        spread = rng.integers(0, 2, count).astype(bool)
    elif dtype in ("f32", "f64"):
        special = np.array(SPECIAL_FLOATS, numpy)
        spread = np.concatenate([rng.normal(0, 10, count), rng.normal(0, 1e12, count)]).astype(numpy)
    else:
        info = np.iinfo(numpy)
        special = np.array([0, 1, 2, 7, info.max, info.min, info.max // 2 + 1, info.min + 3], numpy)
        if dtype != "u8":
            special = np.concatenate([special, np.array([-1, -2, -7], numpy)])
        spread = rng.integers(info.min, info.max, count, numpy, endpoint=True)
    x, y = (grid.ravel() for grid in np.meshgrid(special, special))
    return np.concatenate([x, spread]), np.concatenate([y, rng.permutation(spread)])


def same(result, expected):
    """Bitwise equal, but any NaN is as good as another."""
    np.testing.assert_array_equal(result, expected)
    if result.dtype.kind == "f":
        numbers = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(result[numbers]), np.signbit(expected[numbers]))


def wrap(value, dtype):
    """An exact integer as two's complement of the dtype."""
    bits = np.dtype(NUMPY[dtype]).itemsize * 8
    value %= 1 << bits
    return value - (1 << bits) if dtype != "u8" and value >> (bits - 1) else value


def lowest_of_zeros_is_second(extremum):
    return lambda x, y: np.where(x == y, y, extremum(x, y))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", ["u8", "i32", "i64", "f32", "f64"])
@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("add", np.add),
        ("sub", np.subtract),
        ("mul", np.multiply),
        ("minimum", lowest_of_zeros_is_second(np.minimum)),
        ("maximum", lowest_of_zeros_is_second(np.maximum)),
    ],
)
def test_arithmetic(compile_element, name, reference, dtype, width):
    x, y = samples(dtype)
    with np.errstate(all="ignore"):
        expected = reference(x, y)
    same(compile_element(lambda b, x, y: getattr(b, name)(x, y), dtype, dtype, width=width)(x, y), expected)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("neg", np.negative),
        ("abs", np.abs),
        ("sign", lambda x: np.where(x == 0, x, np.sign(x))),
        ("sqrt", np.sqrt),
        ("rsqrt", lambda x: x.dtype.type(1) / np.sqrt(x)),
        ("floor", np.floor),
        ("ceil", np.ceil),
        ("round", np.rint),
        ("trunc", np.trunc),
        ("is_nan", np.isnan),
        ("is_finite", np.isfinite),
    ],
)
def test_functions_of_one_float(compile_element, name, reference, dtype, width):
    x, _ = samples(dtype)
    with np.errstate(all="ignore"):
        expected = reference(x)
    same(compile_element(lambda b, x: getattr(b, name)(x), dtype, width=width)(x), expected)


@pytest.mark.parametrize("dtype", ["u8", "i32", "i64"])
@pytest.mark.parametrize(("name", "reference"), [("neg", np.negative), ("abs", np.abs), ("sign", np.sign)])
def test_functions_of_one_integer(compile_element, name, reference, dtype):
    x, _ = samples(dtype)
    same(compile_element(lambda b, x: getattr(b, name)(x), dtype)(x), reference(x))


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_division_of_floats(compile_element, dtype):
    x, y = samples(dtype)
    with np.errstate(all="ignore"):
        expected = x / y
    same(compile_element(lambda b, x, y: b.div(x, y), dtype, dtype)(x, y), expected)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", ["u8", "i32", "i64"])
def test_division_of_integers_floors_and_never_traps(compile_element, dtype, width):
    x, y = samples(dtype)
    quotient = compile_element(lambda b, x, y: b.floor_div(x, y), dtype, dtype, width=width)(x, y)
    remainder = compile_element(lambda b, x, y: b.rem(x, y), dtype, dtype, width=width)(x, y)
    pairs = [(int(a), int(b)) for a, b in zip(x, y, strict=True)]
    assert quotient.tolist() == [wrap(a // b, dtype) if b else 0 for a, b in pairs]
    assert remainder.tolist() == [wrap(a % b, dtype) if b else 0 for a, b in pairs]


def rounded(exact, numpy):
    """The float nearest a fraction, ties to even; normal range only."""
    double = float(exact)
    if numpy is np.float64:
        return double
    # Neighbours of a rounding of a rounding; the exact nearest is among them.
    near = np.float32(double)
    candidates = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    return min(candidates, key=lambda c: (abs(Fraction(float(c)) - exact), int(c.view(np.uint32)) & 1))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_fma_rounds_once_where_fused_and_twice_where_not(compile_element, dtype, width):
    rng = np.random.default_rng(2)
    numpy = NUMPY[dtype]
    x, y = (rng.normal(size=300).astype(numpy) for _ in range(2))
    # Close to the product, so that the two roundings differ in most bits that are left.
    z = (-x * y * (1 + rng.normal(size=300) * 2.0**-20)).astype(numpy)
    exact = [rounded(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)), numpy) for a, b, c in zip(x, y, z, strict=True)]
    operands = (dtype,) * 3
    fused = compile_element(lambda b, x, y, z: b.fma(x, y, z), *operands, width=width)(x, y, z)
    unfused = compile_element(lambda b, x, y, z: b.fma(x, y, z), *operands, width=width, fused=False)(x, y, z)
    same(fused, np.array(exact, numpy))
    same(unfused, x * y + z)
    assert (fused != unfused).any()


@pytest.mark.parametrize("dtype", ["bool", "u8", "i32", "i64", "f32", "f64"])
@pytest.mark.parametrize(
    ("predicate", "reference"),
    [
        ("eq", np.equal),
        ("ne", np.not_equal),
        ("lt", np.less),
        ("le", np.less_equal),
        ("gt", np.greater),
        ("ge", np.greater_equal),
    ],
)
def test_comparison(compile_element, predicate, reference, dtype):
    x, y = samples(dtype)
    for width in (1, 8):
        same(
            compile_element(lambda b, x, y: b.compare(predicate, x, y), dtype, dtype, width=width)(x, y),
            reference(x, y),
        )


@pytest.mark.parametrize("dtype", ["bool", "u8", "i32", "i64", "f32", "f64"])
def test_select(compile_element, dtype):
    x, y = samples(dtype)
    condition = np.arange(len(x)) % 3 == 0
    result = compile_element(lambda b, c, x, y: b.select(c, x, y), "bool", dtype, dtype)(condition, x, y)
    same(result, np.where(condition, x, y))


@pytest.mark.parametrize("width", WIDTHS)
def test_logic(compile_element, width):
    x, y = samples("bool")
    for name in ("logical_and", "logical_or", "logical_xor"):
        result = compile_element(lambda b, x, y, name=name: getattr(b, name)(x, y), "bool", "bool", width=width)(x, y)
        same(result, getattr(np, name)(x, y))
    same(compile_element(lambda b, x: b.logical_not(x), "bool", width=width)(x), ~x)


def exact_cast(value, source, target):
    if target == "bool":
        return value != 0
    if target in ("f32", "f64"):
        return value
    if source in ("f32", "f64"):
        if math.isnan(value):
            return 0
        info = np.iinfo(NUMPY[target])
        return int(min(max(value, info.min), info.max)) if math.isinf(value) else min(max(int(value), info.min), info.max)
    return wrap(int(value), target)


@pytest.mark.parametrize("source", NUMPY)
@pytest.mark.parametrize("target", NUMPY)
def test_cast(compile_element, source, target):
    x, _ = samples(source)
    if source == "i64":
        # Where rounding to f32 by way of f64 would round twice.
        x = np.concatenate([x, np.array([2**54 + 2**30 + 1, -(2**54) - 2**30 - 1, 2**60 + 2**36 + 1])])
    with np.errstate(all="ignore"):
        if target in ("f32", "f64"):
            expected = x.astype(NUMPY[target])
        else:
            expected = np.array([exact_cast(value, source, target) for value in x.tolist()], NUMPY[target])
    for width in (1, 8):
        same(compile_element(lambda b, x: b.cast(x, target), source, width=width)(x), expected)


@pytest.mark.parametrize(("source", "target"), [("f32", "i32"), ("i32", "f32"), ("f64", "i64"), ("i64", "f64")])
def test_bitcast(compile_element, source, target):
    x, _ = samples(source)
    result = compile_element(lambda b, x: b.bitcast(x, target), source)(x)
    assert result.tobytes() == x.tobytes()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", ["i32", "i64"])
def test_bits(compile_element, dtype, width):
    x, y = samples(dtype)
    bits = np.dtype(NUMPY[dtype]).itemsize * 8
    unsigned = [(int(a) % 2**bits, int(b) % 2**bits) for a, b in zip(x, y, strict=True)]

    def check(body, expected):
        result = compile_element(body, dtype, dtype, width=width)(x, y)
        assert result.tolist() == [wrap(value, dtype) for value in expected]

    check(lambda b, x, y: b.bit_and(x, y), [a & c for a, c in unsigned])
    check(lambda b, x, y: b.bit_or(x, y), [a | c for a, c in unsigned])
    check(lambda b, x, y: b.bit_xor(x, y), [a ^ c for a, c in unsigned])
    check(lambda b, x, y: b.shift_left(x, 5), [a << 5 for a, _ in unsigned])
    check(lambda b, x, y: b.shift_right(x, 5), [a >> 5 for a, _ in unsigned])
    check(lambda b, x, y: b.mul_high(x, y), [a * c >> bits for a, c in unsigned])


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 7, -1, -3])
def test_integer_powers_of_floats(compile_element, exponent):
    x = np.random.default_rng(1).normal(size=100)
    result = compile_element(lambda b, x: b.power_integer(x, exponent), "f64")(x)
    # Each product and the division round once: at most six roundings of 2^-53 for these exponents, plus numpy's ulp.
    np.testing.assert_allclose(result, x ** float(exponent), rtol=8 * 2.0**-53)


def test_integer_powers_of_integers_wrap(compile_element):
    x, _ = samples("i32")
    result = compile_element(lambda b, x: b.power_integer(x, 5), "i32")(x)
    assert result.tolist() == [wrap(int(value) ** 5, "i32") for value in x]


@pytest.mark.parametrize("width", WIDTHS)
def test_index_counts_along_the_axis(compile_element, width):
    result = compile_element(lambda b, x: b.add(b.index(0), x), "i64", width=width)(np.full(40, 3, np.int64))
    assert result.tolist() == list(range(3, 43))


@pytest.mark.parametrize("dtype", ["bool", "u8", "i32", "i64", "f32", "f64"])
@pytest.mark.parametrize("width", WIDTHS)
def test_masked_memory_is_not_touched_outside_the_mask(jit, dtype, width):
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64]), "copy")
    b = Emitter(ir.IRBuilder(function.append_basic_block()), width, fused=True)
    source, target, count = function.args
    mask = b.tail_mask(count)
    b.masked_store(b.masked_load(source, I64(0), dtype, mask), target, I64(0), mask)
    b.builder.ret_void()
    copy = jit(module)("copy", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    ones = np.ones(width, NUMPY[dtype])
    for valid in range(width + 1):
        result = np.zeros(width, NUMPY[dtype])
        copy(ones.ctypes.data, result.ctypes.data, valid)
        assert result.tolist() == [1] * valid + [0] * (width - valid)
    copy(None, None, 0)  # would fault if it touched anything


@pytest.mark.parametrize("dtype", ["bool", "u8", "i32", "i64", "f32", "f64"])
@pytest.mark.parametrize("width", WIDTHS)
def test_one_element_in_every_lane(jit, dtype, width):
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64]), "splat")
    b = Emitter(ir.IRBuilder(function.append_basic_block()), width, fused=True)
    b.store(b.load_scalar(function.args[0], function.args[2], dtype), function.args[1], I64(0))
    b.builder.ret_void()
    source = np.array([0, 1, 0], NUMPY[dtype])
    result = np.zeros(width, NUMPY[dtype])
    jit(module)("splat", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(source.ctypes.data, result.ctypes.data, 1)
    assert result.tolist() == [1] * width


@pytest.mark.parametrize("value", [0.1, -0.0, math.inf, -math.inf, 1e-45, 3.4028235e38, 1e39])
def test_constants_are_rounded_once(compile_element, value):
    with np.errstate(over="ignore"):
        expected = np.full(8, value).astype(np.float32)
    for width in (1, 8):
        result = compile_element(lambda b, x: b.constant("f32", value), "f32", width=width)(np.zeros(8, np.float32))
        same(result, expected)


TRANSCENDENTAL = ["exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "sin", "cos"]
ALGEBRAIC = ["sqrt", "rsqrt", "floor", "ceil", "round", "trunc", "abs", "neg", "sign"]
TARGETS = [
    ("x86_64-unknown-linux-gnu", "x86-64-v2", "", False),
    ("x86_64-unknown-linux-gnu", "x86-64-v3", "", True),
    ("aarch64-unknown-linux-gnu", "", "", True),
    ("riscv64-unknown-linux-gnu", "", "+m,+a,+f,+d,+c", True),
    ("wasm32-unknown-unknown", "", "", False),
]


@pytest.mark.parametrize(("triple", "cpu", "features", "fused"), TARGETS, ids=[f"{t[0]}-{t[1]}" for t in TARGETS])
def test_no_target_needs_a_library(triple, cpu, features, fused):
    """Code built ahead of time links with nothing, so no operation may become a call that leaves the module."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "all_operations")
    b = Emitter(ir.IRBuilder(function.append_basic_block()), 4, fused)
    for position, dtype in enumerate(("u8", "i32", "i64", "f32", "f64")):
        x = b.load(function.args[0], I64(8 * position), dtype)
        results = [b.cast(x, target) for target in NUMPY]
        if dtype in ("f32", "f64"):
            results += [getattr(b, name)(x) for name in (*TRANSCENDENTAL, *ALGEBRAIC)]
            results += [b.pow(x, x), b.div(x, x), b.fma(x, x, x), b.minimum(x, x), b.maximum(x, x)]
        else:
            results += [b.floor_div(x, x), b.rem(x, x), b.sign(x)]
        if dtype == "i64":
            results += [b.mul_high(x, x), b.uniform("f64", x, x, x, x, 1), b.normal("f32", x, x, x, x, 1)]
        for result in results:
            b.store(result, function.args[0], I64(64))
    b.builder.ret_void()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=2, reloc="pic", codemodel="small"
    )
    assembly = machine.emit_assembly(llvm.parse_assembly(str(module)))
    called = set(re.findall(r"^\s+(?:callq|call|bl|b|j|jal|tail|jmp)\s+([A-Za-z_]\w*)", assembly, re.MULTILINE))
    assert "bmc_sin_f32x4" in called
    defined = set(re.findall(r"^(\w+):", assembly, re.MULTILINE))
    assert called <= defined


def rejected(body, *dtypes):
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "f")
    b = Emitter(ir.IRBuilder(function.append_basic_block()), 8, fused=True)
    return lambda: body(b, *(b.load(function.args[0], I64(0), dtype) for dtype in dtypes))


@pytest.mark.parametrize(
    ("body", "dtypes"),
    [
        (lambda b, x, y: b.add(x, y), ("f32", "f64")),
        (lambda b, x, y: b.add(x, y), ("bool", "bool")),
        (lambda b, x, y: b.div(x, y), ("i32", "i32")),
        (lambda b, x, y: b.floor_div(x, y), ("f32", "f32")),
        (lambda b, x: b.exp(x), ("i32",)),
        (lambda b, x: b.bitcast(x, "i64"), ("f32",)),
        (lambda b, x: b.logical_not(x), ("u8",)),
        (lambda b, x, y: b.select(x, y, y), ("u8", "f32")),
        (lambda b, x: b.power_integer(x, -1), ("i32",)),
        (lambda b, x: b.mul_high(x, x), ("u8",)),
    ],
)
def test_operands_of_wrong_types_are_rejected(body, dtypes):
    with pytest.raises(TypeError):
        rejected(body, *dtypes)()


def test_there_is_no_axis_without_a_kernel():
    with pytest.raises(LookupError):
        rejected(lambda b: b.index(0))()


def test_an_emitter_is_an_element_builder():
    methods = [name for name in vars(ElementBuilder) if not name.startswith("_")]
    assert len(methods) > 40
    assert not [name for name in methods if not callable(getattr(Emitter, name, None))]

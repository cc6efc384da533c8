"""Random numbers: known answers of the generator, a numpy twin of the draws, and independence of width and place."""

import ctypes
import math

import numpy as np
import pytest
from llvmlite import ir

from bmc.codegen.lanes import Lanes
from bmc.codegen.philox import Run, emit_normal, emit_uniform, philox_block
from bmc.codegen.value import I64, POINTER

WORD = 2**32
SITE = 0x9E3779B97F4A7C15
SEED, STEP = 0x1234567890ABCDEF, 77

# Random123's kat_vectors, philox4x32 with 10 rounds: counter, key, block.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def philox(counter, key):
    """The block as the paper defines it, in Python's integers."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 // WORD ^ c[1] ^ k0, p1 % WORD, p0 // WORD ^ c[3] ^ k1, p0 % WORD]
        k0, k1 = (k0 + 0x9E3779B9) % WORD, (k1 + 0xBB67AE85) % WORD
    return tuple(c)


def reference_word(row, element, stream):
    block = element // 4 % 2**31 + stream * 2**31
    key = (SEED % WORD, SEED // WORD ^ SITE // WORD)
    return philox((block, row % WORD, STEP % WORD, SITE % WORD), key)[element % 4]


def reference_uniform(dtype, row, element):
    first = reference_word(row, element, 0)
    if dtype == "f32":
        return np.float32(first // 2**8 * 2.0**-24)
    return np.float64(((first * WORD + reference_word(row, element, 1)) // 2**11) * 2.0**-53)


def reference_normal(row, element):
    u = (reference_word(row, element, 0) + 0.5) / WORD
    return math.sqrt(-2 * math.log(u)) * math.sin(2 * math.pi * reference_word(row, element, 1) / WORD)


def draws(emit, dtype, row, site=SITE):
    """A body that draws for element i of the row."""

    def body(b, element):
        keys = [b.constant("i64", value) for value in (SEED, STEP, row)]
        return emit(b, dtype, *keys, element, b.constant("i64", site))

    return body


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_reference_twin_knows_the_known_answers(counter, key, expected):
    assert philox(counter, key) == expected


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_known_answers(jit, counter, key, expected, width):
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "block")
    b = Lanes(ir.IRBuilder(function.append_basic_block()), width, fused=True)
    words = philox_block(b, tuple(b.constant("i64", c) for c in counter), (b.constant("i64", key[0]), b.constant("i64", key[1])))
    for number, word in enumerate(words):
        b.store(word, function.args[0], I64(number * width))
    b.builder.ret_void()
    result = np.zeros(4 * width, np.int64)
    jit(module)("block", ctypes.c_void_p)(result.ctypes.data)
    assert result.tolist() == np.repeat(expected, width).tolist()


@pytest.mark.parametrize("width", [1, 4, 8])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_uniform_is_the_reference(compile_element, dtype, width):
    elements = np.array([*range(70), 10**6 + 3, 2**33 - 1, 2**33 + 5], np.int64)
    for row in (0, 5, 2**32 + 5):
        result = compile_element(draws(emit_uniform, dtype, row), "i64", width=width)(elements)
        expected = [reference_uniform(dtype, row, int(element)) for element in elements]
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_normal_is_the_reference(compile_element, dtype):
    elements = np.arange(3000, dtype=np.int64)
    result = compile_element(draws(emit_normal, dtype, 9), "i64")(elements)
    scalar = compile_element(draws(emit_normal, dtype, 9), "i64", width=1)(elements)
    np.testing.assert_array_equal(result, scalar)
    expected = np.array([reference_normal(9, element) for element in range(3000)])
    # f32: u is rounded, which log feels by up to half an ulp of 1 (6e-8) over 2 log u: near u = 1 the radius, which is
    # then small, errs by 6e-8 / radius; elsewhere a handful of roundings. 1e-5 bounds radius errors for every u that
    # 3000 draws meet with radius > 0.006; f64 rounds u by 2^-53 likewise, to less than 1e-13.
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5 if dtype == "f32" else 1e-13)


@pytest.mark.parametrize("width", [4, 8, 16])
@pytest.mark.parametrize("emit", [emit_uniform, emit_normal])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_run_of_elements_draws_the_same(compile_element, emit, dtype, width):
    def as_run(b, element):
        keys = [b.constant("i64", value) for value in (SEED, STEP, 3)]
        return emit(b, dtype, *keys, Run(element.ir, "i64", b.extract(element, 0)), b.constant("i64", SITE))

    for start in (0, 2**33 - 64):
        elements = np.arange(start, start + 128, dtype=np.int64)
        single = compile_element(draws(emit, dtype, 3), "i64", width=1)(elements)
        np.testing.assert_array_equal(compile_element(as_run, "i64", width=width)(elements), single)


def test_every_part_of_the_key_matters(compile_element):
    elements = np.arange(256, dtype=np.int64)

    def uniform(seed=SEED, step=STEP, row=0, site=SITE):
        def body(b, element):
            keys = [b.constant("i64", value) for value in (seed, step, row)]
            return emit_uniform(b, "f32", *keys, element, b.constant("i64", site))

        return compile_element(body, "i64")(elements)

    base = uniform()
    others = [
        uniform(seed=SEED + 1),
        uniform(seed=SEED + WORD),
        uniform(step=STEP + 1),
        uniform(row=1),
        uniform(site=SITE + 1),
        uniform(site=SITE ^ 1 << 63),
    ]
    for other in others:
        # Two independent streams of 256 draws agree somewhere with probability 256 / 2^24.
        assert not np.equal(base, other).any()


def test_draws_have_their_distribution(compile_element):
    count = 1_000_000
    elements = np.arange(count, dtype=np.int64)
    uniform = compile_element(draws(emit_uniform, "f32", 0), "i64")(elements).astype(np.float64)
    normal = compile_element(draws(emit_normal, "f32", 0), "i64")(elements).astype(np.float64)
    # Five standard errors of each statistic: a chance of 6e-7 that a perfect generator fails one, once for all seeds.
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 1 / 2) < 5 * math.sqrt(1 / 12 / count)
    assert abs(uniform.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / count)
    assert abs(normal.mean()) < 5 / math.sqrt(count)
    assert abs(normal.var() - 1) < 5 * math.sqrt(2 / count)
    assert abs((normal**3).mean()) < 5 * math.sqrt(15 / count)
    assert abs((normal**4).mean() - 3) < 5 * math.sqrt(96 / count)
    assert abs((uniform[1:] * uniform[:-1]).mean() - 1 / 4) < 5 * math.sqrt(7 / 144 / count)
    inside = np.mean(np.abs(normal) < 1)
    expected = math.erf(math.sqrt(0.5))
    assert abs(inside - expected) < 5 * math.sqrt(expected * (1 - expected) / count)

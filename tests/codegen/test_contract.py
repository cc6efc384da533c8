"""Products against exact references: the bits of every element, the memory they may touch, every form and edge."""

import ctypes
import ctypes.util
import functools
import itertools
import mmap
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from llvmlite import ir

from bmc.codegen.contract import ContractSpec, emit_contract, masked_load, masked_store, scratch_bytes, vector_bytes_of

NUMPY = {"f32": np.float32, "f64": np.float64}
POINTER, SIZE = ctypes.c_void_p, ctypes.c_int64


class Guarded:
    """A matrix [rows, columns] with a leading stride, ending where a page without access begins.

    Reading or writing one element past the last one ends the process; the gaps between rows hold a sentinel.
    """

    SENTINEL = 77.0

    def __init__(self, values: np.ndarray, stride: int) -> None:
        rows, columns = values.shape
        assert stride >= columns
        self.stride = stride
        page = mmap.PAGESIZE
        # The last row ends at its last column: nothing of its gap exists.
        count = max(0, (rows - 1) * stride + columns) if columns else 0
        size = -(-max(count * values.itemsize, 1) // page) * page
        self._memory = mmap.mmap(-1, size + page)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(base + size), ctypes.c_size_t(page), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
        self.address = base + size - count * values.itemsize
        self._flat = np.frombuffer(self._memory, values.dtype, count, size - count * values.itemsize)
        self._flat[:] = self.SENTINEL
        self.view = np.lib.stride_tricks.as_strided(
            self._flat, values.shape, (stride * values.itemsize, values.itemsize), writeable=True
        )
        self.view[:] = values

    def gaps_untouched(self) -> bool:
        rows, columns = self.view.shape
        if not rows or not columns:
            return True
        whole = np.full(rows * self.stride, self.SENTINEL, self._flat.dtype)
        whole[: len(self._flat)] = self._flat
        return bool((whole.reshape(rows, self.stride)[:, columns:] == self.SENTINEL).all())


@dataclass(frozen=True)
class Product:
    """A compiled product, called with logical operands: A[M, K], B[K, N] and the start of C[M, N]."""

    spec: ContractSpec
    function: Callable[..., None]

    def __call__(self, a: np.ndarray, b: np.ndarray, c: np.ndarray | None = None, gap: int = 0) -> np.ndarray:
        dtype = NUMPY[self.spec.dtype]
        (m, k), n = a.shape, b.shape[1]
        start = np.full((m, n), np.nan, dtype) if c is None else c
        stored_a = a.T if self.spec.a_transposed else a
        stored_b = b.T if self.spec.b_transposed else b
        operands = [Guarded(matrix.astype(dtype), matrix.shape[1] + gap) for matrix in (stored_a, stored_b, start)]
        scratch = _aligned(scratch_bytes(self.spec))
        strides = [operand.stride for operand in operands]
        self.function(*[operand.address for operand in operands], scratch.ctypes.data, m, n, k, *strides)
        assert operands[2].gaps_untouched()
        return operands[2].view.copy()


def _aligned(size: int) -> np.ndarray:
    raw = np.full(size + 64, 0xFF, np.uint8)  # 0xFF: scratch starts as NaN
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + size]


Compile = Callable[..., Product]


@pytest.fixture(scope="module")
def product(jit: Any) -> Compile:
    """Products by specification, each compiled once."""
    known: dict[tuple[ContractSpec, tuple[str, ...]], Product] = {}

    def get(spec: ContractSpec, exclude: tuple[str, ...] = ()) -> Product:
        if (spec, exclude) not in known:
            # The variants of a form share kernels, so they are compiled together.
            variants = [replace(spec, fma=fma, accumulate=acc) for fma in (False, True) for acc in (False, True)]
            module = ir.Module()
            for number, variant in enumerate(variants):
                emit_contract(module, f"product{number}", variant, None, ())
            lookup = jit(module, exclude=exclude)
            for number, variant in enumerate(variants):
                function = lookup(f"product{number}", *[POINTER] * 4, *[SIZE] * 6)
                known[variant, exclude] = Product(variant, function)
        return known[spec, exclude]

    return get


@functools.cache
def libm_fma(dtype: type[np.generic]) -> Callable[..., float]:
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    function, scalar = (libm.fmaf, ctypes.c_float) if dtype is np.float32 else (libm.fma, ctypes.c_double)
    function.restype, function.argtypes = scalar, [scalar] * 3
    return function


def chain(a: np.ndarray, b: np.ndarray, start: np.ndarray, fma: bool) -> np.ndarray:
    """The specified sum: c = a[:, k] b[k, :] + c for k ascending, rounded once (libm's fma) or twice a step."""
    dtype = a.dtype.type
    total = start.astype(dtype)
    function = libm_fma(dtype) if fma else None
    for depth in range(a.shape[1]):
        if function is not None:
            for row, column in itertools.product(range(a.shape[0]), range(b.shape[1])):
                total[row, column] = function(a[row, depth], b[depth, column], total[row, column])
        else:
            total = a[:, depth, None] * b[None, depth, :] + total
    return total


def random(seed: int, rows: int, columns: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(NUMPY[dtype])


def same_bits(x: np.ndarray, y: np.ndarray) -> bool:
    return x.shape == y.shape and x.tobytes() == y.tobytes()


FORMS = [
    ContractSpec(dtype, a_transposed, b_transposed)
    for dtype in ("f32", "f64")
    for a_transposed in (False, True)
    for b_transposed in (False, True)
]
# Every rest of the tiles of 6 and 4 rows and of 16 (8) columns, the single row, K blocks of 512 (256), and emptiness.
SMALL = [
    *[(m, n, 5) for m in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13) for n in (1, 7, 8, 10, 16, 17, 33)],
    *[(m, n, k) for m in (1, 15) for n in (9, 68) for k in (1, 3, 4, 7, 8, 9, 12, 16, 31)],
    (0, 5, 3), (5, 0, 3), (5, 5, 0), (1, 5, 0), (0, 0, 0), (1, 200, 3),
]  # fmt: skip
# Large enough to pack B, to pack a transposed A, and for several blocks of N, M, K and stripes of waiting accumulators.
LARGE = [(40, 530, 1100), (200, 150, 600), (1, 300, 600), (1, 1100, 123), (3, 20, 1200), (110, 257, 260), (300, 20, 520)]


def name(value: object) -> str:
    if isinstance(value, ContractSpec):
        forms = ("T" if value.a_transposed else "N") + ("T" if value.b_transposed else "N")
        return f"{value.dtype}-{forms}{'' if value.fma else '-nofma'}{'-acc' if value.accumulate else ''}"
    return str(value)


@pytest.mark.parametrize("spec", FORMS, ids=name)
def test_elements_are_ascending_chains(product: Compile, spec: ContractSpec) -> None:
    for accumulate, fma in ((False, True), (True, True), (False, False)):
        compute = product(replace(spec, accumulate=accumulate, fma=fma))
        for seed, (m, n, k) in enumerate([(7, 18, 21), (1, 11, 40), (3, 2, 530)]):
            a, b, c = random(seed, m, k, spec.dtype), random(seed + 9, k, n, spec.dtype), random(5, m, n, spec.dtype)
            expected = chain(a, b, c if accumulate else np.zeros_like(c), fma)
            assert same_bits(compute(a, b, c, gap=3), expected), (accumulate, fma, m, n, k)


@pytest.mark.parametrize("spec", FORMS, ids=name)
def test_every_edge_equals_the_unfused_chain(product: Compile, spec: ContractSpec) -> None:
    compute = product(replace(spec, fma=False))
    add = product(replace(spec, fma=False, accumulate=True))
    for seed, (m, n, k) in enumerate(SMALL):
        a, b, c = random(seed, m, k, spec.dtype), random(seed + 1, k, n, spec.dtype), random(2, m, n, spec.dtype)
        assert same_bits(compute(a, b, gap=seed % 3), chain(a, b, np.zeros_like(c), False)), (m, n, k)
        assert same_bits(add(a, b, c, gap=seed % 2), chain(a, b, c, False)), (m, n, k)


@pytest.mark.parametrize("spec", FORMS, ids=name)
def test_blocks_and_packing_keep_the_chain(product: Compile, spec: ContractSpec) -> None:
    compute = product(replace(spec, fma=False))
    add = product(replace(spec, fma=False, accumulate=True))
    for seed, (m, n, k) in enumerate(LARGE):
        a, b, c = random(seed, m, k, spec.dtype), random(seed + 1, k, n, spec.dtype), random(2, m, n, spec.dtype)
        assert same_bits(compute(a, b, gap=seed % 2), chain(a, b, np.zeros_like(c), False)), (m, n, k)
        assert same_bits(add(a, b, c), chain(a, b, c, False)), (m, n, k)


@pytest.mark.parametrize(("n", "k"), [(10, 64), (64, 100), (130, 700)])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_a_row_has_the_same_bits_in_every_batch(product: Compile, dtype: str, n: int, k: int) -> None:
    compute = product(ContractSpec(dtype))
    a, b = random(1, 1000, k, dtype), random(2, k, n, dtype)
    whole = compute(a, b)
    for batch in (1, 7, 33):
        for first in (0, 501, 1000 - batch):
            rows = slice(first, first + batch)
            assert same_bits(compute(a[rows], b), whole[rows]), (batch, first)


def test_forms_agree_bitwise(product: Compile) -> None:
    a, b = random(1, 130, 600, "f32"), random(2, 600, 140, "f32")
    results = [product(spec)(a, b) for spec in FORMS if spec.dtype == "f32"]
    assert all(same_bits(results[0], result) for result in results[1:])


@pytest.mark.parametrize("vector_bytes", [16, 64])
@pytest.mark.parametrize("spec", FORMS, ids=name)
def test_register_width_changes_no_bit(product: Compile, spec: ContractSpec, vector_bytes: Any) -> None:
    for m, n, k in [*[(m, 19, 7) for m in range(1, 19)], (20, 40, 530), (200, 130, 530)]:
        a, b = random(m, m, k, spec.dtype), random(n, k, n, spec.dtype)
        assert same_bits(product(replace(spec, vector_bytes=vector_bytes))(a, b), product(spec)(a, b)), (m, n, k)


def test_targets_without_wide_registers_agree_bitwise(product: Compile) -> None:
    a, b = random(1, 33, 70, "f32"), random(2, 70, 45, "f32")
    for fma, exclude in ((True, ("avx512",)), (False, ("avx", "fma", "f16c", "vaes", "vpcl", "xop", "fma4"))):
        spec = ContractSpec("f32", fma=fma)
        assert same_bits(product(spec)(a, b), product(spec, exclude)(a, b))


@pytest.mark.parametrize(
    ("spec", "k"),
    [
        (ContractSpec("f32", m=32, n=64, k=100), 100),
        (ContractSpec("f32", m=1), 64),
        (ContractSpec("f32", n=10), 64),
        (ContractSpec("f64", m=6, n=16, k=0), 0),
        (ContractSpec("f64", m=50, k=600), 600),
    ],
    ids=name,
)
def test_constant_sizes_change_no_bit(product: Compile, spec: ContractSpec, k: int) -> None:
    m, n = spec.m or 7, spec.n or 70
    a, b = random(1, m, k, spec.dtype), random(2, k, n, spec.dtype)
    assert same_bits(product(spec)(a, b), product(ContractSpec(spec.dtype))(a, b))


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_epilogue_sees_each_element_once_with_its_place(jit: Any, product: Compile, dtype: str, accumulate: bool) -> None:
    """The epilogue stores acc + bias[column] to one matrix and adds 1 to another, both without memory past the end."""
    spec = ContractSpec(dtype, accumulate=accumulate)
    number = NUMPY[dtype]
    element = ir.FloatType() if dtype == "f32" else ir.DoubleType()

    def epilogue(builder: ir.IRBuilder, acc: ir.Value, row: ir.Value, column: ir.Value, mask: ir.Value | None, extra: Any) -> None:
        bias, out, counts, stride = extra
        place = builder.add(builder.mul(row, stride), column)
        at_bias, at_out, at_counts = (
            builder.gep(base, [offset], source_etype=element) for base, offset in ((bias, column), (out, place), (counts, place))
        )
        masked_store(builder, builder.fadd(acc, masked_load(builder, at_bias, mask, acc.type)), at_out, mask)
        one = ir.Constant(acc.type, [1.0] * acc.type.count)
        # A branch: an epilogue may leave the builder in another block.
        with builder.if_then(builder.icmp_signed(">=", row, ir.Constant(row.type, 0))):
            masked_store(builder, builder.fadd(masked_load(builder, at_counts, mask, acc.type), one), at_counts, mask)

    module = ir.Module()
    pointer = ir.PointerType()
    emit_contract(module, "fused", spec, epilogue, [pointer, pointer, pointer, ir.IntType(64)])
    fused = jit(module)("fused", *[POINTER] * 4, *[SIZE] * 6, *[POINTER] * 3, SIZE)
    scratch = _aligned(scratch_bytes(spec))
    for m, n, k in [(1, 10, 4), (1, 100, 0), (7, 10, 33), (33, 100, 5), (13, 65, 1300), (5, 3, 0)]:
        a, b, bias = random(1, m, k, dtype), random(2, k, n, dtype), random(3, 1, n, dtype)
        c = random(4, m, n, dtype)
        operands = [Guarded(matrix, matrix.shape[1]) for matrix in (a, b, c)]
        results = [Guarded(matrix, n) for matrix in (bias, np.zeros((m, n), number), np.zeros((m, n), number))]
        addresses = [operand.address for operand in operands]
        if not accumulate:
            addresses[2] = 0  # without accumulation an epilogue needs no C
        fused(*addresses, scratch.ctypes.data, m, n, k, k, n, n, *[result.address for result in results], n)
        expected = product(spec)(a, b, c) + bias
        assert same_bits(results[1].view.copy(), expected), (m, n, k)
        assert (results[2].view == 1).all()
        assert same_bits(operands[2].view.copy(), c)


def test_products_of_a_module_share_their_tiles() -> None:
    module = ir.Module()
    emit_contract(module, "first", ContractSpec("f32"), None, ())
    once = len(module.functions)
    emit_contract(module, "second", ContractSpec("f32", n=10, accumulate=True), None, ())
    assert len(module.functions) == once + 1
    emit_contract(module, "third", ContractSpec("f32", m=32), lambda *_: None, ())
    assert len(module.functions) == once + 3  # the product and its epilogue


def test_scratch_is_bounded() -> None:
    assert all(0 < scratch_bytes(spec) <= 2 << 20 and scratch_bytes(spec) % 64 == 0 for spec in FORMS)


@pytest.mark.parametrize(
    ("features", "expected"),
    [("+sse2,+avx,+avx2,+avx512f", 64), ("-avx512f,+avx2,+avx", 32), ("-avx,+sse4.2", 16), ("+neon", 16)],
)
def test_tiles_use_the_registers_that_the_target_has(features: str, expected: int) -> None:
    assert vector_bytes_of(features) == expected


def test_bad_specifications_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be -1"):
        ContractSpec("f32", m=-1)
    with pytest.raises(ValueError, match="8-byte registers"):
        ContractSpec("f32", vector_bytes=8)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not supported"):
        ContractSpec("f16")  # type: ignore[arg-type]

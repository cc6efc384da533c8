"""What a product is (`ContractSpec`) and how it is cut (`Blocking`): sizes only, no LLVM.

The sizes bound the scratch memory at compile time. None of them can reach the bits of a result: K blocks continue the
accumulator of the block before, rows and columns are independent.
"""



from typing import Literal

from bmc.record import record

Dtype = Literal["f32", "f64"]

ELEMENT_BYTES = {"f32": 4, "f64": 8}
# A vector in an epilogue, in packing and in the kernel for one row.
VECTOR_BYTES = 32
# The columns of a tile and of a panel: one cache line, whatever the registers.
PANEL_BYTES = 64
# Rows of the tall and of the short tile by register bytes. Accumulators, a row of B and one broadcast of A fit the
# registers: 16 with AVX (12 + 2 + 1) and SSE (12 + 1 + 1, B from memory), 32 with AVX-512.
TILE_ROWS = {16: (3, 2), 32: (6, 4), 64: (8, 4)}


VectorBytes = Literal[16, 32, 64]


def vector_bytes_of(features: str) -> VectorBytes:
    """The widest registers for tiles that LLVM's feature string of a target (`+avx2,-avx512f,...`) names."""
    names = features.split(",")
    if "+avx512f" in names:
        return 64
    return 32 if "+avx" in names else 16


@record(frozen=True)
class ContractSpec:
    """A product C[M, N] = A[M, K] B[K, N], row-major, with run-time leading strides.

    `a_transposed`: A is stored [K, M]. `b_transposed`: B is stored [N, K]. `m`, `n`, `k`: constants that specialise the
    code, or None when known at run time only. `fma`: the FMA class of the target; False rounds each product before it
    is added. `accumulate`: the chain of each element starts from the value in C instead of from 0.
    """

    dtype: Dtype
    a_transposed: bool = False
    b_transposed: bool = False
    m: int | None = None
    n: int | None = None
    k: int | None = None
    fma: bool = True
    accumulate: bool = False
    vector_bytes: VectorBytes = 32

    def __post_init__(self) -> None:
        if self.dtype not in ELEMENT_BYTES:
            raise ValueError(f"a product of {self.dtype} is not supported")
        for size in (self.m, self.n, self.k):
            if size is not None and size < 0:
                raise ValueError(f"a dimension of a product cannot be {size}")
        if self.vector_bytes not in TILE_ROWS:
            raise ValueError(f"there are no tiles of {self.vector_bytes}-byte registers")


@record(frozen=True)
class Blocking:
    """Cache blocks of one dtype, in elements.

    `columns`: of a tile and of a panel. `row_vectors`: the width of the kernel for a single row. `m_partial`: how many
    rows of accumulators can wait in scratch between two K blocks.
    """

    columns: int
    row_vectors: int
    k_block: int
    n_block: int
    m_block: int
    m_partial: int

    @property
    def row_columns(self) -> int:
        return self.row_vectors * self.columns // 2

    @property
    def packed_b_elements(self) -> int:
        return self.k_block * self.n_block

    @property
    def packed_a_elements(self) -> int:
        """Panels of A; the last store of the last panel writes whole vectors, up to 64 elements beyond."""
        return (self.m_block + 8) * self.k_block + 64

    @property
    def partial_elements(self) -> int:
        """Accumulators between two K blocks, and those that an epilogue reads."""
        return self.m_partial * self.n_block


BLOCKING = {
    "f32": Blocking(columns=16, row_vectors=8, k_block=512, n_block=512, m_block=96, m_partial=288),
    "f64": Blocking(columns=8, row_vectors=8, k_block=256, n_block=512, m_block=96, m_partial=144),
}

# Below these sizes a copy into panels costs more than it saves. Rows that read B: by register bytes, since the tiles of the
# widest registers take more of them along and wait less for B.
PACK_B_ELEMENTS = 1 << 16
PACK_B_ROWS = {16: 100, 32: 100, 64: 192}
PACK_A_ELEMENTS = 1 << 16
PACK_A_COLUMNS = 128


def scratch_bytes(spec: ContractSpec) -> int:
    """Bytes of 64-byte aligned scratch memory that the product's function may use: a constant of the dtype."""
    blocking = BLOCKING[spec.dtype]
    elements = blocking.packed_b_elements + blocking.packed_a_elements + blocking.partial_elements
    return -(-elements * ELEMENT_BYTES[spec.dtype] // 64) * 64

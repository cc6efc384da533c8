"""What a product is (`ContractSpec`) and how it is cut (`Blocking`): sizes only, no LLVM.

The sizes bound the scratch memory at compile time. None of them can reach the bits of a result: K blocks continue the
accumulator of the block before, rows and columns are independent.
"""

from dataclasses import dataclass
from typing import Literal

Dtype = Literal["f32", "f64"]

ELEMENT_BYTES = {"f32": 4, "f64": 8}
VECTOR_BYTES = 32


@dataclass(frozen=True)
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

    def __post_init__(self) -> None:
        if self.dtype not in ELEMENT_BYTES:
            raise ValueError(f"a product of {self.dtype} is not supported")
        for size in (self.m, self.n, self.k):
            if size is not None and size < 0:
                raise ValueError(f"a dimension of a product cannot be {size}")


@dataclass(frozen=True)
class Blocking:
    """Register tile and cache blocks of one dtype, in elements.

    A tile holds `tall` (or `short`) rows by `columns` = 2 vectors: 12 (8) accumulators, two vectors of B and one
    broadcast of A fit the 16 registers of AVX2. `row_columns` is the width of the kernel for a single row.
    """

    lanes: int
    tall: int
    short: int
    row_vectors: int
    k_block: int
    n_block: int
    m_block: int
    m_partial: int

    @property
    def columns(self) -> int:
        return 2 * self.lanes

    @property
    def row_columns(self) -> int:
        return self.row_vectors * self.lanes

    @property
    def packed_b_elements(self) -> int:
        return self.k_block * self.n_block

    @property
    def packed_a_elements(self) -> int:
        """Panels of A; rows round up to a tile, and the last store of a panel writes whole vectors."""
        return (self.m_block + self.tall) * self.k_block + 64 // self.lanes * self.lanes

    @property
    def partial_elements(self) -> int:
        """Accumulators between two K blocks, and the tile that an epilogue reads; rows round up to a tile."""
        return (self.m_partial + self.tall) * self.n_block


BLOCKING = {
    "f32": Blocking(lanes=8, tall=6, short=4, row_vectors=8, k_block=512, n_block=256, m_block=96, m_partial=768),
    "f64": Blocking(lanes=4, tall=6, short=4, row_vectors=8, k_block=256, n_block=256, m_block=96, m_partial=384),
}

# Below these sizes a copy into panels costs more than it saves.
PACK_B_ELEMENTS = 1 << 16
PACK_B_ROWS = 32
PACK_A_ELEMENTS = 1 << 16
PACK_A_COLUMNS = 128


def scratch_bytes(spec: ContractSpec) -> int:
    """Bytes of 64-byte aligned scratch memory that the product's function may use: a constant of the dtype."""
    blocking = BLOCKING[spec.dtype]
    elements = blocking.packed_b_elements + blocking.packed_a_elements + blocking.partial_elements
    return -(-elements * ELEMENT_BYTES[spec.dtype] // 64) * 64

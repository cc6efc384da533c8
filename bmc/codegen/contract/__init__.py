"""Matrix products: a `ContractSpec` comes in, an LLVM function with blocking, packing and an epilogue goes out.

Guarantee: each output element is one chain of multiply-adds, k ascending from 0, so its bits are a function of
(dtype, K, FMA class, its row of A and its column of B) alone; never of M, strides, tiles, tails or blocks.
"""

from bmc.codegen.contract.emit import emit_contract
from bmc.codegen.contract.finish import Epilogue
from bmc.codegen.contract.spec import ContractSpec, scratch_bytes, vector_bytes_of
from bmc.codegen.contract.vector import masked_load, masked_store

__all__ = ["ContractSpec", "Epilogue", "emit_contract", "masked_load", "masked_store", "scratch_bytes", "vector_bytes_of"]

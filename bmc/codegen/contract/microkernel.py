"""Register tiles: the innermost loops of every product, emitted once in a module and shared by all its products.

A tile kernel reads A through run-time strides, so one function serves row-major, transposed and packed A, and B through
a run-time row stride, so it serves B in place and in panels.
"""

from collections.abc import Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import for_range, minimum
from bmc.codegen.contract.spec import BLOCKING, ELEMENT_BYTES, PANEL_BYTES, ContractSpec
from bmc.codegen.contract.vector import (
    BIT,
    INDEX,
    POINTER,
    at,
    element_type,
    index,
    internal_function,
    load,
    multiply_add,
    splat,
    store,
)


def tile_kernel(module: ir.Module, spec: ContractSpec, height: int) -> ir.Function:
    """`void(A*, row_stride, k_stride, tile_stride, rows, B*, b_stride, k, T*, t_stride, continued)`.

    T[rows, 64 bytes] (+)= A[rows, K] B[K, 64 bytes] in tiles of `height` rows, which are `tile_stride` apart in A. All
    columns of B are read and of T written. `continued` (i1): the chains go on from T instead of starting at 0. In the
    last tile the rows that do not exist repeat the last one that does, in A and in T: they compute and store the same.
    """
    dtype = spec.dtype
    name = f"bmc_tile_{dtype}_{height}x{BLOCKING[dtype].columns}_v{spec.vector_bytes}{'' if spec.fma else '_nofma'}"
    parameters = [POINTER, *[INDEX] * 4, POINTER, INDEX, INDEX, POINTER, INDEX, BIT]
    function = internal_function(module, name, parameters)
    if function is None:
        return module.globals[name]
    a, row_stride, k_stride, tile_stride, rows, b, b_stride, k, t, t_stride, continued = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    element = element_type(dtype)
    lanes, width = spec.vector_bytes // ELEMENT_BYTES[dtype], PANEL_BYTES // spec.vector_bytes
    vector = ir.VectorType(element, lanes)

    def tile(first: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
        a_tile, t_tile = carried
        last = builder.sub(builder.sub(rows, first), index(1))
        numbers = [index(0), *[minimum(builder, index(row), last) for row in range(1, height)]]
        row_pointers = [at(builder, a_tile, builder.mul(number, row_stride), dtype) for number in numbers]
        t_rows = [at(builder, t_tile, builder.mul(number, t_stride), dtype) for number in numbers]
        targets = [at(builder, row, index(v * lanes), dtype) for row in t_rows for v in range(width)]
        accumulators = start_chains(builder, targets, continued, vector)

        # One k step a turn: unrolled further, instruction scheduling moves loads up until registers spill.
        def step(_: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
            a_offset, b_row, *sums = state
            columns = [load(builder, at(builder, b_row, index(v * lanes), dtype), vector) for v in range(width)]
            following = [builder.add(a_offset, k_stride), at(builder, b_row, b_stride, dtype)]
            for row, pointer in enumerate(row_pointers):
                value = splat(builder, load(builder, at(builder, pointer, a_offset, dtype), element), lanes)
                for v in range(width):
                    following.append(multiply_add(builder, value, columns[v], sums[width * row + v], fma=spec.fma))
            return following

        sums = for_range(builder, index(0), k, index(1), [index(0), b, *accumulators], step)[2:]
        for target, value in zip(targets, sums, strict=True):
            store(builder, value, target)
        next_t = at(builder, t_tile, builder.mul(index(height), t_stride), dtype)
        return [at(builder, a_tile, tile_stride, dtype), next_t]

    for_range(builder, index(0), rows, index(height), [a, t], tile)
    builder.ret_void()
    return function


def start_chains(builder: ir.IRBuilder, targets: Sequence[ir.Value], continued: ir.Value, vector: ir.VectorType) -> list[ir.Value]:
    """The accumulators' first values: zero, or what the targets hold."""
    fresh = builder.block
    with builder.if_then(continued):
        loaded = [load(builder, target, vector) for target in targets]
        loading = builder.block
    result = []
    for value in loaded:
        phi = builder.phi(vector)
        phi.add_incoming(ir.Constant(vector, None), fresh)
        phi.add_incoming(value, loading)
        result.append(phi)
    return result

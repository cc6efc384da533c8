"""Copies of A and B into panels, the order in which the tile kernels read them.

A panel of B is [K, 64 bytes]: the columns of one tile, side by side for each k, zero where the matrix has none. A panel
of A is [K, rows] of one tile. Packing functions are emitted once in a module.
"""

from llvmlite import ir

from bmc.codegen.contract.loop import each, minimum
from bmc.codegen.contract.spec import TILE_ROWS, Dtype
from bmc.codegen.contract.vector import (
    INDEX,
    POINTER,
    at,
    element_type,
    index,
    internal_function,
    lane_mask,
    lanes_of,
    load,
    masked_load,
    store,
    vector_type,
)

MOST_ROWS = max(tall for tall, _ in TILE_ROWS.values())


def pack_rows(module: ir.Module, dtype: Dtype) -> ir.Function:
    """`void(source*, stride, panels*, k, columns)`: B stored [K, columns] into panels of 64 bytes."""
    function = internal_function(module, f"bmc_pack_rows_{dtype}", [POINTER, INDEX, POINTER, INDEX, INDEX])
    if function is None:
        return module.globals[f"bmc_pack_rows_{dtype}"]
    source, stride, panels, k, columns = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lanes, vector = lanes_of(dtype), vector_type(dtype)
    width = 2 * lanes

    def panel(first: ir.Value, masked: bool) -> None:
        target = at(builder, panels, builder.mul(first, k), dtype)
        origin = at(builder, source, first, dtype)
        masks: list[ir.Value | None] = [None, None]
        if masked:
            rest = builder.sub(columns, first)
            masks = [lane_mask(builder, builder.sub(rest, index(v * lanes)), dtype) for v in range(2)]

        def copy(depth: ir.Value) -> None:
            row = at(builder, origin, builder.mul(depth, stride), dtype)
            to = at(builder, target, builder.mul(depth, index(width)), dtype)
            for v in range(2):
                part = masked_load(builder, at(builder, row, index(v * lanes), dtype), masks[v], vector)
                store(builder, part, at(builder, to, index(v * lanes), dtype))

        each(builder, index(0), k, index(1), copy)

    whole = builder.and_(columns, index(-width))
    each(builder, index(0), whole, index(width), lambda first: panel(first, False))
    with builder.if_then(builder.icmp_signed("<", whole, columns)):
        panel(whole, True)
    builder.ret_void()
    return function


def pack_columns(module: ir.Module, dtype: Dtype) -> ir.Function:
    """`void(source*, stride, panels*, k, columns)`: B stored [columns, K] into panels of 64 bytes.

    Blocks of w by w are transposed in registers. Columns that do not exist repeat the last one: their products land in
    lanes that nothing stores.
    """
    function = internal_function(module, f"bmc_pack_columns_{dtype}", [POINTER, INDEX, POINTER, INDEX, INDEX])
    if function is None:
        return module.globals[f"bmc_pack_columns_{dtype}"]
    source, stride, panels, k, columns = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lanes, vector, element = lanes_of(dtype), vector_type(dtype), element_type(dtype)
    width = 2 * lanes
    last = builder.sub(columns, index(1))
    deep = builder.icmp_signed(">=", k, index(lanes))

    def strip(first: ir.Value) -> None:
        """w columns from `first`: one vector of a panel."""
        panel_start = builder.and_(first, index(-width))
        lane = builder.sub(first, panel_start)
        target = at(builder, at(builder, panels, builder.mul(panel_start, k), dtype), lane, dtype)

        def column_start(number: ir.Value) -> ir.Value:
            column = minimum(builder, builder.add(first, number), last)
            return at(builder, source, builder.mul(column, stride), dtype)

        def block(depth: ir.Value) -> None:
            # The last block ends at K and repeats what the one before it wrote.
            depth = minimum(builder, depth, builder.sub(k, index(lanes)))
            loaded = [load(builder, at(builder, row, depth, dtype), vector) for row in rows]
            to = at(builder, target, builder.mul(depth, index(width)), dtype)
            for number, value in enumerate(_transpose(builder, loaded)):
                store(builder, value, at(builder, to, index(number * width), dtype))

        def element_copy(number: ir.Value, depth: ir.Value) -> None:
            value = load(builder, at(builder, column_start(number), depth, dtype), element)
            to = builder.add(builder.mul(depth, index(width)), number)
            store(builder, value, at(builder, target, to, dtype))

        with builder.if_else(deep) as (by_blocks, by_elements):
            with by_blocks:
                rows = [column_start(index(number)) for number in range(lanes)]
                each(builder, index(0), k, index(lanes), block)
            with by_elements:
                each(
                    builder,
                    index(0),
                    k,
                    index(1),
                    lambda depth: each(builder, index(0), index(lanes), index(1), lambda number: element_copy(number, depth)),
                )

    rounded = builder.and_(builder.add(columns, index(width - 1)), index(-width))
    each(builder, index(0), rounded, index(lanes), strip)
    builder.ret_void()
    return function


def pack_a_transposed(module: ir.Module, dtype: Dtype) -> ir.Function:
    """`void(source*, stride, panel*, k, rows, tile)`: A stored [K, rows] into one panel of `tile` rows (tile >= rows).

    Rows that do not exist are zero. Writes up to 64 bytes beyond the panel's k * tile: panels are filled in order.
    """
    function = internal_function(module, f"bmc_pack_a_{dtype}", [POINTER, INDEX, POINTER, INDEX, INDEX, INDEX])
    if function is None:
        return module.globals[f"bmc_pack_a_{dtype}"]
    source, stride, panel, k, rows, tile = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lanes, vector = lanes_of(dtype), vector_type(dtype)
    vectors = -(-MOST_ROWS // lanes)
    masks = [lane_mask(builder, builder.sub(rows, index(v * lanes)), dtype) for v in range(vectors)]

    def copy(depth: ir.Value) -> None:
        row = at(builder, source, builder.mul(depth, stride), dtype)
        to = at(builder, panel, builder.mul(depth, tile), dtype)
        for v in range(vectors):
            part = masked_load(builder, at(builder, row, index(v * lanes), dtype), masks[v], vector)
            store(builder, part, at(builder, to, index(v * lanes), dtype))

    each(builder, index(0), k, index(1), copy)
    builder.ret_void()
    return function


def _transpose(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """The columns of a square block of w vectors: log2(w) rounds of two-vector shuffles.

    Round r exchanges bit r of the row number with bit r of the lane number, so after all rounds they are swapped. The
    shuffles of a round pick lanes within 128-bit halves except for the last, which swaps halves.
    """
    lanes = len(rows)
    distance = 1
    while distance < lanes:
        low = [lane if not lane & distance else lane - distance + lanes for lane in range(lanes)]
        high = [lane + distance if not lane & distance else lane + lanes for lane in range(lanes)]
        following = list(rows)
        for row in range(lanes):
            if not row & distance:
                pair = rows[row], rows[row + distance]
                following[row] = _shuffle(builder, *pair, low)
                following[row + distance] = _shuffle(builder, *pair, high)
        rows = following
        distance *= 2
    return rows


def _shuffle(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, lanes: list[int]) -> ir.Value:
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(a, b, mask)

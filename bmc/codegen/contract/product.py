"""The loops around the tiles: blocks of K, N and M, packing, and the choice of tile.

    for a stripe of M (all of M unless accumulators must wait in scratch between K blocks)
      for a block of N
        for a block of K: pack B
          for a block of M: pack A
            for a panel's columns: tall tiles, short tiles; after the last K block finish

Small products skip the packing and read A and B in place; only the last, partial panel of B is always copied, so that
the tile kernels never read beyond a row. One function serves all products of a form: what is done with finished
elements comes in as a function, so a further product costs its epilogue and a call.
"""



from llvmlite import ir

from bmc.codegen.contract.finish import FINISH_TYPE, fetch_function
from bmc.codegen.contract.loop import each, minimum, while_below
from bmc.codegen.contract.microkernel import tile_kernel
from bmc.codegen.contract.pack import pack_a_transposed, pack_columns, pack_rows
from bmc.codegen.contract.spec import (
    BLOCKING,
    PACK_A_COLUMNS,
    PACK_A_ELEMENTS,
    PACK_B_ELEMENTS,
    PACK_B_ROWS,
    TILE_ROWS,
    ContractSpec,
)
from bmc.codegen.contract.vector import BIT, INDEX, POINTER, FunctionPointer, at, index, internal_function
from bmc.record import record

PRODUCT_PARAMETERS = (*[POINTER] * 4, *[INDEX] * 6, BIT, BIT, POINTER, POINTER)


def tile_product(module: ir.Module, spec: ContractSpec) -> ir.Function:
    """`void(A*, B*, C*, scratch*, m, n, k, lda, ldb, ldc, accumulate, plain, finish*, context*)` by tiles, shared.

    `plain`: finishing is a store to C, which tiles then do themselves where they can. `finish` and `context`: see
    `finish.py`.
    """
    form = ("t" if spec.a_transposed else "n") + ("t" if spec.b_transposed else "n")
    name = f"bmc_product_{form}_{spec.dtype}_v{spec.vector_bytes}{'' if spec.fma else '_nofma'}"
    function = internal_function(module, name, PRODUCT_PARAMETERS, cold=True)
    if function is None:
        return module.globals[name]
    _Tiles(module, function, spec).emit()
    return function


@record(frozen=True)
class _Depth:
    """One block of K for one block of N: where it starts, how long it is, what it reads and what comes before it."""

    start: ir.Value
    length: ir.Value
    first: ir.Value
    last: ir.Value


@record(frozen=True)
class _Columns:
    """One block of N, and whether its whole panels were copied."""

    start: ir.Value
    count: ir.Value
    packed: ir.Value


@record(frozen=True)
class _Tile:
    """Finished accumulators: address, row stride, valid rows and columns."""

    address: ir.Value
    stride: ir.Value
    rows: ir.Value
    columns: ir.Value


class _Tiles:
    """The emission of one function; the fields are its arguments."""

    def __init__(self, module: ir.Module, function: ir.Function, spec: ContractSpec) -> None:
        self.module, self.spec = module, spec
        self.blocking = BLOCKING[spec.dtype]
        self.tall, self.short = TILE_ROWS[spec.vector_bytes]
        self.a, self.b, self.c, self.panels, self.m, self.n, self.k = function.args[:7]
        self.lda, self.ldb, self.ldc, self.accumulate, self.plain, finish, self.context = function.args[7:]
        self.finish = FunctionPointer(finish, FINISH_TYPE)
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.a_panels = self._at(self.panels, index(self.blocking.packed_b_elements))
        self.partial = self._at(self.a_panels, index(self.blocking.packed_a_elements))

    def _at(self, base: ir.Value, offset: ir.Value) -> ir.Value:
        return at(self.builder, base, offset, self.spec.dtype)

    def _element(self, base: ir.Value, row: ir.Value, stride: ir.Value, column: ir.Value) -> ir.Value:
        return self._at(base, self.builder.add(self.builder.mul(row, stride), column))

    def emit(self) -> None:
        builder, blocking = self.builder, self.blocking
        # Blocks of nearly equal depth; k = 0 is one empty block, so that the epilogue sees its zeros.
        self.k_blocks, self.k_block = self._k_blocks()
        several = builder.icmp_signed(">", self.k_blocks, index(1))
        self.several = several
        stripe = builder.select(several, index(blocking.m_partial), builder.add(self.m, index(1)))

        def m_stripe(start: ir.Value) -> None:
            end = minimum(builder, builder.add(start, stripe), self.m)

            def n_block(column: ir.Value) -> None:
                count = minimum(builder, builder.sub(self.n, column), index(blocking.n_block))
                columns = _Columns(column, count, self._packs_b())

                def k_block(number: ir.Value) -> None:
                    first = builder.mul(number, self.k_block)
                    depth = _Depth(
                        start=first,
                        length=minimum(builder, builder.sub(self.k, first), self.k_block),
                        first=builder.icmp_signed("==", number, index(0)),
                        last=builder.icmp_signed("==", number, builder.sub(self.k_blocks, index(1))),
                    )
                    self._pack_b(columns, depth)
                    each(
                        builder,
                        start,
                        end,
                        index(blocking.m_block),
                        lambda row: self._m_block(start, row, end, columns, depth),
                    )

                each(builder, index(0), self.k_blocks, index(1), k_block)

            each(builder, index(0), self.n, index(blocking.n_block), n_block)

        each(builder, index(0), self.m, stripe, m_stripe)
        builder.ret_void()

    def _k_blocks(self) -> tuple[ir.Value, ir.Value]:
        """The number of K blocks and their depth, a multiple of 8 (the last may be shorter)."""
        builder, limit = self.builder, self.blocking.k_block
        rounded = builder.sdiv(builder.add(self.k, index(limit - 1)), index(limit))
        count = builder.select(builder.icmp_signed(">", rounded, index(1)), rounded, index(1))
        depth = builder.sdiv(builder.add(self.k, builder.sub(count, index(1))), count)
        return count, builder.and_(builder.add(depth, index(7)), index(-8))

    def _packs_b(self) -> ir.Value:
        """Whether B's whole panels are copied: always to transpose, else when B is too large to be read in place."""
        builder = self.builder
        if self.spec.b_transposed:
            return ir.Constant(BIT, 1)
        large = builder.icmp_signed(">", builder.mul(self.k, self.n), index(PACK_B_ELEMENTS))
        return builder.and_(large, builder.icmp_signed(">=", self.m, index(PACK_B_ROWS[self.spec.vector_bytes])))

    def _pack_b(self, columns: _Columns, depth: _Depth) -> None:
        builder, spec = self.builder, self.spec
        if spec.b_transposed:
            source = self._element(self.b, columns.start, self.ldb, depth.start)
            function = pack_columns(self.module, spec.dtype)
            builder.call(function, [source, self.ldb, self.panels, depth.length, columns.count])
            return
        whole = builder.and_(columns.count, index(-self.blocking.columns))
        skipped = builder.select(columns.packed, index(0), whole)
        source = self._element(self.b, depth.start, self.ldb, builder.add(columns.start, skipped))
        target = self._at(self.panels, builder.mul(skipped, depth.length))
        count = builder.sub(columns.count, skipped)
        function = pack_rows(self.module, spec.dtype)
        with builder.if_then(builder.icmp_signed(">", count, index(0))):
            builder.call(function, [source, self.ldb, target, depth.length, count])

    def _m_block(self, stripe: ir.Value, row: ir.Value, stripe_end: ir.Value, columns: _Columns, depth: _Depth) -> None:
        builder, blocking = self.builder, self.blocking
        rows = minimum(builder, builder.sub(stripe_end, row), index(blocking.m_block))
        tall_rows = self._tall_rows(rows)
        packed_a = self._pack_a(row, rows, tall_rows, depth)

        def panel(column: ir.Value) -> None:
            width = minimum(builder, builder.sub(columns.count, column), index(blocking.columns))
            whole = builder.icmp_signed("==", width, index(blocking.columns))
            in_place = builder.and_(whole, builder.not_(columns.packed))
            matrix_column = builder.add(columns.start, column)
            b = builder.select(
                in_place,
                self._element(self.b, depth.start, self.ldb, matrix_column),
                self._at(self.panels, builder.mul(column, depth.length)),
            )
            b_stride = builder.select(in_place, self.ldb, index(blocking.columns))

            c = self._element(self.c, row, self.ldc, matrix_column)
            t, t_stride, direct = self._target(c, builder.sub(row, stripe), column, whole)
            starting = builder.and_(depth.first, self.accumulate)
            with builder.if_then(builder.and_(starting, builder.not_(direct))):
                fetch = fetch_function(self.module, self.spec.dtype)
                builder.call(fetch, [c, self.ldc, rows, width, t, t_stride])
            continued = builder.or_(starting, builder.not_(depth.first))
            for height, offset, count in (
                (self.tall, index(0), tall_rows),
                (self.short, tall_rows, builder.sub(rows, tall_rows)),
            ):
                with builder.if_then(builder.icmp_signed(">", count, index(0))):
                    a = self._tiles_of_a(packed_a, row, offset, height, depth)
                    target = self._at(t, builder.mul(offset, t_stride))
                    kernel = tile_kernel(self.module, self.spec, height)
                    builder.call(kernel, [*a, count, b, b_stride, depth.length, target, t_stride, continued])
            with builder.if_then(builder.and_(depth.last, builder.not_(direct))):
                self._finish(_Tile(t, t_stride, rows, width), row, matrix_column, c)

        each(builder, index(0), columns.count, index(blocking.columns), panel)

    def _tall_rows(self, rows: ir.Value) -> ir.Value:
        """How many leading rows of a block go to tall tiles; the short ones take the rest.

        With 6 and 4: a rest of 1 or 2 turns one six into two fours, 3 or 4 is a four, 5 is a six that repeats a row.
        With 8 and 4 two short tiles are a tall one, so up to 4 is a four and more is an eight; with 3 and 2: 1 turns a
        three into two twos, 2 is a two.
        """
        builder, tall, short = self.builder, self.tall, self.short
        rest = builder.srem(rows, index(tall))
        change = index(0)
        for value in range(1, tall):
            if value > short:
                by = tall - value
            elif value > 2 * short - tall:
                by = -value
            else:
                by = -value - tall if 2 * short > tall else -value
            change = builder.select(builder.icmp_signed("==", rest, index(value)), index(by), change)
        total = builder.add(rows, change)
        positive = builder.select(builder.icmp_signed(">", total, index(0)), total, index(0))
        return minimum(builder, positive, rows)

    def _packs_a(self) -> ir.Value:
        builder, spec = self.builder, self.spec
        if not spec.a_transposed:
            return ir.Constant(BIT, 0)
        large = builder.icmp_signed(">", builder.mul(self.k, self.m), index(PACK_A_ELEMENTS))
        return builder.and_(large, builder.icmp_signed(">=", self.n, index(PACK_A_COLUMNS)))

    def _pack_a(self, row: ir.Value, rows: ir.Value, tall_rows: ir.Value, depth: _Depth) -> ir.Value:
        """Copy a block of A into panels of one tile each where that pays; whether it did."""
        packed = self._packs_a()
        if not self.spec.a_transposed:
            return packed
        builder = self.builder
        function = pack_a_transposed(self.module, self.spec.dtype)

        def tile(offset: ir.Value) -> ir.Value:
            tall = builder.icmp_signed("<", offset, tall_rows)
            height = builder.select(tall, index(self.tall), index(self.short))
            valid = minimum(builder, builder.sub(rows, offset), height)
            source = self._element(self.a, depth.start, self.lda, builder.add(row, offset))
            target = self._at(self.a_panels, builder.mul(offset, depth.length))
            builder.call(function, [source, self.lda, target, depth.length, valid, height])
            return builder.add(offset, height)

        with builder.if_then(packed):
            while_below(builder, index(0), rows, tile)
        return packed

    def _tiles_of_a(self, packed: ir.Value, row: ir.Value, offset: ir.Value, height: int, depth: _Depth) -> list[ir.Value]:
        """Address, row stride, K stride and tile stride of the rows of A from `row + offset`, in place or in panels."""
        builder, tile = self.builder, index(height)
        first = builder.add(row, offset)
        if not self.spec.a_transposed:
            address = self._element(self.a, first, self.lda, depth.start)
            return [address, self.lda, index(1), builder.mul(tile, self.lda)]
        in_place = self._element(self.a, depth.start, self.lda, first)
        panel = self._at(self.a_panels, builder.mul(offset, depth.length))
        return [
            builder.select(packed, panel, in_place),
            index(1),
            builder.select(packed, tile, self.lda),
            builder.select(packed, builder.mul(tile, depth.length), tile),
        ]

    def _target(self, c: ir.Value, stripe_row: ir.Value, column: ir.Value, whole: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Where a panel's accumulators go: address, row stride, and whether that is C itself.

        Whole columns of a product without epilogue go to C. The others go to scratch: to rows of one panel that stay in
        the nearest cache, or, when they must wait for another K block, to their place in the stripe.
        """
        builder, n_block = self.builder, index(self.blocking.n_block)
        place = self._element(self.partial, stripe_row, n_block, column)
        t = builder.select(self.several, place, self.partial)
        t_stride = builder.select(self.several, n_block, index(self.blocking.columns))
        direct = builder.and_(self.plain, whole)
        return builder.select(direct, c, t), builder.select(direct, self.ldc, t_stride), direct

    def _finish(self, tile: _Tile, row: ir.Value, column: ir.Value, c: ir.Value) -> None:
        """The epilogue, or the store at `c`, for a tile whose first element is C[row, column]."""
        arguments = [tile.address, tile.stride, tile.rows, row, column, tile.columns, c, self.ldc, self.context]
        self.builder.call(self.finish, arguments)

"""Loops in LLVM IR, tested at the top (zero trips are safe), with values carried from one turn to the next."""

from collections.abc import Callable, Sequence

from llvmlite import ir

Body = Callable[[ir.Value, list[ir.Value]], Sequence[ir.Value]]


def for_range(
    builder: ir.IRBuilder, start: ir.Value, stop: ir.Value, step: ir.Value, carried: Sequence[ir.Value], body: Body
) -> list[ir.Value]:
    """`for i in range(start, stop, step)`: `body(i, carried)` gives the next carried values; the last are returned.

    `step` is positive; the body may add blocks, and leaves the builder at the end of the last one.
    """
    before = builder.block
    head = builder.append_basic_block("loop")
    inside = builder.append_basic_block("body")
    after = builder.append_basic_block("after")
    builder.branch(head)
    builder.position_at_end(head)
    counter = builder.phi(start.type)
    counter.add_incoming(start, before)
    current = []
    for value in carried:
        phi = builder.phi(value.type)
        phi.add_incoming(value, before)
        current.append(phi)
    builder.cbranch(builder.icmp_signed("<", counter, stop), inside, after)
    builder.position_at_end(inside)
    following = body(counter, list(current))
    counter.add_incoming(builder.add(counter, step), builder.block)
    for phi, value in zip(current, following, strict=True):
        phi.add_incoming(value, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return current


def each(builder: ir.IRBuilder, start: ir.Value, stop: ir.Value, step: ir.Value, body: Callable[[ir.Value], None]) -> None:
    """`for i in range(start, stop, step): body(i)`."""

    def turn(counter: ir.Value, _: list[ir.Value]) -> Sequence[ir.Value]:
        body(counter)
        return ()

    for_range(builder, start, stop, step, (), turn)


def while_true(
    builder: ir.IRBuilder,
    carried: Sequence[ir.Value],
    test: Callable[[list[ir.Value]], ir.Value],
    body: Callable[[list[ir.Value]], Sequence[ir.Value]],
) -> list[ir.Value]:
    """`while test(carried): carried = body(carried)`; the last carried values are returned. Both may add blocks."""
    before = builder.block
    head = builder.append_basic_block("loop")
    inside = builder.append_basic_block("body")
    after = builder.append_basic_block("after")
    builder.branch(head)
    builder.position_at_end(head)
    current = []
    for value in carried:
        phi = builder.phi(value.type)
        phi.add_incoming(value, before)
        current.append(phi)
    builder.cbranch(test(list(current)), inside, after)
    builder.position_at_end(inside)
    following = body(list(current))
    for phi, value in zip(current, following, strict=True):
        phi.add_incoming(value, builder.block)
    builder.branch(head)
    builder.position_at_end(after)
    return current


def while_below(builder: ir.IRBuilder, start: ir.Value, stop: ir.Value, body: Callable[[ir.Value], ir.Value]) -> None:
    """`i = start; while i < stop: i = body(i)`."""
    before = builder.block
    head = builder.append_basic_block("loop")
    inside = builder.append_basic_block("body")
    after = builder.append_basic_block("after")
    builder.branch(head)
    builder.position_at_end(head)
    counter = builder.phi(start.type)
    counter.add_incoming(start, before)
    builder.cbranch(builder.icmp_signed("<", counter, stop), inside, after)
    builder.position_at_end(inside)
    following = body(counter)
    counter.add_incoming(following, builder.block)
    builder.branch(head)
    builder.position_at_end(after)


def minimum(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.icmp_signed("<", a, b), a, b)

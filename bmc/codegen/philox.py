"""Counter-based random numbers: Philox4x32-10 as LLVM IR, vectorised over elements.

J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A block of four 32-bit
words is a function of a 128-bit counter and a 64-bit key, so a draw depends on where it stands, never on who draws it
or in what order (and element e of a row is the same number at any vector width). Words, low first:

    counter 0   block of the row: element // 4 (31 bits); bit 31 marks the second stream
    counter 1   row within the effective batch
    counter 2   step
    counter 3   low half of the site
    key 0       low half of the seed
    key 1       high half of the seed, exclusive-or the high half of the site

Element e takes word e mod 4 of its block. The second stream holds what 32 bits are too few for: the low bits of f64
uniforms and the angles of normals. f32 and f64 draws with the same key therefore agree to f32's precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from llvmlite import ir

from bmc.codegen.lanes import Lanes
from bmc.codegen.math.logarithm import log
from bmc.codegen.math.trigonometric import sin_of_turn
from bmc.codegen.value import Value
from bmc.ops.element import Dtype

_MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS: Final = (0x9E3779B9, 0xBB67AE85)
_ROUNDS: Final = 10
_LOW_WORD: Final = 0xFFFFFFFF
_SECOND_STREAM: Final = 1 << 31


@dataclass(frozen=True)
class Run(Value):
    """The i64 values first, first + 1, ... first + W - 1, where `first` is a multiple of 4 and all are of one row.

    Given as the element of a draw, it lets whole blocks be made once instead of once for each of their four words.
    """

    first: ir.Value


@dataclass(frozen=True)
class _Site:
    """Everything that a block depends on but its number within the row."""

    seed: Value
    step: Value
    row: Value
    site: Value


def emit_uniform(b: Lanes, dtype: Dtype, seed: Value, step: Value, row: Value, element: Value, site: Value) -> Value:
    """W uniforms in [0, 1): multiples of 2^-24 (f32) or 2^-53 (f64). Keys are i64 as `ElementBuilder.uniform` says."""
    place = _Site(seed, step, row, site)
    first = _words(b, place, element, 0)
    if dtype == "f32":
        return b.mul(b.cast(b.shift_right(first, 8), "f32"), b.constant("f32", 2.0**-24))
    second = _words(b, place, element, _SECOND_STREAM)
    high = b.shift_left(_unsigned(b, first), 21)
    bits = b.bit_or(high, b.shift_right(_unsigned(b, second), 11))
    return b.mul(b.cast(bits, "f64"), b.constant("f64", 2.0**-53))


def emit_normal(b: Lanes, dtype: Dtype, seed: Value, step: Value, row: Value, element: Value, site: Value) -> Value:
    """W standard normals: sqrt(-2 log u) sin(2 pi v), with u = (word + 1/2) / 2^32 and v = second word / 2^32.

    G. Box, M. Muller, "A note on the generation of random normal deviates", 1958. The greatest magnitude is 6.77.
    """
    place = _Site(seed, step, row, site)
    first = _words(b, place, element, 0)
    second = _words(b, place, element, _SECOND_STREAM)
    centred = b.add(b.cast(_unsigned(b, first), "f64"), b.constant("f64", 0.5))
    u = b.cast(b.mul(centred, b.constant("f64", 2.0**-32)), dtype)
    radius = b.sqrt(b.mul(log(b, u), b.constant(dtype, -2.0)))
    # u rounds to 1 in f32 for the last 128 words: log(1) is +0, times -2 is -0, whose root is -0.
    return b.mul(radius, sin_of_turn(b, second, dtype))


def philox_block(b: Lanes, counter: tuple[Value, ...], key: tuple[Value, Value]) -> tuple[Value, ...]:
    """The four words of a block in every lane; words are i64 below 2^32, as is everything that comes in."""
    c0, c1, c2, c3 = counter
    low_word = b.constant("i64", _LOW_WORD)
    multipliers = tuple(b.constant("i64", multiplier) for multiplier in _MULTIPLIERS)
    for keys in _key_schedule(b, key):
        product_0, product_1 = b.mul(c0, multipliers[0]), b.mul(c2, multipliers[1])
        c0 = b.bit_xor(b.bit_xor(b.shift_right(product_1, 32), c1), keys[0])
        c2 = b.bit_xor(b.bit_xor(b.shift_right(product_0, 32), c3), keys[1])
        c1, c3 = b.bit_and(product_1, low_word), b.bit_and(product_0, low_word)
    return c0, c1, c2, c3


def _key_schedule(b: Lanes, key: tuple[Value, Value]) -> list[tuple[Value, Value]]:
    """The keys of the rounds: each the one before plus a constant, modulo 2^32."""
    low_word = b.constant("i64", _LOW_WORD)
    schedule = [key]
    for i in range(1, _ROUNDS):
        words = (
            b.bit_and(b.add(word, b.constant("i64", i * step & _LOW_WORD)), low_word)
            for word, step in zip(key, _KEY_STEPS, strict=True)
        )
        schedule.append((next(words), next(words)))
    return schedule


def _words(b: Lanes, place: _Site, element: Value, stream: int) -> Value:
    """The random word of each element, as i32."""
    if isinstance(element, Run) and b.width % 4 == 0:
        return _words_of_run(b, place, element, stream)
    low_word = b.constant("i64", _LOW_WORD)
    block = b.bit_and(b.shift_right(element, 2), b.constant("i64", _SECOND_STREAM - 1))
    counter = (
        b.bit_or(block, b.constant("i64", stream)),
        b.bit_and(place.row, low_word),
        b.bit_and(place.step, low_word),
        b.bit_and(place.site, low_word),
    )
    words = philox_block(b, counter, _key(b, place))
    odd = _bit_set(b, element, 0)
    upper = b.select(odd, words[3], words[2])
    lower = b.select(odd, words[1], words[0])
    return b.cast(b.select(_bit_set(b, element, 1), upper, lower), "i32")


def _words_of_run(b: Lanes, place: _Site, run: Run, stream: int) -> Value:
    """The words of W consecutive elements from W / 4 blocks, two lanes of 64 bits to a block.

    Lanes hold [x0, x2] and [x1, x3] of each block: one product serves both multiplications of a round, and its halves,
    swapped between the two lanes, are the next round's words. At the end a lane's two words are neighbours in memory
    order, so the vector of pairs is the vector of words.
    """
    pairs = Lanes(b.builder, b.width // 2, b.fused)
    scalar = Lanes(b.builder, 1, b.fused)

    def alternate(even: int, odd: int) -> Value:
        constants = [(odd if lane % 2 else even) for lane in range(pairs.width)]
        return Value(ir.Constant(pairs.type_of("i64"), constants), "i64")

    def first_lane(x: Value) -> Value:
        return pairs.broadcast(b.extract(x, 0), "i64")

    low_word = pairs.constant("i64", _LOW_WORD)
    block = scalar.shift_right(Value(run.first, "i64"), 2)
    numbers = Value(ir.Constant(pairs.type_of("i64"), [lane // 2 for lane in range(pairs.width)]), "i64")
    block_lanes = pairs.add(pairs.broadcast(block.ir, "i64"), numbers)
    block_lanes = pairs.bit_and(block_lanes, pairs.constant("i64", _SECOND_STREAM - 1))
    even_mask = alternate(_LOW_WORD, 0)
    odd_mask = alternate(0, _LOW_WORD)
    tagged = pairs.bit_or(block_lanes, pairs.constant("i64", stream))
    # [c0, c2] and [c1, c3]
    outer = pairs.bit_or(pairs.bit_and(tagged, even_mask), pairs.bit_and(first_lane(place.step), odd_mask))
    inner = pairs.bit_or(pairs.bit_and(first_lane(place.row), even_mask), pairs.bit_and(first_lane(place.site), odd_mask))
    seed = first_lane(place.seed)
    key = pairs.bit_or(
        pairs.bit_and(seed, even_mask),
        pairs.bit_and(pairs.bit_xor(pairs.shift_right(seed, 32), pairs.shift_right(first_lane(place.site), 32)), odd_mask),
    )
    multipliers = alternate(*_MULTIPLIERS)
    swap = ir.Constant(ir.VectorType(ir.IntType(32), pairs.width), [lane ^ 1 for lane in range(pairs.width)])
    for i in range(_ROUNDS):
        step_low, step_high = (i * step & _LOW_WORD for step in _KEY_STEPS)
        keys = pairs.add(key, alternate(step_low, step_high)) if i else key
        product = pairs.mul(pairs.bit_and(outer, low_word), multipliers)
        swapped = Value(b.builder.shuffle_vector(product.ir, ir.Constant(product.ir.type, ir.Undefined), swap), "i64")
        outer = pairs.bit_xor(pairs.bit_xor(pairs.shift_right(swapped, 32), inner), keys)
        inner = swapped
    words = pairs.bit_or(pairs.bit_and(outer, low_word), pairs.shift_left(inner, 32))
    return Value(b.builder.bitcast(words.ir, b.type_of("i32")), "i32")


def _key(b: Lanes, place: _Site) -> tuple[Value, Value]:
    low_word = b.constant("i64", _LOW_WORD)
    return b.bit_and(place.seed, low_word), b.bit_xor(b.shift_right(place.seed, 32), b.shift_right(place.site, 32))


def _bit_set(b: Lanes, x: Value, position: int) -> Value:
    return b.compare("ne", b.bit_and(x, b.constant("i64", 1 << position)), b.constant("i64", 0))


def _unsigned(b: Lanes, word: Value) -> Value:
    """An i32 whose bits are an unsigned number, as i64."""
    return b.bit_and(b.cast(word, "i64"), b.constant("i64", _LOW_WORD))

"""E03xx, W03xx: types and dims."""

from __future__ import annotations

from bmc.errors.catalogue.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "E0301",
        "A dim has the wrong size",
        "Names in shapes are the hyper-parameters and `let`s of that name, and else stand for one size "
        "throughout the call. The carets show the value, what is wanted, and where both sizes come from.",
        "layer Head(x: float[B, 4]) -> float[B, 4] { return 2 * x }\n"
        "model M(x: f32[B, 9]) -> f32[B, 4] { return x |> dense(3) as a |> Head }",
        "layer Head(x: float[B, 4]) -> float[B, 4] { return 2 * x }\n"
        "model M(x: f32[B, 9]) -> f32[B, 4] { return x |> dense(4) as a |> Head }",
        within="file",
    ),
    Entry(
        "E0302",
        "The wrong number of dims",
        "A shape says how many dims there are; `...` stands for any number of them. `unsqueeze` adds a dim of 1 "
        "and `squeeze` takes one away.",
        "fn f(x: float[B, T, D]) -> float[B, D] { return x[:, 0] }\nmodel M(x: f32[B, 4]) -> f32[B, 4] { return f(x) }",
        "fn f(x: float[B, T, D]) -> float[B, D] { return x[:, 0] }\n"
        "model M(x: f32[B, 4]) -> f32[B, 4] { return f(unsqueeze(x, 1)) }",
        within="file",
    ),
    Entry(
        "E0303",
        "The wrong dtype",
        "Integers and conditions become floats by `number`, never by themselves; integers come from `integer` "
        "and `category`. `float` is the float type of the program.",
        "argmax(x) |> dense(4) as d",
        "argmax(x) |> number |> unsqueeze(-1) |> dense(4) as d",
        within="body",
    ),
    Entry(
        "E0304",
        "Shapes do not broadcast",
        "Dims are aligned at the right; two of them fit if they are equal or one of them is 1.",
        "x = x + h               # f32[B, 4] + f32[B, 3]",
        "x = x + h[:, :1]",
        within="body",
    ),
    Entry(
        "E0305",
        "The inner dims of a product differ",
        "In `a @ b` the last dim of a meets the last but one of b. `transpose` swaps the last two.",
        "x = x @ w               # f32[B, 4] @ f32[3, 4]",
        "x = x @ transpose(w) @ w    # f32[B, 4] @ f32[4, 3]",
        within="body",
    ),
    Entry(
        "E0306",
        "An axis is outside of the tensor",
        "Axes count from 0; negative ones from the end, -1 being the last.",
        "sum(x, axis = 2)   # x: f32[B, 4]",
        "sum(x, axis = 1)",
        within="body",
    ),
    Entry(
        "E0307",
        "Nothing says how large a dim is",
        "A name in a shape gets its size from a hyper-parameter, a `let`, or an argument whose type names it.",
        "h: float[B, Z] = zeros",
        "h: float[B, 4] = zeros\nx = x + h",
        within="body",
    ),
    Entry(
        "E0308",
        "This cannot be a dim",
        "The sizes of shapes are whole numbers, not negative.",
        "layer A(n = 0.5)(x: float[B, D]) -> float[B, n] { return x |> dense(n) as d }\n"
        "model M(x: f32[B, 4]) -> f32[B, 5] { return x |> A as a }",
        "layer A(n = 5)(x: float[B, D]) -> float[B, n] { return x |> dense(n) as d }\n"
        "model M(x: f32[B, 4]) -> f32[B, 5] { return x |> A as a }",
        within="file",
    ),
    Entry(
        "E0309",
        "A dim is not divisible",
        "`/` between dims must divide without rest, since a dim is a whole number. `//` rounds down.",
        "fn f(x: float[B, D]) -> float[B, D / 3] { return x[:, ::3] }\nmodel M(x: f32[B, 4]) -> f32[B, 2] { return f(x) }",
        "fn f(x: float[B, D]) -> float[B, (D + 2) // 3] { return x[:, ::3] }\n"
        "model M(x: f32[B, 4]) -> f32[B, 2] { return f(x) }",
        within="file",
    ),
    Entry(
        "E0310",
        "An index does not fit",
        "An index is a whole number inside of its dim, a slice, `none` for a new dim of 1, or `...`. `take(x, "
        "i)` picks by a tensor of integers.",
        "last = x[:, 4]     # x: f32[B, 4]",
        "last = x[:, -1]",
        within="body",
    ),
    Entry(
        "E0311",
        "Sizes do not add up",
        "`reshape` keeps the number of cells, `split` cuts into equal parts or into parts that add up to the dim.",
        "a, b, c = split(x, 3)    # a dim of 4",
        "a, b = split(x, [1, 3])",
        within="body",
    ),
    Entry(
        "E0312",
        "The compiler must know this value",
        "Hyper-parameters, sizes, and conditions of `if` and `assert` are known before any data is read. What "
        "depends on data is chosen by `select`.",
        "if x > 0 { y = x } else { y = -x }",
        "y = select(x > 0, x, -x)",
        within="body",
    ),
    Entry(
        "E0313",
        "An operator does not take this",
        "Arithmetic is of numbers, `and` and `or` of conditions. Text is compared with a literal, or becomes "
        "integers by `category`.",
        "y = x * (x > 0)",
        "y = x * number(x > 0)",
        within="body",
    ),
    Entry(
        "E0314",
        "Integers reach beyond what they pick from",
        "Integers carry the bound that `category`, `argmax` or `arange` gave them, which is checked against the "
        "axis that they pick from: labels against logits, indices against an embedding.",
        "y = k |> category(12)        # logits: f32[B, 10]",
        "y = k |> category(10)",
        within="labels",
    ),
    Entry(
        "E0315",
        "Integers and floats do not mix by themselves",
        "`number` makes floats of integers. Division, literals, and what `arange` counts take the other side's dtype.",
        "x = x * unsqueeze(v * n, -1)             # v: f32[B], n: i32[B]",
        "x = x * unsqueeze(v * number(n), -1)",
        within="body",
    ),
    Entry(
        "E0316",
        "A generator has no shape",
        "`zeros`, `normal()` and their like take the shape of what they are bound to.",
        "y = x + normal()",
        "noise: float[B, 4] = normal()\ny = x + noise",
        within="body",
    ),
    Entry(
        "E0317",
        "A size or number is out of range",
        "Dims are not negative, `repeat` has an upper limit, and static arithmetic must have a result.",
        "x |> dense(-1)",
        "x |> dense(1)",
        within="body",
    ),
    Entry(
        "E0318",
        "An index pattern is wrong",
        "`einsum` names the dims of each operand, then those of the result; `rearrange` has the same names on "
        "both sides and brackets for dims that are split or merged.",
        'rearrange(x, "b (h w) -> b h w")',
        'rearrange(x, "b (h w) -> b h w", h = 2)',
        within="body",
    ),
    Entry(
        "E0319",
        "Cells may be missing",
        "A column declared with `?` may have gaps. They must be filled, or told apart, before a comparison, a "
        "category, `concat`, or the model.",
        "where price > 0",
        "where not is_missing(price) and fill(price, 0) > 0",
        within="data",
    ),
    Entry(
        "E0320",
        "Unknown type",
        "The types are `float` (the program's float type), `bool`, `u8`, `i32`, `i64`, `f32`, `f64`, and `str`, "
        "`date`, `timestamp` for columns.",
        "model M(x: f16[B, 4]) -> (y: f32[B, 4]) { return x }",
        "model M(x: f32[B, 4]) -> (y: f32[B, 4]) { return x }",
        within="file",
    ),
    Entry(
        "E0321",
        "An operator's rule is violated",
        "The operands do not fit the operator, in the words of its own rule.",
    ),
    Entry(
        "E0322",
        "A value of the wrong kind",
        "The message says what the argument or setting takes.",
        "sum(x, keep = 1)",
        "sum(x, keep = true)",
        within="body",
    ),
    Entry(
        "E0323",
        "These are not indices",
        "What picks from a table or an axis is whole numbers.",
        "x = take(x, v)",
        "x = take(x, ids, axis = 1)[:, :4]",
        within="body",
    ),
    Entry(
        "E0324",
        "A flattened size is wrong",
        "What a flattened image or sequence has for each row is the product of its dims, which follow from the sizes, strides and "
        "padding in front. A layer such as `dense` takes the size as it comes; where it must be written, the message has it.",
        "h = x |> conv2d(16, 5) as c |> maxpool(2)    # x: [B, 28, 28, 1]\ny = reshape(h, [B, 400]) |> dense(10) as fc",
        "h = x |> conv2d(16, 5) as c |> maxpool(2)    # [B, 12, 12, 16]\ny = h |> flatten |> dense(10) as fc",
        within="image",
    ),
    Entry(
        "E0325",
        "The channels of an image come first",
        "Images are [rows, columns, channels], as cameras and files have them. Data from elsewhere may have the channels in front; "
        "`rearrange` moves them. W0302 is the same where the shape could be meant.",
        "y = digit |> category(10)\nx = gray / 255               # gray: u8[1, 28, 28]",
        'y = digit |> category(10)\nx = gray / 255 |> rearrange("b c h w -> b h w c")',
        within="conv",
    ),
    Entry(
        "E0326",
        "A mask does not lie over what it masks",
        "Dims are aligned at the right, so a mask of [B, T] meets the last two dims of [B, heads, T, T]. `none` in an index "
        "gives a mask the dims of 1 that put its own in place.",
        "s = select(keep, s, -1e9)                # keep: bool[B, 6], s: f32[B, 4, 6, 6]\nx = x + s[:, :, 0, 0]",
        "s = select(keep[:, none, none, :], s, -1e9)\nx = x + s[:, :, 0, 0]",
        within="body",
    ),
    Entry(
        "E0327",
        "Heads or groups do not divide a dim",
        "Heads share the width evenly, so the width is a multiple of their number: D % heads == 0. The same holds for groups of "
        "heads, of channels, and for every split of a dim in `rearrange`.",
        "t = t |> multi_head_attention(3) as attn     # t: f32[B, 6, 64]\nx = x + t[:, 0, :4]",
        "t = t |> multi_head_attention(4) as attn\nx = x + t[:, 0, :4]",
        within="body",
    ),
    Entry(
        "E0328",
        "A sequence is longer than its table of positions",
        "`pos[:T]`, where T is a dim of an input, needs a table of at least T. Make the table longer, the sequences shorter "
        "(`pad(max = ..)`, `windows(..)`), or use positions without a table: `sinusoidal`, `rotary`, ALiBi.",
        "model LM(tok: i32[B, T]) -> (logits: f32[B, T, V]) {\n"
        "  param pos: f32[4, 6] = normal(std = 0.02)\n"
        "  x = (tok |> embedding(V, 6)) + pos[:T]      # T = 8\n"
        "  return x |> dense(V) as head\n"
        "}",
        "model LM(tok: i32[B, T]) -> (logits: f32[B, T, V]) {\n"
        "  param pos: f32[8, 6] = normal(std = 0.02)\n"
        "  x = (tok |> embedding(V, 6)) + pos[:T]\n"
        "  return x |> dense(V) as head\n"
        "}",
        within="language model",
    ),
    Entry(
        "W0301",
        "Nothing bounds these integers",
        "An integer beyond the axis it picks from would pick the last entry. `category(n)` in the data block "
        "gives the bound, and rows outside of it are errors of the data.",
        "y = digit",
        "y = digit |> category(10)",
        within="labels",
    ),
    Entry(
        "W0302",
        "The channels of an image seem to come first",
        "An input of 3 rows and as many channels as columns is most likely an image whose channels stand in front: see E0325.",
        "y = digit |> category(10)\nx = channels / 255           # channels: u8[3, 32, 32]",
        'y = digit |> category(10)\nx = channels / 255 |> rearrange("b c h w -> b h w c")',
        within="conv",
    ),
    Entry(
        "W0303",
        "A loss of scores is given probabilities",
        "`cross_entropy` and `focal` take a softmax of their argument, `bce` a sigmoid, since only so can they be exact. Given "
        "probabilities they see scores between 0 and 1: the loss cannot come near 0, and learning is slow. Leave the softmax to "
        "`predict`; `nll(log(p), y)` is for probabilities that come from elsewhere.",
        "model M(x: f32[B, 4]) -> (logits: f32[B, 10]) { return x |> dense(10) as fc |> softmax }\n"
        "train M on D { loss = cross_entropy(logits, y) }",
        "model M(x: f32[B, 4]) -> (logits: f32[B, 10]) { return x |> dense(10) as fc }\n"
        "train M on D { loss = cross_entropy(logits, y); predict = softmax(logits) }",
        within="programs",
    ),
)

"""E04xx, W04xx: calls, layers, parameters, hyper-parameters."""

from __future__ import annotations

from bmc.errors.catalogue.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "E0401",
        "Unknown argument",
        "The note lists the arguments that there are.",
        "x |> dense(4, bais = false)",
        "x |> dense(4, bias = false)",
        within="body",
    ),
    Entry(
        "E0402",
        "An argument is missing",
        "Arguments without a default must be given, by position or by name.",
        "x |> dense",
        "x |> dense(4)",
        within="body",
    ),
    Entry(
        "E0403",
        "Too many arguments",
        "Arguments are given once, in the order of the declaration or by name.",
        "relu(x, 1, 2)",
        "relu(x)",
        within="body",
    ),
    Entry(
        "E0404",
        "A hyper-parameter of the wrong type",
        "The default fixes the type: a whole number, a number, true or false, a text, a list, a function or "
        "layer. A schedule may stand for a number.",
        'x |> dense(4, bias = "no")',
        "x |> dense(4, bias = false)",
        within="body",
    ),
    Entry(
        "E0405",
        "Two things have one name",
        "A parameter's key is the path of names, so names within a scope differ. A layer that is bound to a name "
        "is shared wherever the name is applied.",
        "x |> dense(4) as a |> dense(4) as a",
        "x |> dense(4) as a |> dense(4) as b",
        within="body",
    ),
    Entry(
        "E0406",
        "A kind of layer is bound to a name",
        "`dropout` alone is a kind: it makes a fresh layer at each use. A name stands for one layer, so it is constructed.",
        "drop = dropout",
        "drop = dropout()",
        within="body",
    ),
    Entry(
        "E0407",
        "This cannot be piped into",
        "Right of `|>` stands a function or a layer.",
        "x = x |> h[:, :1]",
        "x = x + h[:, :1]",
        within="body",
    ),
    Entry(
        "E0408",
        "A shared parameter has two shapes",
        "A layer bound to a name has one set of parameters, so what it is applied to has one width.",
        "l = dense(4)\ny = l(x) + l(x[:, :2])",
        "l = dense(4)\nm = dense(4)\ny = l(x) + m(x[:, :2])",
        within="body",
    ),
    Entry(
        "E0409",
        "A fn makes parameters",
        "A `fn` computes from its arguments alone. What has parameters is a `layer`.",
        "fn f(x: float[B, D]) -> float[B, 4] { return x |> dense(4) as d }\n"
        "model M(x: f32[B, 9]) -> f32[B, 4] { return x |> f }",
        "layer F(x: float[B, D]) -> float[B, 4] { return x |> dense(4) as d }\n"
        "model M(x: f32[B, 9]) -> f32[B, 4] { return x |> F as f }",
        within="file",
    ),
    Entry(
        "E0410",
        "A carried value changes its type",
        "What a state or the carry of a `scan` holds has one type.",
        "state avg: float[D] = zeros\nif training { avg = mean(x) }\nx = x - avg",
        "state avg: float[D] = zeros\nif training { avg = mean(x, axis = 0) }\nx = x - avg",
        within="layer",
    ),
    Entry(
        "E0411",
        "The wrong number of values",
        "As many values are returned as are declared, and as many names take them.",
        "a, b = x[0]",
        "a = x[0]",
        within="body",
    ),
    Entry(
        "E0412",
        "Nothing is returned",
        "Every body ends with a `return` that is reached.",
        "fn f(x: float[B]) -> float[B] { y = x + 1 }",
        "fn f(x: float[B]) -> float[B] { return x + 1 }",
        within="file",
    ),
    Entry(
        "E0413",
        "A parameter is read before its layer is applied",
        "Its dims may depend on what the layer is applied to, so it exists from then on.",
        "e = embedding(10, 4)\ny = x @ e.w",
        "e = embedding(10, 4)\nh = e(i)\ny = h @ transpose(e.w)",
        within="body",
    ),
    Entry(
        "E0414",
        "repeat goes over a number or a list",
        "`repeat 3 { }`, `repeat c in [16, 32] { }`, `repeat c, s in zip(a, b) { }`. A `scan` goes over the positions of a tensor.",
        "repeat x { x = x + 1 }",
        "repeat 3 { x = x + 1 }",
        within="body",
    ),
    Entry(
        "E0415",
        "A layer is constructed first, then applied",
        "Also a layer without hyper-parameters: `A()` makes one, with parameters of its own.",
        "layer A(x: float[B, D]) -> float[B, D] { return x |> dense(D) as d }\n"
        "model M(x: f32[B, 4]) -> f32[B, 4] { return A(x) }",
        "layer A(x: float[B, D]) -> float[B, D] { return x |> dense(D) as d }\n"
        "model M(x: f32[B, 4]) -> f32[B, 4] { return A()(x) }",
        within="file",
    ),
    Entry(
        "E0416",
        "yield outside of a scan",
        "`yield name = e` stacks what a `scan` computes at each position.",
        "yield h = x",
        "scan(axis = 1) t in x { yield h = t }",
        within="body",
    ),
    Entry(
        "E0417",
        "A parameter cannot start like this",
        "A parameter starts from a number, a list of numbers of its shape, or a generator.",
        'param w: float[4] = "ones"',
        "param w: float[4] = ones",
        within="body",
    ),
    Entry(
        "E0418",
        "A layer is made in one branch of `if training`",
        "The model is compiled twice, for training and for prediction. A layer that only training makes is missing in prediction, "
        "one that only prediction makes never learns. Branches may differ in what they do with layers that both have; a part of "
        "the model that serves the loss alone can be an output: what prediction does not use costs it nothing.",
        "if training { x = x |> dense(4) as extra }\nx = x |> dense(4) as last",
        "x = x |> dense(4) as extra\nif training { x = x |> dropout(0.1) }",
        within="layer",
    ),
    Entry(
        "E0419",
        "The rate of dropout is no share",
        "`dropout(rate)` drops that share of the cells: at least 0 and below 1. 0.5 drops half of them.",
        "x |> dropout(50)",
        "x |> dropout(0.5)",
        within="body",
    ),
    Entry(
        "E0420",
        "return inside of a scan",
        "A scan runs its body at each position, and what depends on data does not decide how often. A value that is found on the "
        "way is carried; `select` keeps it from a turn on.",
        "z: float[B, 64] = zeros\nscan(axis = 1) g in t { z = z + g\n  return z[:, :4] }",
        "z: float[B, 64] = zeros\nscan(axis = 1) g in t { z = z + g }\nx = x + z[:, :4]",
        within="body",
    ),
    Entry(
        "E0421",
        "one name yielded twice in a turn",
        "Each turn of a scan gives one value under each name that it yields, and these are stacked along the axis. Two values need "
        "two names, or are put together before.",
        "z: float[B, 64] = zeros\nscan(axis = 1) g in t { z = z + g\n  yield out = z\n  yield out = g }\nx = x + out[:, 0, :4]",
        "z: float[B, 64] = zeros\nscan(axis = 1) g in t { z = z + g\n  yield out = concat(z, g) }\nx = x + out[:, 0, :4]",
        within="body",
    ),
)

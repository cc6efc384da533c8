"""E02xx, W02xx: names, declarations, `use`."""

from __future__ import annotations

from bmc.errors.catalogue.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "E0201",
        "Unknown name",
        "A name is looked for in the body, then among the file's declarations, then in the files that it uses, "
        "then in the library, then among the built-in functions. Columns are seen inside of their `data` block "
        "only.",
        "let hidden = widht * 2",
        "let width = 32\nlet hidden = width * 2",
        within="file",
    ),
    Entry(
        "E0202",
        "A train block names what is not there",
        "`train M on D` takes a model and a data block of this file or of a file that it uses.",
        "model Net(x: f32[B, 4]) -> (out: f32[B]) { return x |> dense(1) |> squeeze(-1) }\n"
        "train Net on E { loss = mse(out, t) }",
        "model Net(x: f32[B, 4]) -> (out: f32[B]) { return x |> dense(1) |> squeeze(-1) }\n"
        "train Net on D { loss = mse(out, t) }",
        within="programs",
    ),
    Entry(
        "E0203",
        "A name is declared twice",
        "Names of one file differ: `let`s, functions, layers, models, optimizers and data blocks share one "
        "namespace. A name of the library may be declared again: the file's own then shadows it.",
        "let a = 1\nlet a = 2",
        "let a = 1\nlet b = 2",
        within="file",
    ),
    Entry(
        "E0204",
        "Something needs itself",
        "A `let` that depends on itself, a layer or function that applies itself, or a file that uses itself. "
        "There is no recursion; `repeat` applies a layer many times.",
        "let a = b + 1\nlet b = a",
        "let a = 1\nlet b = a + 1",
        within="file",
    ),
    Entry(
        "E0205",
        "A file cannot be used",
        "Paths after `use` are relative to the file that they stand in. A model that was saved holds every file "
        "it was made of, and opens no others.",
        'use "absent.bm"',
        "let width = 32",
        within="file",
    ),
    Entry(
        "E0206",
        "An assertion does not hold",
        "`assert` states what hyper-parameters and dims must fulfil. It is decided before any data is read; the "
        "notes give the values.",
        "layer A(n)(x: float[B, D]) -> float[B, D] {\n"
        "  assert D % n == 0\n"
        "  return x\n"
        "}\n"
        "model M(x: f32[B, 4]) -> f32[B, 4] { return x |> A(3) as a }",
        "layer A(n)(x: float[B, D]) -> float[B, D] {\n"
        "  assert D % n == 0\n"
        "  return x\n"
        "}\n"
        "model M(x: f32[B, 4]) -> f32[B, 4] { return x |> A(2) as a }",
        within="file",
    ),
    Entry(
        "E0207",
        "Which block is meant",
        "A file with several train blocks needs a choice: `FILE:NAME` or `--model NAME`. A block's name is the "
        "one after `as`, else its model's.",
    ),
    Entry(
        "E0208",
        "An override reaches nothing",
        "`--set KEY=VALUE` reaches the keys of the train block, the hyper-parameters of its model, and every "
        "`let`, in this order. VALUE is an expression of the language; texts take their quotes.",
    ),
    Entry(
        "E0209",
        "Calls are nested too deeply",
        "Bodies are expanded where they are called, at most 40 deep and 100,000 in all. Many layers are written with `repeat`, "
        "which does not nest calls.",
    ),
    Entry(
        "E0210",
        "This cannot be called",
        "Functions, layers, models and generators are called. A constructed layer is applied: `l = dense(4)`, then `l(x)`.",
        "y = x(1)",
        "y = x * 1",
        within="body",
    ),
    Entry(
        "E0211",
        "No such member",
        "`value.w` reads the parameter `w` of a layer that has been applied; `M.y` and `D.y` in a train block "
        "are outputs of the model and of the data.",
        "e = embedding(10, 4)\ny = e(i) @ transpose(e.weight)",
        "e = embedding(10, 4)\ny = e(i) @ transpose(e.w)",
        within="body",
    ),
    Entry(
        "E0212",
        "A name means two things",
        "A train block sees the outputs of the model and of the data. A name that both have is written with the "
        "model's or the data's name in front.",
        "model M(x: f32[B, 4]) -> (t: f32[B]) { return x |> dense(1) |> squeeze(-1) }\ntrain M on D { loss = mse(t, t) }",
        "model M(x: f32[B, 4]) -> (t: f32[B]) { return x |> dense(1) |> squeeze(-1) }\ntrain M on D { loss = mse(M.t, D.t) }",
        within="programs",
    ),
    Entry(
        "W0201",
        "A name shadows the library's",
        "The file's own declaration is meant wherever this file says the name. The library keeps using its own.",
        "fn relu(x: float[...]) -> float[...] { return select(x > 0, x, 0) }",
        "fn my_relu(x: float[...]) -> float[...] { return select(x > 0, x, 0) }",
        within="file",
    ),
    Entry(
        "W0202",
        "Nothing reads a name",
        "A binding, parameter, hyper-parameter or `let` that nothing reads is most often the other half of a slip: the name is "
        "written otherwise where it should be read. A name that begins with `_` is meant to have no use.",
        "fn f(x: float[B]) -> float[B] {\n  h = 2 * x\n  return x\n}",
        "fn f(x: float[B]) -> float[B] {\n  h = 2 * x\n  return h\n}",
        within="file",
    ),
)

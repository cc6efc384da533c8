"""E06xx, W06xx: `train` blocks."""

from __future__ import annotations

from bmc.errors.catalogue.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "E0601",
        "Unknown key",
        "The note lists the keys of a train block.",
        "batchsize = 32",
        "batch = 32",
        within="train",
    ),
    Entry(
        "E0602",
        "A key is set twice",
        "Each key stands once.",
        "batch = 32\nbatch = 64",
        "batch = 64",
        within="train",
    ),
    Entry(
        "E0603",
        "Nothing feeds an input",
        "A model's input takes the data output of its name; `inputs` binds others.",
        "model N(pixels: f32[B, 4]) -> (logits: f32[B, 10]) { return pixels |> dense(10) as fc }\n"
        "train N on D { loss = cross_entropy(logits, y) }    # D has x, y and t",
        "model N(pixels: f32[B, 4]) -> (logits: f32[B, 10]) { return pixels |> dense(10) as fc }\n"
        "train N on D {\n"
        "  loss = cross_entropy(logits, y)\n"
        "  inputs = [pixels = x]\n"
        "}",
        within="programs",
    ),
    Entry(
        "E0604",
        "A binding names what is not there",
        "Left of `=` stands an input of the model, right of it an output of the data.",
        "inputs = [x = aa]",
        "inputs = [x = x]",
        within="train",
    ),
    Entry(
        "E0605",
        "A setting of the wrong kind",
        "The message says what the key takes.",
        "batch = 0.5",
        "batch = 32",
        within="train",
    ),
    Entry(
        "E0606",
        "Two lengths of training",
        "`epochs` counts passes over the rows, `steps` counts updates: one of them.",
        "epochs = 3\nsteps = 100",
        "epochs = 3",
        within="train",
    ),
    Entry(
        "E0607",
        "The loss does not follow from the data",
        "With one output of the model and one output of the data left, the loss follows from its type: "
        "cross-entropy of integers, bce of conditions, squares of floats. Otherwise it is written.",
        "model M(x: f32[B, 4]) -> (a: f32[B, 2], b: f32[B, 2]) {\n"
        "  return x |> dense(2) as one, x |> dense(2) as two\n"
        "}\n"
        "train M on D {}",
        "model M(x: f32[B, 4]) -> (a: f32[B, 2], b: f32[B, 2]) {\n"
        "  return x |> dense(2) as one, x |> dense(2) as two\n"
        "}\n"
        "train M on D { loss = mse(a, b) }",
        within="programs",
    ),
    Entry(
        "E0608",
        "A loss is floats",
        "The mean over its cells is minimised.",
        "loss = argmax(logits)",
        "loss = cross_entropy(logits, y)",
        within="loss",
    ),
    Entry(
        "E0609",
        "This is no optimizer",
        "An optimizer, with or without its settings, or a list by patterns over parameter keys.",
        "optimizer = dense(3)",
        "optimizer = adam(lr = 1e-3)",
        within="train",
    ),
    Entry(
        "E0610",
        "A parameter has no optimizer",
        "The first pattern that matches a key decides; every key must match one.",
        'optimizer = ["enc.*" = adam]',
        'optimizer = ["enc.*" = adam, "*" = frozen]',
        within="train",
    ),
    Entry(
        "E0611",
        "This is no way to clip",
        "Gradients are clipped by their common norm or cell by cell.",
        "clip = 1.0",
        "clip = norm(1.0)",
        within="train",
    ),
    Entry(
        "E0612",
        "This is no condition to stop",
        "`plateau(valid.loss, patience = 3)` stops when the metric has not improved for 3 epochs. Metrics are "
        "those of `metrics`, and `loss`.",
        "stop = 5",
        "stop = plateau(train.loss, patience = 5)",
        within="train",
    ),
    Entry(
        "E0613",
        "Two metrics or predictions have one name",
        "A list item without a name takes that of its function.",
        "metrics = [mean(out), mean(t)]",
        "metrics = [a = mean(out), b = mean(t)]",
        within="train",
    ),
    Entry(
        "E0614",
        "A prediction has no rows",
        "Each predicted column has one value, or one vector, for each row.",
        "predict = [w = transpose(logits)[:, 0]]",
        "predict = [w = logits[:, 0]]",
        within="train",
    ),
    Entry(
        "E0615",
        "A prediction depends on other rows",
        "A row's prediction is the same alone and in any batch, so it may not depend on the rows beside it. "
        "Statistics over training rows come from `fit` in the data block, or from a `state` of a layer.",
        "predict = out - mean(out, axis = 0)",
        "predict = out",
        within="train",
    ),
    Entry(
        "E0616",
        "keep names no column",
        "`keep` passes columns of the data through to the predictions.",
        "keep = [idd]",
        "keep = [id]",
        within="train",
    ),
    Entry(
        "E0617",
        "This is no metric",
        "A metric is a number, a value for each row (whose mean is taken), or a table of known size.",
        "metrics = [names]             # names = city",
        "metrics = [accuracy(logits, y)]",
        within="train",
    ),
    Entry(
        "E0618",
        "The loss reads no data",
        "Training goes over rows; a loss that depends on parameters alone has none to go over.",
        "model M(x: f32[B, 4]) -> (out: f32) {\n"
        "  param w: f32[4] = ones\n"
        "  return sum(w * w)\n"
        "}\n"
        "train M on D {\n"
        "  loss = out\n"
        "  predict = [z = x]\n"
        "}",
        "model M(x: f32[B, 4]) -> (out: f32[B]) {\n"
        "  param w: f32[4] = ones\n"
        "  return sum(x * w, axis = 1)\n"
        "}\n"
        "train M on D { loss = mse(out, t) }",
        within="programs",
    ),
    Entry(
        "E0619",
        "A loss of a whole batch cannot be accumulated",
        "With `accumulate` a step goes over several micro-batches, and its loss is the mean over the rows of all of them. "
        "One number for each micro-batch does not say how to add them up: means and sums would need different rules.",
        "loss = mean(mse(out, t))\naccumulate = 4",
        "loss = mse(out, t)\naccumulate = 4",
        within="loss",
    ),
    Entry(
        "E0630",
        "This input cannot grow",
        "`next` names the input that generation makes longer. It has one integer for each position, and the number of positions "
        "is a name that neither a `let` nor a hyper-parameter fixes: the model is compiled for every length.",
        "let T = 8\nmodel LM(tok: i32[B, T]) -> (logits: f32[B, T, V]) { return tok |> embedding(V, 6) |> dense(V) as head }",
        "model LM(tok: i32[B, T]) -> (logits: f32[B, T, V]) { return tok |> embedding(V, 6) |> dense(V) as head }",
        within="language model",
    ),
    Entry(
        "E0631",
        "Generation has one sequence and nothing else",
        "When a text is generated there is a prompt, which the input that `next` names continues. A model with further inputs "
        "cannot be asked.",
        "model LM(tok: i32[B, T], style: f32[B, 8]) -> (logits: f32[B, T, V]) {\n"
        "  return (tok |> embedding(V, 8)) + style[:, none] |> dense(V) as head\n"
        "}",
        "model LM(tok: i32[B, T]) -> (logits: f32[B, T, V]) { return tok |> embedding(V, 8) |> dense(V) as head }",
        within="language model",
    ),
    Entry(
        "E0632",
        "This does not continue the input",
        "What stands in `next` is one integer for each row, below the bound of the input's own integers.",
        "next = [tok = sample(logits)]",
        "next = [tok = sample(logits[:, -1])]",
        within="next",
    ),
    Entry(
        "E0640",
        "This says no beginning",
        "`init` is `load(FILE)`, or a list by key whose entries are `load(...)`, or `fresh` for parameters that begin as their "
        "layer says; the first pattern that matches decides. `load` takes `key`, the tensor's name; or `prefix`, how keys begin in "
        "the file, and `names`, what parts of them are called there; and `transpose`.",
        'init = ["enc.*" = "base.bmz"]',
        'init = ["enc.*" = load("base.bmz")]',
        within="train",
    ),
    Entry(
        "E0641",
        "The file to start from is not there",
        "`init` and `fitted` name files relative to the source. Training reads them before any data.",
    ),
    Entry(
        "E0642",
        "The file to start from cannot be read",
        "`.bmz` files of bmc's and safetensors files are read, and only when whole and consistent. Checkpoints that are pickles "
        "are programs, and are not run: `safetensors.torch.save_file(model.state_dict(), FILE)` writes what can be read.",
    ),
    Entry(
        "E0643",
        "The file has no such tensor",
        "Each parameter and state that the pattern matches takes the tensor of its own key, or of its key without the beginning "
        "that the pattern spells out. `prefix` says what stands in the place of that beginning, `names` renames parts of keys, "
        "`key` names one tensor.",
        'init = ["enc.w" = load("net.safetensors", key = "encoder.weight")]    # it has "enc.weight"',
        'init = ["enc.w" = load("net.safetensors", key = "enc.weight", transpose = true)]',
        within="train",
    ),
    Entry(
        "E0644",
        "The tensor has another shape",
        "A parameter takes a tensor of its own shape. PyTorch keeps weights as [out, in] and kernels as [out, in, height, width]: "
        "`transpose = true` turns them to [in, out], with places and channels of a kernel in one axis. A list of axes, such as "
        "`transpose = [1, 0]`, says another order.",
        'init = ["enc.w" = load("net.safetensors", key = "enc.weight")]        # PyTorch has [8, 4], dense [4, 8]',
        'init = ["enc.w" = load("net.safetensors", key = "enc.weight", transpose = true)]',
        within="train",
    ),
    Entry(
        "E0645",
        "The tensor has another kind of numbers",
        "Floats of any width become those of the parameter, rounded once. Integers and conditions stay what they are.",
    ),
    Entry(
        "E0646",
        "One tensor for several parameters",
        "`key` names one tensor of the file; a pattern with it matches one parameter.",
        'init = ["enc.*" = load("net.safetensors", key = "enc.bias")]',
        'init = ["enc.b" = load("net.safetensors", key = "enc.bias")]',
        within="train",
    ),
    Entry(
        "W0601",
        "A pattern matches nothing",
        "No parameter is left that it matches: it may be misspelt, or an earlier pattern has taken them.",
        'optimizer = ["hed.*" = frozen, "*" = adam]',
        'optimizer = ["head.*" = frozen, "*" = adam]',
        within="train",
    ),
    Entry(
        "W0602",
        "Nothing learns",
        "The loss depends on no parameter that an optimizer changes.",
        'optimizer = ["*" = frozen]',
        'optimizer = ["enc.*" = frozen, "*" = adam]',
        within="train",
    ),
    Entry(
        "W0603",
        "The label is among the inputs",
        "An input of the model is computed from the column that the label is computed from. Scores of such a model are high and "
        "say nothing: where the answer is known there is nothing to predict. Statistics are never fitted over test rows: `fit`, "
        "and what is written with it, sees the training split alone, also where sources are named by split.",
        "x = concat(size |> standardize, sold |> log1p |> standardize)\ny = sold |> standardize",
        "x = concat(size |> standardize, rooms |> standardize)\ny = sold |> standardize",
        within="outputs",
    ),
    Entry(
        "W0604",
        "The number of a row is among the inputs",
        "A column that numbers rows has another value in each: what a model learns of it is the order of the file, which does not "
        "hold for new rows. The warning goes by the column's name (`id`, `row_id`, `uuid` and the like), where its numbers reach "
        "the model as numbers.",
        "x = concat(number(id) |> standardize, size |> standardize)\ny = sold |> standardize",
        "x = concat(rooms |> standardize, size |> standardize)\ny = sold |> standardize",
        within="outputs",
    ),
    Entry(
        "W0605",
        "The learning rate is far too large",
        "adam, adamw, rmsprop and adagrad divide each gradient by its own size, so that a step moves a weight by about the "
        "learning rate, while weights themselves are mostly below 1. Rates from 1e-4 to 1e-2 are usual.",
        "optimizer = adam(lr = 10)",
        "optimizer = adam(lr = 1e-3)",
        within="train",
    ),
    Entry(
        "W0630",
        "Each new position changes those before it",
        "A generated position is computed once, and what later ones read of it is kept, where that provably does not change: "
        "element by element, in attention behind `causal_mask` (or -inf where a later position would be seen), in scans that go "
        "forward. Elsewhere all positions are computed anew for each, which gives the same text in time that grows with it.",
        "model LM(tok: i32[B, T]) -> (logits: f32[B, T, V]) {\n"
        "  x = tok |> embedding(V, 8)\n"
        "  x = x + mean(x, axis = 1, keep = true)\n"
        "  return x |> dense(V) as head\n"
        "}",
        "model LM(tok: i32[B, T]) -> (logits: f32[B, T, V]) {\n"
        "  x = tok |> embedding(V, 8)\n"
        "  x = x + (x |> multi_head_attention(4, causal = true) as attn)\n"
        "  return x |> dense(V) as head\n"
        "}",
        within="language model",
    ),
    Entry(
        "W0641",
        "The file to start from is not at hand",
        "The program is checked without it; keys and shapes are compared with it where it is there, and before training.",
    ),
)

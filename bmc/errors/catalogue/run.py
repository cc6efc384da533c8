"""E08xx, W08xx: run time."""

from __future__ import annotations

from bmc.errors.catalogue.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "E0801",
        "A file cannot be written",
        "The system refused to write the file, for the reason in the message. Files are written whole or not at all: a file of "
        "that "
        "name is as it was before.",
    ),
    Entry(
        "E0802",
        "The loss is not finite",
        "The loss of a training step was NaN or infinite, so training stopped before anything was updated. The message names the "
        "step, the label the first operation whose result was not finite: a logarithm of zero, a division by zero, or numbers "
        "that "
        "grew too large. A lower learning rate, `clip`, or a small constant under the logarithm are the usual cures. The "
        "weights as "
        "they were at the last epoch's end are in the checkpoint beside the artefact.",
    ),
    Entry(
        "E0805",
        "A split has no rows",
        "After `where`, `distinct` and the cut into splits no row is left in a split that is needed. Look at `where`, and at the "
        "fractions of the split.",
    ),
    Entry(
        "E0806",
        "A worker process ended",
        "One of the processes of `--workers` came to an end by itself, most likely for want of memory; what it wrote to standard "
        "error says more. `--resume` goes on from the last checkpoint.",
    ),
    Entry(
        "E0807",
        "There is no such split",
        "The data block's `split` does not make a split of that name. The message lists those it makes.",
    ),
    Entry(
        "E0808",
        "There is nothing to train",
        "The file declares a model, but no `train` block that says on which data to train it, and towards what.",
    ),
    Entry(
        "E0809",
        "The columns given do not fit",
        "Columns from Python are given by the names of the data block's columns, or by the names of its outputs; each as an "
        "array or "
        "list of the declared type, all of the same length.",
    ),
    Entry(
        "E0810",
        "The weights given do not fit",
        "Weights from Python are given by their keys, each an array of the shape that the model declares.",
    ),
    Entry(
        "E0811",
        "The data of the model is not at hand",
        "A model file holds no data and no absolute paths. `bmc eval` looks where the data lay when this machine trained the "
        "model, "
        "then beside the model file, then in the current folder; `--data NAME=PATH` says where it is.",
    ),
    Entry(
        "E0812",
        "A setting of the command does not fit the program",
        "A command or a method was asked for something that this program cannot give: a stage or pass that does not exist, a "
        "column "
        "that is not predicted. The message lists what there is.",
    ),
    Entry(
        "E0813",
        "A value of the data lies outside its category",
        "An output of the data block is declared to have so many values (`category(10)`, `category([...])`), and a row of "
        "training or "
        "evaluation has another. Name all values, or use `category(max = N)`, whose last slot takes what training never saw.",
    ),
    Entry(
        "E0814",
        "Rows that cannot be split into shards",
        "With `shards` or `accumulate` above 1, or many shards chosen by the size of the work, a batch is computed in parts "
        "whose sums "
        "are added. An operation that combines rows in another way (their maximum, their order) needs the whole batch: set "
        "`shards = 1` and leave `accumulate` out.",
    ),
    Entry(
        "E0815",
        "A fitted statistic is not finite",
        "A mean, median or other statistic over the training rows came out as NaN or infinite: all cells of its column are missing "
        "in the training split, or one of them is infinite. Leave the column out, or mend the data.",
    ),
    Entry(
        "E0816",
        "A library is not installed",
        "Pictures, and other things that not everybody needs, use libraries that bmc does not bring along. The message names the "
        "extra of the package that does: `pip install 'bmc-lang[plot]'`.",
    ),
    Entry(
        "E0817",
        "This is no name of a picture",
        "`bmc plot` writes one picture, as its name's ending says, or several into a folder.",
        "bmc plot model.bmz -o curves.bmp",
        "bmc plot model.bmz -o curves.png",
    ),
    Entry(
        "E0818",
        "There is nothing to draw",
        "Curves come from the history of training, all else from rows of the data; of this model there is neither. "
        "`--data NAME=PATH` says where its data is.",
    ),
    Entry(
        "E0819",
        "A project cannot begin there",
        "`bmc new NAME` makes a folder; it writes into none that holds something already.",
    ),
    Entry(
        "E0830",
        "The model does not say how a sequence goes on",
        "`bmc generate` needs `next` in the train block. It is part of the compiled program, so the model is trained again, or "
        "its source is changed and its weights are taken over by `init`.",
        "train LM on Text { loss = cross_entropy(logits, y) }",
        "train LM on Text {\n  loss = cross_entropy(logits, y)\n  next = [tok = sample(logits[:, -1], temperature = 0.8)]\n}",
    ),
    Entry(
        "E0831",
        "The prompt is empty",
        "The next position is computed from those before it, so there must be one. A line break is a prompt, too.",
        'bmc generate lm.bmz --prompt ""',
        "bmc generate lm.bmz --prompt $'\\n'",
    ),
    Entry(
        "E0832",
        "The prompt does not fit the model",
        "A prompt goes the way that the data block goes: bytes, characters, words, or numbers below the bound of the input.",
    ),
    Entry(
        "E0833",
        "The text would be longer than the model can read",
        "A table of learned positions, read by `pos[:T]`, has an end. Rotary or sinusoidal positions, and recurrent layers, have "
        "none.",
        "bmc generate lm.bmz --prompt Once --tokens 1000    # pos: float[256, D]",
        "bmc generate lm.bmz --prompt Once --tokens 250",
    ),
    Entry(
        "E0834",
        "Generation has no such setting",
        "`sample` of `next` has `temperature`, `top_k` and `top_p`; these can be set when a text is generated. All else belongs to "
        "the trained model.",
        "bmc generate lm.bmz --prompt Once --set temp=0.5",
        "bmc generate lm.bmz --prompt Once --set temperature=0.5",
    ),
    Entry(
        "E0835",
        "A text cannot become the input of this model",
        "The input is computed from the column otherwise than cell by cell, or from several columns, or cells are "
        "integers by a hash. Then only the integers themselves can be continued, from Python.",
    ),
    Entry(
        "E0836",
        "A sequence is longer than the model allows",
        "A slice such as `pos[:T]` has a length that data fixes when the program runs, and its parameter is shorter. Make the "
        "parameter longer, or cut the data: `pad(max = ..)`, `windows(..)`. Where the length is known earlier, E0328 says so when "
        "compiling.",
        "param pos: f32[256, D] = normal(std = 0.02)\nx = x + pos[:T]         # a row of 300 steps",
        "param pos: f32[512, D] = normal(std = 0.02)\nx = x + pos[:T]",
    ),
    Entry(
        "E0841",
        "Rows cannot be kept on disk",
        "A table that does not fit into memory is kept in a work file while it is trained on or evaluated: in the folder that "
        "`BMC_SPILL` names, else `TMPDIR`, else in /var/tmp. The folder is not there, not writable, or its disk is full. The file "
        "has no name, and is gone when the program ends.",
        "TMPDIR=/no/such/folder bmc train big.bm",
        "BMC_SPILL=/data/work bmc train big.bm",
    ),
    Entry(
        "E0842",
        "A statistic needs all rows in memory",
        "Statistics are fitted in passes over blocks of rows, which take no more memory for a large table than for a small one: "
        "sums, means, variances, extremes, conditions (`any`, `all`), medians and quantiles, products of columns, counts and sums "
        "by group, tables of values. A fit that sorts, ranks or accumulates the rows themselves works on whole columns, up to a "
        "GiB.",
        "fit(sort(price)[:10])   # of 300,000,000 rows",
        "fit(quantile(price, 0.01))",
    ),
    Entry(
        "E0850",
        "No column of this table can be learned, or not this one",
        "What is learned is numbers, a condition, or one of a few categories. A column that is constant or empty, that tells which "
        "row it is, or that holds dates or prose is none of these. `bmc data FILE` without `--target` shows what columns hold.",
        "bmc data flats.csv --target id",
        "bmc data flats.csv --target price",
    ),
    Entry(
        "W0830",
        "The prompt has what the model does not know",
        "The vocabulary was fitted on the training split; everything else shares its last slot.",
    ),
)

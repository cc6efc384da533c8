"""E05xx, W05xx: `data` blocks."""

from __future__ import annotations

from bmc.errors.catalogue.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "E0501",
        "A clause is missing",
        "A data block has a `source` and `columns`.",
        "data D {\n  columns { a: f32 }\n  x = concat(a)\n}",
        'data D {\n  source = csv("a.csv")\n  columns { a: f32 }\n  x = concat(a)\n}',
        within="file",
    ),
    Entry(
        "E0502",
        "A clause, output or column stands twice",
        "Names within a data block differ; `where` may stand several times, and then all conditions hold.",
        "z = size\nz = rooms",
        "z = size\nu = rooms",
        within="data",
    ),
    Entry(
        "E0503",
        "A column cannot have this type",
        "A column's type is that of one cell, as it is stored: a csv file has one value in a cell, other files "
        "may have `f32[28, 28]`.",
        'source = csv("a.csv")\ncolumns { a: float }\nx = a',
        'source = csv("a.csv")\ncolumns { a: f32 }\nx = a',
        within="block",
    ),
    Entry(
        "E0504",
        "The file has no such column",
        "The names of columns are those of the file's header. A header that is no name, or a name that is wanted "
        "otherwise, is written with `as`.",
        'source = csv("sales.csv")          # its header is: unit price,sold\ncolumns { price: f32 }\nx = price',
        'source = csv("sales.csv")\ncolumns { "unit price" as price: f32 }\nx = price',
        within="block",
    ),
    Entry(
        "E0505",
        "The file has another type",
        "An npz file says what its arrays are; the declaration must agree in the shape of a cell.",
        'source = npz("pictures.npz")       # its array is u8[3, 784]\ncolumns { image: u8[28, 28] }\nx = image',
        'source = npz("pictures.npz")\ncolumns { image: u8[784] }\nx = image',
        within="block",
    ),
    Entry(
        "E0506",
        "A header cannot be read",
        "The first line of a csv file, or the directory of an npz file, is looked at when the program is "
        "checked, if the file is there.",
        'source = npz("broken.npz")         # a download that was cut off\ncolumns { image: u8[784] }\nx = image',
        'source = npz("pictures.npz")\ncolumns { image: u8[784] }\nx = image',
        within="block",
    ),
    Entry(
        "E0507",
        "This is not a source of rows",
        "A source names a kind of file and a path or pattern, relative to the `.bm` file.",
        'source = cvs("a.csv")\ncolumns { a: f32 }\nx = a',
        'source = csv("a.csv")\ncolumns { a: f32 }\nx = a',
        within="block",
    ),
    Entry(
        "E0508",
        "This is not a split",
        "Shares by name, of which `train` is one; or the first days of later splits.",
        "split = by_hash(0.8, 0.2)",
        "split = by_hash(train = 0.8, test = 0.2)",
        within="data",
    ),
    Entry(
        "E0509",
        "Shares do not add up",
        "Shares are positive and add up to at most 1; rows beyond them are left out.",
        "split = by_hash(train = 0.8, test = 0.3)",
        "split = by_hash(train = 0.8, test = 0.2)",
        within="data",
    ),
    Entry(
        "E0510",
        "where wants a condition",
        "One condition for each row.",
        "where sold",
        "where sold > 0",
        within="data",
    ),
    Entry(
        "E0511",
        "An output is not a tensor",
        "Outputs are values of rows, or fitted values. A constant is a `let`.",
        "size = 3",
        "let size = 3",
        within="data",
    ),
    Entry(
        "E0512",
        "Statistics are fitted in a data block only",
        "`fit`, `standardize`, `fill(median)` and fitted categories belong to the data, where there are training rows to fit on.",
        "loss = mse(standardize(out), t)",
        "loss = mse(out, t)    # t = sold |> standardize, in the data block",
        within="loss",
    ),
    Entry(
        "E0513",
        "A fitted value has rows",
        "A fitted value is one for the whole training split: reduce over the rows first.",
        "m = fit(x)",
        "m = fit(mean(x, axis = 0))",
        within="data",
    ),
    Entry(
        "E0514",
        "An output cannot be undone",
        "`undo` walks back through arithmetic with one row-dependent operand, `log`, `exp`, `standardize` and "
        "the like. Categories go back by `label_of`.",
        'loss = mse(out, t)\npredict = undo(unsqueeze(out, -1), hot)   # hot = city |> onehot(["Rome"])',
        "loss = mse(out, t)\npredict = undo(out, t)        # t = sold |> standardize",
        within="loss",
    ),
    Entry(
        "E0515",
        "where reads something fitted",
        "`where` chooses rows before they are split, and statistics are fitted on the training rows after that. So a condition "
        "compares with numbers that are known beforehand.",
        "where size < fit(quantile(size, 0.99))",
        "where size < 15000",
        within="data",
    ),
    Entry(
        "E0516",
        "Windows cannot be cut like this",
        "`by` and `order` of `windows` are columns of the block. `order` is a number, date or timestamp that is never missing; "
        "the items of a window all have one shape.",
        'source = csv("a.csv") |> windows(60, by = shop)\ncolumns { store: str; day: date; sold: f32 }\nx = sold',
        'source = csv("a.csv") |> windows(60, by = store, order = day)\ncolumns { store: str; day: date; sold: f32 }\nx = sold',
        within="block",
    ),
    Entry(
        "E0517",
        "The source has other columns",
        "Some kinds of files have columns of their own: `bytes` one of u8, `text` one of str, `folder` the pictures as `image`, "
        "their folder's name as `folder` and their path as `file`; `npy` and `idx` one for each file.",
        'source = bytes("a.txt") |> windows(65)\ncolumns { byte: i32 }\nx = byte',
        'source = bytes("a.txt") |> windows(65)\ncolumns { byte: u8 }\nx = byte',
        within="block",
    ),
    Entry(
        "E0518",
        "Augmentation outside of the data",
        "`random_flip`, `random_shift` and `random_crop` change what training steps see of the data; evaluation and prediction see "
        "the images as they are. They stand in a data block.",
        "x = x |> random_flip\nreturn x[:, 0, 0]",
        "return x[:, 0, 0]        # and in the data block: x = image / 255 |> random_flip",
        within="picture",
    ),
    Entry(
        "W0516",
        "Windows that overlap are split by hash",
        "`by_hash` looks at each row alone, so of two windows that share items one may be trained on and the other be what the "
        "model is judged by: the result looks better than it is. Split by order or time, or take a stride of the window's length.",
        'source = csv("a.csv") |> windows(60, order = day)\n'
        "columns { day: date; sold: f32 }\n"
        "split = by_hash(train = 0.8, test = 0.2)\n"
        "x = sold",
        'source = csv("a.csv") |> windows(60, order = day)\n'
        "columns { day: date; sold: f32 }\n"
        'split = by_time(day, test = "2024-01-01")\n'
        "x = sold",
        within="block",
    ),
    Entry(
        "W0519",
        "Target encoding shows rows their own target",
        "The mean of y in a category of few rows nearly says the y of each of them. A model that trains on the same rows learns to "
        "trust it, and does worse on others. With `key`, text or whole numbers that tell rows apart, training steps see the mean "
        "of other rows only. Up to 50 categories nothing is said.",
        "x = concat(store |> category(max = 500) |> target_encode(sold), size)\ny = sold |> standardize",
        "x = concat(store |> category(max = 500) |> target_encode(sold, key = id), size)\ny = sold |> standardize",
        within="outputs",
    ),
    Entry(
        "W0540",
        "A statistic is fitted anew",
        "`fitted` reuses what another model has fitted for an output of the same name that is written the same way and has the "
        "same capacity. This output is another one, so its statistics are those of these rows.",
    ),
    Entry(
        "W0541",
        "Nothing of the other model is reused",
        "`fitted` names a model none of whose statistics, vocabularies and categories are for outputs of this block.",
    ),
)


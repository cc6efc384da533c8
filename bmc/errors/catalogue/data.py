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
    ),
    Entry(
        "E0502",
        "A clause, output or column stands twice",
        "Names within a data block differ; `where` may stand several times, and then all conditions hold.",
        "x = a\nx = b",
        "x = a\nz = b",
    ),
    Entry(
        "E0503",
        "A column cannot have this type",
        "A column's type is that of one cell, as it is stored: a csv file has one value in a cell, other files "
        "may have `f32[28, 28]`.",
        "columns { a: float }",
        "columns { a: f32 }",
    ),
    Entry(
        "E0504",
        "The file has no such column",
        "The names of columns are those of the file's header. A header that is no name, or a name that is wanted "
        "otherwise, is written with `as`.",
        "columns { price: f32 }",
        'columns { "unit price" as price: f32 }',
    ),
    Entry(
        "E0505",
        "The file has another type",
        "An npz file says what its arrays are; the declaration must agree in the shape of a cell.",
        "columns { image: u8[28, 28] }    # the file has u8[784]",
        "columns { image: u8[784] }",
    ),
    Entry(
        "E0506",
        "A header cannot be read",
        "The first line of a csv file, or the directory of an npz file, is looked at when the program is "
        "checked, if the file is there.",
    ),
    Entry(
        "E0507",
        "This is not a source of rows",
        "A source names a kind of file and a path or pattern, relative to the `.bm` file.",
        'source = cvs("a.csv")',
        'source = csv("a.csv")',
    ),
    Entry(
        "E0508",
        "This is not a split",
        "Shares by name, of which `train` is one; or the first days of later splits.",
        "split = by_hash(0.8, 0.2)",
        "split = by_hash(train = 0.8, test = 0.2)",
    ),
    Entry(
        "E0509",
        "Shares do not add up",
        "Shares are positive and add up to at most 1; rows beyond them are left out.",
        "split = by_hash(train = 0.8, test = 0.3)",
        "split = by_hash(train = 0.8, test = 0.2)",
    ),
    Entry(
        "E0510",
        "where wants a condition",
        "One condition for each row.",
        "where sold",
        "where sold > 0",
    ),
    Entry(
        "E0511",
        "An output is not a tensor",
        "Outputs are values of rows, or fitted values. A constant is a `let`.",
        "size = 3",
        "let size = 3",
    ),
    Entry(
        "E0512",
        "Statistics are fitted in a data block only",
        "`fit`, `standardize`, `fill(median)` and fitted categories belong to the data, where there are training rows to fit on.",
        "loss = mse(standardize(out), y)",
        "y = price |> standardize    # in the data block",
    ),
    Entry(
        "E0513",
        "A fitted value has rows",
        "A fitted value is one for the whole training split: reduce over the rows first.",
        "m = fit(x)",
        "m = fit(mean(x, axis = 0))",
    ),
    Entry(
        "E0514",
        "An output cannot be undone",
        "`undo` walks back through arithmetic with one row-dependent operand, `log`, `exp`, `standardize` and "
        "the like. Categories go back by `label_of`.",
        "y = city |> onehot(max = 9)\nback = undo(out, y)",
        "y = price |> log |> standardize\nback = undo(out, y)",
    ),
    Entry(
        "E0515",
        "where reads something fitted",
        "`where` chooses rows before they are split, and statistics are fitted on the training rows after that. So a condition "
        "compares with numbers that are known beforehand.",
        "where price < fit(quantile(price, 0.99))",
        "where price < 15000",
    ),
    Entry(
        "E0516",
        "Windows cannot be cut like this",
        "`by` and `order` of `windows` are columns of the block. `order` is a number, date or timestamp that is never missing; "
        "the items of a window all have one shape.",
        'source = csv("a.csv") |> windows(60, by = shop)\ncolumns { store: str; day: date }',
        'source = csv("a.csv") |> windows(60, by = store, order = day)\ncolumns { store: str; day: date }',
    ),
    Entry(
        "E0517",
        "The source has other columns",
        "Some kinds of files have columns of their own: `bytes` one of u8, `text` one of str, `folder` the pictures as `image`, "
        "their folder's name as `folder` and their path as `file`; `npy` and `idx` one for each file.",
        'source = bytes("a.txt") |> windows(65)\ncolumns { byte: i32 }',
        'source = bytes("a.txt") |> windows(65)\ncolumns { byte: u8 }',
    ),
    Entry(
        "E0518",
        "Augmentation outside of the data",
        "`random_flip`, `random_shift` and `random_crop` change what training steps see of the data; evaluation and prediction see "
        "the images as they are. They stand in a data block.",
        "model M(x: f32[B, 32, 32, 3]) -> (y: f32[B]) { h = x |> random_flip ... }",
        "x = image / 255 |> random_flip        # in the data block",
    ),
    Entry(
        "W0516",
        "Windows that overlap are split by hash",
        "`by_hash` looks at each row alone, so of two windows that share items one may be trained on and the other be what the "
        "model is judged by: the result looks better than it is. Split by order or time, or take a stride of the window's length.",
        'source = csv("a.csv") |> windows(60, order = day)\nsplit = by_hash(train = 0.8, test = 0.2)',
        'source = csv("a.csv") |> windows(60, order = day)\nsplit = by_time(day, test = "2024-01-01")',
    ),
    Entry(
        "W0519",
        "Target encoding shows rows their own target",
        "The mean of y in a category of few rows nearly says the y of each of them. A model that trains on the same rows learns "
        "to trust it, and does worse on others. With `key`, text or whole numbers that tell rows apart, training steps see the "
        "mean of other rows only. Up to 50 categories nothing is said.",
        "x = store |> category(max = 500) |> target_encode(sales)",
        "x = store |> category(max = 500) |> target_encode(sales, key = id)",
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


"""E07xx, W07xx: files, artefacts, the command line."""

from __future__ import annotations

from bmc.errors.catalogue.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry("E0701", "There is no such file", "The path does not exist. Paths in a `.bm` file are relative to that file."),
    Entry("E0702", "This is not a file", "A source is a file, or `-` for standard input, and not a directory."),
    Entry(
        "E0703",
        "The source is not UTF-8",
        "Sources are UTF-8 text. The message gives the position of the first byte that is not part of it; a file saved in "
        "another encoding can be converted by `iconv -f LATIN1 -t UTF-8`.",
    ),
    Entry("E0704", "The source contains a NUL byte", "Text contains no NUL: the file is probably a binary one."),
    Entry("E0705", "The source is too large", "A source is at most 1 MiB. Data belongs into files of its own."),
    Entry(
        "E0706",
        "The source cannot be read",
        "The system refused to read the file, for the reason in the message, or it is an archive: perhaps a model (`.bmz`) where "
        "its source (`.bm`) is wanted.",
    ),
    Entry(
        "E0720",
        "There is no such data file",
        "No file has the path, or matches the pattern, of a source. Paths in a `data` block are relative to the "
        "folder of the file that has the block; `--data NAME=PATH` replaces the path of the source NAME.",
    ),
    Entry(
        "E0721",
        "The data file cannot be read",
        "It is a directory, a pipe or a device, it changed while it was read, or the system or the file system of its URI refused "
        "to read it, for the reason in the message. Data is read more than once, so it lies in files; `bmc predict` reads a pipe "
        "as its standard input, `-`.",
    ),
    Entry(
        "E0722",
        "The table has no such column",
        "A column of `columns { }` stands in the file under its own name, or under the text before `as`. Upper and "
        "lower case differ.",
        wrong="columns { unit_price: f32 }            # the header has \"unit price\"",
        right="columns { \"unit price\" as unit_price: f32 }",
    ),
    Entry(
        "E0723",
        "The table has several columns of that name",
        "Which one is meant cannot be known: rename one of them in the file.",
    ),
    Entry(
        "E0724",
        "The data file is empty",
        "A table for training has a header, where the format has one, and at least one row.",
    ),
    Entry(
        "E0725",
        "The data file is not UTF-8 text",
        "The message gives the line with the first byte that is not part of UTF-8 text, or with a NUL. A csv file "
        "in another encoding is read by naming it; any text can be converted by `iconv -f LATIN1 -t UTF-8`.",
        wrong="source = csv(\"old.csv\")                  # saved by an old program",
        right="source = csv(\"old.csv\", encoding = \"latin-1\")",
    ),
    Entry(
        "E0726",
        "A row has more or fewer cells than the header",
        "Every row of a csv file has as many cells as its header. A text with the separator or a line break in it "
        "stands in double quotes; a double quote inside is doubled. Another separator is set by `csv(..., separator = "
        "\";\")`.",
    ),
    Entry(
        "E0727",
        "The data file is not of its format",
        "A quote of a csv file is never closed, or a record has not ended after 64 MiB, a line of a jsonl file is not a JSON "
        "object, the dimensions of a series in a .ts file differ in length, a picture has another size or kind than its column, or "
        "a file is damaged or something else.",
    ),
    Entry(
        "E0728",
        "A cell is not what its column is declared to be",
        "Numbers are in decimal notation, integers must fit their type, truth values are true, false, 1 or 0, dates "
        "look like 2024-02-29. Texts that stand for a missing cell are listed in the source: `na = [\"\", \"NA\"]`. "
        "Decimal commas are read by `decimal = \",\"`; ids of more than 19 digits are text, `id: str`.",
    ),
    Entry(
        "E0729",
        "A cell is missing in a column that has none",
        "A column that may have missing cells is declared with `?`, and the data block says what stands for them. NaN "
        "is a missing cell.",
        wrong="columns { mass: f32 }\nx = mass |> standardize",
        right="columns { mass: f32? }\nx = mass |> fill(median) |> standardize",
    ),
    Entry(
        "E0730",
        "A column holds another type",
        "Parquet, npz and columns in memory have types of their own. Integers and floats become each other where "
        "every cell does so exactly; text is not turned into numbers, nor numbers into text. `u8[64]` is an array of "
        "shape [rows, 64].",
    ),
    Entry("E0731", "Columns differ in their number of rows", "Every array of a table has one cell for each row."),
    Entry(
        "E0732",
        "There is no such source",
        "`--data NAME=PATH` names a source: the split, where sources are named by split, and the data block "
        "otherwise.",
    ),
    Entry(
        "E0733",
        "The file's name does not say its format",
        "It ends in .csv, .tsv, .parquet, .arrow, .npz, .jsonl or .ts; a model that learned from `folder(...)` predicts a folder "
        "of pictures, too, or one picture.",
    ),
    Entry(
        "E0734",
        "The file cannot be written",
        "The system refused, for the reason in the message. A file that was there is unchanged.",
    ),
    Entry(
        "E0735",
        "Pictures cannot be read without Pillow",
        "PNG and JPEG files of `folder(...)` are read by Pillow, a package of its own: `pip install 'bmc-lang[images]'`.",
    ),
    Entry(
        "E0740",
        "The artefact cannot be read",
        "There is no such file, it is a directory, or the system refused to read it.",
    ),
    Entry("E0741", "This is not an artefact", "`bmc train` writes artefacts, `.bmz` files. The file is something else."),
    Entry(
        "E0742",
        "The artefact is damaged",
        "Artefacts and checkpoints carry a hash of each part and have one layout. This file differs: it was cut off "
        "or changed. Nothing of it was used.",
    ),
    Entry(
        "E0743",
        "The artefact is of a newer format",
        "It was written by a newer version of bmc, which can read this version's files.",
    ),
    Entry("E0744", "The artefact would be too large", "An artefact has at most 4 GiB: a billion weights in f32."),
    Entry(
        "E0745",
        "The checkpoint belongs to another run",
        "A run goes on with the same bits only with the same source, settings, compiler and data.",
    ),
    Entry(
        "E0746",
        "The values in the artefact are not those of its model",
        "Keys, types or shapes of weights, states or fitted values differ from what the stored source declares.",
    ),
    Entry(
        "E0747",
        "The artefact cannot be written",
        "The system refused, for the reason in the message. A file that was there is unchanged.",
    ),
    Entry(
        "E0750",
        "The IR text cannot be read",
        "A `.bmir` file holds functions as `bmc dump` prints them: `%y = add(%x, %x) : f32[B]`. The message names the first "
        "token or character that cannot stand where it stands. docs/ir.md describes the form.",
    ),
    Entry(
        "E0751",
        "There is no such operator",
        "IR text names the operators of the IR, not the functions of the language: docs/operators.md lists them.",
    ),
    Entry(
        "E0752",
        "The attributes do not fit the operator",
        "Each operator has attributes of its own, given by name after the operands: `transpose(%x, permutation = [1, 0])`. "
        "All that have no default must stand there, each once, with a value of its kind. A result needs a type, too.",
    ),
    Entry(
        "E0753",
        "A value is not defined, or twice",
        "Every value of IR text is defined once, by a parameter or an operation above its uses. A region sees only its "
        "own parameters and operations.",
    ),
    Entry(
        "E0754",
        "An unknown word in IR text",
        "A dtype, the role of a parameter, or the number of a source file is none of those that there are.",
    ),
    Entry(
        "E0755",
        "The IR text is beyond a limit",
        "So that no text can hang the compiler, brackets nest at most 64 deep, integers have at most 20 digits, dims at most "
        "256 terms, and source positions span at most 16 Mi characters.",
    ),
    Entry(
        "E0756",
        "The IR is not well formed",
        "The text can be read, but the graph breaks a rule: the types of operands do not fit their operator, the stated type "
        "of a result is not what the operator gives, or a key stands twice. The message is the verifier's.",
    ),
)

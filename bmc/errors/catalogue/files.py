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
    Entry("E0706", "The source cannot be read", "The system refused to read the file, for the reason in the message."),
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

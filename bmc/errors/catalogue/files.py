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
)

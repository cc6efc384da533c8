"""Every code that a diagnostic may carry: `bmc explain CODE` prints these entries.

In: one tuple `ENTRIES` in the module of each stage. Out: `explain`, `all_entries`. Guaranteed: codes are unique, and each
stands in the module of its range (tests/errors/test_catalogue.py).

| range | module | what |
|---|---|---|
| E01xx W01xx | `syntax` | text, tokens, statements |
| E02xx W02xx | `names` | names, declarations, `use` |
| E03xx W03xx | `types` | types, dims |
| E04xx W04xx | `layers` | layers, parameters, hyper-parameters |
| E05xx W05xx | `data` | `data` blocks |
| E06xx W06xx | `train` | `train` blocks |
| E07xx W07xx | `files` | files, artefacts, the command line |
| E08xx W08xx | `run` | run time |
| E09xx W09xx | `not_yet` | what the language has and the compiler does not do yet |
"""

from __future__ import annotations

from bmc.errors.catalogue import data, files, layers, names, not_yet, run, syntax, train, types
from bmc.errors.catalogue.entry import Entry

__all__ = ["Entry", "all_entries", "explain", "explanation_text"]


def all_entries() -> tuple[Entry, ...]:
    """Every entry, in the order of the ranges."""
    stages = (syntax, names, types, layers, data, train, files, run, not_yet)
    return tuple(entry for stage in stages for entry in stage.ENTRIES)


def explain(code: str) -> Entry | None:
    """The entry of a code; case does not matter. None if there is none."""
    wanted = code.upper()
    return next((entry for entry in all_entries() if entry.code == wanted), None)


def explanation_text(entry: Entry) -> str:
    """What `bmc explain` prints."""
    parts = [f"{entry.code}: {entry.title}", entry.explanation]
    for heading, source in (("Wrong:", entry.wrong), ("Right:", entry.right)):
        if source:
            parts.append(heading + "\n" + "\n".join("    " + line if line else "" for line in source.splitlines()))
    return "\n\n".join(parts) + "\n"

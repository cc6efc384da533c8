"""Files and the names in them: `use`, the standard library, and one namespace for each file.

In: the main file, files given beside it, a reader for files that are not given. Out: a `Program` of `FileScope`s.
Guaranteed: a name
resolves to the file's own declaration, else to that of a used file, else to the library's; a declaration of the library is parsed
only when its name is asked for; a program holds the text of every file that it took anything from.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from bmc.errors import BmcError, Diagnostic
from bmc.frontend.bodies.values import Bound
from bmc.frontend.errors import name_errors
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.syntax.parse import parse
from bmc.source import SourceFile, Span

__all__ = ["LIBRARY_PREFIX", "FileScope", "LibraryPart", "Program", "Reader", "library_files", "load_program"]

LIBRARY_PREFIX = "<lib>/"

Reader = Callable[[str], SourceFile]
"""Path → file; raises BmcError when it cannot be read."""

_DECLARED = re.compile(r"^(?:fn|layer|optimizer|let)\s+([A-Za-z_][A-Za-z0-9_]*)", re.MULTILINE)


class LibraryPart(NamedTuple):
    """One declaration of the library: the characters [start, end) of its file."""

    file: SourceFile
    start: int
    end: int


Declared = syntax.Let | syntax.Callable


@dataclass(eq=False)
class FileScope:
    """One file's declarations by name. `lets` caches values of its constants; `busy` holds names under evaluation."""

    file: SourceFile
    library: bool
    declarations: dict[str, Declared] = field(default_factory=dict)
    data: dict[str, syntax.Data] = field(default_factory=dict)
    trains: list[syntax.Train] = field(default_factory=list)
    uses: list[syntax.Use] = field(default_factory=list)
    used: list[FileScope] = field(default_factory=list)
    lets: dict[str, Bound] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)

    def visible(self) -> Iterator[FileScope]:
        """This file, then those it uses."""
        yield self
        yield from self.used

    def models(self) -> list[syntax.Callable]:
        return [d for d in self.declarations.values() if isinstance(d, syntax.Callable) and d.kind == "model"]


@dataclass(eq=False)
class Program:
    """All files of one compilation; `main` is the one named by the user."""

    main: FileScope
    scopes: dict[str, FileScope]
    library: dict[str, LibraryPart]
    diagnostics: list[Diagnostic]
    applied: set[syntax.Callable] = field(default_factory=set)
    """Declarations whose bodies have been elaborated."""

    def resolve(self, scope: FileScope, name: str) -> tuple[FileScope, Declared] | None:
        """The declaration that `name` means in `scope`, with its file."""
        for candidate in scope.visible():
            found = candidate.declarations.get(name)
            if found is not None:
                return candidate, found
        return self.resolve_library(name)

    def resolve_library(self, name: str) -> tuple[FileScope, Declared] | None:
        part = self.library.get(name)
        if part is None:
            return None
        scope = self.scopes.get(part.file.name)
        if scope is None:
            scope = self.scopes[part.file.name] = FileScope(part.file, True)
        found = scope.declarations.get(name)
        if found is None:
            tree, errors = parse(*part)
            self.diagnostics.extend(errors)
            found = next((d for d in tree.declarations if isinstance(d, Declared) and d.name.text == name), None)
            if found is None:
                del self.library[name]
                return None
            scope.declarations[name] = found
        return scope, found

    @staticmethod
    def is_library(file: SourceFile) -> bool:
        return file.name.startswith(LIBRARY_PREFIX)

    def names(self, scope: FileScope) -> list[str]:
        """Every declared name that `scope` sees, nearest first."""
        return [n for s in scope.visible() for n in s.declarations] + list(self.library)

    def files(self) -> tuple[SourceFile, ...]:
        """The files used, the main one first, the library's last."""
        return tuple(s.file for s in self.scopes.values() if not s.library) + tuple(
            s.file for s in self.scopes.values() if s.library
        )


@cache
def installed_library() -> tuple[SourceFile, ...]:
    """The files of the package's library, by name."""
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib")
    files: list[SourceFile] = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".bm"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                files.append(SourceFile(LIBRARY_PREFIX + name, file.read()))
    return tuple(files)


def library_files(given: Sequence[SourceFile] = ()) -> Mapping[str, LibraryPart]:
    """The library's names and where they are declared; a file in `given` (an artefact's) stands in for the installed one."""
    own = {f.name: f for f in given if f.name.startswith(LIBRARY_PREFIX)}
    files = {f.name: f for f in installed_library()} | own
    parts: dict[str, LibraryPart] = {}
    for file in files.values():
        found = list(_DECLARED.finditer(file.text))
        ends = [match.start() for match in found[1:]] + [len(file.text)]
        for match, end in zip(found, ends, strict=True):
            parts[match[1]] = LibraryPart(file, match.start(), end)
    return parts


def _file_scope(file: SourceFile, diagnostics: list[Diagnostic]) -> FileScope:
    """The names of a file of the user's."""
    tree, errors = parse(file)
    diagnostics.extend(errors)
    scope = FileScope(file, library=False)
    spans: dict[str, Span] = {}
    for declaration in tree.declarations:
        if isinstance(declaration, syntax.Train):
            scope.trains.append(declaration)
            continue
        if isinstance(declaration, syntax.Use):
            scope.uses.append(declaration)
            continue
        name = declaration.name
        if name.text in spans:
            diagnostics.append(name_errors.declared_twice(name.span, name.text, spans[name.text]))
            continue
        spans[name.text] = name.span
        if isinstance(declaration, syntax.Data):
            scope.data[name.text] = declaration
        else:
            scope.declarations[name.text] = declaration
    return scope


def load_program(main: SourceFile, given: Sequence[SourceFile], read: Reader | None) -> Program:
    """Parse `main` and, transitively, what it uses. `read` None: only `given` files may be used."""
    diagnostics: list[Diagnostic] = []
    library = dict(library_files(given))
    program = Program(_file_scope(main, diagnostics), {}, library, diagnostics)
    program.scopes[main.name] = program.main
    by_name = {f.name: f for f in given}
    waiting = [program.main]
    while waiting:
        scope = waiting.pop()
        for use in scope.uses:
            path = posixpath.normpath(posixpath.join(posixpath.dirname(scope.file.name), use.path.value))
            if path == scope.file.name:
                diagnostics.append(name_errors.circular_use(use.path.span, use.path.value))
                continue
            known = program.scopes.get(path)
            if known is None:
                file = by_name.get(path)
                if file is None and read is None:
                    diagnostics.append(name_errors.use_of_file(use.path.span, use.path.value, "it is not among the files given"))
                    continue
                if file is None and read is not None:
                    try:
                        file = read(path)
                    except BmcError as error:
                        reason = error.diagnostics[0].message
                        diagnostics.append(name_errors.use_of_file(use.path.span, use.path.value, reason))
                        continue
                if file is None:
                    continue
                known = program.scopes[path] = _file_scope(file, diagnostics)
                waiting.append(known)
            scope.used.append(known)
    for scope in [s for s in program.scopes.values() if not s.library]:
        for name, declaration in scope.declarations.items():
            if name in library and (scope is program.main or scope in program.main.used):
                diagnostics.append(name_errors.shadows_library(declaration.name.span, name))
    return program

"""Prints modules, functions and operations as IR text, the content of `.bmir` files.

In: a graph. Out: text that `bmc.ops.parse_text` reads back. Guaranteed: printing what was read gives the same text;
every name is unique within its function or region; numbers and strings keep their exact value. An attribute is
printed by the fields of its dataclass, whatever the operator. A broken graph prints too (an operand that nothing
defines as `%?name`), since crash reports show it. Time is linear in the operations.

    function "train" rows B {
      param %x: f32[B, 4] = input "x"
      %y = mul(%x, %x) : f32[B, 4]
      output "y" = %y
    }
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import fields
from typing import Final

from bmc.ir.dims import Poly
from bmc.ir.graph import Function, Module, Operation, Region, Value
from bmc.ir.text_locations import FileTable

__all__ = [
    "RESERVED_WORDS",
    "SYMBOL",
    "attribute_text",
    "attributes_text",
    "excerpt",
    "print_function",
    "print_module",
    "print_region",
    "quoted",
]

RESERVED_WORDS: Final = (
    "function",
    "rows",
    "param",
    "region",
    "yield",
    "output",
    "update",
    "locations",
    "true",
    "false",
    "none",
)
"""Words of the text form. No operator is called by one, or by `inf` or `nan`: the text would not parse back."""

SYMBOL: Final = re.compile(r"(?!(?:true|false|none|inf|nan)$)[A-Za-z_][A-Za-z0-9_.]*")
"""What the symbol of a dim may be called: the text parses back."""

_QUIET_NAN: Final = 0x7FF8000000000000
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_.@]+")
_SUFFIX: Final = re.compile(r"\.[0-9]+$")
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def quoted(text: str) -> str:
    """A string literal: printable characters as they are, others (lone surrogates included) as `\\u{HEX}`."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else f"\\u{{{ord(c):x}}}") for c in text) + '"'


def _float_text(number: float) -> str:
    if math.isnan(number):
        (bits,) = struct.unpack(">Q", struct.pack(">d", number))
        return "nan" if bits == _QUIET_NAN else f"nan:0x{bits:016x}"
    return repr(number)


def attribute_text(value: object) -> str:
    """One attribute's value. TypeError for a kind of value that attributes cannot hold."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Poly)):
        return str(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(attribute_text, value))}]"
    if value is None:
        return "none"
    raise TypeError(f"an attribute cannot be a {type(value).__name__}")


def attributes_text(attrs: object) -> str:
    """`axis = 1, keep = true`. Two values of one operator are the same exactly if their texts are equal."""
    return ", ".join(f"{f.name} = {attribute_text(getattr(attrs, f.name))}" for f in fields(attrs))  # type: ignore[arg-type]


class _Names:
    """Gives each value of one scope a name: its hint where that is free, else the hint's stem with a number."""

    def __init__(self) -> None:
        self._names: dict[Value, str] = {}
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def define(self, value: Value, otherwise: str) -> str:
        hint = _NOT_IN_NAMES.sub("_", value.name) or otherwise
        name = hint
        if hint in self._taken:
            stem = _SUFFIX.sub("", hint)
            number = self._next.get(stem, 1)
            while (name := f"{stem}.{number}") in self._taken:
                number += 1
            self._next[stem] = number + 1
        self._taken.add(name)
        text = self._names[value] = f"%{name}"
        return text

    def use(self, value: Value) -> str:
        return self._names.get(value) or f"%?{value.name}"


class _Printer:
    def __init__(self, files: FileTable | None) -> None:
        self._files = files
        self.lines: list[str] = []

    def operation(self, op: Operation, names: _Names, indent: str) -> None:
        arguments = [*map(names.use, op.operands)]
        if attributes := attributes_text(op.attrs):
            arguments.append(attributes)
        text = f"{op.name}({', '.join(arguments)})"
        if op.results:
            targets = ", ".join([names.define(value, op.name) for value in op.results])
            text = f"{targets} = {text} : {', '.join([str(value.type) for value in op.results])}"
        if self._files is not None and (location := self._files.text(op.location)):
            text = f"{text} {location}"
        if not op.regions:
            self.lines.append(indent + text)
            return
        for region in op.regions:
            self.region(region, f"{indent}{text}", indent)
            text = self.lines.pop().removeprefix(indent)
        self.lines.append(indent + text)

    def region(self, region: Region, before: str, indent: str) -> None:
        names = _Names()
        params = ", ".join([f"{names.define(value, 'x')}: {value.type}" for value in region.params])
        self.lines.append(f"{before} region({params}) {{")
        for op in region.ops:
            self.operation(op, names, indent + "  ")
        self.lines.append(f"{indent}  yield {', '.join(map(names.use, region.results))}".rstrip())
        self.lines.append(indent + "}")

    def function(self, function: Function) -> list[int]:
        """Appends the function's lines; returns the line of each operation."""
        names, starts = _Names(), []
        rows = f" rows {function.row}" if function.row is not None else ""
        self.lines.append(f"function {quoted(function.name)}{rows} {{")
        for param in function.params:
            name = names.define(param.value, "x")
            self.lines.append(f"  param {name}: {param.value.type} = {param.role} {quoted(param.key)}")
        for op in function.ops:
            starts.append(len(self.lines))
            self.operation(op, names, "  ")
        for result in function.results:
            self.lines.append(f"  {result.role} {quoted(result.key)} = {names.use(result.value)}")
        self.lines.append("}")
        return starts


def print_module(module: Module, with_locs: bool = False) -> str:
    """All functions. `with_locs`: with a table of source files, and the positions of each operation."""
    files = FileTable() if with_locs else None
    printer = _Printer(files)
    for function in module.functions:
        if printer.lines:
            printer.lines.append("")
        printer.function(function)
    head = []
    if files is not None:
        names = [f"  {number} = {quoted(file.name)}" for number, file in enumerate(files.files)]
        head = ["locations {", *names, "}", ""]
    return "\n".join([*head, *printer.lines, ""])


def print_function(function: Function, with_locs: bool = False) -> str:
    """One function, as a module of its own."""
    return print_module(Module((function,)), with_locs)


def print_region(region: Region) -> str:
    """A region alone: `region(params) { ... }`. Hints of names are kept."""
    printer = _Printer(None)
    printer.region(region, "", "")
    return "\n".join(printer.lines).lstrip()


def excerpt(function: Function, op: Operation | None, around: int = 4) -> str:
    """The lines around `op`, marked `>`, for crash reports; the first lines where `op` is None or not found."""
    printer = _Printer(None)
    starts = printer.function(function)
    position = next((i for i, candidate in enumerate(function.ops) if candidate is op), None)
    if position is None:
        first, last, marked = 0, 2 * around, range(0)
    else:
        after = starts[position + 1] if position + 1 < len(starts) else starts[position] + 1
        marked = range(starts[position], after)
        first, last = max(marked.start - around, 0), marked.stop + around
    shown = [("> " if i in marked else "  ") + printer.lines[i] for i in range(first, min(last, len(printer.lines)))]
    dots = [f"  ... ({len(function.ops)} operations)"]
    return "\n".join((dots if first else []) + shown + (dots if last < len(printer.lines) else []))

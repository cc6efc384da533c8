"""The verifier: what must hold of every function between passes.

In: a function or module. Out: nothing, or CompilerBug with the operation at fault. Guaranteed after it: each value
is defined once and before its uses; operators exist, and their type rules give exactly the types that stand there;
regions see their own parameters only and fit their operation; keys are unique; a result exists, and an update has
the type of the parameter that it replaces.
`check_module` says the same of IR text that a user wrote, as diagnostics. Linear in the operations.

Kernels have rules of their own, those of docs/architecture.md, in `verify_kernels`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from bmc.errors import BmcError, CompilerBug, Diagnostic, Label
from bmc.ir import Function, Module, Operation, Region, TensorType, Value
from bmc.ir.dims import symbols
from bmc.ir.text import SYMBOL, excerpt
from bmc.ops.registry import TypeRuleError, infer_results
from bmc.ops.table import operators
from bmc.passes.verify_kernels import kernel_fault
from bmc.record import record

__all__ = ["Fault", "check_module", "faults", "module_faults", "verify", "verify_module"]

_MAX_DIAGNOSTICS = 20
_UPDATABLE = ("weight", "state", "moment", "fitted")


@record(frozen=True)
class Fault:
    """What is wrong, and at which operation of the function's own list; None: with the function's head or results."""

    message: str
    op: Operation | None = None


class _Scope:
    def __init__(self) -> None:
        self._defined: set[Value] = set()
        self._types: set[TensorType] = set()

    def define(self, values: Sequence[Value]) -> Iterator[str]:
        for value in values:
            if value in self._defined:
                yield f"%{value.name} is defined twice"
            self._defined.add(value)
            if value.type not in self._types:
                self._types.add(value.type)
                yield from _type_faults(value.type)

    def missing(self, values: Sequence[Value]) -> Iterator[str]:
        for value in values:
            if value not in self._defined:
                yield f"%{value.name} is used but not defined before"


def _type_faults(type_: TensorType) -> Iterator[str]:
    for dim in type_.shape:
        if isinstance(dim, int):
            if dim < 0:
                yield f"{type_} has a negative dim"
            continue
        for name in symbols(dim):
            if not SYMBOL.fullmatch(name):
                yield f"{name!r} cannot name a dim in IR text"


def _types_text(types: Sequence[TensorType]) -> str:
    return ", ".join(map(str, types)) or "nothing"


def _type_fault(op: Operation) -> str | None:
    record = operators().get(op.name)
    if record is None:
        return f"there is no operator {op.name}"
    try:
        wanted = tuple(infer_results(record, [value.type for value in op.operands], op.attrs, op.regions))
    except TypeRuleError as error:
        return f"{op.name}: {error.message}"
    stated = tuple(value.type for value in op.results)
    if wanted != stated:
        return f"{op.name} gives {_types_text(wanted)}, but here stands {_types_text(stated)}"
    return None


def _operation_faults(op: Operation, scope: _Scope) -> Iterator[str]:
    undefined = list(scope.missing(op.operands))
    yield from undefined
    for region in op.regions:
        yield from _region_faults(region)
    if not undefined and (fault := _type_fault(op)) is not None:
        yield fault
    if op.regions and (fault := kernel_fault(op)) is not None:
        yield fault
    yield from scope.define(op.results)


def _region_faults(region: Region) -> Iterator[str]:
    scope = _Scope()
    yield from scope.define(region.params)
    for op in region.ops:
        for fault in _operation_faults(op, scope):
            yield f"in its region: {fault}"
    yield from (f"the region's results: {fault}" for fault in scope.missing(region.results))


def faults(function: Function) -> Iterator[Fault]:
    """Everything that is wrong with a function, in order."""
    scope = _Scope()
    keys: set[str] = set()
    for param in function.params:
        yield from map(Fault, scope.define((param.value,)))
        if param.key in keys:
            yield Fault(f"two parameters have the key {param.key!r}")
        keys.add(param.key)
    for op in function.ops:
        for message in _operation_faults(op, scope):
            yield Fault(message, op)
    params = {param.key: param for param in function.params}
    stated: set[tuple[str, str]] = set()
    for result in function.results:
        yield from (Fault(f"{result.role} {result.key!r}: {message}") for message in scope.missing((result.value,)))
        if (result.role, result.key) in stated:
            yield Fault(f"two results are the {result.role} {result.key!r}")
        stated.add((result.role, result.key))
        if result.role == "update" and result.key in params:
            param = params[result.key]
            if param.role not in _UPDATABLE:
                yield Fault(f"update {result.key!r} is of a parameter that is {param.role}, which cannot change")
            if param.value.type != result.value.type:
                yield Fault(f"update {result.key!r} is {result.value.type}, its parameter {param.value.type}")


def module_faults(module: Module) -> Iterator[tuple[Function | None, Fault]]:
    """Faults of each function; then names that repeat, and stored tensors (weights, states, moments, fitted
    values) that functions give different types."""
    names: set[str] = set()
    stored: list[tuple[Function, str, TensorType]] = []
    kept: dict[str, tuple[TensorType, Function]] = {}
    for function in module.functions:
        yield from ((function, fault) for fault in faults(function))
        if function.name in names:
            yield None, Fault(f"two functions are called {function.name!r}")
        names.add(function.name)
        for param in function.params:
            if param.role in _UPDATABLE:
                stored.append((function, param.key, param.value.type))
        stored += [(function, result.key, result.value.type) for result in function.results if result.role == "update"]
    for function, key, type_ in stored:
        first, there = kept.setdefault(key, (type_, function))
        if first != type_:
            yield None, Fault(f"{key!r} is {first} in function {there.name!r} and {type_} in {function.name!r}")


def verify(function: Function, stage: str = "verify") -> None:
    """Raise CompilerBug (of `stage`) for the first fault."""
    for fault in faults(function):
        raise CompilerBug(stage, f"function {function.name!r}: {fault.message}\n{excerpt(function, fault.op)}")


def verify_module(module: Module, stage: str = "verify") -> None:
    """Raise CompilerBug (of `stage`) for the first fault."""
    for function, fault in module_faults(module):
        where = (
            f"function {function.name!r}: {fault.message}\n{excerpt(function, fault.op)}" if function is not None else fault.message
        )
        raise CompilerBug(stage, where)


def check_module(module: Module) -> None:
    """Raise BmcError, with a diagnostic for each fault, at its place in the text. For modules that a user wrote."""
    found = [
        _malformed(fault if function is None else replace(fault, message=f"function {function.name!r}: {fault.message}"))
        for function, fault in islice(module_faults(module), _MAX_DIAGNOSTICS)
    ]
    if found:
        raise BmcError(found)


def _malformed(fault: Fault) -> Diagnostic:
    spans = fault.op.location.spans[:1] if fault.op is not None else ()
    return Diagnostic("E0756", f"IR text: {fault.message}", tuple(Label(span, primary=True) for span in spans))

"""What no application has shown of functions and layers: those that nothing applies, branches that nothing takes.

In: a program, of which some bodies were elaborated. Out: diagnostics of what is left of the main file. Guaranteed: nothing is said
that depends on sizes, or that an application could make right: names that mean nothing, arguments that no function has, operands
of the wrong kind.
"""

from __future__ import annotations

from bmc.errors import Diagnostic
from bmc.frontend.bodies.core import FloatType
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.expressions import CONSTANTS
from bmc.frontend.bodies.trace import ROW, Trace
from bmc.frontend.bodies.values import Bound, Closure, LayerInstance
from bmc.frontend.errors import name_errors
from bmc.frontend.generic import rigid_input
from bmc.frontend.primitives import primitives
from bmc.frontend.scope import Program
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.syntax.walk import walk
from bmc.ops.registry import TypeRuleError

__all__ = ["unapplied_errors"]

_WHATEVER = frozenset({"E0201", "E0210", "E0211", "E0303", "E0313", "E0320", "E0322", "E0401", "E0402", "E0403", "E0407", "E0412"})
"""Errors that no size changes."""

_OF_RANK = frozenset({"E0302", "E0306"})
"""Errors that no size changes where the number of dims is known."""


def unapplied_errors(program: Program, float_type: FloatType) -> list[Diagnostic]:
    """What is wrong with declarations of the main file that no application has said. To be asked where there is no other error."""
    found: list[Diagnostic] = []
    for declaration in program.main.declarations.values():
        if not isinstance(declaration, syntax.Callable):
            continue
        unknown = _unknown_names(program, declaration)
        found += unknown if unknown or declaration in program.applied else _traced(program, declaration, float_type)
    return found


def _unknown_names(program: Program, declaration: syntax.Callable) -> list[Diagnostic]:
    """Names that are bound nowhere in the declaration, nor around it."""
    nodes = list(walk(declaration))
    keys = {id(key) for node in nodes for key in _keys(node)}
    of_types = [name for node in nodes if isinstance(node, syntax.TypeExpr) for name in walk(node) if isinstance(name, syntax.Name)]
    bound = {key.text for node in nodes for key in _binds(node)} | {name.text for name in of_types}
    bound |= {*CONSTANTS, "training"}
    keys |= {id(name) for name in of_types}
    candidates = [*bound, *program.names(program.main), *primitives()]
    found: list[Diagnostic] = []
    for node in nodes:
        if not isinstance(node, syntax.Name) or id(node) in keys or node.text in bound or node.text in primitives():
            continue
        if program.resolve(program.main, node.text) is None:
            found.append(name_errors.unknown_name(node.span, node.text, candidates))
    return found


def _binds(node: object) -> tuple[syntax.Name, ...]:
    match node:
        case syntax.Repeat() | syntax.Scan():
            return node.targets
        case syntax.Target() | syntax.Let() | syntax.Param() | syntax.State() | syntax.Parameter() | syntax.Yield():
            return (node.name,)
    return ()


def _keys(node: object) -> tuple[syntax.Name, ...]:
    """Names that are no uses: where something is bound, named or chosen."""
    match node:
        case syntax.Argument() | syntax.Stage() | syntax.Attribute() | syntax.Result() | syntax.Callable():
            return () if node.name is None else (node.name,)
        case syntax.Repeat(name=syntax.Name() as name):
            return (*node.targets, name)
        case syntax.Keyed(key=syntax.Name() as name):
            return (name,)
    return _binds(node)


def _traced(program: Program, declaration: syntax.Callable, float_type: FloatType) -> list[Diagnostic]:
    """What a trace says in which every size stands for itself, if the declaration says enough to make one."""
    if declaration.kind == "optimizer" or any(p.default is None for p in declaration.hyper or ()):
        return []
    if any(p.default is None and p.type is None for p in declaration.inputs):
        return []
    allowed = _WHATEVER if any(isinstance(n, syntax.Rest) for n in walk(declaration)) else _WHATEVER | _OF_RANK
    found: list[Diagnostic] = []
    for training in (False, True) if "training" in declaration.span.text else (False,):
        core = Elaborator(program, float_type)
        core.trace = Trace("train" if training else "predict", ROW, training=training)
        core.lenient = True
        try:
            _apply(core, Closure(declaration, program.main))
        except Failure as failure:
            core.report(failure.diagnostic)
        except TypeRuleError:
            continue
        found += [d for d in core.diagnostics if d.code in allowed]
    return found


def _apply(core: Elaborator, closure: Closure) -> None:
    declaration = closure.declaration
    where = declaration.name.span
    hyper: dict[str, Bound] = {}
    callee = core.apply(closure, (), {}, where) if declaration.hyper is not None or closure.kind != "fn" else closure
    if isinstance(callee, LayerInstance):
        callee.path = ()
        hyper = dict(callee.hyper)
    shown = LayerInstance(closure, hyper, where)
    inputs = {p.name.text: rigid_input(core, shown, p, where) for p in declaration.inputs if p.default is None}
    if isinstance(callee, LayerInstance):
        core.apply_layer(callee, (), inputs, where, None)
    else:
        core.apply(callee, (), inputs, where)

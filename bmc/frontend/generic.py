"""One model alone: checked with rigid symbols for the dims that its data would fix.

In: a model declaration. Out: the traces `init` and `predict`. Guaranteed: a name in the input shapes that nothing fixes
stands for itself;
what holds for it holds for every size.
"""

from __future__ import annotations

from bmc.frontend.bodies.dims import DimFact, Failure
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.trace import ROW, Trace
from bmc.frontend.bodies.values import Bound, Closure, Datum, Environment, LayerInstance, Tensor, TupleValue
from bmc.frontend.errors import layer_errors
from bmc.frontend.syntax import tree as syntax
from bmc.ir import Dim, Poly, TensorType
from bmc.source import Span

__all__ = ["outputs_of", "rigid_input", "trace_model"]


def _rigid(
    core: Elaborator, instance: LayerInstance, wanted: syntax.TypeExpr, rows: str | None
) -> tuple[TensorType, tuple[Span, ...]]:
    """The type of an input whose open names stand for themselves; `rows` is the name of the row dim."""
    solver = core.fixed_dims(Environment(instance.closure.scope, dict(instance.hyper)))
    dims: list[Dim] = []
    for d in wanted.dims or ():
        if isinstance(d, syntax.Rest):
            dims.append(Poly.symbol("rest"))
            continue
        for name in _open_names(d):
            if solver.fact(name) is None:
                from_name = Poly.symbol(ROW if name.text == rows else name.text)
                solver.facts[name.text] = DimFact(from_name, name.span)
        dims.append(solver.dim(d))
    return TensorType(core.dtype(wanted), tuple(dims)), tuple(d.span for d in wanted.dims or ())


def _open_names(dim: syntax.Dim | syntax.Expr) -> list[syntax.Name]:
    match dim:
        case syntax.Name():
            return [dim]
        case syntax.Binary():
            return _open_names(dim.left) + _open_names(dim.right)
        case syntax.Unary():
            return _open_names(dim.operand)
        case _:
            return []


def trace_model(core: Elaborator, closure: Closure, *, training: bool = False) -> tuple[Trace, list[tuple[str, Tensor]]]:
    """The trace of the model, in evaluation mode unless `training`, and its outputs. Raises Failure."""
    declaration = closure.declaration
    where = declaration.name.span
    trace = Trace("predict", ROW, training=training)
    core.trace = trace
    core.lenient = True
    for parameter in declaration.hyper or ():
        if parameter.default is None:
            raise Failure(layer_errors.missing_argument(where, closure.name, parameter.name.text, parameter.span))
    instance = core.apply(closure, (), {}, where)
    assert isinstance(instance, LayerInstance)
    instance.path = ()
    inputs = {p.name.text: rigid_input(core, instance, p, where) for p in declaration.inputs}
    result = core.apply_layer(instance, (), inputs, where, None)
    return trace, outputs_of(declaration, result)


def rigid_input(core: Elaborator, instance: LayerInstance, parameter: syntax.Parameter, where: Span) -> Bound:
    """An input of the present trace as its declaration has it. Raises Failure where it has no type."""
    declaration = instance.closure.declaration
    if parameter.type is None:
        raise Failure(layer_errors.missing_argument(where, instance.closure.name, parameter.name.text, parameter.span))
    first = next((p for p in declaration.inputs if p.type is not None and p.type.dims), None)
    rows = None
    if first is not None and first.type is not None and first.type.dims and isinstance(first.type.dims[0], syntax.Name):
        rows = first.type.dims[0].text
    of_type, origins = _rigid(core, instance, parameter.type, rows)
    value = core.trace.parameter("input", parameter.name.text, of_type)
    return Bound(core.tensor(value, origins=origins), parameter.span)


def outputs_of(declaration: syntax.Callable, result: Datum) -> list[tuple[str, Tensor]]:
    """A model's outputs by name; those that are wrong are left out."""
    items = result.items if isinstance(result, TupleValue) else (result,)
    names = [r.name.text if r.name is not None else "output" for r in declaration.results]
    return [(n, v) for n, v in zip(names, items, strict=False) if isinstance(v, Tensor)]

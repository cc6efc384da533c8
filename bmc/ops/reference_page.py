"""The operator reference, written from the records themselves.

In: the registry. Out: the text of `docs/operators.md`. A test compares the two, and rewrites the page under `--update-golden`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from bmc.ir import TensorType
from bmc.ir.text import attributes_text
from bmc.ir.types import DTYPES
from bmc.ops.lowering import Contraction, Elementwise, Expanded, Fused, Host, Loop, Lowering, Opaque, Reduction, Reshape, View
from bmc.ops.registry import NoAttrs, NotDifferentiable, Operator, TypeRuleError, infer_results
from bmc.ops.table import chapters

__all__ = ["operator_reference"]

_INTRODUCTION = """\
# Operators

Everything that the IR can say. This page is written from the records of `bmc/ops` (`bmc/ops/reference_page.py`); the tests hold the
two together. An operator's record is the one place where it is defined: documentation, type rule, gradient, row rule, lowering,
reference and samples.

An operation in text form is `result = name(operands) {attributes}`. Element-wise operators take operands of one shape and dtype.
Error bounds are in units in the last place of the exact result (of reductions and contractions: for each addend, relative to the
sum of the addends' magnitudes); where none is given, the result is the correctly rounded one, or exact.
"""


def operator_reference() -> str:
    """The page as Markdown."""
    return "\n".join((_INTRODUCTION, *_chapters()))


def _chapters() -> Iterator[str]:
    for title, records in chapters():
        yield f"## {title}\n"
        for record in records:
            yield "\n".join(_entry(record)) + "\n"


def _entry(record: Operator) -> Iterator[str]:
    yield f"### `{record.name}`\n"
    yield record.doc + "\n"
    yield from _attributes(record)
    taken = _dtypes(record)
    if taken:
        yield f"- Takes: {', '.join(taken)}."
    example = _example(record)
    if example:
        yield f"- Example: `{example}`"
    if isinstance(record.grad, NotDifferentiable):
        yield f"- Gradient: none; {record.grad.reason}."
    else:
        yield "- Gradient: yes."
    yield f"- Code: {_lowering(record.lowering)}."
    if record.ulp.f32 > 0.5 or record.ulp.f64 > 0.5:
        yield f"- Error: at most {record.ulp.f32:g} (f32), {record.ulp.f64:g} (f64) units in the last place."
    if record.inverse is not None:
        yield "- `undo` walks through it."
    if record.effect:
        yield "- Has an effect: it stays although nobody uses a result."


def _attributes(record: Operator) -> Iterator[str]:
    if record.attrs is NoAttrs:
        return
    names = ", ".join(f"`{f.name}: {f.type}`" for f in dataclasses.fields(record.attrs))
    text = " ".join((record.attrs.__doc__ or "").split())
    yield f"- Attributes: {names}. {text}".rstrip()


def _dtypes(record: Operator) -> list[str]:
    """The dtypes of the first operand, and of those that share its dtype in the samples."""
    found = []
    for dtype in DTYPES:
        for sample in record.samples():
            first = sample.operands[0].dtype if sample.operands else None
            operands = [t.with_dtype(dtype) if t.dtype == first else t for t in sample.operands]
            if operands and _accepts(record, operands, sample.attrs):
                found.append(dtype)
                break
    return found


def _accepts(record: Operator, operands: Sequence[TensorType], attrs: object) -> bool:
    try:
        infer_results(record, operands, attrs)
    except TypeRuleError:
        return False
    return True


def _example(record: Operator) -> str:
    sample = max(record.samples()[:12], key=lambda sample: sum(t.rank for t in sample.operands))
    if record.region_types is not None:
        return ""  # no example of one line
    results = infer_results(record, sample.operands, sample.attrs)
    attributes = attributes_text(sample.attrs)
    operands = ", ".join(map(str, sample.operands))
    return (
        f"{record.name}({operands})"
        + (f" {{{attributes}}}" if attributes else "")
        + f" → {', '.join(map(str, results)) or 'nothing'}"
    )


def _lowering(lowering: Lowering) -> str:
    match lowering:
        case Elementwise(cost=cost, indexed=indexed):
            where = "one element at a time, fused with its neighbours"
            return f"{where}; reads its index" if indexed else f"{where} (cost {cost})"
        case View():
            return "none of its own: an index map of those who read it"
        case Reshape():
            return "none: the same memory"
        case Reduction(combine=combine):
            return f"a fold with `{combine}`, fused with its neighbours"
        case Contraction():
            return "a blocked product, fused with what follows"
        case Loop():
            return "its region once for each slice, in a loop"
        case Opaque(kernel=kernel):
            return f"a kernel of its own, `{kernel}`"
        case Fused():
            return "its region"
        case Host(reducer=reducer):
            return f"the runtime's reducer `{reducer}`, in fitting only"
        case Expanded(by=by):
            return f"none: the pass `{by}` expands it"

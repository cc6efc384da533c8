"""Every operator's samples natively, alone in a kernel, against the reference: sizes with tails, 1 and 0, memory guarded.

How far a result may be off follows from what the operator declares. Let u be the unit of the dtype (2**-23, 2**-52: the
largest distance of neighbours relative to the number) and e the declared error in units:

- e <= 0.5 of an element-wise operator: correctly rounded, or no rounding at all. The reference in the same dtype is that
  too: same bits (the sign and payload of NaN excepted, which nothing fixes).
- e > 0.5: |native - exact| <= e u |exact|, and the least subnormal where exact is subnormal. For f32 `exact` is the
  reference in f64, whose own error is 2**-29 units: nothing. For f64 it is the reference itself, which may be as wrong
  as we may: 2 e.
- fma: declared relative to |x y| + |z|, of which the reference rounds the product and the sum.
- sums (declared for each addend, relative to the sum of the magnitudes M): n addends make at most n roundings: n e u M;
  f64: twice, once for the reference.
- integers, bools, texts: equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bmc.ir import Operation, Poly, TensorType
from bmc.ir.dims import evaluate as evaluate_dim
from bmc.ops.evaluate import bind_attrs
from bmc.ops.lowering import Contraction, Elementwise, Expanded, Fused, Host, Opaque, Reduction, Reshape
from bmc.ops.registry import Operator, Sample, TypeRuleError
from bmc.ops.table import definition, operators
from tests.native import as_kernel, compile_kernels
from tests.ops.sampling import Case, cases, draw, in_double, run

UNIT = {"float32": 2.0**-23, "float64": 2.0**-52}
NOT_NATIVE = (Expanded, Fused, Host, Reshape)
GUARDS = ("guard_finite",)
SIZES = (0, 1, 3, 16, 37)
ADDS_UP = ("cumsum", "scatter_add")


def native_operators() -> list[str]:
    return [name for name, r in operators().items() if not isinstance(r.lowering, NOT_NATIVE) and name not in GUARDS]


def bindings_for(size: int) -> dict[str, int]:
    """B and T differ, so that swapped dims show."""
    return {"B": size, "T": size + 2 if size else 0}


def valid(case: Case, bindings: Mapping[str, int]) -> bool:
    """Whether the sample is well typed at these sizes: a slice may need more elements, an arg-max at least one."""
    attrs = bind_attrs(case.sample.attrs, bindings)
    shapes = [tuple(evaluate_dim(d, bindings) for d in t.shape) for t in case.sample.operands]
    results = [tuple(evaluate_dim(d, bindings) for d in r.type.shape) for r in case.build().results]
    try:
        case.record.infer([TensorType(t.dtype, s) for t, s in zip(case.sample.operands, shapes, strict=True)], attrs)
    except TypeRuleError:
        return False
    return all(dim >= 0 for shape in results for dim in shape)


def addends(record: Operator, attrs: Any, arrays: Sequence[Any]) -> int:
    """How many numbers are summed into one result element, at most."""
    if isinstance(record.lowering, Reduction):
        return math.prod(arrays[0].shape[axis] for axis in attrs.axes)
    if isinstance(record.lowering, Contraction):
        return math.prod(arrays[0].shape[axis] for axis in attrs.lhs_contract)
    if record.name == "cumsum":
        return int(arrays[0].shape[attrs.axis])
    return int(arrays[0].size)  # scatter_add: all updates may meet in one row


def allowed(record: Operator, attrs: Any, arrays: Sequence[Any], exact: Any, dtype: Any) -> Any:
    """The largest deviation of each element of a float result."""
    unit, bound = UNIT[dtype.name], record.ulp.f32 if dtype == np.float32 else record.ulp.f64
    sums = isinstance(record.lowering, Contraction) or record.name in ADDS_UP
    if isinstance(record.lowering, Reduction):
        if record.lowering.combine != "add":
            return np.zeros_like(exact)
        sums = True
    if record.name == "fma":
        return bound * unit * (np.abs(arrays[0] * arrays[1]) + np.abs(arrays[2]))
    twice = 2.0 if dtype == np.float64 else 1.0
    if sums:
        (magnitude,) = record.reference(np, attrs, [np.abs(a) if a.dtype.kind == "f" else a for a in arrays])
        return twice * addends(record, attrs, arrays) * bound * unit * magnitude
    return twice * bound * unit * np.abs(exact) + float(np.finfo(dtype).smallest_subnormal)


def check(case: Case, op: Operation, found: Sequence[Any], arrays: Sequence[Any], bindings: Mapping[str, int]) -> None:
    record = case.record
    wanted = run(op, arrays, bindings)
    rounded = (record.ulp.f32 if isinstance(record.lowering, Elementwise) else 1.0) > 0.5
    for number, (value, reference) in enumerate(zip(found, wanted, strict=True)):
        assert value.dtype == reference.dtype
        assert value.shape == reference.shape
        if value.dtype.kind != "f" or not (rounded or isinstance(record.lowering, Contraction)):
            np.testing.assert_array_equal(value, reference)
            continue
        wide, exact = arrays, reference
        if value.dtype == np.float32 and all(a.dtype != np.float64 for a in arrays):
            wide = [a.astype(np.float64) if a.dtype == np.float32 else a for a in arrays]
            exact = run(in_double(case).build(), wide, bindings)[number]
        limit = allowed(record, bind_attrs(op.attrs, bindings), wide, exact, value.dtype)
        same = (value == exact) | (np.isnan(value) & np.isnan(exact))
        with np.errstate(invalid="ignore"):
            off = ~same & ~(np.abs(value.astype(np.float64) - exact) <= limit)
        assert not off.any(), f"{value[off][:4]} is not {exact[off][:4]} within {np.broadcast_to(limit, off.shape)[off][:4]}"


def copies_only(record: Operator) -> bool:
    """Opaque kernels that move or compare cells: their results are exact."""
    return isinstance(record.lowering, Opaque) and record.name not in ADDS_UP


@pytest.mark.parametrize("name", native_operators())
def test_samples_agree_with_the_reference(name: str) -> None:
    own = [case for case in cases() if case.record.name == name]
    ops = [case.build() for case in own]
    tried = 0
    for case, op, native in zip(own, ops, compile_kernels([as_kernel(op) for op in ops]), strict=True):
        for size in SIZES:
            bindings = bindings_for(size)
            if not valid(case, bindings):
                continue
            arrays = [np.asarray(a) for a in draw(case.sample, bindings, seed=size)]
            for edge in ("end", "start"):
                found = native.run(arrays, bindings, edge)
                if copies_only(case.record):
                    for value, reference in zip(found, run(op, arrays, bindings), strict=True):
                        np.testing.assert_array_equal(value, reference)
                else:
                    check(case, op, found, arrays, bindings)
            tried += 1
    assert tried >= len(own)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-40, 1e30, -1e30, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_special_numbers_in_exact_operators(dtype: str) -> None:
    """Zeros of both signs, infinities, NaN, subnormals: operators that round correctly give the reference's bits."""
    chosen = []
    for name in native_operators():
        record = definition(name)
        if isinstance(record.lowering, Elementwise) and not record.lowering.indexed and record.ulp.f32 <= 0.5:
            own = [c for c in cases() if c.record.name == name and all(t.dtype == dtype for t in c.sample.operands)]
            own = [c for c in own if len({t.shape for t in c.sample.operands}) == 1 and c.sample.operands[0].rank]
            chosen.extend(own[:1])
    assert len(chosen) > 15
    number = np.float32 if dtype == "f32" else np.float64
    ops = [Case(c.record, _flat(c), 0).build() for c in chosen]
    for case, op, native in zip(chosen, ops, compile_kernels([as_kernel(op) for op in ops]), strict=True):
        with np.errstate(all="ignore"):
            first, second = (grid.ravel() for grid in np.meshgrid(np.array(SPECIAL, number), np.array(SPECIAL, number)))
        third = np.roll(first, 5)
        arrays = [first, second, third][: len(op.operands)]
        bindings = {"B": len(first)}
        for value, reference in zip(native.run(arrays, bindings), run(op, arrays, bindings), strict=True):
            np.testing.assert_array_equal(value, reference, err_msg=case.record.name)
            if value.dtype.kind == "f" and case.record.name not in ("maximum", "minimum"):
                # Of two zeros minimum and maximum may give either.
                signs = (np.signbit(value) == np.signbit(reference)) | np.isnan(reference)
                assert signs.all(), case.record.name


def _flat(case: Case) -> Sample:
    operands = tuple(TensorType(t.dtype, (Poly.symbol("B"),)) for t in case.sample.operands)
    return replace(case.sample, operands=operands)

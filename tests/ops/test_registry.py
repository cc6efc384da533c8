"""Every record keeps the promises that stages rely on."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from bmc.ir import Function, Module, Parameter, Poly, Result, TensorType, Value
from bmc.ir.text import print_module
from bmc.ir.types import DTYPES
from bmc.ops.build import Builder
from bmc.ops.parse_text import parse_module
from bmc.ops.registry import NoAttrs, NotDifferentiable, Operator, TypeRuleError, infer_results
from bmc.ops.table import definition, operators
from bmc.source import SourceFile
from tests.ops.sampling import Case, cases

CASES = cases()
ALL = list(operators().values())
ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"


@pytest.mark.parametrize("record", ALL, ids=lambda record: record.name)
def test_a_wrong_number_of_operands_is_refused(record: Operator) -> None:
    least, most = record.arity if isinstance(record.arity, tuple) else (record.arity, record.arity)
    sample = record.samples()[0]
    filler = TensorType("f32", ())
    if least > 0:
        with pytest.raises(TypeRuleError, match="operands"):
            infer_results(record, sample.operands[: least - 1], sample.attrs)
    if most is not None:
        with pytest.raises(TypeRuleError, match="operands"):
            infer_results(record, [*sample.operands, *[filler] * (most + 1 - len(sample.operands))], sample.attrs)


def test_results_have_legal_types() -> None:
    for case in CASES:
        for found in infer_results(case.record, case.sample.operands, case.sample.attrs):
            assert found.dtype in DTYPES, case
            assert all(isinstance(dim, (int, Poly)) for dim in found.shape), case


@pytest.mark.parametrize("case", [c for c in CASES if c.number == 0 and c.sample.operands], ids=str)
def test_some_dtype_is_refused_in_each_operand(case: Case) -> None:
    """No operator takes every dtype in any operand: text and numbers never mix."""
    for i, found in enumerate(case.sample.operands):
        refused = 0
        for dtype in DTYPES:
            operands = [*case.sample.operands]
            operands[i] = found.with_dtype(dtype)
            try:
                infer_results(case.record, operands, case.sample.attrs)
            except TypeRuleError:
                refused += 1
        assert refused, f"operand {i} takes all dtypes"


@pytest.mark.parametrize("case", [c for c in CASES if len(c.sample.operands) > 1 and c.number == 0], ids=str)
def test_a_conflict_names_the_operand(case: Case) -> None:
    """Of two operands one changes its shape alone: element-wise operators must name both sides."""
    operands = [*case.sample.operands]
    operands[-1] = operands[-1].with_shape((*operands[-1].shape, 11))
    if all(t == case.sample.operands[0] for t in case.sample.operands):
        with pytest.raises(TypeRuleError) as caught:
            infer_results(case.record, operands, case.sample.attrs)
        assert caught.value.operand == len(operands) - 1
        assert caught.value.other is not None


def test_attributes_of_another_class_are_refused() -> None:
    with pytest.raises(TypeRuleError, match="attributes"):
        infer_results(definition("reduce_sum"), [TensorType("f32", (3,))], NoAttrs())


def _printable(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_printable(item) for item in value)
    return isinstance(value, (bool, int, float, str, Poly))


@pytest.mark.parametrize("case", [c for c in CASES if c.number == 0], ids=str)
def test_attributes_are_frozen_data_of_plain_fields(case: Case) -> None:
    attrs: Any = case.sample.attrs
    assert isinstance(attrs, case.record.attrs)
    assert all(_printable(getattr(attrs, field.name)) for field in dataclasses.fields(attrs))
    assert hash(attrs) == hash(dataclasses.replace(attrs))
    for field in dataclasses.fields(attrs):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(attrs, field.name, None)


@pytest.mark.parametrize("record", ALL, ids=lambda record: record.name)
def test_samples_go_through_text_and_back(record: Operator) -> None:
    functions = []
    for case in (c for c in CASES if c.record is record):
        params = [Parameter(Value(t), "input", f"p.{i}") for i, t in enumerate(case.sample.operands)]
        b = Builder()
        op = b.operation(record.name, [param.value for param in params], case.sample.attrs)
        results = tuple(Result(value, "output", f"r.{i}") for i, value in enumerate(op.results))
        functions.append(Function(f"f{case.number}", tuple(params), (op,), results))
    text = print_module(Module(tuple(functions)))
    back = parse_module(SourceFile("samples.bmir", text))
    assert print_module(back) == text
    for before, after in zip(functions, back.functions, strict=True):
        assert [op.attrs for op in after.ops] == [op.attrs for op in before.ops]
        assert [v.type for v in after.values()] == [v.type for v in before.values()]


def _complete() -> dict[str, Any]:
    record = definition("neg")
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


@pytest.mark.parametrize(("field", "value"), [("doc", " "), ("name", "not a name"), ("attrs", int)])
def test_an_incomplete_record_is_refused(field: str, value: object) -> None:
    with pytest.raises(TypeError):
        Operator(**{**_complete(), field: value})


def test_every_record_has_samples() -> None:
    assert [record.name for record in ALL if not record.samples()] == []


def test_every_record_has_a_gradient_or_a_reason() -> None:
    for record in ALL:
        assert not isinstance(record.grad, NotDifferentiable) or record.grad.reason


def test_the_registry_is_read_only() -> None:
    table: Any = operators()
    with pytest.raises(TypeError):
        table["neg"] = definition("neg")
    with pytest.raises(KeyError):
        definition("no_such_operator")


def test_the_architecture_page_names_every_operator() -> None:
    page = ARCHITECTURE.read_text(encoding="utf-8")
    table = page[page.index("## Operators") : page.index("`control` is a parameter")]
    named = {word for row in table.splitlines() if row.startswith("| `") for word in re.findall(r"[a-z_0-9]+", row.split("|")[1])}
    assert set(operators()) <= named

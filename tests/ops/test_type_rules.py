"""Type rules: exact results with symbolic dims, and what each rule refuses."""

from __future__ import annotations

import pytest

from bmc.ir import Poly, TensorType
from bmc.ir.dims import FloorDiv
from bmc.ops.choice import CastAttrs, CompareAttrs
from bmc.ops.contract import ContractAttrs
from bmc.ops.index import ScatterAddAttrs
from bmc.ops.kernel import KernelAttrs
from bmc.ops.order import ArgAttrs, CumsumAttrs, SortAttrs
from bmc.ops.random import CONTROL, RandomAttrs
from bmc.ops.reduce import ReduceAttrs
from bmc.ops.registry import NoAttrs, TypeRuleError, infer_results
from bmc.ops.shape import BroadcastAttrs, ConcatAttrs, PadAttrs, ReshapeAttrs, SliceAttrs, TransposeAttrs
from bmc.ops.sources import ConstantAttrs, DimValueAttrs, IotaAttrs
from bmc.ops.table import definition
from bmc.ops.text import DistinctAttrs, EqualAttrs, LookupAttrs, TextAttrs

B, T = Poly.symbol("B"), Poly.symbol("T")


def _t(dtype: str, *shape: int | Poly) -> TensorType:
    return TensorType(dtype, shape)


def _f(*shape: int | Poly) -> TensorType:
    return TensorType("f32", shape)


def _i(*shape: int | Poly) -> TensorType:
    return TensorType("i32", shape)


_half = T + 1
HALF = Poly((((((FloorDiv(_half, 2), 1),)), 1),)) if isinstance(_half, Poly) else None

GOOD = [
    ("compare", [_f(B, 3)] * 2, CompareAttrs("lt"), [_t("bool", B, 3)]),
    ("select", [_t("bool", B), _i(B), _i(B)], NoAttrs(), [_i(B)]),
    ("cast", [_f(B)], CastAttrs("u8"), [_t("u8", B)]),
    ("broadcast", [_f(1, B)], BroadcastAttrs((B, 4), (1, 0)), [_f(B, 4)]),
    ("transpose", [_f(B, T, 3)], TransposeAttrs((2, 0, 1)), [_f(3, B, T)]),
    ("slice", [_f(B, T)], SliceAttrs((0, 1), (B, T - 2), (1, 1)), [_f(B, T - 3)]),
    ("slice", [_f(T)], SliceAttrs((0,), (T,), (2,)), [TensorType("f32", (HALF,) if HALF is not None else ())]),
    ("slice", [_f(T)], SliceAttrs((T - 1,), (-1,), (-1,)), [_f(T)]),
    ("slice", [_f(5)], SliceAttrs((3,), (1,), (1,)), [_f(0)]),
    ("reshape", [_f(B, T, 4)], ReshapeAttrs((B * T, 2, 2)), [_f(B * T, 2, 2)]),
    ("concat", [_f(B, T), _f(B, 3)], ConcatAttrs(1), [_f(B, T + 3)]),
    ("pad", [_f(B, T)], PadAttrs((0, 1), (0, 2), (0, 1), 0.0), [_f(B, T * 2 + 2)]),
    ("pad", [_f(0)], PadAttrs((1,), (1,), (5,), 0.0), [_f(2)]),
    ("reduce_sum", [_f(B, T, 3)], ReduceAttrs((0, 2)), [_f(T)]),
    ("argmax", [_f(B, 3, T)], ArgAttrs(1), [_i(B, T)]),
    ("contract", [_f(B, T, 3), _f(B, 3, 5)], ContractAttrs((0,), (2,), (0,), (1,)), [_f(B, T, 5)]),
    ("gather", [_f(9, 4), _i(B, T)], NoAttrs(), [_f(B, T, 4)]),
    ("scatter_add", [_i(B), _f(B, 4)], ScatterAddAttrs(9), [_f(9, 4)]),
    ("take_along", [_f(B, 9), _i(B)], NoAttrs(), [_f(B)]),
    ("take_along", [_f(B, 9), _i(B, T)], NoAttrs(), [_f(B, T)]),
    ("sort", [_f(B, 9)], SortAttrs(True), [_f(B, 9), _i(B, 9)]),
    ("str_lookup", [_t("str", B), _t("str", 5), _i(5)], LookupAttrs(), [_i(B)]),
    ("distinct", [_t("str", B), _t("bool", B)], DistinctAttrs(7), [_t("str", 7), _i(7), _i()]),
    ("gradient", [_f(), _f(3), _f(4, 5)], NoAttrs(), [_f(3), _f(4, 5)]),
    ("guard_finite", [_f()], NoAttrs(), []),
]

BAD = [
    ("add", [_f(3), _f(1)], NoAttrs(), "shapes differ"),
    ("add", [_f(3), _t("f64", 3)], NoAttrs(), "dtypes differ"),
    ("fma", [_i(3)] * 3, NoAttrs(), "dtype i32"),
    ("div", [_i(3)] * 2, NoAttrs(), "dtype i32"),
    ("logical_and", [_f(3)] * 2, NoAttrs(), "dtype f32"),
    ("compare", [_f(3)] * 2, CompareAttrs("approximately"), "no predicate"),
    ("select", [_f(3)] * 3, NoAttrs(), "dtype f32"),
    ("select", [_t("bool", 1), _f(3), _f(3)], NoAttrs(), "shapes differ"),
    ("cast", [_f(3)], CastAttrs("str"), "no cast"),
    ("cast", [_f(3)], CastAttrs("f16"), "no cast"),
    ("constant", [], ConstantAttrs(300, "u8", ()), "range"),
    ("constant", [], ConstantAttrs(1.5, "i32", ()), "no i32"),
    ("constant", [], ConstantAttrs(True, "f32", ()), "no f32"),
    ("constant", [], ConstantAttrs(1, "bool", ()), "no bool"),
    ("constant", [], ConstantAttrs(0.0, "f32", (-1,)), "negative"),
    ("iota", [], IotaAttrs("i32", (3,), 1), "axis 1"),
    ("iota", [], IotaAttrs("i32", (), 0), "axis 0"),
    ("iota", [], IotaAttrs("bool", (3,), 0), "bool"),
    ("dim_value", [], DimValueAttrs(B, "str"), "str"),
    ("random_uniform", [_t("i64", 7)], RandomAttrs("f32", (B,), "s", True), "control"),
    ("random_uniform", [CONTROL], RandomAttrs("i32", (B,), "s", True), "i32"),
    ("random_normal", [CONTROL], RandomAttrs("f32", (), "s", True), "no rows"),
    ("broadcast", [_f(3)], BroadcastAttrs((4,), (0,)), "widen"),
    ("broadcast", [_f(3, 3)], BroadcastAttrs((3, 3), (0, 0)), "repeat"),
    ("broadcast", [_f(3)], BroadcastAttrs((3,), ()), "axes"),
    ("broadcast", [_f(3)], BroadcastAttrs((3,), (1,)), "axis 1"),
    ("broadcast", [_f(B)], BroadcastAttrs((T,), (0,)), "widen"),
    ("transpose", [_f(3, 4)], TransposeAttrs((0, 0)), "permute"),
    ("transpose", [_f(3, 4)], TransposeAttrs((0,)), "permute"),
    ("slice", [_f(5)], SliceAttrs((0,), (6,), (1,)), "leaves"),
    ("slice", [_f(5)], SliceAttrs((-1,), (3,), (1,)), "leaves"),
    ("slice", [_f(5)], SliceAttrs((5,), (-1,), (-1,)), "leaves"),
    ("slice", [_f(T)], SliceAttrs((0,), (T + 1,), (1,)), "leaves"),
    ("slice", [_f(5)], SliceAttrs((0,), (5,), (0,)), "step 0"),
    ("slice", [_f(5)], SliceAttrs((), (), ()), "rank 1"),
    ("reshape", [_f(B, 3)], ReshapeAttrs((B, 4)), "elements"),
    ("reshape", [_f(2, 3)], ReshapeAttrs((-2, -3)), "negative"),
    ("concat", [_f(2, 3), _f(3, 3)], ConcatAttrs(1), "differ outside"),
    ("concat", [_f(2), _i(2)], ConcatAttrs(0), "concatenate"),
    ("concat", [_f()], ConcatAttrs(0), "axis 0"),
    ("pad", [_f(3)], PadAttrs((-1,), (0,), (0,), 0.0), "negative"),
    ("pad", [_f(3)], PadAttrs((1,), (), (0,), 0.0), "rank 1"),
    ("pad", [_f(3)], PadAttrs((1,), (0,), (0,), True), "no f32"),
    ("pad", [_i(3)], PadAttrs((1,), (0,), (0,), 0.5), "no i32"),
    ("reduce_sum", [_f(3)], ReduceAttrs((1,)), "axis 1"),
    ("reduce_sum", [_f(3, 4)], ReduceAttrs((0, 0)), "repeat"),
    ("reduce_max", [_t("bool", 3)], ReduceAttrs((0,)), "bool"),
    ("argmax", [_f(3, 0)], ArgAttrs(1), "no cells"),
    ("cumsum", [_f()], CumsumAttrs(0), "axis 0"),
    ("sort", [_f()], SortAttrs(False), "rank 0"),
    ("contract", [_f(3, 4), _f(5, 6)], ContractAttrs((), (1,), (), (0,)), "dims differ"),
    ("contract", [_f(3, 4), _f(4, 6)], ContractAttrs((), (1,), (), ()), "pair"),
    ("contract", [_f(3, 4), _t("f64", 4, 6)], ContractAttrs((), (1,), (), (0,)), "dtypes differ"),
    ("contract", [_i(3), _i(3)], ContractAttrs((), (0,), (), (0,)), "i32"),
    ("contract", [_f(3, 3), _f(3, 3)], ContractAttrs((0,), (0,), (0,), (1,)), "repeat"),
    ("gather", [_f(), _i(2)], NoAttrs(), "rank 0"),
    ("gather", [_f(3), _f(2)], NoAttrs(), "dtype f32"),
    ("gather", [_f(0, 3), _i(2)], NoAttrs(), "no rows"),
    ("scatter_add", [_i(3), _f(4, 3)], ScatterAddAttrs(2), "do not begin"),
    ("scatter_add", [_i(3), _f(3)], ScatterAddAttrs(0), "no rows"),
    ("take_along", [_f(3, 4), _i(4)], NoAttrs(), "do not begin|does not begin"),
    ("int_lookup", [_t("i64", 3), _i(4), _i(4)], NoAttrs(), "dtypes differ"),
    ("int_lookup", [_i(3), _i(4), _i(5)], NoAttrs(), "shapes differ"),
    ("str_lookup", [_t("str", 3), _t("str", 4, 1), _i(4, 1)], LookupAttrs(), "rank 2"),
    ("str_equal", [_f(3)], EqualAttrs("x"), "dtype f32"),
    ("str_select", [_t("bool", 3), _t("str", 4)], TextAttrs("x"), "shapes differ"),
    ("distinct", [_t("str", 3), _t("bool", 4)], DistinctAttrs(3), "shapes differ"),
    ("distinct", [_t("str", 3), _t("bool", 3)], DistinctAttrs(-1), "-1 places"),
    ("gradient", [_f(1), _f(3)], NoAttrs(), "rank 1"),
    ("gradient", [_f(), _i(3)], NoAttrs(), "dtype i32"),
    ("guard_finite", [_f(2)], NoAttrs(), "rank 1"),
    ("kernel", [_f(2)], KernelAttrs("map"), "one region"),
    ("kernel", [_f(2)], KernelAttrs("scan"), "no kind"),
]


@pytest.mark.parametrize(("name", "operands", "attrs", "results"), GOOD, ids=lambda value: value if isinstance(value, str) else "")
def test_results(name: str, operands: list[TensorType], attrs: object, results: list[TensorType]) -> None:
    assert list(infer_results(definition(name), operands, attrs)) == results


@pytest.mark.parametrize(("name", "operands", "attrs", "message"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_refusals(name: str, operands: list[TensorType], attrs: object, message: str) -> None:
    with pytest.raises(TypeRuleError, match=message):
        infer_results(definition(name), operands, attrs)

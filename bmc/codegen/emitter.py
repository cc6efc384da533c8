"""The whole vocabulary of elementwise lowering as LLVM IR: `Lanes` with functions, random numbers and positions.

In: an `IRBuilder`, a width, the FMA class, and how the kernel finds an element's position along an axis. Out: an
`ElementBuilder` for operators' lowering rules. Guaranteed: what `Lanes` and `bmc.codegen.math` guarantee, so that one
element has the same bits at every width.

`sin`, `cos` and `pow` are long, and the first two branch: they become internal functions of the module, one for each
dtype and width, that kernels call. So no method here ends the builder's basic block.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from bmc.codegen import philox
from bmc.codegen.lanes import Lanes
from bmc.codegen.math.error_function import erf
from bmc.codegen.math.exponential import exp, expm1, sigmoid, tanh
from bmc.codegen.math.logarithm import log, log1p
from bmc.codegen.math.power import pow_
from bmc.codegen.math.trigonometric import cos, sin
from bmc.codegen.value import I64, Value
from bmc.ops.element import Dtype, Element

AxisPosition = Callable[[int], Value]
"""The positions of the W elements along a logical axis, as i64."""


_Draw = Callable[[Lanes, Dtype, Value, Value, Value, Value, Value], Value]


class Emitter(Lanes):
    """An `ElementBuilder` over llvmlite. `index` is called for `ElementBuilder.index`; without it there is no axis."""

    def __init__(self, builder: ir.IRBuilder, width: int, fused: bool, index: AxisPosition | None = None) -> None:
        super().__init__(builder, width, fused)
        self._index = index

    def index(self, axis: int) -> Value:
        if self._index is None:
            raise LookupError(f"this code has no axis {axis}")
        return self._index(axis)

    def exp(self, x: Element) -> Value:
        return exp(self, self._float(x))

    def expm1(self, x: Element) -> Value:
        return expm1(self, self._float(x))

    def log(self, x: Element) -> Value:
        return log(self, self._float(x))

    def log1p(self, x: Element) -> Value:
        return log1p(self, self._float(x))

    def tanh(self, x: Element) -> Value:
        return tanh(self, self._float(x))

    def sigmoid(self, x: Element) -> Value:
        return sigmoid(self, self._float(x))

    def erf(self, x: Element) -> Value:
        return erf(self, self._float(x))

    def sin(self, x: Element) -> Value:
        return self._outlined("sin", lambda b, operands: sin(b, operands[0]), self._float(x))

    def cos(self, x: Element) -> Value:
        return self._outlined("cos", lambda b, operands: cos(b, operands[0]), self._float(x))

    def pow(self, x: Element, y: Element) -> Value:
        a, exponent = self._floats(x, y)
        return self._outlined("pow", lambda b, operands: pow_(b, operands[0], operands[1]), a, exponent)

    def uniform(self, dtype: Dtype, seed: Element, step: Element, row: Element, element: Element, site: int | Element) -> Value:
        return self._draw("uniform", philox.emit_uniform, dtype, seed, step, row, element, site)

    def normal(self, dtype: Dtype, seed: Element, step: Element, row: Element, element: Element, site: int | Element) -> Value:
        return self._draw("normal", philox.emit_normal, dtype, seed, step, row, element, site)

    def _draw(
        self,
        name: str,
        emit: _Draw,
        dtype: Dtype,
        seed: Element,
        step: Element,
        row: Element,
        element: Element,
        site: int | Element,
    ) -> Value:
        """A call of the module's function `bmc_NAME_DTYPExW`: draws are long, and every layer has a site of its own. Runs of
        consecutive elements have another function, which makes a block of four words for four elements.
        """
        key = self._value(seed, "i64"), self._value(step, "i64"), self._value(row, "i64")
        element = self._value(element, "i64")
        consecutive = isinstance(element, philox.Run) and self.width % 4 == 0
        symbol = f"bmc_{name}{'_run' if consecutive else ''}_{dtype}x{self.width}"
        operands = [*key, element, self.constant("i64", site) if isinstance(site, int) else self._value(site, "i64")]
        function = self.builder.module.globals.get(symbol)
        if function is None:
            function = self.declare(symbol, self.type_of(dtype), [self.type_of("i64")] * len(operands) + [I64])
            function.linkage = "internal"
            inner = Lanes(ir.IRBuilder(function.append_basic_block("entry")), self.width, self.fused)
            given = [Value(argument, "i64") for argument in function.args]
            position = philox.Run(given[3].ir, "i64", function.args[5]) if consecutive else given[3]
            inner.builder.ret(emit(inner, dtype, given[0], given[1], given[2], position, given[4]).ir)
        first_element = element.first if isinstance(element, philox.Run) else I64(0)
        return Value(self.builder.call(function, [*(operand.ir for operand in operands), first_element]), dtype)

    def _outlined(self, name: str, body: Callable[[Lanes, tuple[Value, ...]], Value], *operands: Value) -> Value:
        """Call the module's function `bmc_NAME_DTYPExW`, writing it on first use."""
        dtype = operands[0].dtype
        own = self.type_of(dtype)
        symbol = f"bmc_{name}_{dtype}x{self.width}"
        function = self.builder.module.globals.get(symbol)
        if function is None:
            function = self.declare(symbol, own, [own] * len(operands))
            function.linkage = "internal"
            inner = Lanes(ir.IRBuilder(function.append_basic_block("entry")), self.width, self.fused)
            result = body(inner, tuple(Value(argument, dtype) for argument in function.args))
            inner.builder.ret(result.ir)
        return Value(self.builder.call(function, [operand.ir for operand in operands]), dtype)

"""Map kernels: every result has the shape of the iteration space, every element is computed on its own.

Loops run over the merged axes, vectors along the innermost one; what does not depend on an inner loop is computed outside it.
"""

from __future__ import annotations

from bmc.codegen.kernel.code import Code, Scope

__all__ = ["emit_map"]


def emit_map(code: Code) -> None:
    """Emit the loops and the stores. The demands' levels are those of the groups in order, vectors along the last."""
    last = len(code.order) - 1
    demands = code.analysed.order

    def inside(scope: Scope) -> None:
        code.compute(scope, [d for d in demands if d.level <= last])
        for output in range(len(code.outputs)):
            code.store(scope, output)

    def descend(scope: Scope, position: int) -> None:
        """The loop at `position`; `scope` has what is outside it."""
        code.compute(scope, [d for d in demands if d.level < position])
        if position == last:
            code.vector_loop(scope, position, inside)
        else:
            code.loop(position, lambda variable: descend(code.enter(scope, variable), position + 1))

    root = code.root()
    if last < 0:
        inside(root)
    else:
        descend(root, 0)

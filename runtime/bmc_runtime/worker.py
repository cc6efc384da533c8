"""A worker process: runs its shards of each training step in memory that it shares with the main process.

Started as `python -m bmc_runtime.worker`; stdin carries the setup and the commands, stdout one status byte for each. It
ends when stdin closes.
"""

from __future__ import annotations

import base64
import importlib
import signal
import sys
from typing import Any, BinaryIO

from bmc_runtime.binding import Binding, BoundFunction, Library, NotFinite
from bmc_runtime.buckets import Buckets
from bmc_runtime.memory import address_of
from bmc_runtime.messages import DONE, FAILED, NOT_FINITE, Command, read_setup
from bmc_runtime.plan import Program
from bmc_runtime.pool import partials_of
from bmc_runtime.sharing import SharedBlock
from bmc_runtime.stepping import MOST_LAID_OUT, Sizes, dims_of_all, shared_inputs
from bmc_runtime.table import Indices

__all__ = ["main"]


class _Worker:
    def __init__(self, setup: dict[str, Any]) -> None:
        block = SharedBlock.open(setup["block"])
        self._block = block
        program = Program.from_json(setup["plan"], base64.b64decode(setup["object"]))
        module, name = setup["loader"].split(":")
        library = Library(program, getattr(importlib.import_module(module), name))
        store = block.arrays("store/")
        self.train = BoundFunction(library, "train", store, setup["shards"])
        self.gather = BoundFunction(library, "batch", store)
        self.data = block.arrays("data/")
        self.inputs = block.arrays("input/")
        self.order = address_of(block.array("order"))
        self.partials, self.once = partials_of(block), block.array("once")
        self.mine = range(*setup["mine"])
        self.dims: dict[str, int] = setup["dims"]
        self.seed, self.steps = setup["seed"], setup["steps"]
        sizes = block.arrays("bucket/")
        self.buckets = Buckets(sizes, self.dims) if sizes else None  # type: ignore[arg-type]  # i32, as the main process wrote them
        self.rows: Indices = block.array("order")  # type: ignore[assignment]
        self.bound: dict[tuple[int, Sizes], tuple[Binding | None, Binding]] = {}

    def run(self, command: Command) -> None:
        sizes: Sizes = ()
        if self.buckets is not None:
            first = command.start - command.first_row
            sizes = tuple(self.buckets.dims(self.rows[first : first + command.all_rows]).items())
        if (command.rows, sizes) not in self.bound:
            if len(self.bound) >= MOST_LAID_OUT:
                self.bound.clear()
            self.bound[command.rows, sizes] = self._bind(command.rows, sizes)
        gather, train = self.bound[command.rows, sizes]
        if command.gather:
            if gather is not None:
                gather.point("index", self.order + command.start * 8)
                gather.run()
            train.set_control(self.seed, command.step, command.first_row, self.steps, command.epoch, command.all_rows)
            train.set_factor(command.factor)
        train.run_shards(command.stage, self.mine)

    def _bind(self, rows: int, sizes: Sizes) -> tuple[Binding | None, Binding]:
        row = self.train.plan.row or "B"
        known = {**dims_of_all(self.dims), **self.dims, **dict(sizes), row: rows}
        dims = {name: known[name] for name in {*self.train.plan.dims, row}}
        if not self.data:  # the main process computes each batch into memory that is shared
            inputs = shared_inputs(self.train.plan, self.inputs, rows, known)
            return None, self.train.bind(dims, inputs, None, self.partials, once=self.once)
        known["N"] = next(len(self.data[b.key]) for b in self.train.plan.buffers if b.kind == "input" and b.rows)
        sources = {f"{key}.all": array for key, array in self.data.items()}
        gather = self.gather.bind({name: known[name] for name in {*self.gather.plan.dims, row}}, sources)
        return gather, self.train.bind(dims, {**self.data, **gather.outputs}, None, self.partials, once=self.once)


def main() -> None:
    """Serve commands until stdin closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides when to stop
    commands: BinaryIO = sys.stdin.buffer
    answers: BinaryIO = sys.stdout.buffer
    worker = _Worker(read_setup(commands))
    answers.write(DONE)
    answers.flush()
    while (command := Command.read(commands)) is not None:
        status = DONE
        try:
            worker.run(command)
        except NotFinite:
            status = NOT_FINITE
        except Exception:
            answers.write(FAILED)
            answers.flush()
            raise
        answers.write(status)
        answers.flush()


if __name__ == "__main__":
    main()

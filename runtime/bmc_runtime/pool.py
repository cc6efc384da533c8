"""Worker processes for the shards of a training step.

In: a program, the name of a loader that another process can import, shared memory. Out: `WorkerPool.stage(...)`, which runs one
per-shard stage everywhere and returns when all are done. The main process is worker 0. Workers own contiguous, aligned ranges of
shards; who owns a shard has no influence on any bit.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ParamSpec

from bmc_runtime.binding import Binding, NotFinite
from bmc_runtime.buckets import Buckets
from bmc_runtime.memory import Array, dtype_name
from bmc_runtime.messages import DONE, NOT_FINITE, Command, write_setup
from bmc_runtime.plan import Program, evaluate_dim
from bmc_runtime.sharing import SharedBlock

__all__ = ["WorkerLost", "WorkerPool", "at_stage", "partials_of", "share"]


P = ParamSpec("P")


class WorkerLost(RuntimeError):
    """A worker process ended or failed; its standard error says why."""


class WorkerPool:
    def __init__(
        self,
        workers: int,
        shards: int,
        program: Program,
        loader: str,
        block: SharedBlock,
        dims: Mapping[str, int],
        seed: int,
        steps: int,
    ) -> None:
        """Start `workers - 1` processes. WorkerLost: one did not come up."""
        count = min(workers, shards)
        self._ranges = [(shards * w // count, shards * (w + 1) // count) for w in range(count)]
        self.mine = range(*self._ranges[0])
        setup: dict[str, Any] = {
            "block": block.describe(),
            "plan": program.plan_json(),
            "object": base64.b64encode(program.object_code).decode(),
            "loader": loader,
            "shards": shards,
            "dims": dict(dims),
            "seed": seed,
            "steps": steps,
        }
        self._processes = [
            # -P: a signal.py or json.py in the user's folder is no part of a worker.
            subprocess.Popen([sys.executable, "-P", "-m", "bmc_runtime.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in self._ranges[1:]
        ]
        try:
            for process, mine in zip(self._processes, self._ranges[1:], strict=True):
                assert process.stdin is not None
                _guarded(write_setup, process.stdin, {**setup, "mine": mine})
            self._wait()
        except WorkerLost:
            self.close()
            raise

    def stage(self, binding: Binding, command: Command) -> None:
        """Run one stage on all shards. NotFinite: a guard failed somewhere. WorkerLost: a worker is gone."""
        for process in self._processes:
            assert process.stdin is not None
            _guarded(command.write, process.stdin)
        failed = False
        try:
            binding.run_shards(command.stage, self.mine)
        except NotFinite:
            failed = True
        failed |= self._wait()
        if failed:
            raise NotFinite

    def _wait(self) -> bool:
        failed = False
        for process in self._processes:
            assert process.stdout is not None
            status = process.stdout.read(1)
            if status == NOT_FINITE:
                failed = True
            elif status != DONE:
                raise WorkerLost(f"worker {process.pid} ended with code {process.wait()}")
        return failed

    def close(self) -> None:
        """End the workers."""
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        continue
        for process in self._processes:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _guarded(write: Callable[P, None], *arguments: P.args, **keywords: P.kwargs) -> None:
    """Write to a worker. WorkerLost: its pipe is closed."""
    try:
        write(*arguments, **keywords)
    except OSError as error:
        raise WorkerLost(f"a worker does not answer: {error}") from error


def at_stage(command: Command, stage: int, gather: bool) -> Command:
    """The same command for a stage; `gather` at the first that workers run."""
    return replace(command, stage=stage, gather=int(gather))


def share(
    store: dict[str, Array],
    data: Mapping[str, Array],
    inputs: Mapping[str, tuple[str, Sequence[int]]],
    held: int,
    program: Program,
    shards: int,
    dims: Mapping[str, int],
    batch: int,
    buckets: Buckets | None = None,
) -> SharedBlock:
    """A block with everything that workers read or write: the store's arrays move into it, the split's are copied. `inputs`: dtype
    and shape of what the main process computes for each batch. `held`: how many rows of an epoch's order it has room for. `dims`:
    run-time dims other than the row dim, of which there are at most `batch`."""
    plan = program.functions["train"]
    # Steps that run once run in the main process; what they leave for the shards lies where workers see it.
    once = evaluate_dim(plan.once_arena, {**dims, plan.row or "B": batch})
    wanted: dict[str, tuple[str, Sequence[int]]] = {"order": ("i64", (held,)), "once": ("u8", (once,))}
    sizes: Mapping[str, Array] = {} if buckets is None else buckets.sizes
    for prefix, arrays in (("store/", store), ("data/", data), ("bucket/", sizes)):
        for key, array in arrays.items():
            wanted[prefix + key] = (dtype_name(array), array.shape)
    wanted.update({f"input/{key}": kind for key, kind in inputs.items()})
    for buffer in plan.buffers:
        if buffer.kind == "partial":
            for shard in range(shards):
                wanted[f"partial/{shard}/{buffer.key}"] = (buffer.dtype, tuple(int(d) for d in buffer.shape))
    block = SharedBlock.create(wanted)
    for prefix, source in (("store/", store), ("data/", data), ("bucket/", sizes)):
        for key, array in source.items():
            block.array(prefix + key)[...] = array
    store.update(block.arrays("store/"))
    return block


def partials_of(block: SharedBlock) -> dict[tuple[str, int], Array]:
    """The shards' partial sums of a block, by key and shard."""
    found = {}
    for name, array in block.arrays("partial/").items():
        shard, key = name.split("/", 1)
        found[key, int(shard)] = array
    return found

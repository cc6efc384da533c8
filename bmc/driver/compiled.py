"""Programs, compiled or found compiled.

In: the functions of a unit, a target. Out: a `Program` for the runtime. Guaranteed: what lies in the cache is used only for the
same functions, target, options and compiler; when it is found, nothing of passes and code generation is imported, which is half
of a start-up.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bmc.codegen.cache import ObjectCache, compiler_identity
from bmc.codegen.target import Target
from bmc.ir import Module
from bmc.ir.text import print_module
from bmc.record import record
from bmc_runtime.plan import Program

__all__ = ["Options", "program_of"]


@record(frozen=True)
class Options:
    """`sharded`: rows are summed shard by shard (`shards` or `accumulate` above 1). `disabled`: optional passes left out."""

    sharded: bool = False
    disabled: tuple[str, ...] = ()
    crash_directory: Path | None = None


def program_of(
    module: Module, target: Target, options: Options, cache: ObjectCache | None = None, only: Collection[str] | None = None
) -> Program:
    """Compile the functions of a unit (those named in `only`, or all), or find them compiled in the cache."""
    part = Module(tuple(f for f in module.functions if only is None or f.name in only))
    text = ""
    if cache is not None:
        text = f"{compiler_identity()}\n{target.identity}\n{options.sharded} {options.disabled}\n{print_module(part)}"
        found = cache.get(text)
        if found is not None:
            return Program.from_json(*found)
    from bmc.driver.lower import compile_functions  # noqa: PLC0415 - see the module's docstring

    program = compile_functions(part, target, options)
    if cache is not None:
        cache.put(text, program.plan_json(), program.object_code)
    return program

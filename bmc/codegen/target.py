"""The machine that code is made for.

In: the host, or a level of x86-64 (`v2`, `v3`, `v4`). Out: `Target`, with LLVM's feature string and the FMA class. Bits
depend on source, data, seed, compiler version and FMA class, nothing else. CPU names are never passed to LLVM: they imply
features that a virtual machine may hide.
"""

from __future__ import annotations

import llvmlite
import llvmlite.binding as llvm

from bmc.record import record

__all__ = ["Target", "compile_object", "host_target", "level_target"]

_V2 = "+cx16,+sahf,+popcnt,+sse3,+sse4.1,+sse4.2,+ssse3"
_V3 = f"{_V2},+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
_LEVELS = {"v2": _V2, "v3": _V3, "v4": f"{_V3},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"}


@record(frozen=True)
class Target:
    triple: str
    features: str
    fused: bool

    @property
    def identity(self) -> str:
        """What object code depends on besides its source: for cache keys."""
        version = ".".join(map(str, llvm.llvm_version_info))
        return f"{self.triple} {self.features} llvm {version} llvmlite {llvmlite.__version__}"


def _initialise() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def host_target() -> Target:
    """This machine, with the features that it shows."""
    found = llvm.get_host_cpu_features()
    features = ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(found.items()))
    triple = llvm.get_default_triple()
    # aarch64 always has fused multiply-add.
    return Target(triple, features, bool(found.get("fma")) or triple.startswith("aarch64"))


def level_target(level: str) -> Target:
    """An x86-64 micro-architecture level by name; KeyError for another."""
    return Target("x86_64-unknown-linux-gnu", _LEVELS[level], "+fma" in _LEVELS[level])


def _machine(target: Target, optimisation: int) -> llvm.TargetMachine:
    _initialise()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu="", features=target.features, opt=optimisation, reloc="pic", codemodel="small"
    )


def compile_object(text: str, target: Target, assembly: bool = False) -> bytes:
    """Object code (or assembly text) of LLVM IR text. Kernels are emitted as vectors already, so no optimisation pipeline
    runs: instruction selection and register allocation do the rest.
    """
    machine = _machine(target, 2)
    module = llvm.parse_assembly(text)
    module.triple = target.triple
    module.data_layout = str(machine.target_data)
    module.verify()
    return machine.emit_assembly(module).encode() if assembly else bytes(machine.emit_object(module))

"""Loading of object code: wherever there is room in the process, and what is said of code that cannot be loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bmc.codegen.jit import load_object
from bmc.codegen.target import compile_object, host_target

_CRAMPED = """
import ctypes
import mmap

from bmc.codegen.jit import load_object
from bmc.codegen.target import compile_object, host_target

TEXT = '''
@table = internal constant [8192 x double] zeroinitializer
@last = internal constant [2 x double] [double 1.0, double 3.0]

define double @cell(i64 %i) {
  %p = getelementptr [8192 x double], ptr @table, i64 0, i64 %i
  %q = getelementptr [2 x double], ptr @last, i64 0, i64 %i
  %v = load double, ptr %p
  %w = load double, ptr %q
  %sum = fadd double %v, %w
  ret double %sum
}
''' + "".join(
    f"define double @f{k}(double %x0) {{\\n"
    + "".join(f"  %x{j + 1} = fmul double %x{j}, %x0\\n" for j in range(2000))
    + "  ret double %x2000\\n}\\n"
    for k in range(20)
)

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def reserve(size):
    return libc.mmap(None, size, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, -1, 0)  # MAP_NORESERVE


code = compile_object(TEXT, host_target())
load_object(code, ["cell"])
# Addresses are given from above: fill every gap above 8 GiB that nothing else can take, but for one that the constants fit into.
top, low = reserve(1 << 20), reserve(8 << 30)
for bits in (30, 24, 20, 16, 14, 12):
    while reserve(1 << bits) > low:
        pass
libc.munmap(top, 17 * 4096)
loaded = load_object(code, ["cell"])
print(ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)(loaded.address("cell"))(1))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="uses mmap as Linux has it")
def test_code_loads_where_memory_is_in_pieces() -> None:
    """Code and constants must come to lie within 2 GB of each other, or loading must fail; the process may not end."""
    run = subprocess.run([sys.executable, "-c", _CRAMPED], check=False, capture_output=True, text=True, timeout=100)
    assert (run.returncode, run.stdout) == (0, "3.0\n"), run.stderr


def test_a_symbol_that_is_not_there() -> None:
    code = compile_object("define void @there() {\n  ret void\n}\n", host_target())
    with pytest.raises(RuntimeError, match="missing"):
        load_object(code, ["missing"])

"""W2, a training step of MLP 784-1024-1024-10 with momentum, batch 256: bmc beside PyTorch and jax.jit, on one core.

    python benchmarks/w2.py [--peers-only] [--rounds N]

Bound (exit status 1 if missed): no slower than PyTorch eager.
"""

from measure import on_one_core

on_one_core()  # before the libraries below load and size their thread pools

from compare import Bound, compare, options  # noqa: E402
from workloads import w2  # noqa: E402


def main() -> int:
    """Compare; 0 if losses agree and the bound holds."""
    return 0 if compare(w2(), options(__doc__), Bound("torch eager", at_most=1.0)) else 1


if __name__ == "__main__":
    raise SystemExit(main())

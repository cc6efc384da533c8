"""W1, a training step of MLP 100-64-64-10 with Adam, batch 32 and 256: bmc beside jax.jit and PyTorch, on one core.

    python benchmarks/w1.py [--peers-only] [--rounds N]

Bounds (exit status 1 if missed): at most half of jax.jit's time at batch 32, no more than jax.jit's at 256.
"""

from measure import on_one_core

on_one_core()  # before the libraries below load and size their thread pools

from compare import Bound, compare, options  # noqa: E402
from workloads import w1  # noqa: E402


def main() -> int:
    """Compare at both batch sizes; 0 if losses agree and bounds hold."""
    chosen = options(__doc__)
    small = compare(w1(32), chosen, Bound("jax.jit", at_most=0.5))
    large = compare(w1(256), chosen, Bound("jax.jit", at_most=1.0))
    return 0 if small and large else 1


if __name__ == "__main__":
    raise SystemExit(main())

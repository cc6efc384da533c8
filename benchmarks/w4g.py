"""W4G, a training step of a classifier of series with a GRU and Adam, batch 32: bmc beside PyTorch and JAX, on one core.

    python benchmarks/w4g.py [--peers-only] [--rounds N]

Bound (exit status 1 if missed): no slower than PyTorch eager.
"""

from measure import on_one_core

on_one_core()  # before the libraries below load and size their thread pools

from compare import options  # noqa: E402
from recurrent import compare_recurrent  # noqa: E402


def main() -> int:
    """Compare; 0 if losses agree and the bound holds."""
    chosen = options(__doc__)
    return 0 if compare_recurrent("W4G", "gru", chosen.peers_only, chosen.rounds) else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""All parts of elaboration in one class. See `core`, `expressions`, `calls` and `statements`."""

from __future__ import annotations

from bmc.frontend.bodies.statements import Statements

__all__ = ["Elaborator"]


class Elaborator(Statements):
    """Elaborates one unit: a program, its findings, and the parameters met on the way."""

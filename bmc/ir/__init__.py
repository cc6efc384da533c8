"""The typed graph IR: dims, types, operations, functions. Knows no operator: those are in `bmc.ops`."""

from bmc.ir.dims import Dim, FloorDiv, Poly, Shape, Symbol
from bmc.ir.graph import NOWHERE, Function, Location, Module, Operation, Parameter, Region, Result, Value
from bmc.ir.types import TensorType

__all__ = [
    "NOWHERE", "Dim", "FloorDiv", "Function", "Location", "Module", "Operation", "Parameter", "Poly", "Region", "Result", "Shape",
    "Symbol", "TensorType", "Value",
]

"""What a `train` block names, and what tracing it gives.

In: nothing; `block` makes these. Out: records that the other modules of this folder pass on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bmc.frontend.bodies.trace import Trace
from bmc.frontend.bodies.values import Closure, Environment, Tensor
from bmc.frontend.data.block import DataBlock
from bmc.frontend.scope import FileScope
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.train.generation import Generation
from bmc.frontend.train.settings import OptimizerRule, Settings
from bmc.frontend.transfer.loading import Loading
from bmc.frontend.unit import MetricSpec, OutputSpec, PlateauSpec, PredictionSpec, StopSpec
from bmc.ir import Function
from bmc.record import record

__all__ = ["ModelPass", "TracedTraining", "TrainBlock"]


@record(frozen=True, eq=False)
class TrainBlock:
    """What a train block names: its model with hyper-parameters, and its data."""

    declaration: syntax.Train
    scope: FileScope
    model: Closure
    data: DataBlock

    @property
    def name(self) -> str:
        named = self.declaration.name
        return self.declaration.model.text if named is None else named.text


@dataclass(eq=False)
class TracedTraining:
    """Functions and specifications of one block. `bindings`: (model input, data output)."""

    settings: Settings
    train: Function | None = None
    eval: Function | None = None
    predict: Function | None = None
    bindings: tuple[tuple[str, str], ...] = ()
    metrics: tuple[MetricSpec, ...] = ()
    prediction: PredictionSpec | None = None
    generation: Generation | None = None
    stop: StopSpec | None = None
    plateau: PlateauSpec | None = None
    loss: str = ""
    rules: dict[str, OptimizerRule] = field(default_factory=dict)
    loading: Loading = field(default_factory=Loading)
    traces: list[Trace] = field(default_factory=list)
    outputs: tuple[OutputSpec, ...] = ()


@record(frozen=True, eq=False)
class ModelPass:
    """One trace of the model over the data outputs, and the names that the block's expressions see."""

    trace: Trace
    env: Environment
    outputs: list[tuple[str, Tensor]]
    inputs: dict[str, Tensor]

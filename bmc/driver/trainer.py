"""A training step in the caller's hands: own data, own weights, one update a call.

In: a unit with a train block; columns; perhaps first weights. Out: `Trainer.step()`. Guaranteed: a step is the runtime's step
and costs three Python calls more; rows come in their order, or shuffled as in training; after the last row the next epoch begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bmc.data import read_source
from bmc.driver import run_errors
from bmc.driver.given_arrays import array_of, dims_of, require_sizes
from bmc.driver.preparing import check_bound
from bmc.driver.session import Session, SessionOptions, static_shape
from bmc.errors import BmcError
from bmc.frontend.unit import DataSpec, Unit
from bmc.ir import TensorType
from bmc_runtime.memory import Array
from bmc_runtime.order import FixedOrder
from bmc_runtime.split import Split
from bmc_runtime.stepping import Stepper

__all__ = ["Trainer", "set_weights", "split_of"]


class Trainer:
    """`loss` is that of the last step. `steps` and `epochs`: how many are done."""

    def __init__(
        self,
        unit: Unit,
        data: Mapping[str, Any],
        weights: Mapping[str, Any] | None = None,
        batch: int | None = None,
        shuffle: bool = True,
        options: SessionOptions | None = None,
    ) -> None:
        if unit.data is None or unit.training is None:
            raise BmcError(run_errors.nothing_to_train(unit.name))
        if batch is not None:
            unit = replace(unit, training=replace(unit.training, batch=batch))
        self.unit, self._session = unit, Session(unit, options)
        session = self._session
        session.begin_from_others()
        self._split = split_of(session, data)
        session.initialise(session.training.seed)
        if weights is not None:
            set_weights(unit, session.store, weights)
        settings = session.settings()
        self._rows, self._seed, self._shuffle = self._split.rows, settings.seed, shuffle
        per_step = settings.batch * settings.accumulate
        total = settings.total_steps(self._rows)
        self._stepper = Stepper(
            session.library("train"), session.store, self._split, session.dims(self._split), settings.batch,
            settings.accumulate, session.shards, settings.seed, total,
        )  # fmt: skip
        self._per_step = per_step
        self._first = self._rows
        self.steps, self.epochs = 0, -1
        self.loss = float("nan")

    def step(self) -> None:
        """One update from the next rows. NotFinite: the loss is not finite, and nothing was updated."""
        if self._first >= self._rows:
            self._begin_epoch()
        self.loss = self._stepper.step(self._first, self.steps, self.epochs)
        self._first += self._per_step
        self.steps += 1

    def _begin_epoch(self) -> None:
        self.epochs += 1
        if self._shuffle:
            self._stepper.begin_epoch(self._split.order(self._seed, self.epochs, self._per_step))
        elif self.epochs == 0:
            self._stepper.begin_epoch(FixedOrder(np.arange(self._rows)))
        self._first = 0

    @property
    def weights(self) -> dict[str, Array]:
        """Copies of weights and states by key, as they are now."""
        keys = [w.key for w in self.unit.weights] + [s.key for s in self.unit.states]
        return {key: self._session.store[key].copy() for key in keys}


def split_of(session: Session, data: Mapping[str, Any]) -> Split:
    """The rows to train on, from columns by header (then filtered and fitted as in training, all of them training rows), or from
    outputs of the data block, or the inputs that they bind to, by name. Raises BmcError."""
    spec = session.data
    used = [c for c in spec.columns if c.name in spec.used]
    if all(c.header in data for c in used):
        table = session.kept(_in_memory(spec, data))
        if table.rows == 0:
            raise BmcError(run_errors.split_without_rows("train", None))
        session.fit(table)
        return session.outputs("train", table)
    inputs = {output: name for name, output in session.training.bindings}
    arrays: dict[str, Array] = {}
    given: list[tuple[str, Array, TensorType]] = []
    for output in spec.outputs:
        name = output.name if output.name in data else inputs.get(output.name, output.name)
        if name not in data:
            notes = (f"columns: {', '.join(c.header for c in used)}", f"or outputs: {', '.join(o.name for o in spec.outputs)}")
            raise BmcError(run_errors.columns_do_not_fit(f"{name!r} is not given", notes))
        arrays[output.name] = array_of(name, data[name], output.type)
        given.append((name, arrays[output.name], output.type))
    counts = {len(a) for a in arrays.values()}
    if len(counts) != 1 or 0 in counts:
        raise BmcError(run_errors.columns_do_not_fit("arrays must have one number of rows, at least 1"))
    rows = counts.pop()
    require_sizes(session.unit.module.function("train"), dims_of(given))
    for output, (name, array, _) in zip(spec.outputs, given, strict=True):
        if output.below is not None:
            check_bound(name, output.below, array, None)
    return Split("train", rows, arrays, (rows,))


def _in_memory(spec: DataSpec, data: Mapping[str, Any]) -> Any:
    """The table of columns in memory, whatever sources the block has."""
    source = replace(spec.sources[0], split=None)
    single = replace(spec, sources=(source,))
    return read_source(single, {source.name: data})[None]


def set_weights(unit: Unit, store: Mapping[str, Array], weights: Mapping[str, Any]) -> None:
    """Copy values into weights and states, by key; those not given keep theirs. Raises BmcError."""
    types = {**{w.key: w.type for w in unit.weights}, **{s.key: s.type for s in unit.states}}
    for key, value in weights.items():
        if key not in types:
            raise BmcError(run_errors.weights_do_not_fit(f"there is no weight {key!r}", (f"keys are: {', '.join(types)}",)))
        array = np.asarray(value)
        if array.shape != static_shape(types[key]):
            raise BmcError(run_errors.weights_do_not_fit(f"{key!r} has shape {list(array.shape)}, the model {types[key]}"))
        store[key][...] = array

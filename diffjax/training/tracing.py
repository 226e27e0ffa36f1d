"""A run's program before it is compiled: the step and the shapes of the state."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from diffjax.training import ema as ema_rules
from diffjax.training import sharding
from diffjax.training import state as states
from diffjax.training import step as steps
from diffjax.training.state import Optimizers, TrainState
from diffjax.training.system import System


class Traced(NamedTuple):
    """A run's step, traced and not compiled.

    Attributes:
      step: the jitted step.
      state: shapes, dtypes and places of the state.
      measured: shapes of the metrics by name.
    """

    step: steps.Step
    state: TrainState
    measured: Mapping[str, Any]


def trace(
    system: System,
    optimizer: Optimizers,
    batch: Any,
    frozen: Any,
    *,
    mesh: Mesh,
    rule: sharding.Rule | None = None,
    ema_decay: float | ema_rules.Decay | Mapping[str, float | ema_rules.Decay] = 0.999,
    accumulate: int = 1,
) -> Traced:
    """Trace the step of a run from shapes alone: what a system refuses is told before anything is made.

    Args:
      batch, frozen: shapes are enough.
      system, optimizer, mesh, rule, ema_decay, accumulate: see `fit`.
    """
    rule, decays = sharding.by_layer(mesh) if rule is None else rule, ema_rules.tracks(ema_decay)
    batch, frozen = sharding.described(mesh, batch, sharding.rows), sharding.described(mesh, frozen, rule)
    step, state = program(system, optimizer, batch, frozen, mesh, rule, decays, accumulate)
    return Traced(step, state, jax.eval_shape(step, state, frozen, jax.random.key(0), batch)[1])


def program(system, optimizer, batch, frozen, mesh, rule, decays, accumulate):
    """Return the jitted step and the shapes of the state; see `trace` for the arguments."""
    state = states.abstract(system, optimizer, batch, frozen, mesh, rule, tuple(decays))
    places = jax.tree.map(lambda leaf: leaf.sharding, state.params)
    in_use = sharding.in_use(places) if mesh.shape["fsdp"] > 1 else None
    return steps.compiled(steps.make(system, optimizer, decays, accumulate, in_use), state), state

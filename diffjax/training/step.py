"""The training step: one compiled program for every system."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from diffjax.training import ema
from diffjax.training.optimizer import learning_rates
from diffjax.training.state import TrainState
from diffjax.training.system import System

Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, Any, jax.Array, Any], tuple[TrainState, Metrics]]


def make(system: System, optimizer: optax.GradientTransformation, decay: ema.Decay) -> Step:
    """Makes the step as a pure function, to be compiled by `compiled` or used inside another program.

    Args:
        system: what is trained.
        optimizer: the optimizer.
        decay: rule of the moving average, `decay(n)` with n the updates made so far.

    Returns:
        `step(state, frozen, key, batch) -> (state, metrics)`. `key` is the run's key: the step derives its
        own with `fold_in(key, state.step)`. `metrics` has the system's scalars, "grad_norm" (before
        clipping), "param_norm" (after the update) and, where the optimizer tells it, "learning_rate".
    """

    def step(state, frozen, key, batch):
        key = jax.random.fold_in(key, state.step)
        grads, extra, metrics = system.gradients(state.params, state.extra, frozen, key, batch, state.step)
        _check(metrics)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = ema.update(state.ema, params, decay(state.step))
        norms = {"grad_norm": optax.tree.norm(grads), "param_norm": optax.tree.norm(params)}
        metrics = {**norms, **learning_rates(opt_state), **metrics}
        return TrainState(state.step + 1, params, opt_state, average, extra), metrics

    return step


def compiled(step: Step, state: TrainState) -> Step:
    """Compiles a step that reuses the memory of the state it is given.

    Args:
        step: the pure step of `make`.
        state: a state, concrete or abstract, whose leaves say where they live on one mesh.

    Returns:
        The jitted step. The state passed in is donated: its arrays are gone afterwards.
    """
    places = jax.tree.map(lambda leaf: leaf.sharding, state)
    everywhere = NamedSharding(places.step.mesh, P())
    return jax.jit(step, donate_argnums=0, out_shardings=(places, everywhere))


def _check(metrics: Metrics) -> None:
    if "loss" not in metrics:
        raise ValueError(f"metrics of a system need 'loss', got {sorted(metrics)}")
    for name, value in metrics.items():
        if jnp.shape(value):
            raise ValueError(f"metric {name!r} must be a scalar, got shape {jnp.shape(value)}")

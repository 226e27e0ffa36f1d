"""The training step: one compiled program for every system, which makes its updates in order."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from diffjax.convolutions import in_order
from diffjax.keys import numbered
from diffjax.training import ema, sharding
from diffjax.training.optimizer import learning_rates
from diffjax.training.state import Optimizers, TrainState, named_optimizers
from diffjax.training.system import Metrics, System, Update, Variables, served

Step = Callable[[TrainState, Any, jax.Array, Any], tuple[TrainState, Metrics]]


def rows_a_step(system: System) -> int:
    """Return how many batches' rows one step of a system reads."""
    return max(update.repeats for update in system.updates)


def make(
    system: System,
    optimizers: Optimizers,
    decays: ema.Decay | Mapping[str, ema.Decay],
    accumulate: int = 1,
    places: Any = None,
) -> Step:
    """Make the step as a pure function, to be compiled by `compiled` or used inside another program.

    Args:
      system: what is trained.
      optimizers: one for each update by its name, or the optimizer of a lone update.
      decays: rules of the moving averages by track, or one rule; `decay(n)` with n the steps made so far.
      accumulate: parts that an update's rows are split into; their gradients are averaged.
      places: shardings that the params have while losses are computed, see `sharding.in_use`; None leaves
        that to the compiler.

    Returns:
      `step(state, frozen, key, batch) -> (state, metrics)`. `key` is the run's key: the step derives its own
      with `fold_in(key, state.step)`. The batch has `rows_a_step(system)` times the rows of one update.
      `metrics` has the system's scalars, "grad_norm" (before clipping), "param_norm" (after the step) and,
      where the optimizer tells it, "learning_rate"; of several updates each under "<update>/", and "loss" is
      that of the last one which moves what is served.

    Raises:
      ValueError: if gradients are to be accumulated of an update whose loss is no mean over rows.
    """
    optimizers, decays = named_optimizers(system, optimizers), ema.tracks(decays)
    for update in system.updates:
        if accumulate > 1 and not update.rowwise:
            raise ValueError(
                f"accumulate={accumulate} must be 1: the loss of update {update.name!r} is no mean over rows"
            )
    most = rows_a_step(system)
    alone = len(system.updates) == 1 and most == 1
    serving = [each for each in system.updates if set(each.moves) & set(system.serves)]
    shown = [each.name for each in serving or system.updates][-1:]

    def step(state, frozen, key, batch):
        key = jax.random.fold_in(key, state.step)
        params, extra, opt_state, metrics = state.params, state.extra, dict(state.opt_state), {}
        for i, update in enumerate(system.updates):
            move = _mover(update, optimizers[update.name], frozen, accumulate, state.step, places)
            carry = params, extra, opt_state[update.name]
            if alone:  # the step's own key
                (params, extra, opt_state[update.name]), found = move(carry, (key, batch))
                metrics |= found
                continue
            keys = numbered(jax.random.fold_in(key, i), update.repeats)
            # strided, so that every device keeps rows of its own
            rows = jax.tree.map(lambda a, u=update: _strided(a, most, "repeats")[: u.repeats], batch)
            (params, extra, opt_state[update.name]), found = jax.lax.scan(move, carry, (keys, rows))
            found = jax.tree.map(lambda a: a.mean(0), found)
            metrics |= {f"{update.name}/{name}": value for name, value in found.items()}
            if update.name in shown:
                metrics["loss"] = found["loss"]
        metrics["param_norm"] = optax.tree.norm(params)
        followed = served(system, Variables(params, extra, frozen))
        averages = {name: ema.update(state.ema[name], followed, d(state.step)) for name, d in decays.items()}
        return TrainState(state.step + 1, params, opt_state, averages, extra), metrics

    return step


def _mover(update: Update, optimizer, frozen, accumulate: int, step, places):
    """Return (carry, (key, rows)) -> (carry, metrics), one move of an update's optimizer."""

    def move(carry, inputs):
        (params, extra, opt_state), (key, rows) = carry, inputs
        used = params if places is None else jax.lax.with_sharding_constraint(params, places)
        variables = Variables(used, extra, frozen)
        grads, extra, metrics = _gradients(update, variables, key, rows, step, accumulate)
        _check(update, variables, grads, extra, metrics)
        moved = {name: params[name] for name in update.moves}
        changes, opt_state = optimizer.update(grads, opt_state, moved)
        metrics = {"grad_norm": optax.tree.norm(grads), **learning_rates(opt_state), **metrics}
        return ({**params, **optax.apply_updates(moved, changes)}, extra, opt_state), metrics

    return move


def _gradients(update, variables, key, rows, step, accumulate):
    """Return the gradients of an update, the mean over `accumulate` parts of its rows."""
    gradients = in_order(update.gradients)
    if accumulate == 1:
        return gradients(variables, key, rows, step)

    def part(extra, inputs):
        grads, extra, metrics = gradients(variables._replace(extra=extra), *inputs, step)
        return extra, (grads, metrics)

    parts = numbered(key, accumulate), jax.tree.map(lambda a: _strided(a, accumulate, "accumulate"), rows)
    extra, found = jax.lax.scan(part, variables.extra, parts)
    grads, metrics = jax.tree.map(lambda a: a.mean(0), found)
    return grads, extra, metrics


def _strided(rows, n, name):
    """Return `[n, B / n, ...]`, rows r, r + n, ... of `[B, ...]`."""
    if len(rows) % n:
        raise ValueError(f"{name}={n} must divide the rows that are split, got {len(rows)} of them")
    return jnp.moveaxis(rows.reshape(-1, n, *rows.shape[1:]), 1, 0)


def compiled(step: Step, state: TrainState) -> Step:
    """Compile a step that reuses the memory of the state it is given.

    Args:
      step: the pure step of `make`.
      state: a state, concrete or abstract, whose leaves say where they live on one mesh.

    Returns:
      The jitted step. The state passed in is donated: its arrays are gone afterwards.
    """
    places = jax.tree.map(lambda leaf: leaf.sharding, state)
    mesh = places.step.mesh
    shardings = (places, NamedSharding(mesh, P()))
    return jax.jit(sharding.told(mesh, step), donate_argnums=0, out_shardings=shardings)


def _check(update, variables, grads, extra, metrics):
    """Raise for gradients that do not keep the frame's rules; names are known while tracing."""
    name, moves = update.name, sorted(update.moves)
    if sorted(grads) != moves:
        raise ValueError(f"update {name!r} moves {moves}, got gradients of {sorted(grads)}")
    if jax.tree.structure(extra) != jax.tree.structure(variables.extra):
        raise ValueError(f"update {name!r} must keep the structure of extra, {sorted(variables.extra)}")
    about = lambda leaf: f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}"
    for (path, was), now in zip(jax.tree.leaves_with_path(variables.extra), jax.tree.leaves(extra)):
        if about(was) != about(now):
            path = jax.tree_util.keystr(path)
            raise ValueError(f"update {name!r} must keep extra{path} {about(was)}, got {about(now)}")
    if "loss" not in metrics:
        raise ValueError(f"metrics of update {name!r} need 'loss', got {sorted(metrics)}")
    for metric, value in metrics.items():
        if jnp.shape(value):
            raise ValueError(f"metric {metric!r} must be a scalar, got shape {jnp.shape(value)}")

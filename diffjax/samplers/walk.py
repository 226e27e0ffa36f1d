"""The one loop: every sampler is `walk` over the rows that a solver planned."""

import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.keys import per_sample as per_sample
from diffjax.process.flow_map import FlowMap
from diffjax.process.level import Schedule, at_least_float32
from diffjax.process.prediction import Denoiser
from diffjax.samplers.solver import Rows, Solver, Times, plan
from diffjax.samplers.starts import carried
from diffjax.samplers.starts import start_of as start_of
from diffjax.types import Array, Float, Key, Num

Walked = Array | tuple[Array, Array]  # x, or (x, trajectory)


@checked
def sample(
    key: Key[Array, "..."],
    denoise: Denoiser | FlowMap,
    schedule: Schedule,
    solver: Solver,
    times: Times,
    *,
    shape: Sequence[int] | None = None,
    x_init: Float[Array, "batch *shape"] | None = None,
    cond: Any = None,
    trajectory: bool = False,
    noise: Num[Array, "..."] | None = None,
) -> Walked:
    """Sample by walking a denoiser from noise to data.

    Args:
      key: one key, or `[B]` keys, one a sample. An image depends on its own key (or on the one key and its
        position in the batch) and on neither the batch size nor the number of devices.
      denoise: Denoiser, or the FlowMap that `jump` walks. Inside `jit`, close it over traced parameters;
        outside, the program is compiled once for each denoiser and solver.
      schedule: any schedule.
      solver: Solver, e.g. `samplers.ddim()`.
      times: N + 1 strictly decreasing host numbers, see `samplers.grids`; from the noisy end unless `x_init`
        is given.
      shape: `[B, ...]` of the samples; they start from noise of the scale that the first time has.
      x_init: `[B, ...]` to start from instead; x is carried in float32 at least.
      cond: condition handed to the denoiser, a pytree or None.
      trajectory: also return x after every step.
      noise: `[N, draws, B, ...]` unit normals to use instead of drawn ones.

    Returns:
      x `[B, ...]`, or (x, trajectory `[N, B, ...]`).

    Raises:
      ValueError: for a bad grid or increasing times, unless exactly one of `shape` and `x_init` is given, or
        for a `shape` where the first time still has data in x.

    Example:
      >>> import jax
      >>> from diffjax import exact, samplers
      >>> from diffjax.process import schedules
      >>> denoise = exact.gaussian_mixture([1.0], [[0.0, 0.0]], [0.1]).denoiser()
      >>> times = samplers.grids.karras(5, 0.02, 80.0)
      >>> x = samplers.sample(
      ...     jax.random.key(0), denoise, schedules.edm(), samplers.ddim(), times, shape=(4, 2)
      ... )
      >>> x.shape
      (4, 2)
    """
    if (shape is None) == (x_init is None):
        raise ValueError("give exactly one of shape and x_init")
    rows = plan(schedule, solver, _downwards(times))
    x = _begin(key, schedule, shape, x_init, times)
    return _walk(key, denoise, solver, rows, x, cond=cond, noise=noise, trajectory=trajectory)


@checked
def walk(
    key: Key[Array, "..."],
    denoise: Denoiser | FlowMap,
    solver: Solver,
    rows: Rows,
    x: Float[Array, "batch *shape"],
    cond: Any = None,
    noise: Num[Array, "..."] | None = None,
    trajectory: bool = False,
) -> Walked:
    """Walk planned rows; `sample` without the plan, to be jitted with rows and parameters as arguments.

    Args:
      key: one key, or `[B]` keys.
      denoise: Denoiser.
      solver: Solver that planned the rows.
      rows: of `samplers.plan(schedule, solver, times)`.
      x: `[B, ...]` at the first time.
      cond, noise, trajectory: see `sample`.

    Returns:
      x `[B, ...]` in float32 at least, or (x, trajectory `[N, B, ...]`).

    Example:
      >>> import jax
      >>> from diffjax import exact, samplers
      >>> from diffjax.process import schedules
      >>> denoise = exact.gaussian_mixture([1.0], [[0.0, 0.0]], [0.1]).denoiser()
      >>> chain, solver = schedules.cosine_beta(10), samplers.ddim()
      >>> rows, x = samplers.plan(chain, solver, [10, 5, 0]), samplers.start(jax.random.key(0), chain, (4, 2))
      >>> samplers.walk(jax.random.key(0), denoise, solver, rows, x).shape
      (4, 2)
    """
    return _whole(key, denoise, solver, rows, x, cond, noise, trajectory)


def _whole(key, denoise, solver, rows, x, cond=None, noise=None, trajectory=False):
    x = carried(x)
    x, _, path = _segment(key, denoise, solver, rows, x, solver.init(x), 0, cond, noise, trajectory)
    return (x, path) if trajectory else x


_walk = jax.jit(_whole, static_argnames=("denoise", "solver", "trajectory"))


@checked
def encode(
    denoise: Denoiser | FlowMap,
    schedule: Schedule,
    solver: Solver,
    times: Times,
    x: Float[Array, "batch *shape"],
    *,
    cond: Any = None,
    trajectory: bool = False,
) -> Walked:
    """Walk the same loop upwards: from data to the latent that a deterministic solver would map to it.

    With `ddim()` this is DDIM inversion (Song et al. 2020, sec. 4.3), first order in the step; with
    `euler()` or `heun()` it integrates the probability-flow ODE.

    Args:
      denoise: Denoiser.
      schedule: any schedule.
      solver: a Solver that draws no noise.
      times: the grid of the sampler, in either direction. A network that never saw clean data may start
        at n = 1 instead of 0, as guided-diffusion does.
      x: `[B, ...]` at the least noisy time.
      cond, trajectory: see `sample`.

    Returns:
      x at the noisiest time, or (x, trajectory).

    Raises:
      ValueError: if the solver is stochastic, or for times that are not strictly monotone.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, samplers
      >>> from diffjax.process import schedules
      >>> denoise = exact.gaussian_mixture([1.0], [[0.0, 0.0]], [0.1]).denoiser()
      >>> x = jnp.ones((4, 2))
      >>> samplers.encode(denoise, schedules.cosine_beta(10), samplers.ddim(), [1, 5, 10], x).shape
      (4, 2)
    """
    rows = plan(schedule, solver, upwards(times))
    return _walk(jax.random.key(0), denoise, solver, rows, x, cond=cond, trajectory=trajectory)


@checked
def sample_segments(
    key: Key[Array, "..."],
    segments: Sequence[tuple[Times, Denoiser]],
    schedule: Schedule,
    solver: Solver,
    *,
    shape: Sequence[int] | None = None,
    x_init: Float[Array, "batch *shape"] | None = None,
    cond: Any = None,
    trajectory: bool = False,
    noise: Num[Array, "..."] | None = None,
) -> Walked:
    """Sample with another denoiser from a given time on.

    The grid is planned as a whole and the step index and the solver's state are carried over, so segments
    that share one denoiser give what `sample` gives. A guidance interval costs one network call outside
    it when the outer segments hold the unguided denoiser.

    Args:
      segments: [(times, denoise), ...]; each begins at the time where the one before it ends.
      key, schedule, solver, shape, x_init, cond, trajectory, noise: see `sample`.

    Raises:
      ValueError: if the segments do not join, or for a solver that plans more rows than steps (`pndm`).

    Example:
      >>> import jax
      >>> from diffjax import exact, samplers
      >>> from diffjax.process import schedules
      >>> denoise = exact.gaussian_mixture([1.0], [[0.0, 0.0]], [0.1]).denoiser()
      >>> parts = [([10, 5], denoise), ([5, 0], denoise)]
      >>> key, chain = jax.random.key(0), schedules.cosine_beta(10)
      >>> samplers.sample_segments(key, parts, chain, samplers.ddim(), shape=(4, 2)).shape
      (4, 2)
    """
    if (shape is None) == (x_init is None):
        raise ValueError("give exactly one of shape and x_init")
    if not segments:
        raise ValueError("segments must hold at least one (times, denoise)")
    grids = [np.asarray(times, np.float64) for times, _ in segments]
    for before, after in zip(grids, grids[1:]):
        if not np.isclose(before[-1], after[0], rtol=1e-6, atol=1e-9):
            raise ValueError(
                f"a segment must begin where the last one ends, at {before[-1]:g}; got {after[0]:g}"
            )
    times = np.concatenate([grids[0], *(grid[1:] for grid in grids[1:])])
    rows = plan(schedule, solver, _downwards(times))
    count = len(jax.tree.leaves(rows.steps)[0]) + (rows.last is not None)
    if count != len(times) - 1:
        raise ValueError(
            f"segments need one row a step; this solver planned {count} rows for {len(times) - 1} steps"
        )
    x = carried(_begin(key, schedule, shape, x_init, times))
    noise = _checked(noise, len(times) - 1, solver, x)
    state, offset, paths = solver.init(x), 0, []
    for i, (grid, (_, denoise)) in enumerate(zip(grids, segments)):
        stop = offset + len(grid) - 1
        here = slice(offset, stop)
        own = Rows(
            jax.tree.map(operator.itemgetter(here), rows.steps), rows.last if i == len(grids) - 1 else None
        )
        recorded = None if noise is None else noise[here]
        x, state, path = _jitted(key, denoise, solver, own, x, state, offset, cond, recorded, trajectory)
        paths.append(path)
        offset = stop
    return (x, jnp.concatenate(paths)) if trajectory else x


def _begin(key, schedule, shape, x_init, times):
    return start_of(key, schedule, shape, times) if x_init is None else x_init


def _downwards(times):
    """Return the times as float64; ValueError if they run from data to noise."""
    times = np.asarray(times, np.float64)
    if times.ndim == 1 and len(times) > 1 and times[0] < times[-1]:
        raise ValueError(
            f"times must decrease, from noise to data, got {times[0]:g} to {times[-1]:g}; "
            "samplers.encode walks upwards"
        )
    return times


def upwards(times):
    """Return the times from the least noisy end on; whether they are monotone is not checked."""
    times = np.asarray(times, np.float64)
    return times[::-1] if times.ndim == 1 and len(times) > 1 and times[0] > times[-1] else times


def _segment(key, denoise, solver, rows, x, state, offset, cond, noise, trajectory):
    """Scan the rows from step `offset` on, then take the other last step if there is one."""
    keys, denoise = per_sample(key, x.shape[0]), solver.asked(denoise, x.dtype)
    rows = jax.tree.map(lambda a: jnp.asarray(a, at_least_float32(x)), rows)
    count = len(jax.tree.leaves(rows.steps)[0])
    noise = _checked(noise, count + (rows.last is not None), solver, x)

    def draws(i, recorded):
        def drawn(d):
            one = lambda k: jax.random.normal(
                jax.random.fold_in(jax.random.fold_in(k, 1 + i), d), x.shape[1:], x.dtype
            )
            return jax.vmap(one)(keys)

        return drawn if recorded is None else recorded.__getitem__

    def body(carry, inputs):
        x, state = carry
        i, row, recorded = inputs
        x, state = solver.step(draws(i, recorded), denoise, x, row, cond, state)
        return (x, state), x if trajectory else None

    inputs = (offset + jnp.arange(count), rows.steps, None if noise is None else noise[:count])
    (x, state), path = jax.lax.scan(body, (x, state), inputs)
    if rows.last is not None:
        recorded = None if noise is None else noise[count]
        x, state = solver.last(draws(offset + count, recorded), denoise, x, rows.last, cond, state)
        path = None if path is None else jnp.concatenate([path, x[None]])
    return x, state, path


_jitted = jax.jit(_segment, static_argnames=("denoise", "solver", "trajectory"))


def _checked(noise, steps, solver, x):
    """Return recorded noise in the dtype of x; more draws than the solver takes are allowed."""
    if noise is None:
        return None
    noise = jnp.asarray(noise, x.dtype)
    draws = max(solver.draws, *noise.shape[1:2], 0)
    if noise.shape != (steps, draws, *x.shape):
        expected = [steps, solver.draws, *x.shape]
        raise ValueError(f"noise must be [N, draws, B, ...] = {expected}, got {list(noise.shape)}")
    return noise

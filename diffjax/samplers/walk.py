"""The one loop: every sampler is `walk` over the rows that a solver planned."""

import operator

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.keys import per_sample as per_sample

from diffjax.process import forward
from diffjax.process.level import at_least_float32
from diffjax.samplers.solver import Rows, plan

_START = 0  # fold_in tag of the initial noise; step i uses 1 + i


def sample(
    key, denoise, schedule, solver, times, *, shape=None, x_init=None, cond=None, trajectory=False, noise=None
):  # fmt: skip
    """Sample by walking a denoiser from noise to data.

    Args:
      key: one key, or `[B]` keys, one a sample. An image depends on its own key (or on the one key and its
        position in the batch) and on neither the batch size nor the number of devices.
      denoise: Denoiser. Inside `jit`, close it over traced parameters; outside, the program is compiled
        once for each denoiser and solver.
      schedule: any schedule.
      solver: Solver, e.g. `samplers.ddim()`.
      times: N + 1 strictly decreasing host numbers, see `samplers.grids`; from the noisy end unless `x_init`
        is given.
      shape: `[B, ...]` of the samples; they start from N(0, schedule.prior_std^2).
      x_init: `[B, ...]` to start from instead.
      cond: condition handed to the denoiser, a pytree or None.
      trajectory: also return x after every step.
      noise: `[N, draws, B, ...]` unit normals to use instead of drawn ones.

    Returns:
      x `[B, ...]`, or (x, trajectory `[N, B, ...]`).

    Raises:
      ValueError: for a bad grid or increasing times, or unless exactly one of `shape` and `x_init` is given.
    """
    if (shape is None) == (x_init is None):
        raise ValueError("give exactly one of shape and x_init")
    rows = plan(schedule, solver, _downwards(times))
    if x_init is None:
        x_init = start_of(key, schedule, shape, times)
    return _walk(key, denoise, solver, rows, x_init, cond=cond, noise=noise, trajectory=trajectory)


def start(key, schedule, shape):
    """Draw N(0, schedule.prior_std^2) noise of shape `[B, ...]` for the noisy end, in JAX's default dtype."""
    if not shape or min(shape) < 1:
        raise ValueError(f"shape must be [B, ...] of positive dimensions, got {list(shape)}")
    keys = per_sample(key, shape[0])
    dtype = jnp.result_type(float)
    draw = lambda k: jax.random.normal(jax.random.fold_in(k, _START), tuple(shape[1:]), dtype)
    return schedule.prior_std * jax.vmap(draw)(keys)


def start_from(key, schedule, x0, t):
    """Noise data to time t: where editing starts (Meng et al. 2022, SDEdit, eq. 5).

    Hand the result to `sample` as `x_init`, with times from t down. Sampling then keeps what the noise of
    that level left of x0, and makes up the rest.

    Args:
      key: one key, or `[B]` keys, as in `sample`.
      schedule: any schedule.
      x0: `[B, ...]` data, floating point.
      t: the time, a host number.

    Returns:
      alpha x0 + sigma eps, `[B, ...]`.
    """
    x0 = jnp.asarray(x0)
    keys, level = per_sample(key, x0.shape[0]), schedule(np.float64(t))
    draw = lambda k: jax.random.normal(jax.random.fold_in(k, _START), x0.shape[1:], x0.dtype)
    return forward.perturb(x0, jax.vmap(draw)(keys), level)


def start_of(key, schedule, shape, times):
    """Draw the start of a grid; ValueError if the grid begins where x is not yet pure noise."""
    first, noisiest = schedule(np.float64(times[0])), schedule(np.float64(schedule.t_max))
    if first.alpha == noisiest.alpha:  # variance exploding: the noise just has another scale there
        least, scale = 0.1, first.sigma / noisiest.sigma
    else:
        least, scale = 0.9, 1.0
    if first.sigma < least * noisiest.sigma:
        raise ValueError(
            f"times must start near the noisy end t_max = {schedule.t_max:g}, where x is pure noise, got "
            f"{float(times[0]):g}; give x_init to start elsewhere"
        )
    return start(key, schedule, shape) * scale


def walk(key, denoise, solver, rows, x, cond=None, noise=None, trajectory=False):
    """Walk planned rows; `sample` without the plan, to be jitted with rows and parameters as arguments.

    Args:
      key: one key, or `[B]` keys.
      denoise: Denoiser.
      solver: Solver that planned the rows.
      rows: of `samplers.plan(schedule, solver, times)`.
      x: `[B, ...]` at the first time.
      cond, noise, trajectory: see `sample`.

    Returns:
      x `[B, ...]`, or (x, trajectory `[N, B, ...]`).
    """
    x = jnp.asarray(x)
    x, _, path = _segment(key, denoise, solver, rows, x, solver.init(x), 0, cond, noise, trajectory)
    return (x, path) if trajectory else x


_walk = jax.jit(walk, static_argnames=("denoise", "solver", "trajectory"))


def encode(denoise, schedule, solver, times, x, *, cond=None, trajectory=False):
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
    """
    rows = plan(schedule, solver, upwards(times))
    return _walk(jax.random.key(0), denoise, solver, rows, x, cond=cond, trajectory=trajectory)


def sample_segments(
    key, segments, schedule, solver, *, shape=None, x_init=None, cond=None, trajectory=False, noise=None
):  # fmt: skip
    """Sample with another denoiser from a given time on.

    The grid is planned as a whole and the step index and the solver's state are carried over, so segments
    that share one denoiser give what `sample` gives. A guidance interval costs one network call outside
    it when the outer segments hold the unguided denoiser.

    Args:
      segments: [(times, denoise), ...]; each begins at the time where the one before it ends.
      key, schedule, solver, shape, x_init, cond, trajectory, noise: see `sample`.

    Raises:
      ValueError: if the segments do not join, or for a solver that plans more rows than steps (`pndm`).
    """
    if (shape is None) == (x_init is None):
        raise ValueError("give exactly one of shape and x_init")
    if not segments:
        raise ValueError("segments must hold at least one (times, denoise)")
    grids = [np.asarray(times, np.float64) for times, _ in segments]
    for before, after in zip(grids, grids[1:]):
        if before[-1] != after[0]:
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
    x = jnp.asarray(start_of(key, schedule, shape, times) if x_init is None else x_init)
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


def _downwards(times):
    """Return the times; ValueError if they run from data to noise."""
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
    keys = per_sample(key, x.shape[0])
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
        path = jnp.concatenate([path, x[None]]) if trajectory else None
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

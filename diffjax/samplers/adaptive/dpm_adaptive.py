"""DPM-Solver-12 and -23 (Lu et al. 2022, app. C): adaptive steps by the controller of k-diffusion."""

import functools
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.keys import per_sample
from diffjax.process import checks
from diffjax.process.level import Schedule, at_least_float32, expand, mean_of_each
from diffjax.process.prediction import Denoiser
from diffjax.samplers.adaptive.span import ends, initial
from diffjax.samplers.solver import Times
from diffjax.types import Array, Float, Key

_CLOSE = 1e-5  # in lambda: how near to its end a walk has arrived
_LONGEST = 1.0  # in lambda: the steps are series in powers of their length
_RATIOS = {2: (0.5,), 3: (1 / 3, 2 / 3)}  # where a step calls the network, beside its start


class _Control(NamedTuple):
    """What a compiled program is made for."""

    order: int
    rtol: float
    atol: float
    h_init: float
    powers: tuple  # of the last three errors
    accept_safety: float
    eta: float
    s_noise: float
    norm: str
    max_steps: int


@checked
def dpm_adaptive(
    key: Key[Array, "..."],
    denoise: Denoiser,
    schedule: Schedule,
    *,
    shape: Sequence[int] | None = None,
    x_init: Float[Array, "batch *shape"] | None = None,
    cond: Any = None,
    times: Times | None = None,
    order: Literal[2, 3] = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    pcoeff: float = 0.0,
    icoeff: float = 1.0,
    dcoeff: float = 0.0,
    accept_safety: float = 0.81,
    eta: float = 0.0,
    s_noise: float = 1.0,
    norm: Literal["sample", "batch"] = "sample",
    max_steps: int = 1000,
    info: bool = False,
) -> Array | tuple[Array, Array]:
    """Sample by DPM-Solver with steps as long as two orders agree to the tolerance.

    The walk is in y = x / alpha over lambda = log(alpha / sigma). A step of order p - 1 inside that of order
    p measures the error: the root mean square of their difference over max(atol, rtol |y|). The next step is
    longer by 1 + arctan(f - 1), f = error^{-(P + I + D) / p} times powers of the errors before it (a PID
    controller); a step with less than accept_safety of that is taken again. `sample_ode` has general methods.

    k-diffusion's tolerance (norm="batch") is relative to the larger y, which at the start is all noise: its
    steps grow until one goes from noise to data, where the two orders may agree by chance. With norm="sample"
    it is relative to the y that a step arrives at, and no step is longer than 1 in lambda.

    Args:
      key: one key, or `[B]` keys, of the start and of the noise.
      denoise, schedule, cond: see `sample`; the schedule is continuous.
      shape, x_init: exactly one, see `sample`.
      times: (from, to), default (t_max, 0). An end at sigma = 0 stops at t_min and returns the x_0 predicted
        there.
      order: p, 2 or 3, as many network calls a step.
      rtol, atol: relative and absolute tolerance.
      h_init: first step in lambda.
      pcoeff, icoeff, dcoeff: of the controller.
      accept_safety: in (0, 1).
      eta: 0 the ODE; more adds ancestral noise after each step. p is 1.5 for the controller then.
      s_noise: scale of that noise.
      norm: "sample" (each its own steps: a sample depends on its own key alone; for images, whose error is a
        mean over many numbers) or "batch" (one error and one step for all, as k-diffusion has it, see above).
      max_steps: samples that have not arrived after so many steps, with those taken again, are NaN.
      info: also return how many steps were made.

    Returns:
      x `[B, ...]`, or (x, int `[B, 4]`: steps, network calls, steps taken, steps made again).

    Raises:
      ValueError: for a chain, increasing times, an option out of range, or unless exactly one of shape and
        x_init is given.

    Example:
      >>> import jax
      >>> from diffjax import exact, samplers
      >>> from diffjax.process import schedules
      >>> denoise = exact.gaussian_mixture([1.0], [[0.0, 0.0]], [0.1]).denoiser()
      >>> draw = lambda key: samplers.dpm_adaptive(key, denoise, schedules.vp_linear(), shape=(4, 2))
      >>> jax.eval_shape(draw, jax.random.key(0)).shape  # traced, not run
      (4, 2)
    """
    for name, value in {"rtol": rtol, "atol": atol, "h_init": h_init}.items():
        checks.positive(name, value)
    for name, value in {"eta": eta, "s_noise": s_noise}.items():
        checks.not_negative(name, value)
    if not 0 < accept_safety < 1:
        raise ValueError(f"accept_safety must be in (0, 1), got {accept_safety!r}")
    max_steps = checks.count("max_steps", max_steps)
    if schedule.num_steps is not None:
        raise ValueError("dpm_adaptive needs a continuous schedule: a chain's .continuous()")
    begin, end, lands = ends(schedule, times)
    span = tuple(0.5 * float(schedule(np.float64(t)).log_snr) for t in (begin, end))
    if not -math.inf < span[0] < span[1]:
        raise ValueError(f"times must decrease from where alpha > 0, got {begin:g} to {end:g}")
    power = 1.5 if eta else order
    powers = ((pcoeff + icoeff + dcoeff) / power, -(pcoeff + 2 * dcoeff) / power, dcoeff / power)
    control = _Control(order, rtol, atol, h_init, powers, accept_safety, eta, s_noise, norm, max_steps)
    x = initial(key, schedule, shape, x_init, begin)
    x, made = _walk(key, denoise, jax.tree_util.Partial(schedule), span, x, cond, control, lands)
    return (x, made) if info else x


@functools.partial(jax.jit, static_argnames=("denoise", "control", "lands"))
def _walk(key, denoise, schedule, span, x, cond, control, lands):
    keys, batch, dtype = per_sample(key, len(x)), len(x), at_least_float32(x)
    first, end = (jnp.full(batch, lam, dtype) for lam in span)
    level_at = lambda lam: schedule(schedule.func.inv_log_snr(2 * lam))

    def eps(y, lam):
        level = level_at(lam)
        return denoise(expand(level.alpha, y) * y, level, cond).eps

    def step(carry):
        y, before, lam, h, past, made, i = carry
        active = lam < end - _CLOSE
        target = jnp.minimum(end, lam + h)
        down, noise = _ancestral(lam, target, end, control.eta)
        low, high = _two_orders(eps, y, lam, jnp.where(active, down - lam, 1.0), control.order)
        h_next, past_next, accepted = _next_step(_error(low, high, before, control), h, past, i, control)
        taken = active & accepted
        if control.eta:
            draw = lambda k: jax.random.normal(jax.random.fold_in(k, 1 + i), y.shape[1:], y.dtype)
            high = high + expand(control.s_noise * noise, y) * jax.vmap(draw)(keys)
        keep = lambda new, old, where: jnp.where(expand(where.astype(dtype), old) > 0, new, old)
        y, before = keep(high, y, taken), keep(low, before, taken)
        counts = jnp.stack([active, active * control.order, taken, active & ~accepted], 1).astype(int)
        if control.norm == "sample":
            h_next = jnp.minimum(h_next, _LONGEST)
        h, past = jnp.where(active, h_next, h), jnp.where(active[:, None], past_next, past)
        return y, before, jnp.where(taken, target, lam), h, past, made + counts, i + 1

    y = x / expand(level_at(first).alpha, x)
    carry = (y, y, first, jnp.full(batch, control.h_init, dtype), jnp.ones((batch, 3), dtype))
    carry = (*carry, jnp.zeros((batch, 4), int), 0)
    going = lambda carry: (carry[2] < end - _CLOSE).any() & (carry[-1] < control.max_steps)
    y, _, lam, *_, made, _ = jax.lax.while_loop(going, step, carry)
    y = jnp.where(expand((lam < end - _CLOSE).astype(dtype), y) > 0, jnp.nan, y)
    last = level_at(end)
    x = expand(last.alpha, y) * y
    return (denoise(x, last, cond).x0 if lands else x), made


def _two_orders(eps, y, lam, h, order):
    """Return y after a step of order p - 1 and after one of order p, over h `[B]`."""
    ratios = _RATIOS[order]
    rho = lambda r: expand(jnp.exp(-(lam + r * h)), y)  # sigma / alpha
    grow = lambda r: expand(jnp.expm1(r * h), y)
    e = eps(y, lam)
    first = y - rho(1) * grow(1) * e
    inner = y - rho(ratios[0]) * grow(ratios[0]) * e
    change = eps(inner, lam + ratios[0] * h) - e
    second = first - rho(1) * grow(1) / (2 * ratios[0]) * change
    if order == 2:
        return first, second
    r1, r2 = ratios
    curve = lambda r: grow(r) / expand(r * h, y) - 1
    inner = y - rho(r2) * grow(r2) * e - rho(r2) * (r2 / r1) * curve(r2) * change
    return second, first - rho(1) / r2 * curve(1) * (eps(inner, lam + r2 * h) - e)


def _error(low, high, before, control):
    """Return the error of each sample in units of the tolerance, `[B]`."""
    each = control.norm == "sample"
    size = jnp.minimum(jnp.abs(low), jnp.abs(high)) if each else jnp.maximum(jnp.abs(low), jnp.abs(before))
    square = mean_of_each(((low - high) / jnp.maximum(control.atol, control.rtol * size)) ** 2)
    return jnp.sqrt(square if each else jnp.full_like(square, square.mean()))


def _next_step(error, h, past, i, control):
    """Return the next step, the inverse errors `[B, 3]`, newest first, and whether the step is accepted."""
    inverse = 1 / (error + 1e-8)
    past = jnp.where(i == 0, inverse[:, None], past).at[:, 0].set(inverse)
    factor = 1 + jnp.arctan(jnp.prod(past ** jnp.array(control.powers, past.dtype), axis=1) - 1)
    accepted = factor >= control.accept_safety
    shifted = jnp.stack([past[:, 0], past[:, 0], past[:, 1]], 1)
    return h * factor, jnp.where(accepted[:, None], shifted, past), accepted


def _ancestral(lam, target, end, eta):
    """Return where the ODE's step ends when noise is added after it, and how much noise, over alpha."""
    if not eta:
        return target, jnp.zeros_like(target)
    above, below = jnp.exp(-lam), jnp.exp(-target)
    up = jnp.minimum(below, eta * below * jnp.sqrt(jnp.maximum(1 - (below / above) ** 2, 0)))
    down = jnp.minimum(end, -0.5 * jnp.log(jnp.maximum(below**2 - up**2, jnp.exp(-2 * end))))
    return down, jnp.sqrt(jnp.maximum(below**2 - jnp.exp(-2 * down), 0))

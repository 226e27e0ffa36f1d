"""The variational bound of a continuous schedule (Kingma et al. 2021), gamma = -log SNR.

-log p(x) <= KL(q(z_1 | x) || p(z_1)) - log p(x | z_0) + diffusion loss,       z at t_min .. t_max

    diffusion = 1/2 (t_max - t_min) E_t gamma'(t) ||eps - eps_hat||^2                    continuous, eq. 17
    diffusion = T/2 E_t (e^{gamma_t - gamma_s} - 1) ||eps - eps_hat||^2, s = t - 1/T     T steps, eq. 14
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from diffjax.border import checked
from diffjax.process import checks, forward, gaussian
from diffjax.process.level import NoiseLevel, Schedule, evenly, expand, log_snr_rate, mean_of_each
from diffjax.process.prediction import Denoiser
from diffjax.types import Array, ArrayLike, Float, Key, Shaped

EIGHT_BITS = np.arange(256) / 127.5 - 1


@checked
def terms(
    denoise: Denoiser,
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level: NoiseLevel,
    cond: Any = None,
    *,
    eps_0: Float[Array, "batch *shape"],
    level_0: NoiseLevel,
    level_1: NoiseLevel,
    level_s: NoiseLevel | None = None,
    num_steps: int | None = None,
    span: ArrayLike = 1.0,
    prior_std: float = 1.0,
    values: Shaped[Array, " values"] | None = EIGHT_BITS,
) -> dict[str, Float[Array, " batch"]]:
    """Return one draw of the bound's three terms.

    Args:
      denoise: Denoiser.
      x0: `[B, ...]`.
      eps: `[B, ...]` unit normal noise of the diffusion loss.
      level: NoiseLevel at t, uniform in the schedule's range unless `span` says otherwise; with rates, unless
        level_s is given.
      cond: condition handed to the denoiser.
      eps_0: `[B, ...]` unit normal noise of the reconstruction.
      level_0, level_1: the schedule's levels at its least and its most noise.
      level_s: the level one step below t, for the bound of `num_steps` steps; t is then one of their ends.
      num_steps: T, with level_s.
      span: one over the density of t in continuous time, a scalar or `[B]`: t_max - t_min where t is uniform.
      prior_std: of p(z_1) = N(0, prior_std^2).
      values: `[K]` values that x0 may have, which the decoder chooses from; None for continuous data, whose
        decoder is the density N(z_0 / alpha_0, 1 / SNR_0).

    Returns:
      {"prior", "reconstruction", "diffusion"}, `[B]` each, in nats per dimension.

    Raises:
      ValueError: if only one of level_s and num_steps is given, level has no rates, or a number is out of
        range.
    """
    checks.positive("prior_std", prior_std)
    checks.finite("span", span)
    _check_ends(level_0, level_1)
    if num_steps is not None:
        checks.count("num_steps", num_steps)
    if (level_s is None) != (num_steps is None):
        raise ValueError("level_s and num_steps go together: both for T steps, neither for continuous time")
    predicted = denoise(forward.perturb(x0, eps, level), level, cond)
    if level_s is None or num_steps is None:
        weight = -0.5 * span * log_snr_rate(level)
    else:
        weight = 0.5 * num_steps * jnp.expm1(level_s.log_snr - level.log_snr)
    standard = gaussian.Gaussian(jnp.zeros_like(x0), 2 * np.log(prior_std))
    return {
        "prior": mean_of_each(gaussian.kl(forward.marginal(x0, level_1), standard)),
        "reconstruction": mean_of_each(-reconstruction(x0, eps_0, level_0, values)),
        "diffusion": weight * mean_of_each((eps - predicted.eps) ** 2),
    }


def _check_ends(level_0, level_1):
    """Raise ValueError for levels that the host knows, the first of which is not the less noisy one."""
    if isinstance(level_0.log_snr, Tracer) or isinstance(level_1.log_snr, Tracer):
        return
    if not np.all(level_0.log_snr > level_1.log_snr):
        raise ValueError(
            "level_0 must have less noise than level_1, a larger log SNR; got "
            f"{np.min(level_0.log_snr):.3g} and {np.max(level_1.log_snr):.3g}"
        )


@checked
def reconstruction(
    x0: Float[Array, "batch *shape"],
    eps_0: Float[Array, "batch *shape"],
    level_0: NoiseLevel,
    values: Shaped[Array, " values"] | None = EIGHT_BITS,
) -> Float[Array, "batch *shape"]:
    """Return log p(x | z_0) of each element, proportional to q(z_0 | x) (Kingma et al. 2021, eq. 10)."""
    ratio = level_0.sigma / level_0.alpha
    seen = gaussian.Gaussian(x0 + expand(ratio, x0) * eps_0, -expand(level_0.log_snr, x0))
    return gaussian.log_prob(seen, x0) if values is None else gaussian.categorical_log_prob(seen, x0, values)


@checked
def bits_per_dim(
    key: Key[Array, ""],
    denoise: Denoiser,
    schedule: Schedule,
    x0: Float[Array, "batch *shape"],
    *,
    cond: Any = None,
    num_steps: int | None = None,
    draws: int = 1,
    values: Shaped[Array, " values"] | None = EIGHT_BITS,
) -> dict[str, Float[Array, " batch"]]:
    """Return an estimate of the bound on -log2 p(x) per dimension.

    Times are spread evenly over the batch (app. I.1), so that its mean varies less than one example's value.

    Args:
      key: for times and noise.
      denoise: Denoiser.
      schedule: a Continuous schedule; its ends t_min and t_max are those of the bound.
      x0: `[B, ...]`.
      cond: condition handed to the denoiser.
      num_steps: T of the bound in T equal steps of time; None for continuous time.
      draws: independent draws of time and noise that are averaged.
      values: see `terms`.

    Returns:
      {"total", "prior", "reconstruction", "diffusion"}, `[B]` each, in bits per dimension.

    Raises:
      ValueError: for a chain, numbers that are not positive, or x0 beyond `values`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from diffjax import exact
      >>> from diffjax.process import continuous_elbo, schedules
      >>> denoise = exact.gaussian_mixture([1.0], [[0.0]], [0.1]).denoiser()
      >>> schedule, x0 = schedules.log_snr_linear(), jnp.zeros((2, 1))
      >>> bits = continuous_elbo.bits_per_dim(jax.random.key(0), denoise, schedule, x0, values=None)
      >>> bits["total"].shape
      (2,)
    """
    checks.continuous_time("continuous_elbo.bits_per_dim", schedule)
    if values is not None:
        checks.within("x0", x0, values.min(), values.max())
    draws = checks.count("draws", draws)
    num_steps = None if num_steps is None else checks.count("num_steps", num_steps)
    x0, span = jnp.asarray(x0), schedule.t_max - schedule.t_min
    ends = {"level_0": schedule(schedule.t_min), "level_1": schedule(schedule.t_max)}

    def one(key):
        key_t, key_eps, key_0 = jax.random.split(key, 3)
        u = evenly(jax.random.uniform(key_t), len(x0))
        noise = [jax.random.normal(k, x0.shape, x0.dtype) for k in (key_eps, key_0)]
        t, below = schedule.spread(u), None
        if num_steps is not None:
            s, t = step_around(schedule, t, num_steps)
            below = schedule(s)
        return terms(
            denoise, x0, noise[0], schedule(t), cond, eps_0=noise[1], level_s=below, num_steps=num_steps,
            span=span, prior_std=schedule.prior_std, values=values, **ends,
        )  # fmt: skip

    nats = jax.lax.map(one, jax.random.split(key, draws))
    bits = {name: value.mean(0) / np.log(2) for name, value in nats.items()}
    return {"total": sum(bits.values()), **bits}


def step_around(
    schedule: Schedule, t: Float[Array, " batch"], num_steps: int
) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    """Return the two ends s < t, `[B]` each, of the one of T equal steps of time that each time lies in.

    Args:
      schedule: a Continuous schedule, whose range of times the steps divide.
      t: `[B]`, jax array; uniform times make each step equally likely.
      num_steps: T.
    """
    span = schedule.t_max - schedule.t_min
    step = jnp.clip(jnp.ceil((t - schedule.t_min) / span * num_steps), 1, num_steps)
    time = lambda n: schedule.t_min + span * n / num_steps
    return time(step - 1), time(step)

"""The forward process and everything that follows from a pair of levels s < t.

One number carries the pair: c = -expm1(log_snr_t - log_snr_s) = 1 - SNR_t / SNR_s. Then

    q(x_t | x_s)      = N(alpha_ts x_s, sigma_t^2 c),                  alpha_ts = alpha_t / alpha_s     (1)
    q(x_s | x_t, x_0) = N(A x_t + B x_0, sigma_s^2 c),
                        A = alpha_ts (sigma_s / sigma_t)^2,  B = alpha_s c                              (2)

for any two levels: a step of a chain, a respaced step, a step in continuous time (Kingma et al. 2021,
app. A). c = 1 at sigma_s = 0 and at zero terminal SNR, without a branch.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.gaussian import Gaussian
from diffjax.process.level import NoiseLevel, Schedule, expand, namespace
from diffjax.types import Array, ArrayLike, Float, Key


@runtime_checkable
class Predicted(Protocol):
    """What `prediction.Prediction` says of x_t, as far as a transition asks."""

    @property
    def x0(self) -> Array: ...

    @property
    def variance(self) -> Array | None: ...


Variance = Literal["fixed_small", "fixed_large", "learned", "learned_range"]  # see `reverse`


class Pair(NamedTuple):
    """Finished coefficients of a pair of levels s < t: scalars or `[B]`.

    Attributes:
      c: 1 - SNR_t / SNR_s.
      alpha_ts, log_var_ts: the transition (1).
      mean_xt, mean_x0, log_variance: the posterior (2), A, B and its log variance.
      log_small, log_large: log variances of the model's transition where the papers call it fixed small
        and large: the posterior's and the transition's, except that both take `floor` at sigma_s = 0.
    """

    c: ArrayLike
    alpha_ts: ArrayLike
    log_var_ts: ArrayLike
    mean_xt: ArrayLike
    mean_x0: ArrayLike
    log_variance: ArrayLike
    log_small: ArrayLike
    log_large: ArrayLike


@checked
def pair(level_s: NoiseLevel, level_t: NoiseLevel, floor: ArrayLike = -np.inf) -> Pair:
    """Return the coefficients of two levels: float64 on the host, jnp on device.

    Args:
      level_s: the less noisy level, s < t.
      level_t: the noisier level.
      floor: log variance that the model's transition takes where sigma_s = 0 (see `floor`).

    Raises:
      ValueError: if level_s is not the less noisy one, as far as that is known on the host.

    Example:
      >>> from diffjax.process import forward, schedules
      >>> chain = schedules.from_betas([0.19, 0.36])
      >>> round(float(forward.pair(chain(1), chain(2)).alpha_ts), 6)  # sqrt(1 - 0.36)
      0.8
    """
    xp = namespace(level_s.alpha, level_t.alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        c = -xp.expm1(level_t.log_snr - level_s.log_snr)
        alpha_ts = level_t.alpha / level_s.alpha
        log_var_ts = 2 * xp.log(level_t.sigma) + xp.log(c)
        log_variance = 2 * xp.log(level_s.sigma) + xp.log(c)
    at_data = xp.asarray(level_s.sigma) == 0
    if xp is np and not np.all(level_s.log_snr > level_t.log_snr):
        raise ValueError("level_s must be less noisy than level_t: log SNR must fall from s to t")
    return Pair(
        c=c,
        alpha_ts=alpha_ts,
        log_var_ts=log_var_ts,
        mean_xt=alpha_ts * (level_s.sigma / level_t.sigma) ** 2,
        mean_x0=level_s.alpha * c,
        log_variance=log_variance,
        log_small=xp.where(at_data, floor, log_variance),
        log_large=xp.where(at_data & (floor > -np.inf), floor, log_var_ts),
    )


@checked
def floor(schedule: Schedule, times: ArrayLike | Sequence[float]) -> ArrayLike:
    """Return the log posterior variance of a grid's second step, which the references lend to the first.

    The posterior variance of the step that lands on data is 0; Ho et al. 2020 and Nichol & Dhariwal 2021
    put there the variance of the step before it.

    Args:
      schedule: any schedule.
      times: decreasing grid that ends on data.

    Returns:
      A float (an array on device for a schedule of traced parameters); -inf for a grid of one step, which
      has no second.

    Example:
      >>> import math
      >>> from diffjax.process import forward, schedules
      >>> chain = schedules.linear_beta(1000)
      >>> tilde = (1 - chain.alpha[1] ** 2) / (1 - chain.alpha[2] ** 2) * chain.betas[1]
      >>> round(math.exp(forward.floor(chain, [1000, 2, 1, 0])) / float(tilde), 6)
      1.0
    """
    if len(times) < 3:
        return -np.inf
    times = np.asarray(times, np.float64)
    found = pair(schedule(times[-2]), schedule(times[-3])).log_variance
    return float(found) if namespace(found) is np else found


@checked
def perturb(
    x0: Float[Array, "batch *shape"], eps: Float[Array, "batch *shape"], level: NoiseLevel
) -> Float[Array, "batch *shape"]:
    """Return x_t = alpha x_0 + sigma eps.

    Args:
      x0: `[B, ...]`, clean data.
      eps: `[B, ...]`, unit normal noise.
      level: NoiseLevel of scalars or `[B]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.process import forward, schedules
      >>> forward.perturb(jnp.ones((1, 2)), jnp.zeros((1, 2)), schedules.rectified_flow()(0.25)).tolist()
      [[0.75, 0.75]]
    """
    return expand(level.alpha, x0) * x0 + expand(level.sigma, x0) * eps


@checked
def noised(
    key: Key[Array, ""], x0: Float[Array, "batch *shape"], level: NoiseLevel
) -> Float[Array, "batch *shape"]:
    """Return x_t of one draw of unit normal noise, see `perturb`.

    Args:
      key: of the noise.
      x0: `[B, ...]`, clean data.
      level: NoiseLevel of scalars or `[B]`.
    """
    return perturb(x0, jax.random.normal(key, x0.shape, x0.dtype), level)


@checked
def rescaled(
    x_t: Float[Array, "batch *shape"], level: NoiseLevel, schedule: Schedule
) -> tuple[Float[Array, "batch *shape"], NoiseLevel]:
    """Return x_t as another schedule has it, x_t alpha' / alpha, and its level there, of equal log SNR.

    What x_t says of x_0 is the same in both, and so are a denoiser's x_0 and eps (Kingma et al. 2021, section
    5.1). A chain is asked between its steps. Beyond an end of the schedule the level is that end's, and x_t
    is made so small that neither its signal nor its noise is larger than there.

    Args:
      x_t: `[B, ...]`.
      level: of x_t, scalars or `[B]`.
      schedule: the other one.

    Raises:
      ValueError: for a chain of zero terminal SNR, which has nothing between its last two steps.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.process import forward, schedules
      >>> flow, x_t = schedules.rectified_flow(), jnp.full((1, 2), 3.0)
      >>> x, level = forward.rescaled(x_t, flow(0.75), schedules.edm())
      >>> x.tolist(), float(level.sigma)
      ([[12.0, 12.0]], 3.0)
    """
    there = schedule.continuous()
    with np.errstate(divide="ignore"):
        low, high = (end.sigma / end.alpha for end in (there(there.t_min), there(there.t_max)))
        ratio = level.sigma / level.alpha
        found = there.at_ratio(namespace(ratio, low, high).clip(ratio, low, high))
    scale = jnp.minimum(*(_over(getattr(found, name), getattr(level, name)) for name in ("alpha", "sigma")))
    return expand(scale, x_t) * x_t, found


def _over(one, other):
    return jnp.where(other == 0, jnp.inf, one / jnp.where(other == 0, 1, other))


@checked
def marginal(x0: Float[Array, "batch *shape"], level: NoiseLevel) -> Gaussian:
    """Return q(x_t | x_0) = N(alpha x_0, sigma^2)."""
    xp = namespace(level.sigma)
    with np.errstate(divide="ignore"):
        log_variance = 2 * xp.log(level.sigma)
    return Gaussian(expand(level.alpha, x0) * x0, expand(log_variance, x0))


@checked
def transition(x_s: Float[Array, "batch *shape"], level_s: NoiseLevel, level_t: NoiseLevel) -> Gaussian:
    """Return q(x_t | x_s) for s < t, equation (1)."""
    both = pair(level_s, level_t)
    return Gaussian(expand(both.alpha_ts, x_s) * x_s, expand(both.log_var_ts, x_s))


@checked
def posterior(
    x_t: Float[Array, "batch *shape"],
    x0: Float[Array, "batch *shape"],
    level_s: NoiseLevel,
    level_t: NoiseLevel,
) -> Gaussian:
    """Return q(x_s | x_t, x_0) for s < t, equation (2); its log variance is -inf at sigma_s = 0."""
    return posterior_of(pair(level_s, level_t), x_t, x0)


@checked
def posterior_of(pair: Pair, x_t: Float[Array, "batch *shape"], x0: Float[Array, "batch *shape"]) -> Gaussian:
    """Return q(x_s | x_t, x_0) from finished coefficients."""
    mean = expand(pair.mean_xt, x_t) * x_t + expand(pair.mean_x0, x_t) * x0
    return Gaussian(mean, expand(pair.log_variance, x_t))


@checked
def reverse(
    prediction: Predicted,
    x_t: Float[Array, "batch *shape"],
    level_s: NoiseLevel,
    level_t: NoiseLevel,
    variance: Variance = "fixed_small",
    floor: ArrayLike = -np.inf,
) -> Gaussian:
    """Return the model's transition p(x_s | x_t): the posterior at the predicted x_0, with a variance.

    Args:
      prediction: Prediction at level t.
      x_t: `[B, ...]`.
      level_s, level_t: the pair, s < t.
      variance: "fixed_small" (the posterior's, beta tilde), "fixed_large" (the transition's, beta),
        "learned" (prediction.variance is the log variance) or "learned_range" (prediction.variance in
        [-1, 1] interpolates the two logarithms; Nichol & Dhariwal 2021, eq. 15).
      floor: log variance at sigma_s = 0, usually `schedule.floor(times)`.

    Raises:
      ValueError: for an unknown variance, or a learned one that the prediction does not carry.
    """
    return reverse_of(pair(level_s, level_t, floor), prediction, x_t, variance)


@checked
def reverse_of(
    pair: Pair, prediction: Predicted, x_t: Float[Array, "batch *shape"], variance: Variance = "fixed_small"
) -> Gaussian:
    """Return p(x_s | x_t) from finished coefficients; see `reverse`."""
    if variance.startswith("learned") and prediction.variance is None:
        raise ValueError(f"variance={variance!r} needs a network with twice the channels; it predicts none")
    if variance.startswith("learned"):
        checks.same_shape("the predicted variance", prediction.variance, x_t, "x_t")
    mean = posterior_of(pair, x_t, prediction.x0).mean
    return Gaussian(mean, VARIANCES[variance](pair, prediction.variance, x_t))


def _learned_range(pair, v, x_t):
    share = (v + 1) / 2
    largest = expand(pair.log_var_ts, x_t)
    smallest = expand(pair.log_small, x_t)
    # Without a floor there is nothing to interpolate to on data.
    return share * largest + (1 - share) * jnp.where(jnp.isneginf(smallest), largest, smallest)


VARIANCES = {
    "fixed_small": lambda pair, v, x_t: expand(pair.log_small, x_t),
    "fixed_large": lambda pair, v, x_t: expand(pair.log_large, x_t),
    "learned": lambda pair, v, x_t: v,
    "learned_range": _learned_range,
}

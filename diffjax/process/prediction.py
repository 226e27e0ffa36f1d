"""What a network may predict, and how each reading gives x_0 and eps.

Every kind is a row (p, q, r) of `r y = p x_0 + q eps`. With x_t = alpha x_0 + sigma eps and
d = alpha q - sigma p this solves to

    x_0 = (q x_t - sigma r y) / d,        eps = (alpha r y - p x_t) / d.

    kind        p                    q          r
    x0          1                    0          1
    eps         0                    1          1
    v           -sigma               alpha      1        Salimans & Ho 2022, app. D
    score       0                    -1         sigma    grad log p(x_t | x_0) = -eps / sigma
    velocity    alpha'               sigma'     1        flow matching, d x_t / dt
    mean        A alpha + B          A sigma    1        mean of q(x_s | x_t, x_0), Ho et al. 2020

(r only keeps the score row free of 1 / sigma.)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from diffjax.process import forward
from diffjax.process.level import Array, NoiseLevel, at_least_float32, expand, require_rates
from diffjax.process.preconditioning import Scales as Scales
from diffjax.process.preconditioning import edm_preconditioning as edm_preconditioning
from diffjax.process.preconditioning import iddpm_preconditioning as iddpm_preconditioning
from diffjax.process.preconditioning import ve_preconditioning as ve_preconditioning
from diffjax.process.preconditioning import vp_preconditioning as vp_preconditioning


class Prediction(NamedTuple):
    """What a denoiser says about x_t.

    Attributes:
      x0: `[B, ...]`, estimate of the clean data.
      eps: `[B, ...]`, estimate of the noise.
      variance: `[B, ...]` raw second half of a learned-variance output, or None; it has a meaning only
        for a pair of levels, see `forward.reverse`.
    """

    x0: Array
    eps: Array
    variance: Array | None = None


Denoiser = Callable[[Array, NoiseLevel, object], Prediction]  # (x_t, level, cond: a pytree or None)


def _mean_row(level, level_s):
    if level_s is None:
        raise ValueError("kind 'mean' belongs to a pair of levels: give level_s (or denoiser(previous=...))")
    both = forward.pair(level_s, level)
    return both.mean_xt * level.alpha + both.mean_x0, both.mean_xt * level.sigma, 1.0


def _velocity_row(level, level_s):
    require_rates(level, "kind 'velocity'")
    return level.d_alpha, level.d_sigma, 1.0


_ROWS = {
    "x0": lambda level, level_s: (1.0, 0.0, 1.0),
    "eps": lambda level, level_s: (0.0, 1.0, 1.0),
    "v": lambda level, level_s: (-level.sigma, level.alpha, 1.0),
    "score": lambda level, level_s: (0.0, -1.0, level.sigma),
    "velocity": _velocity_row,
    "mean": _mean_row,
}
KINDS = tuple(_ROWS)


def row(kind, level, level_s=None):
    """Return (p, q, r) of a kind at a level: scalars or `[B]`.

    Raises:
      ValueError: for an unknown kind, "velocity" without rates, "mean" without level_s.
    """
    if kind not in _ROWS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    return _ROWS[kind](level, level_s)


def target(kind, x0, eps, level, level_s=None):
    """Return what a network of this kind should output, given x_0 and eps, both `[B, ...]`."""
    p, q, r = row(kind, level, level_s)
    return (expand(p, x0) * x0 + expand(q, x0) * eps) / expand(r, x0)


def from_output(kind, output, x_t, level, level_s=None):
    """Read a network's output.

    Args:
      kind: one of KINDS.
      output: `[B, ..., C]`, or `[B, ..., 2C]` whose second half becomes `variance`.
      x_t: `[B, ..., C]`.
      level: NoiseLevel of x_t.
      level_s: the level of the mean, for kind "mean".

    Returns:
      Prediction in the dtype of `x_t`.

    Raises:
      ValueError: if the channels do not match.
    """
    y, variance = split_variance(output, x_t)
    # Read directly what is the output itself: exact also at the end where the other reading is not.
    if kind == "x0":
        return from_x0(y, x_t, level, variance)
    if kind == "eps":
        return from_eps(y, x_t, level, variance)
    if kind == "score":
        return from_eps(-expand(level.sigma, x_t) * y, x_t, level, variance)
    p, q, r = row(kind, level, level_s)
    d = level.alpha * q - level.sigma * p
    x0 = expand(q / d, x_t) * x_t - expand(level.sigma * r / d, x_t) * y
    eps = expand(level.alpha * r / d, x_t) * y - expand(p / d, x_t) * x_t
    return Prediction(x0, eps, variance)


def split_variance(output, x_t):
    """Return (y, variance or None) of an output with C or 2C channels, in the dtype of `x_t`."""
    output, channels = jnp.asarray(output, jnp.result_type(x_t)), jnp.shape(x_t)[-1]
    if output.shape == jnp.shape(x_t):
        return output, None
    if output.shape == (*jnp.shape(x_t)[:-1], 2 * channels):
        return output[..., :channels], output[..., channels:]
    raise ValueError(
        f"the network must give {channels} or {2 * channels} channels for x_t {list(jnp.shape(x_t))}, "
        f"got shape {list(output.shape)}"
    )


def from_x0(x0, x_t, level, variance=None):
    """Return the prediction whose x_0 is given; eps is 0 where sigma = 0 (x_t says nothing of it)."""
    sigma = expand(level.sigma, x_t)
    eps = jnp.where(sigma == 0, 0, (x_t - expand(level.alpha, x_t) * x0) / jnp.where(sigma == 0, 1, sigma))
    return Prediction(x0, eps, variance)


def from_eps(eps, x_t, level, variance=None):
    """Return the prediction whose eps is given; x_0 is infinite where alpha = 0."""
    x0 = (x_t - expand(level.sigma, x_t) * eps) / expand(level.alpha, x_t)
    return Prediction(x0, eps, variance)


def score(prediction, level):
    """Return grad log p(x_t) = -eps / sigma."""
    return -prediction.eps / expand(level.sigma, prediction.eps)


def tweedie(score, x_t, level):
    """Return E[x_0 | x_t] = (x_t + sigma^2 score) / alpha (Robbins 1956; Efron 2011)."""
    return (x_t + expand(level.sigma**2, x_t) * score) / expand(level.alpha, x_t)


def velocity(prediction, level):
    """Return dx/dt = alpha' x_0 + sigma' eps, the probability-flow ODE of any schedule with rates."""
    require_rates(level, "the velocity")
    return (
        expand(level.d_alpha, prediction.x0) * prediction.x0
        + expand(level.d_sigma, prediction.x0) * prediction.eps
    )


def denoiser(network, kind, previous=None, label=lambda level: level.t):
    """Make a Denoiser of a network.

    Where alpha = 0 (flow matching at t = 1, zero terminal SNR) eps does not determine x_0: kind "eps" and
    "score" give infinities or NaN there. Take "v", "x0" or "velocity", or start at a smaller time.

    Args:
      network: (x_t `[B, ...]`, t `[B]`, cond) -> output, e.g. `partial(module.apply, params)`.
      kind: what it predicts, one of KINDS.
      previous: level -> level_s, for kind "mean".
      label: level -> what the network is told as t, e.g. VDM's gamma, `lambda level: -level.log_snr`.
    """
    row_needs_pair = kind == "mean"
    if row_needs_pair and previous is None:
        raise ValueError("kind 'mean' belongs to a pair of levels: give previous, level -> level_s")
    if kind not in _ROWS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")

    def denoise(x_t, level, cond=None):
        output = network(x_t, times(label(level), x_t), cond)
        return from_output(kind, output, x_t, level, previous(level) if row_needs_pair else None)

    return denoise


def times(t, x_t):
    """Return t as `[B]`, one for each sample of `x_t`, as networks take it; in float32 at least."""
    return jnp.broadcast_to(jnp.asarray(t, at_least_float32(x_t)), jnp.shape(x_t)[:1])


def preconditioned(network, preconditioning):
    """Make a Denoiser of a network inside a preconditioning.

    Args:
      network: (c_in y `[B, ...]`, c_noise `[B]`, cond) -> F `[B, ...]`, y = x_t / alpha.
      preconditioning: level -> Scales, e.g. `edm_preconditioning(sigma_data=0.5)`. At sigma = 0 its c_noise
        is infinite: encoding starts from the schedule's t_min instead.
    """

    def denoise(x_t, level, cond=None):
        scales = preconditioning(level)
        return from_preconditioned(raw_output(network, scales, x_t, level, cond), scales, x_t, level)

    return denoise


def raw_output(network, scales, x_t, level, cond=None):
    """Return F(c_in y, c_noise), the network's own output `[B, ..., C or 2C]`."""
    y = x_t / expand(level.alpha, x_t)
    return network(expand(scales.c_in, x_t) * y, times(scales.c_noise, x_t), cond)


def from_preconditioned(output, scales, x_t, level):
    """Read F, `[B, ..., C or 2C]`: x_0 = c_skip y + c_out F."""
    f, variance = split_variance(output, x_t)
    y = x_t / expand(level.alpha, x_t)
    return from_x0(expand(scales.c_skip, x_t) * y + expand(scales.c_out, x_t) * f, x_t, level, variance)

"""What a denoiser says of x_t, and how a network's output is read as that.

A network predicts one of the kinds of `process.kinds`, or F inside a preconditioning. A `Reading` says which,
once, for the loss that trains it and for the denoiser that samples it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp

from diffjax.border import checked, returning
from diffjax.process import checks, preconditioning
from diffjax.process.kinds import KINDS as KINDS
from diffjax.process.kinds import mean_coefficients
from diffjax.process.kinds import row as row
from diffjax.process.level import NoiseLevel, at_least_float32, expand, require_rates
from diffjax.process.preconditioning import Preconditioning
from diffjax.process.preconditioning import Scales as Scales
from diffjax.process.preconditioning import consistency_preconditioning as consistency_preconditioning
from diffjax.process.preconditioning import edm_preconditioning as edm_preconditioning
from diffjax.process.preconditioning import iddpm_preconditioning as iddpm_preconditioning
from diffjax.process.preconditioning import trigflow_preconditioning as trigflow_preconditioning
from diffjax.process.preconditioning import ve_preconditioning as ve_preconditioning
from diffjax.process.preconditioning import vp_preconditioning as vp_preconditioning
from diffjax.types import Array, ArrayLike, Float


class Prediction(NamedTuple):
    """What a denoiser says about x_t.

    Attributes:
      x0: `[B, ...]`, estimate of the clean data.
      eps: `[B, ...]`, estimate of the noise.
      variance: `[B, ...]` raw second half of a learned-variance output, or None; it has a meaning only
        for a pair of levels, see `forward.reverse`.
    """

    x0: Float[Array, "batch *shape"]
    eps: Float[Array, "batch *shape"]
    variance: Float[Array, "batch *shape"] | None = None


@runtime_checkable
class Denoiser(Protocol):
    """(x_t `[B, ...]`, level, cond: a pytree or None) -> Prediction."""

    def __call__(self, x_t: Array, level: NoiseLevel, cond: Any = None, /) -> Prediction: ...


@runtime_checkable
class Network(Protocol):
    """(x `[B, ...]`, t `[B]` or `[B, K]`, cond: a pytree or None) -> output `[B, ..., C or 2C]`."""

    def __call__(self, x: Array, t: Array, cond: Any = None, /) -> Array: ...


def returning_prediction(denoise: Denoiser) -> Denoiser:
    """Return the denoiser, refused in one line where it returns no Prediction but an array, say."""
    how = "make a Denoiser of a network with `prediction.reading(kind).denoiser(network)`"
    return returning(denoise, "denoise", Prediction, how)


class Reading(NamedTuple):
    """How a network is asked and what its output means: said once, for the loss and for the denoiser alike.

    Make one with `reading` (of a kind) or `reading_of` (a preconditioning).

    Attributes:
      ask: (level, x_t `[B, ...]`) -> what the network is given as x `[B, ...]` and as t `[B]`.
      target: (x_0, eps, level) -> what it should output, `[B, ...]`.
      read: (output `[B, ..., C or 2C]`, x_t, level) -> Prediction.
      x0_error: level -> d x_0_hat / d output at fixed x_t, up to its sign, a scalar or `[B]`: turns a weight
        of ||x_0 - x_0_hat||^2 into one of the output's own error. Where it is not finite the output says
        nothing of x_0 (alpha = 0 and a network of eps), and no sampler can begin.
    """

    ask: Callable[[NoiseLevel, Array], tuple[Array, Array]]
    target: Callable[[Array, Array, NoiseLevel], Array]
    read: Callable[[Array, Array, NoiseLevel], Prediction]
    x0_error: Callable[[NoiseLevel], ArrayLike]

    def output(self, network: Network, x_t: Array, level: NoiseLevel, cond: Any = None) -> Array:
        """Return the network's own output at x_t `[B, ...]`, `[B, ..., C or 2C]`."""
        return network(*self.ask(level, x_t), cond)

    def denoiser(self, network: Network) -> Denoiser:
        """Return the Denoiser of a network that is trained under this reading."""
        return lambda x_t, level, cond=None: self.read(self.output(network, x_t, level, cond), x_t, level)


@checked
def target(
    kind: str,
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level: NoiseLevel,
    level_s: NoiseLevel | None = None,
) -> Float[Array, "batch *shape"]:
    """Return what a network of this kind should output, given x_0 and eps, both `[B, ...]`."""
    p, q, r = row(kind, level, level_s)
    return (expand(p, x0) * x0 + expand(q, x0) * eps) / expand(r, x0)


@checked
def from_output(
    kind: str,
    output: Float[Array, "batch *output"],
    x_t: Float[Array, "batch *shape"],
    level: NoiseLevel,
    level_s: NoiseLevel | None = None,
) -> Prediction:
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
    if kind == "mean" and level_s is not None:
        left, b = mean_coefficients(level_s, level)
        return from_x0((y - x_t + expand(left, x_t) * x_t) / expand(b, x_t), x_t, level, variance)
    p, q, r = row(kind, level, level_s)
    d = level.alpha * q - level.sigma * p
    x0 = expand(q / d, x_t) * x_t - expand(level.sigma * r / d, x_t) * y
    eps = expand(level.alpha * r / d, x_t) * y - expand(p / d, x_t) * x_t
    return Prediction(x0, eps, variance)


@checked
def split_variance(
    output: Float[Array, "batch *output"], x_t: Float[Array, "batch *shape"]
) -> tuple[Float[Array, "batch *shape"], Float[Array, "batch *shape"] | None]:
    """Return (y, variance or None) of an output with C or 2C channels, in the dtype of `x_t`."""
    output, channels = jnp.asarray(output, jnp.result_type(x_t)), jnp.shape(x_t)[-1]
    if output.shape == jnp.shape(x_t):
        return output, None
    if output.shape == (*jnp.shape(x_t)[:-1], 2 * channels):
        return output[..., :channels], output[..., channels:]
    raise ValueError(
        f"the network must give {channels} or {2 * channels} channels for x_t {list(jnp.shape(x_t))}, "
        f"got an output of shape {list(output.shape)}"
    )


@checked
def from_x0(
    x0: Float[Array, "batch *shape"],
    x_t: Float[Array, "batch *shape"],
    level: NoiseLevel,
    variance: Float[Array, "batch *shape"] | None = None,
) -> Prediction:
    """Return the prediction whose x_0 is given; eps is 0 where sigma = 0 (x_t says nothing of it)."""
    sigma = expand(level.sigma, x_t)
    eps = jnp.where(sigma == 0, 0, (x_t - expand(level.alpha, x_t) * x0) / jnp.where(sigma == 0, 1, sigma))
    return Prediction(x0, eps, variance)


@checked
def from_eps(
    eps: Float[Array, "batch *shape"],
    x_t: Float[Array, "batch *shape"],
    level: NoiseLevel,
    variance: Float[Array, "batch *shape"] | None = None,
) -> Prediction:
    """Return the prediction whose eps is given; x_0 is infinite where alpha = 0."""
    x0 = (x_t - expand(level.sigma, x_t) * eps) / expand(level.alpha, x_t)
    return Prediction(x0, eps, variance)


@checked
def score(prediction: Prediction, level: NoiseLevel) -> Float[Array, "batch *shape"]:
    """Return grad log p(x_t) = -eps / sigma."""
    return -prediction.eps / expand(level.sigma, prediction.eps)


@checked
def tweedie(
    score: Float[Array, "batch *shape"], x_t: Float[Array, "batch *shape"], level: NoiseLevel
) -> Float[Array, "batch *shape"]:
    """Return E[x_0 | x_t] = (x_t + sigma^2 score) / alpha (Robbins 1956; Efron 2011)."""
    return (x_t + expand(level.sigma**2, x_t) * score) / expand(level.alpha, x_t)


@checked
def velocity(prediction: Prediction, level: NoiseLevel) -> Float[Array, "batch *shape"]:
    """Return dx/dt = alpha' x_0 + sigma' eps, the probability-flow ODE of any schedule with rates."""
    require_rates(level, "the velocity")
    checks.same_shape("the predicted eps", prediction.eps, prediction.x0, "x0")
    return (
        expand(level.d_alpha, prediction.x0) * prediction.x0
        + expand(level.d_sigma, prediction.x0) * prediction.eps
    )


@checked
def reading(
    kind: str,
    *,
    ask: Callable[[NoiseLevel], ArrayLike] | None = None,
    previous: Callable[[NoiseLevel], NoiseLevel] | None = None,
) -> Reading:
    """Return the Reading of a kind.

    Where alpha = 0 (flow matching at t = 1, zero terminal SNR) eps does not determine x_0: kind "eps" and
    "score" give infinities or NaN there. Take "v", "x0" or "velocity", or start at a smaller time.

    Args:
      kind: what the network predicts, one of KINDS.
      ask: level -> what the network is told as t, by default level.t; VDM's gamma is
        `lambda level: -level.log_snr`.
      previous: level -> level_s, for kind "mean", e.g. a chain's `step_before`.

    Raises:
      ValueError: for an unknown kind, or "mean" without `previous`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.process import prediction, schedules
      >>> eps = prediction.reading("eps")
      >>> denoise = eps.denoiser(lambda x, t, cond: jnp.zeros_like(x))
      >>> level = schedules.rectified_flow()(0.5)
      >>> denoise(jnp.ones((2, 3)), level).x0.tolist()
      [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    if kind == "mean" and previous is None:
        raise ValueError("kind 'mean' belongs to a pair of levels: give previous, level -> level_s")
    told = ask or (lambda level: level.t)

    def below(level):
        return previous(level) if kind == "mean" and previous is not None else None

    def x0_error(level):
        p, q, r = row(kind, level, below(level))
        return level.sigma * r / (level.alpha * q - level.sigma * p)

    return Reading(
        ask=lambda level, x_t: (x_t, times(told(level), x_t)),
        target=lambda x0, eps, level: target(kind, x0, eps, level, below(level)),
        read=lambda output, x_t, level: from_output(kind, output, x_t, level, below(level)),
        x0_error=x0_error,
    )


@checked
def reading_of(scales: Preconditioning) -> Reading:
    """Return the Reading of a network F inside a preconditioning, D(y) = c_skip y + c_out F(c_in y, c_noise).

    Args:
      scales: level -> Scales, e.g. `edm_preconditioning(sigma_data=0.5)`. At sigma = 0 its c_noise is
        infinite: encoding starts from the schedule's t_min instead.

    Example:
      >>> from diffjax.process import prediction, schedules
      >>> edm = prediction.reading_of(prediction.edm_preconditioning(sigma_data=0.5))
      >>> round(float(edm.x0_error(schedules.edm()(0.5))), 4)
      0.3536
    """

    def ask(level, x_t):
        at = scales(level)
        return expand(at.c_in, x_t) * (x_t / expand(level.alpha, x_t)), times(at.c_noise, x_t)

    return Reading(
        ask=ask,
        target=lambda x0, eps, level: preconditioning.target(x0, eps, level, scales(level)),
        read=lambda output, x_t, level: from_preconditioned(output, scales(level), x_t, level),
        x0_error=lambda level: scales(level).c_out,
    )


@checked
def denoiser(
    network: Network,
    kind: str,
    previous: Callable[[NoiseLevel], NoiseLevel] | None = None,
    label: Callable[[NoiseLevel], ArrayLike] | None = None,
) -> Denoiser:
    """Make a Denoiser of a network: `reading(kind, ask=label, previous=previous).denoiser(network)`.

    Args:
      network: (x_t `[B, ...]`, t `[B]`, cond) -> output, e.g. `partial(module.apply, params)`.
      kind, previous: see `reading`.
      label: level -> what the network is told as t, `ask` of `reading`.
    """
    return reading(kind, ask=label, previous=previous).denoiser(network)


@checked
def times(t: ArrayLike, x_t: Float[Array, "batch *shape"]) -> Float[Array, " batch"]:
    """Return t as `[B]`, one for each sample of `x_t`, as networks take it; in float32 at least."""
    checks.one_each("t", t, jnp.shape(x_t)[0])
    return jnp.broadcast_to(jnp.asarray(t, at_least_float32(x_t)), jnp.shape(x_t)[:1])


@checked
def preconditioned(network: Network, preconditioning: Preconditioning) -> Denoiser:
    """Make a Denoiser of a network inside a preconditioning: `reading_of(preconditioning).denoiser(network)`.

    Args:
      network: (c_in y `[B, ...]`, c_noise `[B]`, cond) -> F `[B, ...]`, y = x_t / alpha.
      preconditioning: see `reading_of`.
    """
    return reading_of(preconditioning).denoiser(network)


@checked
def raw_output(
    network: Network, scales: Scales, x_t: Float[Array, "batch *shape"], level: NoiseLevel, cond: Any = None
) -> Array:
    """Return F(c_in y, c_noise), the network's own output `[B, ..., C or 2C]`."""
    return reading_of(lambda level: scales).output(network, x_t, level, cond)


@checked
def from_preconditioned(
    output: Float[Array, "batch *output"],
    scales: Scales,
    x_t: Float[Array, "batch *shape"],
    level: NoiseLevel,
) -> Prediction:
    """Read F, `[B, ..., C or 2C]`: x_0 = c_skip y + c_out F."""
    f, variance = split_variance(output, x_t)
    y = x_t / expand(level.alpha, x_t)
    return from_x0(expand(scales.c_skip, x_t) * y + expand(scales.c_out, x_t) * f, x_t, level, variance)

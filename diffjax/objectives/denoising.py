"""The denoising loss of every parameterization, and the outer layer that draws noise and levels."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax

from diffjax.border import checked
from diffjax.objectives.weightings import Weighting
from diffjax.process import checks, forward, prediction
from diffjax.process.level import NoiseLevel, Schedule, mean_of_each
from diffjax.process.prediction import Network, Reading
from diffjax.types import Array, Float, Key


@runtime_checkable
class Loss(Protocol):
    """(network, x0, eps, level, cond, options) -> (loss `[B]`, aux), e.g. `denoising`."""

    def __call__(
        self, network: Network, x0: Array, eps: Array, level: NoiseLevel, cond: Any = None, /, **options: Any
    ) -> tuple[Array, dict[str, Any]]: ...


@checked
def denoising(
    network: Network,
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level: NoiseLevel,
    cond: Any = None,
    *,
    reading: Reading | None = None,
    kind: str | None = None,
    weighting: Weighting | None = None,
    level_s: NoiseLevel | None = None,
    x_t: Float[Array, "batch *shape"] | None = None,
) -> tuple[Float[Array, "batch"], dict[str, Any]]:
    """Return the mean squared error of a network's own target: L_simple (Ho et al. 2020, eq. 14).

    Kind "velocity" on `rectified_flow` is flow matching, ||u - (eps - x_0)||^2 (Lipman et al. 2023; Liu et
    al. 2023). Kind "score" is denoising score matching; `weightings.snr` multiplies it by sigma^2 and
    `weightings.likelihood` by g^2 (Song et al. 2021). Where their code sums, it is 0.5 D times this mean.

    Inside a preconditioning it is c_out^-2 ||x_0 - D||^2 (Karras et al. 2022, eq. 8), and c_out^-2 is the
    published weight of every form: EDM's (s^2 + sd^2) / (s sd)^2, VP's and VE's 1 / s^2.

    Args:
      network: (x, t `[B]`, cond) -> output `[B, ..., C or 2C]`; a second half is left alone.
      x0: `[B, ...]` data.
      eps: `[B, ...]` unit normal noise.
      level: NoiseLevel, scalars or `[B]`.
      cond: condition handed to the network.
      reading: how the network is asked and read; the sampler's denoiser is `reading.denoiser(network)`.
      kind: instead of a reading, what the network predicts, one of `prediction.KINDS`; "eps" if neither is
        given.
      weighting: level -> weight of ||x_0 - x_0_hat||^2, see `objectives.weightings`, for levels with
        0 < SNR < inf; None leaves the error of the network's own target unweighted.
      level_s: the level of the mean, for kind "mean".
      x_t: `[B, ...]` to show the network instead of alpha x_0 + sigma eps, see `perturbed_input`.

    Returns:
      loss `[B]`, and aux {"x_t", "prediction"}.

    Raises:
      ValueError: if both a reading and a kind are given.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> from diffjax.process import prediction, schedules
      >>> x0, eps, level = jnp.ones((2, 3)), jnp.full((2, 3), 0.5), schedules.rectified_flow()(0.25)
      >>> zero = lambda x, t, cond: jnp.zeros_like(x)
      >>> objectives.denoising(zero, x0, eps, level, reading=prediction.reading("velocity"))[0].tolist()
      [0.25, 0.25]
    """
    reading = reading_given(reading, kind, level_s)
    x_t = forward.perturb(x0, eps, level) if x_t is None else x_t
    output = reading.output(network, x_t, level, cond)
    y, _ = prediction.split_variance(output, x_t)
    loss = mean_of_each((y - reading.target(x0, eps, level)) ** 2)
    if weighting is not None:
        weight = checks.one_each("weighting(level)", weighting(level), len(x0))
        loss = loss * weight * reading.x0_error(level) ** 2
    return loss, {"x_t": x_t, "prediction": reading.read(output, x_t, level)}


def reading_given(reading: Reading | None, kind: str | None, level_s: NoiseLevel | None) -> Reading:
    """Return the reading of a loss that takes one, or a kind (with level_s, for "mean"); "eps" of neither."""
    if reading is not None and kind is not None:
        raise ValueError(f"give one of reading and kind, got both, and kind={kind!r}")
    if reading is not None:
        return reading
    return prediction.reading(kind or "eps", previous=None if level_s is None else lambda level: level_s)


@checked
def perturbed_input(
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level: NoiseLevel,
    xi: Float[Array, "batch *shape"],
    gamma: float = 0.1,
) -> Float[Array, "batch *shape"]:
    """Return x_t = alpha x_0 + sigma (eps + gamma xi) of DDPM-IP; the network's target keeps eps.

    Ning et al. 2023, Alg. 1: an input that is as far from the truth as a sampler's own errors make it.

    Args:
      x0, eps: `[B, ...]`.
      level: NoiseLevel, scalars or `[B]`.
      xi: `[B, ...]`, unit normal noise, drawn apart from eps.
      gamma: strength, at least 0; 0 is none, the paper's 0.1.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> from diffjax.process import schedules
      >>> one, level = jnp.ones((1, 2)), schedules.rectified_flow()(0.5)
      >>> objectives.perturbed_input(one, one, level, one, gamma=1.0).tolist()
      [[1.5, 1.5]]
    """
    checks.not_negative("gamma", gamma)
    return forward.perturb(x0, eps + gamma * xi, level)


@checked
def draw(
    key: Key[Array, ""],
    x0: Float[Array, "batch *shape"],
    schedule: Schedule,
    times: Callable[[Array, int], Array],
) -> tuple[Float[Array, "batch *shape"], NoiseLevel]:
    """Draw the noise and the levels of a batch.

    Args:
      key: consumed.
      x0: `[B, ...]`.
      schedule: any schedule.
      times: (key, n) -> `[n]` times, e.g. `uniform(schedule)`.

    Returns:
      eps `[B, ...]` and a NoiseLevel of `[B]`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> from diffjax.process import schedules
      >>> schedule = schedules.vp_linear()
      >>> times = objectives.uniform(schedule)
      >>> eps, level = objectives.draw(jax.random.key(0), jnp.zeros((4, 2)), schedule, times)
      >>> eps.shape, level.t.shape
      ((4, 2), (4,))
    """
    key_eps, key_t = jax.random.split(key)
    return jax.random.normal(key_eps, x0.shape, x0.dtype), schedule(times(key_t, len(x0)))

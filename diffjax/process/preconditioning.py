"""Preconditionings: how a network F is scaled into a denoiser (Karras et al. 2022, eq. 7 and table 1).

    D(y, s) = c_skip y + c_out F(c_in y, c_noise),        y = x_t / alpha,   s = sigma / alpha

Each function here makes level -> Scales, for levels of any schedule. `prediction.reading_of` makes of it the
one Reading that loss and denoiser share, so that sigma_data is said once.
"""

from collections.abc import Callable
from typing import NamedTuple

from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.chains import Chain
from diffjax.process.level import NoiseLevel, Schedule, expand, namespace
from diffjax.types import Array, ArrayLike, Float


class Scales(NamedTuple):
    """c_skip, c_out, c_in, c_noise of one level: scalars or `[B]`."""

    c_skip: ArrayLike
    c_out: ArrayLike
    c_in: ArrayLike
    c_noise: ArrayLike


Preconditioning = Callable[[NoiseLevel], Scales]


@checked
def edm_preconditioning(sigma_data: float = 0.5) -> Preconditioning:
    """Return level -> Scales of EDM: what goes into F and out of it has unit variance.

    For data of standard deviation sd = sigma_data and any noise level,
    c_skip = sd^2 / (s^2 + sd^2), c_out = s sd / sqrt(s^2 + sd^2), c_in = 1 / sqrt(s^2 + sd^2),
    c_noise = log(s) / 4.

    Raises:
      ValueError: unless sigma_data is positive and finite.

    Example:
      >>> from diffjax.process import prediction, schedules
      >>> scales = prediction.edm_preconditioning(sigma_data=0.5)(schedules.edm()(0.5))
      >>> round(float(scales.c_skip), 6), round(float(scales.c_in), 6)
      (0.5, 1.414214)
    """
    checks.positive("sigma_data", sigma_data)

    def scales(level):
        xp = namespace(level.sigma, level.alpha)
        sigma = level.sigma / level.alpha
        total = xp.sqrt(sigma**2 + sigma_data**2)
        return Scales(sigma_data**2 / total**2, sigma * sigma_data / total, 1 / total, xp.log(sigma) / 4)

    return scales


@checked
def consistency_preconditioning(sigma_data: float = 0.5, sigma_min: float = 0.002) -> Preconditioning:
    """Return level -> Scales of a consistency function: EDM's, shifted so that D(y, sigma_min) = y.

    c_skip = sd^2 / ((s - e)^2 + sd^2), c_out = (s - e) sd / sqrt(s^2 + sd^2), e = sigma_min, and c_in and
    c_noise of `edm_preconditioning` (Song et al. 2023, app. C).

    Raises:
      ValueError: unless sigma_data and sigma_min are positive and finite.

    Example:
      >>> from diffjax.process import prediction, schedules
      >>> scales = prediction.consistency_preconditioning(0.5, sigma_min=0.002)(schedules.edm()(0.002))
      >>> float(scales.c_skip), float(scales.c_out)
      (1.0, 0.0)
    """
    checks.positive("sigma_min", sigma_min)
    edm = edm_preconditioning(sigma_data)

    def scales(level):
        _, _, c_in, c_noise = edm(level)
        beyond = level.sigma / level.alpha - sigma_min
        return Scales(sigma_data**2 / (beyond**2 + sigma_data**2), beyond * sigma_data * c_in, c_in, c_noise)

    return scales


@checked
def vp_preconditioning(schedule: Schedule, num_steps: int = 1000) -> Preconditioning:
    """Return level -> Scales of a network that predicts eps on a VP schedule: F = -(D - y) / s.

    c_skip = 1, c_out = -s, c_in = 1 / sqrt(s^2 + 1), c_noise = (num_steps - 1) t with t the schedule's time.

    Args:
      schedule: the continuous schedule the network was trained on, e.g. `schedules.vp_linear()`.
      num_steps: M; the network's times run from 0 to M - 1.

    Raises:
      ValueError: for a chain, or num_steps below 1.

    Example:
      >>> from diffjax.process import prediction, schedules
      >>> schedule = schedules.vp_linear()
      >>> round(float(prediction.vp_preconditioning(schedule)(schedule(0.5)).c_noise), 4)
      499.5
    """
    checks.count("num_steps", num_steps)
    checks.continuous_time("vp_preconditioning", schedule)
    return _of_eps(lambda s: (num_steps - 1) * schedule.inv_sigma(s))


@checked
def iddpm_preconditioning(chain: Chain) -> Preconditioning:
    """Return level -> Scales of a network that predicts eps on a chain, which knows whole steps only.

    As `vp_preconditioning`, with c_noise = n - 1 for the step n >= 1 of the nearest sigma / alpha. A sampler
    should stay on the chain's own levels: `chain(chain.round_sigma(s))`.

    Args:
      chain: e.g. `schedules.cosine_beta(1000)`.

    Example:
      >>> from diffjax.process import prediction, schedules
      >>> chain = schedules.cosine_beta(1000)
      >>> int(prediction.iddpm_preconditioning(chain)(chain(300)).c_noise)
      299
    """
    return _of_eps(lambda s: namespace(s).maximum(chain.round_sigma(s), 1) - 1)


def _of_eps(c_noise):
    def scales(level):
        xp = namespace(level.sigma, level.alpha)
        sigma = level.sigma / level.alpha
        return Scales(xp.ones_like(sigma), -sigma, 1 / xp.sqrt(sigma**2 + 1), c_noise(sigma))

    return scales


@checked
def trigflow_preconditioning(sigma_data: float = 0.5) -> Preconditioning:
    """Return level -> Scales of TrigFlow: D = cos(t) x - sin(t) sd F(x / sd, t), sd tan t = s, x = cos(t) y.

    Lu & Song 2024, sec. 3: EDM's with another sign of F, which is the velocity dx / dt over sd, and another
    time, from 0 to pi / 2.

    Raises:
      ValueError: unless sigma_data is positive and finite.

    Example:
      >>> from diffjax.process import prediction, schedules
      >>> scales = prediction.trigflow_preconditioning(sigma_data=0.5)(schedules.edm()(0.5))
      >>> round(float(scales.c_noise), 6)  # pi / 4
      0.785398
    """
    edm = edm_preconditioning(sigma_data)

    def scales(level):
        xp, like = namespace(level.sigma, level.alpha), edm(level)
        ratio = level.sigma / level.alpha / sigma_data
        return like._replace(c_out=-like.c_out, c_noise=xp.arctan(ratio))

    return scales


@checked
def ve_preconditioning() -> Preconditioning:
    """Return level -> Scales of a network of the score times s: c_skip = 1, c_out = s, c_in = 1.

    c_noise = log(s / 2) (Song et al. 2021's NCSN++).

    Example:
      >>> from diffjax.process import prediction, schedules
      >>> round(float(prediction.ve_preconditioning()(schedules.ve(0.01, 100.0)(1.0)).c_out), 6)
      100.0
    """

    def scales(level):
        xp = namespace(level.sigma, level.alpha)
        sigma = level.sigma / level.alpha
        return Scales(xp.ones_like(sigma), sigma, xp.ones_like(sigma), xp.log(0.5 * sigma))

    return scales


@checked
def target(
    x0: Float[Array, "batch *shape"], eps: Float[Array, "batch *shape"], level: NoiseLevel, scales: Scales
) -> Float[Array, "batch *shape"]:
    """Return what F should output: (x_0 - c_skip y) / c_out, y = x_0 + s eps (Karras et al. 2022, eq. 8).

    Args:
      x0, eps: `[B, ...]`.
      level: NoiseLevel with sigma > 0, scalars or `[B]`.
      scales: Scales of this level.
    """
    of_data = (1 - scales.c_skip) / scales.c_out
    of_noise = scales.c_skip / scales.c_out * (level.sigma / level.alpha)
    return expand(of_data, x0) * x0 - expand(of_noise, x0) * eps

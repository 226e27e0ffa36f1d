"""Guidance at some noise levels only."""

import numpy as np

from diffjax.border import checked
from diffjax.guidance import strength
from diffjax.guidance.chain import Transformation
from diffjax.process.level import NoiseLevel, Schedule, namespace
from diffjax.process.prediction import Denoiser, returning_prediction
from diffjax.types import Extended

_ROUNDING = (
    1e-5  # of a log SNR in float32, so that an edge on a grid's level is the same with and without jit
)


@checked
def interval(
    guide: Transformation, lo: Extended = 0.0, hi: Extended = np.inf, *, schedule: Schedule | None = None
) -> Transformation:
    """Guide where lo <= sigma / alpha <= hi and nowhere else (Kynkaanniemi et al. 2024).

    Outside, the guide is not run: a step there costs the unguided network call alone. Nothing need be said to
    the solver, and a step of two calls across an edge pays for each what it asks.

    Args:
      guide: any Transformation.
      lo, hi: noise levels sigma / alpha, which is EDM's sigma; at a log SNR l it is exp(-l / 2).
      schedule: to check the interval against, or None.

    Raises:
      ValueError: unless 0 <= lo < hi, or for an interval in which the schedule has no level.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance
      >>> from diffjax.process import schedules
      >>> two = exact.gaussian_mixture([1.0, 1.0], [[-1.0], [1.0]], [0.0, 0.0])
      >>> guide = guidance.interval(guidance.classifier_free(3.0, null=-1), 0.2, 2.0)(two.denoiser())
      >>> at = lambda sigma: guide(jnp.zeros((1, 1)), schedules.edm()(sigma), jnp.array([1])).x0.tolist()
      >>> at(1.0), at(5.0)
      ([[3.0]], [[1.0]])
    """
    if not 0 <= lo < hi:
        raise ValueError(f"interval needs 0 <= lo < hi, got lo = {lo:g} and hi = {hi:g}")
    if schedule is not None:
        least, most = (_ratio(schedule(np.float64(t))) for t in ends(schedule))
        if hi < least or lo > most:
            raise ValueError(
                f"interval [lo, hi] = [{lo:g}, {hi:g}] must meet the schedule's sigma / alpha, "
                f"{least:g} to {most:g}"
            )
    with np.errstate(divide="ignore"):
        most_snr, least_snr = (float(-2 * np.log(np.float64(each))) for each in (lo, hi))

    @checked
    def transform(denoise: Denoiser) -> Denoiser:
        guided, plain = guide(denoise), returning_prediction(denoise)

        def within(x_t, level, cond=None):
            log_snr = namespace(level.log_snr).asarray(level.log_snr)
            inside = (log_snr <= most_snr + _ROUNDING) & (log_snr >= least_snr - _ROUNDING)
            return strength.choose(inside, guided, plain)(x_t, level, cond)

        return within

    return transform


def ends(schedule: Schedule) -> tuple[float, float]:
    """Return the times of the least and the most noise: a chain's step 0 has none."""
    return (1 if schedule.num_steps else schedule.t_min), schedule.t_max


def _ratio(level: NoiseLevel) -> float:
    """Return sigma / alpha, infinite where there is no signal."""
    return float(np.exp(-np.asarray(level.log_snr, np.float64) / 2))

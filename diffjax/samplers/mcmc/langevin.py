"""The Langevin corrector, with its step set by a signal-to-noise ratio."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffjax.process import checks, prediction
from diffjax.process.level import Array, NoiseLevel, expand, part
from diffjax.samplers.solver import Solver, no_memory, one_value


class _Row(NamedTuple):
    level: NoiseLevel
    share: Array


@one_value
def langevin(snr=0.16, norm="sample", steps=1):
    """Stay at the level: x <- x + h g + sqrt(2 h) z, h = 2 a (snr |z| / |g|)^2, g the score.

    Song et al. 2021, Alg. 4 and 5. a = (alpha_t / alpha_s)^2 of the step that follows: 1 - beta on a chain,
    1 where variance explodes. The corrector of `predictor_corrector`; walked alone it moves to the next level
    without a predictor ("corrector only"), so it ends at the last level but one, not on data.

    |z| / |g| must be about its mean for the marginal to stay: true of images, not of points in a few
    dimensions, where a single |g| is near 0 at times. There take norm="batch".

    Args:
      snr: the papers' r, positive and finite.
      norm: "sample" (each its own norms: an image depends on its own key alone) or "batch" (norms averaged
        over the batch, as score_sde has it).
      steps: Langevin steps a level, one network call each.

    Raises:
      ValueError: for another norm, or an snr or steps that are not positive.
    """
    if norm not in _NORMS:
        raise ValueError(f"norm must be one of {', '.join(_NORMS)}; got {norm!r}")
    checks.positive("snr", snr)
    steps = checks.count("steps", steps)

    def step(noise, denoise, x, row, cond, state):
        def once(d, x):
            z, grad = noise(d), prediction.score(denoise(x, row.level, cond), row.level)
            h = 2 * expand(row.share, x) * (snr * _NORMS[norm](z) / _NORMS[norm](grad)) ** 2
            return x + h * grad + jnp.sqrt(2 * h) * z

        return jax.lax.fori_loop(0, steps, once, x), state

    return Solver(no_memory, plan, step, nfe=steps, draws=steps)


def plan(schedule, times):
    """Plan the levels of a corrector and its share a = (alpha_t / alpha_s)^2 of the step size."""
    levels = schedule(times)
    below, above = part(levels, slice(1, None)), part(levels, slice(-1))
    if (above.sigma == 0).any():
        raise ValueError("a Langevin corrector needs noise: the score is infinite at sigma = 0")
    return _Row(above, (above.alpha / below.alpha) ** 2)


def _norm(x):
    return jnp.sqrt(jnp.sum(x**2, range(1, x.ndim), keepdims=True))


_NORMS = {"sample": _norm, "batch": lambda x: _norm(x).mean(0, keepdims=True)}

"""The Langevin corrector, with its step set by a signal-to-noise ratio."""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from diffjax.process import checks, prediction
from diffjax.process.level import Array, NoiseLevel, Schedule, expand, neighbours
from diffjax.samplers.solver import Solver, no_memory, one_value

_WIDEST = 4  # times |x|^2 / D, of D / |g|^2: |x| |g| is D on average, whatever the law


class _Row(NamedTuple):
    level: NoiseLevel
    share: Array


@one_value
def langevin(snr: float = 0.16, norm: Literal["sample", "batch"] = "sample", steps: int = 1) -> Solver:
    """Stay at the level: x <- x + h g + sqrt(2 h) z, h = 2 a (snr |z| / |g|)^2, g the score.

    Song et al. 2021, Alg. 4 and 5. a = (alpha_t / alpha_s)^2 of the step that follows: 1 - beta on a chain,
    1 where variance explodes. The corrector of `predictor_corrector`; walked alone it moves to the next level
    without a predictor ("corrector only"), so it ends at the last level but one, not on data.

    With norm="batch" both norms are means over the batch, as score_sde has it. With norm="sample" an image
    depends on its own key alone: h = 2 a snr^2 min(D / |g|^2, 4 |x|^2 / D). A step that depends on x moves
    the marginal, unless grad h is added to the drift: 2 h x / |x|^2 where |x| bounds the step, and elsewhere
    2 h g / (|x| |g|), which is exact for a Gaussian's score. Where the score is 0, so is the step.

    Args:
      snr: the papers' r, positive and finite.
      norm: whose norms set the step.
      steps: Langevin steps a level, one network call each.

    Raises:
      ValueError: for an snr or steps that are not positive.

    Example:
      >>> from diffjax import samplers
      >>> samplers.predictor_corrector(samplers.reverse_diffusion(), samplers.langevin()).draws
      2
    """
    checks.positive("snr", snr)
    steps, move = checks.count("steps", steps), _MOVES[norm]

    def step(noise, denoise, x, row, cond, state):
        def once(d, x):
            grad = prediction.score(denoise(x, row.level, cond), row.level)
            return move(x, grad, noise(d), 2 * snr**2 * expand(row.share, x))

        return jax.lax.fori_loop(0, steps, once, x), state

    return Solver(no_memory, plan, step, nfe=steps, draws=steps)


def plan(schedule: Schedule, times: Array) -> _Row:
    """Plan the levels of a corrector and its share a = (alpha_t / alpha_s)^2 of the step size."""
    levels = schedule(times)
    below, above = neighbours(levels)
    if (above.sigma == 0).any():
        raise ValueError("a Langevin corrector needs noise: the score is infinite at sigma = 0")
    return _Row(above, (above.alpha / below.alpha) ** 2)


def _move_each(x, grad, z, scale):
    """Return x after a step of each sample's own length."""
    dim = math.prod(x.shape[1:])
    square, slope = _square(x), _square(grad)
    free, bound = dim / jnp.where(slope > 0, slope, 1), _WIDEST * square / dim
    h = jnp.where(slope > 0, scale * jnp.minimum(free, bound), 0)
    toward = jnp.where(free < bound, 1 / jnp.sqrt(jnp.where(slope > 0, square * slope, 1)), 0)
    away = jnp.where(free < bound, 0, 1 / jnp.where(square > 0, square, 1))
    return x + h * ((1 + 2 * toward) * grad + 2 * away * x) + jnp.sqrt(2 * h) * z


def _move_all(x, grad, z, scale):
    """Return x after a step of one length for the batch."""
    of_noise, of_score = (jnp.sqrt(_square(a)).mean(0, keepdims=True) for a in (z, grad))
    h = jnp.where(of_score > 0, scale * (of_noise / jnp.where(of_score > 0, of_score, 1)) ** 2, 0)
    return x + h * grad + jnp.sqrt(2 * h) * z


def _square(x):
    return jnp.sum(x**2, range(1, x.ndim), keepdims=True)


_MOVES = {"sample": _move_each, "batch": _move_all}

"""Which levels consistency models are trained at: how many there are by now, and which pair is drawn.

Numbers of levels are functions of the step k of K that may be traced, so that a run compiles once.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import ndtri

from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.level import namespace
from diffjax.types import Array, ArrayLike, Float, Key

Count = Callable[[ArrayLike], ArrayLike]  # steps made so far -> N, the number of levels


@checked
def fixed(num_levels: int = 18) -> Count:
    """Return N of consistency distillation, always the same.

    Example:
      >>> from diffjax.objectives import consistency_steps
      >>> int(consistency_steps.fixed(40)(123))
      40
    """
    checks.count("num_levels", num_levels, least=2)
    return lambda step: namespace(step).asarray(num_levels)


@checked
def progressive(num_steps: int, s0: int = 2, s1: int = 150) -> Count:
    """Return N(k) = ceil(sqrt(k / K ((s1 + 1)^2 - s0^2) + s0^2) - 1) + 1 (Song et al. 2023, app. C).

    Args:
      num_steps: K, of the whole run.
      s0, s1: levels at its begin and its end.

    Example:
      >>> from diffjax.objectives import consistency_steps
      >>> number = consistency_steps.progressive(800_000)
      >>> [int(number(k)) for k in (0, 200_000, 400_000, 800_000)]
      [2, 76, 107, 151]
    """
    checks.count("num_steps", num_steps)
    _range(s0, s1)

    def number(step):
        xp = namespace(step)
        share = xp.minimum(step / num_steps, 1.0)
        return (xp.ceil(xp.sqrt(share * ((s1 + 1) ** 2 - s0**2) + s0**2) - 1) + 1).astype(int)

    return number


@checked
def doubling(num_steps: int, s0: int = 10, s1: int = 1280) -> Count:
    """Return N(k) = min(s0 2^floor(k / K'), s1) + 1, K' = floor(K / (log2(s1 / s0) + 1)).

    Song & Dhariwal 2023 (iCT), eq. 10. Arguments as of `progressive`.

    Example:
      >>> from diffjax.objectives import consistency_steps
      >>> number = consistency_steps.doubling(800)
      >>> [int(number(k)) for k in (0, 99, 100, 799)]
      [11, 11, 21, 1281]
    """
    checks.count("num_steps", num_steps)
    _range(s0, s1)
    each = max(math.floor(num_steps / (math.log2(s1 / s0) + 1)), 1)

    def number(step):
        xp = namespace(step)
        return (xp.minimum(s0 * 2.0 ** xp.floor(step / each), s1) + 1).astype(int)

    return number


@checked
def target_rate(num_levels: ArrayLike, mu0: float = 0.9, s0: int = 2) -> ArrayLike:
    """Return mu(k) = exp(s0 log(mu0) / (N(k) - 1)), the decay of the target (Song et al. 2023, app. C).

    Args:
      num_levels: N(k), of `progressive`.
      mu0: the rate at the begin, in (0, 1).
      s0: of N(k).

    Example:
      >>> from diffjax.objectives import consistency_steps
      >>> round(float(consistency_steps.target_rate(3, mu0=0.9)), 6)
      0.9
    """
    if not 0 < mu0 <= 1:
        raise ValueError(f"mu0 must be in (0, 1], got {mu0}")
    _several(num_levels)
    return namespace(num_levels).exp(s0 * math.log(mu0) / (num_levels - 1))


@checked
def discrete_consistency_grid(
    num_levels: ArrayLike,
    index: ArrayLike | None = None,
    *,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
) -> Float[Array, "..."]:
    """Return t_i = (e^(1/rho) + i / (N - 1) (T^(1/rho) - e^(1/rho)))^rho, i = 0..N - 1, increasing.

    Song et al. 2023, sec. 3: e = sigma_min, T = sigma_max. In units of sigma / alpha.

    Args:
      num_levels: N, which may be traced if the indices are given.
      index: which of them, in any shape; None for all.
      sigma_min, sigma_max: the ends, 0 < sigma_min < sigma_max.
      rho: exponent, positive.

    Example:
      >>> from diffjax import objectives
      >>> objectives.discrete_consistency_grid(3, sigma_min=1.0, sigma_max=9.0, rho=2.0).tolist()
      [1.0, 4.0, 9.0]
    """
    _ladder(sigma_min, sigma_max, rho)
    _several(num_levels)
    if index is None:
        index = np.arange(checks.count("num_levels", num_levels, least=2))
    elif not jnp.issubdtype(jnp.result_type(index), jnp.integer):
        raise ValueError(f"index must be of integers, got {jnp.result_type(index)}")
    elif not isinstance(index, Tracer) and not isinstance(num_levels, Tracer):
        checks.within("index", index, 0, num_levels - 1)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return (low + index / (num_levels - 1) * (high - low)) ** rho


@checked
def uniform_pairs(key: Key[Array, ""], n: int, num_levels: ArrayLike) -> Array:
    """Draw i uniform in 0..N - 2, `[n]`: of the pair t_i < t_(i + 1).

    Example:
      >>> import jax
      >>> from diffjax.objectives import consistency_steps
      >>> consistency_steps.uniform_pairs(jax.random.key(0), 4, 2).tolist()
      [0, 0, 0, 0]
    """
    _several(num_levels)
    return jax.random.randint(key, (checks.count("n", n),), 0, num_levels - 1)


@checked
def log_normal_pairs(
    key: Key[Array, ""],
    n: int,
    num_levels: ArrayLike,
    mean: float = -1.1,
    std: float = 2.0,
    *,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
) -> Array:
    """Draw i with p(i) ~ erf((log t_(i+1) - m) / sqrt(2) s) - erf((log t_i - m) / sqrt(2) s), `[n]`.

    Song & Dhariwal 2023 (iCT), eq. 9: the interval in which a log-normal level between the ends lies.

    Args:
      key: consumed.
      n: how many.
      num_levels: N, may be traced.
      mean, std: of log t.
      sigma_min, sigma_max, rho: of `discrete_consistency_grid`.

    Example:
      >>> import jax
      >>> from diffjax.objectives import consistency_steps
      >>> consistency_steps.log_normal_pairs(jax.random.key(0), 4, 2).tolist()
      [0, 0, 0, 0]
    """
    checks.positive("std", std)
    _ladder(sigma_min, sigma_max, rho)
    _several(num_levels)
    below = lambda end: 0.5 * (1 + math.erf((math.log(end) - mean) / (math.sqrt(2) * std)))
    low, high = below(sigma_min), below(sigma_max)
    u = jax.random.uniform(key, (checks.count("n", n),), minval=low, maxval=high)
    t = jnp.exp(mean + std * ndtri(u))
    ends = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    place = (t ** (1 / rho) - ends[0]) / (ends[1] - ends[0]) * (num_levels - 1)
    return jnp.clip(jnp.floor(place).astype(int), 0, num_levels - 2)


@checked
def closing_pairs(
    t: Float[Array, " n"], step: ArrayLike, doubled_every: int, q: float = 2.0, k: float = 8.0, b: float = 1.0
) -> Array:
    """Return r < t of consistency tuning, whose ratio r / t closes in on 1 as training goes on.

    r / t = 1 - n(t) / q^a, n(t) = 1 + k sigmoid(-b t), a = floor(step / doubled_every) + 1 (Geng et al. 2024,
    ECT, sec. 3.3): at first r = 0 for most t, which is the loss of a denoiser.

    Args:
      t: `[n]` levels.
      step: steps made so far.
      doubled_every: steps after which the gap shrinks by q.
      q, k, b: of the paper.

    Returns:
      r `[n]`, at least 0.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import consistency_steps
      >>> consistency_steps.closing_pairs(jnp.array([1.0]), 20, 10, k=0.0).tolist()  # 1 - 1 / 2^3
      [0.875]
    """
    checks.count("doubled_every", doubled_every)
    checks.within("step", step, 0, math.inf)
    checks.not_negative("k", k)
    checks.not_negative("b", b)
    if not 1 < q < math.inf:
        raise ValueError(f"q must be above 1 and finite, got {q}")
    stage = jnp.floor(jnp.asarray(step) / doubled_every) + 1
    ratio = 1 - (1 + k * jax.nn.sigmoid(-b * t)) / q**stage
    return t * jnp.maximum(ratio, 0)


def _several(num_levels):
    if not isinstance(num_levels, Tracer):
        checks.count("num_levels", np.min(num_levels), least=2)


def _ladder(sigma_min, sigma_max, rho):
    checks.positive("rho", rho)
    checks.sigmas("a grid of levels", sigma_min, sigma_max)


def _range(s0, s1):
    checks.count("s0", s0, least=1)
    if checks.count("s1", s1) < s0:
        raise ValueError(f"s1 must be at least s0 = {s0}, got {s1}")

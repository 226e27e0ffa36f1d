"""Discrete chains over n = 0..T: n = 0 is clean data, n = T noise.

Most preserve variance and are given by their betas (Ho et al. 2020); `geometric` adds noise to unscaled
data (Song & Ermon 2019). numpy times give float64 numpy levels; a jax array or tracer gives jnp levels.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.process import checks, forward
from diffjax.process.continuous import Continuous
from diffjax.process.level import NoiseLevel, host_times, namespace
from diffjax.types import Array, ArrayLike, Float, Int, Key


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """A Markov chain over n = 0..T, a `Schedule`; make one with `from_betas` or `geometric`.

    Attributes:
      betas: `[T]` float64, betas[n - 1] is the variance that step n adds.
      alpha, sigma, log_snr: `[T + 1]` float64 tables over n = 0..T.
      scale: sigma / alpha -> alpha, and its derivative: what is kept between the steps.
      prior_std: standard deviation of x_T when the data are forgotten.
    """

    betas: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray
    log_snr: np.ndarray
    scale: Callable
    prior_std: float = 1.0

    t_min = 0

    def __repr__(self) -> str:
        return f"Chain(num_steps={self.num_steps}, betas={self.betas[0]:.3g}..{self.betas[-1]:.3g})"

    @property
    def num_steps(self) -> int:
        """T, the number of noising steps."""
        return len(self.betas)

    @property
    def t_max(self) -> int:
        """T, the noisiest time."""
        return self.num_steps

    def __call__(self, t: ArrayLike | Sequence[float]) -> NoiseLevel:
        """Return the level at time n in 0..T; fractional times are rounded to the nearest step.

        Raises:
          ValueError: for times outside [0, T] that are known on the host.
        """
        t = host_times(t, 0, self.num_steps)
        xp = namespace(t)
        index = xp.clip(xp.rint(xp.asarray(t)), 0, self.num_steps).astype(int)
        table = (lambda a: jnp.asarray(a)[index]) if xp is jnp else (lambda a: a[index])
        alpha = table(self.alpha)
        return NoiseLevel(index.astype(alpha.dtype), alpha, table(self.sigma), table(self.log_snr))

    def step_before(self, level: NoiseLevel) -> NoiseLevel:
        """Return the level one step below, for kind "mean" and the terms of the bound."""
        return self(level.t - 1)

    def draw(self, key: Key[Array, ""], n: int) -> Int[Array, " n"]:
        """Return n uniform times of 1..T."""
        return jax.random.randint(key, (n,), 1, self.num_steps + 1)

    def spread(self, u: Float[Array, " n"]) -> Int[Array, " n"]:
        """Return the times ceil(T u) of uniform numbers u in [0, 1)."""
        return jnp.clip(jnp.ceil(self.num_steps * u), 1, self.num_steps).astype(int)

    def floor(self, times: ArrayLike | Sequence[float] | None = None) -> ArrayLike:
        """Log posterior variance of the grid's second step (default: every step), see `forward.floor`."""
        return forward.floor(self, np.arange(self.num_steps, -1, -1) if times is None else times)

    def inv_sigma(self, ratio: ArrayLike) -> ArrayLike:
        """Return the fractional time n at which sigma / alpha equals `ratio`."""
        return self.continuous().inv_sigma(ratio)

    def inv_log_snr(self, log_snr: ArrayLike) -> ArrayLike:
        """Return the fractional time n of this log SNR."""
        return self.continuous().inv_log_snr(log_snr)

    def at_ratio(self, ratio: ArrayLike) -> NoiseLevel:
        """Return the level of the step nearest to the time of this sigma / alpha."""
        return self(self.inv_sigma(ratio))

    def round_sigma(self, ratio: ArrayLike) -> ArrayLike:
        """Return the integer time n in 0..T of the nearest sigma / alpha (Karras et al. 2022, app. C.3.4)."""
        return _nearest(namespace(ratio).asarray(ratio), self._ratios, first=0)

    def round_log_sigma(self, ratio: ArrayLike) -> ArrayLike:
        """Return the integer time n in 1..T of the nearest log(sigma / alpha) (k-diffusion's quantize)."""
        with np.errstate(divide="ignore"):
            return _nearest(namespace(ratio).log(ratio), np.log(self._ratios[1:]), first=1)

    @property
    def _ratios(self):
        """sigma / alpha of every step, `[T + 1]`."""
        with np.errstate(divide="ignore"):
            return self.sigma / self.alpha

    def continuous(self) -> Continuous:
        """Return the same process on real times [0, T]: log(sigma/alpha) linear between the steps.

        Below n = 1, where that logarithm has no end, sigma/alpha itself is linear down to 0.

        Raises:
          ValueError: on zero terminal SNR, where log(sigma/alpha) of the last step is infinite.
        """
        if not np.isfinite(self.log_snr[-1]):
            raise ValueError("a chain of zero terminal SNR has no continuous form: its last log SNR is -inf")
        nodes, logs = np.arange(1.0, self.num_steps + 1), -0.5 * self.log_snr[1:]
        slopes = np.diff(logs) if self.num_steps > 1 else np.ones(1)

        def level(t):
            xp = namespace(t)
            knots = xp.asarray(nodes), xp.asarray(logs), xp.asarray(slopes)
            piece = xp.clip(xp.floor(t).astype(int) - 1, 0, len(slopes) - 1)
            log_ratio = xp.interp(t, knots[0], knots[1])
            first = float(np.exp(logs[0]))
            below = t < 1
            ratio = xp.where(below, first * t, xp.exp(log_ratio))
            d_ratio = xp.where(below, first, ratio * knots[2][piece])
            alpha, slope = self.scale(ratio)
            log_snr = -2 * xp.where(below, xp.log(first * t), log_ratio)
            d_sigma = (alpha + ratio * slope) * d_ratio
            return NoiseLevel(t, alpha, alpha * ratio, log_snr, slope * d_ratio, d_sigma)

        def inv_sigma(ratio):
            xp = namespace(ratio)
            first = float(np.exp(logs[0]))
            return xp.where(
                ratio < first,
                ratio / first,
                xp.interp(xp.log(xp.maximum(ratio, first)), xp.asarray(logs), xp.asarray(nodes)),
            )

        return Continuous(level, inv_sigma, t_min=1.0, t_max=float(self.num_steps), prior_std=self.prior_std)


def _nearest(value, table, first):
    """Return first + the index of the entry of an increasing table that is nearest to each value."""
    xp = namespace(value)
    middles = xp.asarray(0.5 * (table[1:] + table[:-1]))
    return first + xp.searchsorted(middles, value)


def _preserve(ratio):
    """alpha = 1 / sqrt(1 + r^2): alpha^2 + sigma^2 = 1."""
    alpha = 1 / namespace(ratio).sqrt(1 + ratio**2)
    return alpha, -(alpha**3) * ratio


def _explode(ratio):
    """alpha = 1 at every level."""
    xp = namespace(ratio)
    return xp.ones_like(ratio), xp.zeros_like(ratio)


@checked
def from_betas(betas: ArrayLike | Sequence[Any]) -> Chain:
    """Return the variance-preserving chain of betas, alpha^2 = prod (1 - beta) (Ho et al. 2020, eq. 4).

    Args:
      betas: `[T]`, each in (0, 1]; a last beta of 1 gives zero terminal SNR.

    Raises:
      ValueError: if the shape or the range is wrong.

    Example:
      >>> from diffjax.process import schedules
      >>> chain = schedules.from_betas([0.19, 0.36])
      >>> [round(float(a), 3) for a in chain.alpha]
      [1.0, 0.9, 0.72]
    """
    beta = checks.numbers("betas", betas).copy()
    if beta.ndim != 1 or len(beta) == 0:
        raise ValueError(f"betas must be a non-empty 1-D array, got shape {list(beta.shape)}")
    bad = ~((beta > 0) & (beta <= 1))
    if bad.any():
        raise ValueError(f"betas must be in (0, 1], got betas[{bad.argmax()}] = {beta[bad][0]:g}")
    if (beta[:-1] == 1).any():
        raise ValueError(f"only the last beta may be 1, got betas[{(beta == 1).argmax()}] = 1")
    with np.errstate(divide="ignore"):
        log_alpha2 = np.concatenate([[0.0], np.cumsum(np.log1p(-beta))])
        sigma2 = -np.expm1(log_alpha2)
        log_snr = log_alpha2 - np.log(sigma2)
    alpha, sigma = np.exp(0.5 * log_alpha2), np.sqrt(np.abs(sigma2))
    return _chain(beta, alpha, sigma, log_snr, _preserve, prior_std=1.0)


@checked
def geometric(sigma_max: float = 50.0, sigma_min: float = 0.01, num_levels: int = 1000) -> Chain:
    """Return the noise levels of Song & Ermon 2019: alpha = 1, sigma a geometric sequence.

    A chain as every other: n = 0 is clean data, n = 1 has sigma_min, n = T = num_levels has sigma_max, and
    step n adds variance sigma_n^2 - sigma_{n-1}^2. The papers count the same levels downwards: their
    sigma_i, i = 1..L, is `sigma[T + 1 - i]`, and `sigma[:0:-1]` is their whole descending sequence.

    Raises:
      ValueError: unless 0 < sigma_min < sigma_max and num_levels is an integer of at least 2.

    Example:
      >>> from diffjax.process import schedules
      >>> [round(float(s), 2) for s in schedules.geometric(10.0, 0.1, 3).sigma]
      [0.0, 0.1, 1.0, 10.0]
    """
    checks.sigmas("geometric", sigma_min, sigma_max)
    if checks.count("num_levels", num_levels) < 2:
        raise ValueError("geometric needs num_levels of at least 2, got 1")
    log_sigma = np.linspace(np.log(sigma_min), np.log(sigma_max), num_levels)
    sigma = np.concatenate([[0.0], np.exp(log_sigma)])
    # sigma_n^2 - sigma_{n-1}^2 without the difference of two squares
    betas = -(sigma[1:] ** 2) * np.expm1(np.append(-np.inf, -2 * np.diff(log_sigma)))
    log_snr = np.concatenate([[np.inf], -2 * log_sigma])
    return _chain(betas, np.ones_like(sigma), sigma, log_snr, _explode, prior_std=float(sigma_max))


def _chain(betas, alpha, sigma, log_snr, scale, prior_std):
    for table in (betas, alpha, sigma, log_snr):
        table.flags.writeable = False
    return Chain(betas, alpha, sigma, log_snr, scale, prior_std)


@checked
def linear_beta(num_steps: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Chain:
    """Return the chain of Ho et al. 2020: betas linear from `beta_start` to `beta_end`.

    The ends are taken as given: for T other than 1000, guided-diffusion scales both by 1000 / T. A short
    chain of the default ends does not end in noise: at T = 100 alpha is still 0.6.

    Example:
      >>> from diffjax.process import schedules
      >>> [round(float(schedules.linear_beta(steps).alpha[-1]), 4) for steps in (100, 1000)]
      [0.603, 0.0064]
    """
    return from_betas(np.linspace(*_ends(beta_start, beta_end), _steps(num_steps)))


@checked
def scaled_linear(num_steps: int, beta_start: float = 0.00085, beta_end: float = 0.012) -> Chain:
    """Return the chain of latent diffusion (Rombach et al. 2022): sqrt(beta) linear.

    Example:
      >>> from diffjax.process import schedules
      >>> [round(float(b), 6) for b in schedules.scaled_linear(1000).betas[[0, -1]]]
      [0.00085, 0.012]
    """
    low, high = _ends(beta_start, beta_end)
    return from_betas(np.linspace(low**0.5, high**0.5, _steps(num_steps)) ** 2)


@checked
def cosine_beta(num_steps: int, max_beta: float = 0.999, s: float = 0.008) -> Chain:
    """Return the chain of Nichol & Dhariwal 2021, eq. 17: alpha^2 = f(n/T) / f(0), f = cos^2.

    Args:
      num_steps: T.
      max_beta: where betas are clipped, in (0, 1).
      s: offset that keeps the first betas from being too small, at least 0.

    Raises:
      ValueError: for a number out of range.

    Example:
      >>> from diffjax.process import schedules
      >>> round(float(schedules.cosine_beta(1000).alpha[500]), 4)
      0.7027
    """
    checks.not_negative("s", s)
    if not 0 < max_beta < 1:
        raise ValueError(f"max_beta must be in (0, 1), got {max_beta!r}")
    u = np.arange(_steps(num_steps) + 1) / num_steps
    alpha2 = np.cos((u + s) / (1 + s) * np.pi / 2) ** 2
    return from_betas(np.minimum(1 - alpha2[1:] / alpha2[:-1], max_beta))


@checked
def sigmoid_beta(
    num_steps: int, beta_start: float = 1e-4, beta_end: float = 0.02, reach: float = 6.0
) -> Chain:
    """Return the chain with betas on a sigmoid over [-reach, reach] (Xu et al. 2022, GeoDiff; diffusers).

    Example:
      >>> from diffjax.process import schedules
      >>> round(float(schedules.sigmoid_beta(3).betas[1]), 5)
      0.01005
    """
    checks.positive("reach", reach)
    low, high = _ends(beta_start, beta_end)
    u = np.linspace(-reach, reach, _steps(num_steps))
    return from_betas(low + (high - low) / (1 + np.exp(-u)))


@checked
def zero_terminal_snr(schedule: Chain) -> Chain:
    """Shift and scale alpha of a chain so that the last step is pure noise (Lin et al. 2023, Alg. 1).

    There a network must predict v or x_0: eps says nothing of x_0 where alpha = 0.

    Raises:
      ValueError: for a chain of one step, or one whose alpha is constant.

    Example:
      >>> from diffjax.process import schedules
      >>> chain = schedules.zero_terminal_snr(schedules.linear_beta(100))
      >>> float(chain.alpha[-1]), float(chain.log_snr[-1])
      (0.0, -inf)
    """
    if schedule.num_steps < 2:
        raise ValueError("zero_terminal_snr needs a chain of at least 2 steps, got 1")
    alpha = schedule.alpha[1:]
    if alpha[0] == alpha[-1]:
        raise ValueError("zero_terminal_snr needs a chain that scales the data; this one's alpha is constant")
    alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    previous = np.concatenate([[1.0], alpha[:-1]])
    return from_betas(1 - (alpha / previous) ** 2)


def _steps(num_steps):
    return checks.count("num_steps", num_steps)


def _ends(beta_start, beta_end):
    for name, beta in (("beta_start", beta_start), ("beta_end", beta_end)):
        if not 0 < beta <= 1:
            raise ValueError(f"{name} must be in (0, 1], got {beta!r}")
    return beta_start, beta_end

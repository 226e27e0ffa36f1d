"""Schedules over real time: frozen callables `schedule(t) -> NoiseLevel` with rates.

Each is a few closed forms: alpha, sigma, log SNR and their rates, the inverse of sigma / alpha, and the
coefficients f and g^2 of its stochastic differential equation where the rates alone would give 0 / 0.
numpy times give float64 numpy levels; a jax array or tracer gives jnp levels.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.level import NoiseLevel, Schedule, host_times, namespace
from diffjax.types import Array, ArrayLike, Float, Key


@dataclasses.dataclass(frozen=True, eq=False)
class Continuous:
    """A schedule over real time, given by its level and the inverse of sigma / alpha.

    Attributes:
      level: t -> NoiseLevel with rates.
      inv_sigma: sigma / alpha -> t.
      t_min, t_max: where training and integration stay. `schedule(0)` is clean data, unless the schedule
        itself starts at a noise level above zero (`vp_linear(offset=...)`, a cut `vp_cosine`, VDM's).
      prior_std: standard deviation of x at t_max when the data are forgotten.
      t_end: largest time the level is defined at (EDM's churn may pass t_max).
      sde: t -> (f, g^2) in closed form, see `process.sde`; None takes them from the rates.
      along: "t", or "sigma": what `samplers.euler` and `samplers.heun` take straight steps in.
    """

    level: Callable
    inv_sigma: Callable
    t_min: float
    t_max: float
    prior_std: float
    t_end: float | None = None
    sde: Callable | None = None
    along: str = "t"

    num_steps = None

    def __call__(self, t: ArrayLike | Sequence[float]) -> NoiseLevel:
        """Return the level at time(s) t.

        Raises:
          ValueError: for times outside [0, t_max] (EDM: negative) that are known on the host.
        """
        t = host_times(t, 0.0, self.t_max if self.t_end is None else self.t_end)
        with np.errstate(divide="ignore"):
            return self.level(as_time(t))

    def inv_log_snr(self, log_snr: ArrayLike) -> ArrayLike:
        """Return the time of this log SNR."""
        return self.inv_sigma(namespace(log_snr).exp(-0.5 * log_snr))

    def at_ratio(self, ratio: ArrayLike) -> NoiseLevel:
        """Return the level of this sigma / alpha, which may lie beyond t_max."""
        return self.level(self.inv_sigma(ratio))

    def continuous(self) -> "Continuous":
        """Return the schedule itself."""
        return self

    def step_before(self, level: NoiseLevel) -> NoiseLevel:
        """Raise ValueError: there is no step before a real time."""
        raise ValueError("the step before a level (kind 'mean') needs a chain; this schedule is continuous")

    def draw(self, key: Key[Array, ""], n: int) -> Float[Array, " n"]:
        """Return n uniform times in [t_min, t_max], `[n]`."""
        return jax.random.uniform(key, (n,), minval=self.t_min, maxval=self.t_max)

    def spread(self, u: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the times t_min + (t_max - t_min) u of uniform numbers u in [0, 1)."""
        return self.t_min + (self.t_max - self.t_min) * u


def as_time(t: ArrayLike | Sequence[float]) -> ArrayLike:
    """Return t as a float array of its own side: float64 numpy, or jnp in the dtype of the computation."""
    return jnp.asarray(t, jnp.result_type(float, t)) if namespace(t) is jnp else np.asarray(t, np.float64)


@checked
def edm(sigma_min: float = 0.002, sigma_max: float = 80.0) -> Continuous:
    """Return the schedule of Karras et al. 2022: alpha = 1, sigma = t, t in [sigma_min, sigma_max] and 0.

    Example:
      >>> from diffjax.process import schedules
      >>> level = schedules.edm()(2.0)
      >>> float(level.alpha), float(level.sigma)
      (1.0, 2.0)
    """
    checks.sigmas("edm", sigma_min, sigma_max)

    def level(t):
        xp = namespace(t)
        one = xp.ones_like(t)
        return NoiseLevel(t, one, t, -2 * xp.log(t), xp.zeros_like(t), one)

    return Continuous(level, lambda ratio: ratio, sigma_min, sigma_max, prior_std=sigma_max, t_end=np.inf)


@checked
def ve(sigma_min: float = 0.01, sigma_max: float = 50.0) -> Continuous:
    """Return the variance-exploding schedule of Song et al. 2021, app. C: sigma = s_min (s_max / s_min)^t.

    alpha = 1, t in [1e-5, 1]; sigma(0) = 0 by the paper's convention, a jump from sigma_min. inv_sigma takes
    everything below sigma_min to t = 0. The ODE's paths are straight in sigma where all is noise and
    exponentials in t, so `euler` and `heun` step in sigma.

    Example:
      >>> from diffjax.process import schedules
      >>> round(float(schedules.ve(0.01, 100.0)(0.5).sigma), 6)
      1.0
    """
    checks.sigmas("ve", sigma_min, sigma_max)
    rate = float(np.log(sigma_max / sigma_min))

    def level(t):
        xp = namespace(t)
        log_sigma = np.log(sigma_min) + rate * t
        sigma = xp.exp(log_sigma)
        return NoiseLevel(
            t,
            xp.ones_like(t),
            xp.where(t > 0, sigma, 0),
            xp.where(t > 0, -2 * log_sigma, np.inf),
            xp.zeros_like(t),
            rate * sigma,
        )

    def inv_sigma(ratio):
        xp = namespace(ratio)
        return xp.log(xp.maximum(ratio, sigma_min) / sigma_min) / rate

    def sde(t):
        xp = namespace(t)
        return xp.zeros_like(t), 2 * rate * xp.exp(2 * (np.log(sigma_min) + rate * t))

    return Continuous(level, inv_sigma, t_min=1e-5, t_max=1.0, prior_std=sigma_max, sde=sde, along="sigma")


@checked
def vp_cosine(s: float = 0.0, log_snr_min: float = -np.inf, log_snr_max: float = np.inf) -> Continuous:
    """Return alpha = cos u, sigma = sin u with the angle u linear in t in [0, 1].

    By default u = pi t / 2: clean data at 0, zero SNR at 1 (training stays above t_min = 1e-5).
    f = -u' tan u, g^2 = 2 u' tan u; at t_max = 1, unless the range is cut there, alpha is 0, log SNR is
    -infinity, and f and g are infinite (alpha', sigma' are not).

    Args:
      s: starts at u = s / (1 + s) pi / 2, the offset of Nichol & Dhariwal 2021, eq. 17 (Imagen: 0.008).
      log_snr_min, log_snr_max: cut the angle's range to these log SNRs, log SNR = -2 log tan u (Hoogeboom et
        al. 2023, simple diffusion: -15, 15; Salimans & Ho 2022: -20, 20). The later start of the two counts.

    Raises:
      ValueError: if s is negative or the bounds are not in order.

    Example:
      >>> from diffjax.process import schedules
      >>> round(float(schedules.vp_cosine(log_snr_min=-15, log_snr_max=15)(1.0).log_snr), 6)
      -15.0
    """
    if not (0 <= s < np.inf and log_snr_min < log_snr_max):
        raise ValueError(
            "vp_cosine needs 0 <= s < inf and log_snr_min < log_snr_max, "
            f"got {s:g}, {log_snr_min:g} and {log_snr_max:g}"
        )
    first = max(s / (1 + s) * np.pi / 2, float(np.arctan(np.exp(-0.5 * log_snr_max))))
    left = float(np.arctan(np.exp(0.5 * log_snr_min)))  # pi/2 - u at t = 1
    speed = np.pi / 2 - first - left
    if speed <= 0:
        raise ValueError(f"vp_cosine starts at log SNR {-2 * np.log(np.tan(first)):g}, below {log_snr_min:g}")

    def level(t):
        xp = namespace(t)
        # both as sines, which keep their digits near 0
        alpha, sigma = xp.sin(left + speed * (1 - t)), xp.sin(first + speed * t)
        return NoiseLevel(t, alpha, sigma, 2 * (xp.log(alpha) - xp.log(sigma)), -speed * sigma, speed * alpha)

    def inv_sigma(ratio):
        xp = namespace(ratio)
        return xp.maximum(xp.arctan(ratio) - first, 0) / speed

    def sde(t):
        xp = namespace(t)
        tangent = xp.sin(first + speed * t) / xp.sin(left + speed * (1 - t))
        return -speed * tangent, 2 * speed * tangent

    t_min = 0.0 if first > 0 else 1e-5
    return Continuous(level, inv_sigma, t_min=t_min, t_max=1.0, prior_std=1.0, sde=sde)


@checked
def log_snr_linear(log_snr_max: float = 13.3, log_snr_min: float = -5.0) -> Continuous:
    """Return VDM's fixed schedule: variance preserving, log SNR linear in t in [0, 1] (Kingma et al. 2021).

    f = -sigma^2 gamma' / 2, g^2 = sigma^2 gamma' with gamma = -log SNR.

    Example:
      >>> from diffjax.process import schedules
      >>> round(float(schedules.log_snr_linear(10.0, -10.0)(0.5).log_snr), 6)
      0.0
    """
    if not -np.inf < log_snr_min < log_snr_max < np.inf:
        raise ValueError(
            "log_snr_linear needs -inf < log_snr_min < log_snr_max < inf, "
            f"got {log_snr_min:g} and {log_snr_max:g}"
        )
    rate = log_snr_max - log_snr_min

    def inv_sigma(ratio):
        xp = namespace(ratio)
        lowest = np.exp(-0.5 * log_snr_max)
        return (2 * xp.log(xp.maximum(ratio, lowest)) + log_snr_max) / rate

    return Continuous(
        lambda t: preserving(t, log_snr_max - rate * t, namespace(t).full_like(t, -rate)),
        inv_sigma, t_min=0.0, t_max=1.0, prior_std=1.0,
    )  # fmt: skip


def preserving(t: ArrayLike, log_snr: ArrayLike, d_log_snr: ArrayLike) -> NoiseLevel:
    """Return the level of alpha^2 = sigmoid(log SNR), sigma^2 = sigmoid(-log SNR) with its rates."""
    xp = namespace(t, log_snr)
    alpha, sigma = (xp.exp(-0.5 * xp.logaddexp(0, sign * log_snr)) for sign in (-1, 1))
    half = 0.5 * alpha * sigma * d_log_snr
    return NoiseLevel(t, alpha, sigma, log_snr, half * sigma, -half * alpha)


@checked
def rectified_flow() -> Continuous:
    """Return the straight path alpha = 1 - t, sigma = t, t in [0, 1] (Lipman 2023; Liu et al. 2023).

    Training stays above t_min = 1e-5, where log SNR is finite. At t_max = 1 alpha is 0, log SNR is -infinity,
    and f and g are infinite (alpha', sigma' are not).

    Example:
      >>> from diffjax.process import schedules
      >>> level = schedules.rectified_flow()(0.25)
      >>> float(level.alpha), float(level.sigma), float(level.d_alpha), float(level.d_sigma)
      (0.75, 0.25, -1.0, 1.0)
    """

    def level(t):
        xp = namespace(t)
        one = xp.ones_like(t)
        return NoiseLevel(t, 1 - t, t, 2 * (xp.log1p(-t) - xp.log(t)), -one, one)

    def inv_sigma(ratio):
        xp = namespace(ratio)
        big = ratio > 1  # each side is exact where it is used: ratio may be 0 or inf
        return xp.where(big, 1 / (1 + 1 / xp.where(big, ratio, 1)), ratio / (1 + xp.where(big, 1, ratio)))

    return Continuous(level, inv_sigma, t_min=1e-5, t_max=1.0, prior_std=1.0)


@checked
def shifted(schedule: Schedule, factor: float) -> Continuous:
    """Return the schedule with sigma / alpha multiplied by `factor` at every time.

    It visits the levels of `schedule`, at other times tau: sigma/alpha(tau) = factor sigma/alpha(t). Where
    variance is preserved this is simple diffusion's log SNR - 2 log(factor) (Hoogeboom et al. 2023); on the
    straight path it is sigma = m t / (1 + (m - 1) t) (Esser et al. 2024, eq. 23, m = factor).

    Args:
      schedule: a Continuous schedule; of a chain, its `.continuous()`.
      factor: positive; above 1 for larger images.

    Raises:
      ValueError: for a chain, a factor that is not positive, or one that asks for levels the schedule does
        not have (below the noise that a cut `vp_cosine` starts at, for example).

    Example:
      >>> from diffjax.process import schedules
      >>> round(float(schedules.shifted(schedules.rectified_flow(), 3.0)(0.5).sigma), 6)
      0.75
    """
    if not isinstance(schedule, Continuous):
        raise ValueError(f"shifted needs a continuous schedule; a chain has .continuous(); got {schedule!r}")
    if not 0 < factor < np.inf:
        raise ValueError(f"factor must be positive, got {factor:g}")

    def level(t):
        xp = namespace(t)
        with np.errstate(divide="ignore", invalid="ignore"):
            here = schedule.level(t)
            there = schedule.level(schedule.inv_sigma(factor * here.sigma / here.alpha))
            # Each of alpha, sigma is exact on its own side; the other follows from their known ratio.
            clean = there.log_snr > 0
            alpha_gain, sigma_gain = there.alpha / here.alpha, there.sigma / here.sigma
            gain = xp.where(clean, alpha_gain, sigma_gain / factor)
            # d tau / dt from the rates of sigma / alpha, W / alpha^2 with W = alpha sigma' - sigma alpha'
            speed = factor * gain**2 * _wronskian(here) / _wronskian(there)
        return NoiseLevel(
            t,
            gain * here.alpha,
            factor * gain * here.sigma,
            here.log_snr - 2 * np.log(factor),
            speed * there.d_alpha,
            speed * there.d_sigma,
        )

    moved = dataclasses.replace(
        schedule, level=level, inv_sigma=lambda ratio: schedule.inv_sigma(ratio / factor), sde=None
    )
    for end in (0.0, schedule.t_max):
        wanted = moved(end).log_snr
        if not np.isfinite(wanted):
            continue
        got = schedule.level(schedule.inv_log_snr(wanted)).log_snr
        if abs(wanted - got) > 1e-6:
            raise ValueError(f"factor {factor:g} asks for log SNR {wanted:g}; the schedule ends at {got:g}")
    # Where alpha is 1 the prior is the last sigma, and grows with it; the others' stays 1.
    with np.errstate(divide="ignore", invalid="ignore"):
        before, after = (each.level(as_time(schedule.t_max)) for each in (schedule, moved))
    gain = after.sigma / before.sigma if abs(before.alpha - 1) < 1e-9 else 1.0
    return dataclasses.replace(moved, prior_std=float(schedule.prior_std * gain))


def _wronskian(level):
    return level.alpha * level.d_sigma - level.sigma * level.d_alpha

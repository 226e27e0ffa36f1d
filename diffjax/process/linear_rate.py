"""Schedules of Song et al. 2021 whose rate beta(t) is linear: variance preserving, and sub-VP."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.process.continuous import Continuous
from diffjax.process.level import NoiseLevel, namespace


@checked
def vp_linear(beta_min: float = 0.1, beta_max: float = 20.0, offset: float = 0.0) -> Continuous:
    """Return the variance-preserving schedule of Song et al. 2021, app. C, beta(t) from beta_min to beta_max.

    alpha = e^{-B/2}, sigma^2 = 1 - e^{-B}, B(t) = offset + beta_min t + (beta_max - beta_min) t^2 / 2, with t
    in [1e-5, 1]. f = -beta / 2, g^2 = beta.

    Args:
      beta_min, beta_max: rates at t = 0 and 1. A beta_min a little below 0, as Karras et al. 2022, table 1,
        has it for sigma from 0.002 to 80, moves t_min up to where B > 0: the times between 0 and there are
        refused.
      offset: B(0), noise that is there from the start. `vp_linear(0, 20, offset=1e-4)` is the "linear"
        schedule of Imagen's open implementation.

    Example:
      >>> from diffjax.process import schedules
      >>> level = schedules.vp_linear()(0.5)
      >>> round(float(level.alpha**2 + level.sigma**2), 12)
      1.0
    """
    rate = _linear_rate("vp_linear", beta_min, beta_max, offset, lowest=-0.1)

    def level(t):
        xp = namespace(t)
        rate.refuse_gap(t)
        total, beta = rate.total(t), rate.beta(t)
        alpha, sigma2 = xp.exp(-0.5 * total), -xp.expm1(-total)
        sigma = xp.sqrt(sigma2)
        log_snr = -total - xp.log(sigma2)
        return NoiseLevel(t, alpha, sigma, log_snr, -0.5 * beta * alpha, 0.5 * beta * alpha**2 / sigma)

    def inv_sigma(ratio):
        # B = log(1 + ratio^2), without the square of a large ratio
        xp = namespace(ratio)
        small, big = xp.minimum(ratio, 1), xp.maximum(ratio, 1)
        return rate.inverse(2 * xp.log(big) + xp.log1p((small / big) ** 2))

    return Continuous(
        level, inv_sigma, t_min=1e-5 + rate.gap, t_max=1.0, prior_std=1.0,
        sde=lambda t: (-0.5 * rate.beta(t), rate.beta(t)),
    )  # fmt: skip


@checked
def sub_vp(beta_min: float = 0.1, beta_max: float = 20.0) -> Continuous:
    """Return the sub-VP schedule of Song et al. 2021, app. C, beta(t) from beta_min to beta_max.

    alpha = e^{-B/2}, sigma = 1 - e^{-B} (sigma itself, not its square), B(t) = beta_min t +
    (beta_max - beta_min) t^2 / 2, t in [1e-5, 1]. f = -beta / 2, g^2 = beta (1 - e^{-2 B}).

    Example:
      >>> from diffjax.process import schedules
      >>> level = schedules.sub_vp()(0.5)
      >>> round(float(level.alpha**2 + level.sigma), 12)
      1.0
    """
    rate = _linear_rate("sub_vp", beta_min, beta_max, 0.0)

    def level(t):
        xp = namespace(t)
        total, beta = rate.total(t), rate.beta(t)
        alpha, sigma = xp.exp(-0.5 * total), -xp.expm1(-total)
        return NoiseLevel(
            t, alpha, sigma, -total - 2 * xp.log(sigma), -0.5 * beta * alpha, beta * xp.exp(-total)
        )

    def inv_sigma(ratio):
        return rate.inverse(2 * namespace(ratio).arcsinh(ratio / 2))

    def sde(t):
        beta = rate.beta(t)
        return -0.5 * beta, -beta * namespace(t).expm1(-2 * rate.total(t))

    return Continuous(level, inv_sigma, t_min=1e-5, t_max=1.0, prior_std=1.0, sde=sde)


@dataclasses.dataclass(frozen=True)
class _LinearRate:
    """beta(t) = beta_min + slope t, its integral B(t) from B(0) = offset, and the inverse of B."""

    beta_min: float
    slope: float
    offset: float

    @property
    def gap(self):
        """Where B is 0 again after a beginning below 0."""
        return -2 * self.beta_min / self.slope if self.beta_min < 0 and self.offset == 0 else 0.0

    def refuse_gap(self, t):
        if self.gap == 0 or namespace(t) is jnp:
            return
        bad = (t > 0) & (t < self.gap * (1 - 1e-12))
        if bad.any():
            raise ValueError(
                f"t must be 0 or at least {self.gap:g}, where noise begins if beta_min = {self.beta_min:g}; "
                f"got {np.asarray(t)[bad].flat[0]:g}"
            )

    def total(self, t):
        total = self.offset + t * (self.beta_min + 0.5 * self.slope * t)
        return namespace(total).maximum(total, 0) if self.gap else total

    def beta(self, t):
        return self.beta_min + self.slope * t

    def inverse(self, total):
        # the root without cancellation: no difference of beta_min and the square root
        xp = namespace(total)
        past = xp.maximum(total - self.offset, 0)
        if self.beta_min < 0:
            root = (xp.sqrt(self.beta_min**2 + 2 * self.slope * past) - self.beta_min) / self.slope
            return xp.where(past > 0, root, 0)
        below = self.beta_min + xp.sqrt(self.beta_min**2 + 2 * self.slope * past)
        return 2 * past / xp.where(below > 0, below, 1)


def _linear_rate(name, beta_min, beta_max, offset, lowest=0.0):
    if not (lowest <= beta_min <= beta_max and 0 < beta_max < np.inf and 0 <= offset < np.inf):
        raise ValueError(
            f"{name} needs {lowest:g} <= beta_min <= beta_max, 0 < beta_max < inf and 0 <= offset < inf, "
            f"got {beta_min:g}, {beta_max:g} and {offset:g}"
        )
    return _LinearRate(beta_min, beta_max - beta_min, offset)

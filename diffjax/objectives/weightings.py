"""Weights of the denoising loss, each stated once, as w(level) in L = w E||x_0 - D(x_t)||^2.

A loss in another parameterization is one of these: where alpha^2 + sigma^2 = 1, SNR = alpha^2 / sigma^2,
||eps - eps_hat||^2 = SNR ||x_0 - x_0_hat||^2 and ||v - v_hat||^2 = (1 + SNR) ||x_0 - x_0_hat||^2.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process.checks import not_negative, positive
from diffjax.process.level import NoiseLevel, log_snr_rate
from diffjax.types import ArrayLike

Weighting = Callable[[NoiseLevel], ArrayLike]  # w(level), a scalar or `[B]`


@checked
def snr() -> Weighting:
    """Return the weight of an eps loss (L_simple of Ho et al. 2020): SNR.

    Example:
      >>> from diffjax.objectives import weightings
      >>> from diffjax.process import schedules
      >>> level = schedules.rectified_flow()(0.25)  # SNR 9
      >>> round(float(weightings.snr()(level)), 4)
      9.0
    """
    return lambda level: jnp.exp(level.log_snr)


@checked
def snr_plus_one() -> Weighting:
    """Return the weight of a v loss on variance-preserving schedules: 1 + SNR.

    Example:
      >>> from diffjax.objectives import weightings
      >>> from diffjax.process import schedules
      >>> level = schedules.rectified_flow()(0.25)  # SNR 9
      >>> round(float(weightings.snr_plus_one()(level)), 4)
      10.0
    """
    return lambda level: 1 + jnp.exp(level.log_snr)


@checked
def truncated_snr() -> Weighting:
    """Return max(SNR, 1), Salimans & Ho 2022, sec. 4.

    Example:
      >>> from diffjax.objectives import weightings
      >>> from diffjax.process import schedules
      >>> level = schedules.rectified_flow()(0.25)  # SNR 9
      >>> round(float(weightings.truncated_snr()(level)), 4)
      9.0
    """
    return lambda level: jnp.maximum(jnp.exp(level.log_snr), 1)


@checked
def min_snr(gamma: float = 5.0) -> Weighting:
    """Return min(SNR, gamma), Hang et al. 2023, gamma positive.

    Example:
      >>> from diffjax.objectives import weightings
      >>> from diffjax.process import schedules
      >>> level = schedules.rectified_flow()(0.25)  # SNR 9
      >>> round(float(weightings.min_snr(gamma=5.0)(level)), 4)
      5.0
    """
    positive("gamma", gamma)
    return lambda level: jnp.minimum(jnp.exp(level.log_snr), gamma)


@checked
def p2(gamma: float = 1.0, k: float = 1.0) -> Weighting:
    """Return SNR / (k + SNR)^gamma, Choi et al. 2022 (there on the eps loss: 1 / (k + SNR)^gamma), both >= 0.

    Example:
      >>> from diffjax.objectives import weightings
      >>> from diffjax.process import schedules
      >>> level = schedules.rectified_flow()(0.25)  # SNR 9
      >>> round(float(weightings.p2()(level)), 4)
      0.9
    """
    not_negative("gamma", gamma)
    not_negative("k", k)
    return lambda level: jnp.exp(level.log_snr) / (k + jnp.exp(level.log_snr)) ** gamma


@checked
def edm(sigma_data: float = 0.5) -> Weighting:
    """Return SNR + 1 / sigma_data^2, Karras et al. 2022: (sigma^2 + sigma_data^2) / (sigma sigma_data)^2.

    Example:
      >>> from diffjax.objectives import weightings
      >>> from diffjax.process import schedules
      >>> level = schedules.rectified_flow()(0.25)  # SNR 9
      >>> round(float(weightings.edm(sigma_data=0.5)(level)), 4)
      13.0
    """
    positive("sigma_data", sigma_data)
    return lambda level: jnp.exp(level.log_snr) + sigma_data**-2


@checked
def sigmoid(bias: float = 2.0) -> Weighting:
    """Return SNR sigmoid(bias - log SNR), Kingma & Gao 2023 (there on the eps loss).

    Example:
      >>> from diffjax.objectives import weightings
      >>> from diffjax.process import schedules
      >>> level = schedules.rectified_flow()(0.25)  # SNR 9
      >>> round(float(weightings.sigmoid(bias=2.0)(level)), 4)
      4.0577
    """
    return lambda level: jnp.exp(level.log_snr) * jax.nn.sigmoid(bias - level.log_snr)


@checked
def soft_min_snr(gamma: float = 4.0) -> Weighting:
    """Return SNR gamma / (SNR + gamma), a smooth min(SNR, gamma) (Crowson et al. 2024, gamma sigma_data^-2).

    Example:
      >>> from diffjax.objectives import weightings
      >>> from diffjax.process import schedules
      >>> level = schedules.rectified_flow()(0.25)  # SNR 9
      >>> round(float(weightings.soft_min_snr(gamma=4.0)(level)), 4)
      2.7692
    """
    positive("gamma", gamma)
    return lambda level: gamma / (1 + gamma * jnp.exp(-level.log_snr))


@checked
def likelihood() -> Weighting:
    """Return -d SNR / dt, the weight of the bound in continuous time (Kingma et al. 2021, eq. 17).

    It is g^2 on ||score + eps / sigma||^2 (Song et al. 2021b), and half of it is the integrand of the bound.
    Needs a schedule with rates.

    Example:
      >>> from diffjax.objectives import weightings
      >>> from diffjax.process import schedules
      >>> level = schedules.rectified_flow()(0.25)  # SNR 9
      >>> round(float(weightings.likelihood()(level)), 4)
      96.0
    """

    return lambda level: -log_snr_rate(level) * jnp.exp(level.log_snr)

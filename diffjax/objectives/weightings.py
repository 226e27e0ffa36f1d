"""Weights of the denoising loss, each stated once, as w(level) in L = w E||x_0 - D(x_t)||^2.

A loss in another parameterization is one of these: where alpha^2 + sigma^2 = 1, SNR = alpha^2 / sigma^2,
||eps - eps_hat||^2 = SNR ||x_0 - x_0_hat||^2 and ||v - v_hat||^2 = (1 + SNR) ||x_0 - x_0_hat||^2.
"""

import jax
import jax.numpy as jnp

from diffjax.process.checks import not_negative, positive
from diffjax.process.level import log_snr_rate


def snr():
    """The weight of an eps loss (L_simple of Ho et al. 2020): SNR."""
    return lambda level: jnp.exp(level.log_snr)


def snr_plus_one():
    """The weight of a v loss on variance-preserving schedules: 1 + SNR."""
    return lambda level: 1 + jnp.exp(level.log_snr)


def truncated_snr():
    """max(SNR, 1), Salimans & Ho 2022, sec. 4."""
    return lambda level: jnp.maximum(jnp.exp(level.log_snr), 1)


def min_snr(gamma=5.0):
    """min(SNR, gamma), Hang et al. 2023, gamma positive."""
    positive("gamma", gamma)
    return lambda level: jnp.minimum(jnp.exp(level.log_snr), gamma)


def p2(gamma=1.0, k=1.0):
    """SNR / (k + SNR)^gamma, Choi et al. 2022 (there on the eps loss: 1 / (k + SNR)^gamma), both >= 0."""
    not_negative("gamma", gamma)
    not_negative("k", k)
    return lambda level: jnp.exp(level.log_snr) / (k + jnp.exp(level.log_snr)) ** gamma


def edm(sigma_data=0.5):
    """SNR + 1 / sigma_data^2, Karras et al. 2022: (sigma^2 + sigma_data^2) / (sigma sigma_data)^2."""
    positive("sigma_data", sigma_data)
    return lambda level: jnp.exp(level.log_snr) + sigma_data**-2


def sigmoid(bias=2.0):
    """SNR sigmoid(bias - log SNR), Kingma & Gao 2023 (there on the eps loss)."""
    return lambda level: jnp.exp(level.log_snr) * jax.nn.sigmoid(bias - level.log_snr)


def soft_min_snr(gamma=4.0):
    """SNR gamma / (SNR + gamma), a smooth min(SNR, gamma) (Crowson et al. 2024; gamma = sigma_data^-2)."""
    positive("gamma", gamma)
    return lambda level: gamma / (1 + gamma * jnp.exp(-level.log_snr))


def likelihood():
    """-d SNR / dt, the weight of the bound in continuous time (Kingma et al. 2021, eq. 17).

    It is g^2 on ||score + eps / sigma||^2 (Song et al. 2021b), and half of it is the integrand of the bound.
    Needs a schedule with rates.
    """

    return lambda level: -log_snr_rate(level) * jnp.exp(level.log_snr)

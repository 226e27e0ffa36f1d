"""Ancestral steps of any solver: down further than the target, then up again with fresh noise."""

import numpy as np

from diffjax.types import Array


def down_and_up(rho_t: Array, rho_s: Array, eta: float) -> tuple[Array, Array]:
    """Split a step of rho = sigma / alpha: solve down to `down`, add noise of standard deviation `up`.

    up = min(rho_s, eta rho_s sqrt(1 - rho_s^2 / rho_t^2)), down^2 = rho_s^2 - up^2: eta = 1 adds the
    posterior variance (Song et al. 2020, eq. 16; k-diffusion's ancestral samplers).

    Args:
      rho_t, rho_s: `[N]`, sigma / alpha from and to.
      eta: >= 0, the share of the noise that an ancestral step would add; 0 is the deterministic step.
    """
    share = np.minimum(eta * np.sqrt(np.maximum(1 - (rho_s / rho_t) ** 2, 0)), 1.0)
    return rho_s * np.sqrt(1 - share**2), rho_s * share


def middle(rho_t: Array, down: Array) -> Array:
    """Return the rho in the middle of a step to `down`, in the logarithm; rho_t where it ends at 0."""
    return np.where(down > 0, np.sqrt(rho_t * down), rho_t)


def check(name: str, eta: float, s_noise: float) -> None:
    """Raise ValueError for a negative eta or s_noise."""
    if not (eta >= 0 and s_noise >= 0):
        raise ValueError(f"{name} needs eta >= 0 and s_noise >= 0, got {eta!r} and {s_noise!r}")

"""The bound of a model with latent variables, one level or many: VAEs, and diffusion written as one.

    log p(x) >= E_q[log p(x | z)] - sum_l E_q[KL(q(z_l | x, above) || p(z_l | above))]

With one level it is Kingma & Welling 2013, eq. 3; with a chain of levels drawn from the top down, the ladder
of Sonderby et al. 2016 and, where q is the forward process, the bound of Ho et al. 2020, eq. 5.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process import checks, gaussian
from diffjax.process.gaussian import Gaussian
from diffjax.process.level import sum_of_each
from diffjax.types import Array, Float


class Level(NamedTuple):
    """One level of latent variables, given those above it.

    Attributes:
      posterior: q(z | x, above), a Gaussian over `[B, ...]`.
      prior: p(z | above), of the same shape.
      z: a draw of the posterior; None where nothing asks for it.
    """

    posterior: Gaussian
    prior: Gaussian
    z: Array | None = None


@checked
def rate(levels: Sequence[Level]) -> Float[Array, " batch"]:
    """Return sum_l KL(q(z_l | x, above) || p(z_l | above)) of each row, in nats.

    The Kullback-Leibler divergences are in closed form, given the draws that the levels below saw.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.likelihoods import latents
      >>> from diffjax.process import Gaussian
      >>> wide, standard = Gaussian(jnp.full((1, 2), 3.0), jnp.zeros((1, 2))), Gaussian(*jnp.zeros((2, 1, 2)))
      >>> latents.rate([latents.Level(wide, standard)]).tolist()  # 3^2 / 2, twice
      [9.0]
    """
    each = (sum_of_each(gaussian.kl(level.posterior, level.prior)) for level in _some(levels))
    return sum(each, start=jnp.zeros(()))


@checked
def elbo(log_likelihood: Float[Array, " batch"], levels: Sequence[Level]) -> Float[Array, " batch"]:
    """Return the bound on log p(x) of each row, in nats: log p(x | z) less the rate, for one draw of z.

    Args:
      log_likelihood: log p(x | z), z the draw of the lowest level.
      levels: from the top down, or in any order.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.likelihoods import latents
      >>> from diffjax.process import Gaussian
      >>> standard = Gaussian(*jnp.zeros((2, 1, 2)))
      >>> latents.elbo(jnp.array([-1.5]), [latents.Level(standard, standard)]).tolist()
      [-1.5]
    """
    paid = rate(levels)
    return checks.same_shape("log_likelihood", log_likelihood, paid, "the levels") - paid


@checked
def log_weight(log_likelihood: Float[Array, " batch"], levels: Sequence[Level]) -> Float[Array, " batch"]:
    """Return log p(x, z) - log q(z | x) of the levels' draws, in nats: its mean over q is the bound.

    Raises:
      ValueError: for a level without a draw.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.likelihoods import latents
      >>> from diffjax.process import Gaussian
      >>> standard = Gaussian(*jnp.zeros((2, 1, 2)))
      >>> level = latents.Level(standard, standard, jnp.ones((1, 2)))
      >>> latents.log_weight(jnp.array([-1.5]), [level]).tolist()
      [-1.5]
    """
    for level in _some(levels):
        if level.z is None:
            raise ValueError("levels must have their draws z: a weight is of one draw")
    ratio = lambda each: gaussian.log_prob(each.prior, each.z) - gaussian.log_prob(each.posterior, each.z)
    gained = sum((sum_of_each(ratio(level)) for level in levels), start=jnp.zeros(()))
    return checks.same_shape("log_likelihood", log_likelihood, gained, "the levels") + gained


@checked
def importance_weighted(log_weights: Float[Array, "draws batch"]) -> Float[Array, " batch"]:
    """Return the bound of K draws, log (1/K) sum_k p(x, z_k) / q(z_k | x) (Burda et al. 2015, eq. 8).

    In expectation it rises with K, from the bound at K = 1 to log p(x).

    Args:
      log_weights: `[K, B]`, see `log_weight`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.likelihoods import latents
      >>> round(float(latents.importance_weighted(jnp.log(jnp.array([[1.0], [3.0]])))[0]), 4)  # log 2
      0.6931
    """
    draws = checks.count("draws of log_weights", len(log_weights))
    return jax.nn.logsumexp(log_weights, axis=0) - math.log(draws)


@checked
def free_bits(levels: Sequence[Level], nats: float) -> Float[Array, ""]:
    """Return the rate that training pays, averaged over the batch: each group's at least `nats`.

    "Free bits" of Kingma et al. 2016 (IAF): the sum over groups of max(nats, mean over the batch of its KL),
    so that no group is worth switching off before it carries that much. A group is one channel (the last
    axis) of one level. It is a mean over the whole batch, and no mean over rows.

    Args:
      levels: see `Level`.
      nats: of each group, at least 0; 0 is the rate itself.

    Raises:
      ValueError: for a negative `nats`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.likelihoods import latents
      >>> from diffjax.process import Gaussian
      >>> unused = Gaussian(*jnp.zeros((2, 4, 3)))  # three channels
      >>> float(latents.free_bits([latents.Level(unused, unused)], nats=0.5))
      1.5
    """
    if nats < 0:
        raise ValueError(f"nats must be at least 0, got {nats}")
    total = jnp.zeros(())
    for level in _some(levels):
        kl = gaussian.kl(level.posterior, level.prior)
        groups = kl.reshape(len(kl), -1, kl.shape[-1]).sum(1).mean(0)
        total = total + jnp.maximum(groups, nats).sum()
    return total


def _some(levels):
    if not levels:
        raise ValueError("levels must be at least one Level, got none")
    return levels

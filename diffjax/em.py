"""Expectation maximisation for Gaussian mixtures: coordinate ascent of the bound of a latent variable.

With responsibilities r_nk = q(k | x_n) the bound on the mean log-likelihood is

    L(q, theta) = (1/N) sum_n sum_k r_nk (log w_k + log N(x_n; m_k, S_k) - log r_nk)

The E step maximises it over q (r = p(k | x), where it touches the log-likelihood), the M step over theta, so
that it never falls (Dempster et al. 1977; Neal & Hinton 1998). It is a VAE's bound with a discrete code and
no network; `exact.gaussian_mixture(*mixture)` diffuses what was found in closed form.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import xlogy

from diffjax.border import checked
from diffjax.process import checks
from diffjax.types import Array, Float, Key


class Mixture(NamedTuple):
    """sum_k w_k N(m_k, S_k).

    Attributes:
      weights: `[K]`, sum 1.
      means: `[K, D]`.
      covariances: `[K, D, D]`, positive definite.
    """

    weights: Array
    means: Array
    covariances: Array


def _log_joint(mixture, x):
    """log w_k + log N(x_n; m_k, S_k), `[N, K]`."""
    wanted = [(k := len(mixture.weights),), (k, x.shape[1]), (k, x.shape[1], x.shape[1])]
    if (given := [jnp.shape(each) for each in mixture]) != wanted:
        raise ValueError(f"mixture must be [K], [K, D] and [K, D, D] for x {list(x.shape)}, got {given}")
    factors = jnp.linalg.cholesky(mixture.covariances)
    centred = x[:, None] - mixture.means
    white = jax.vmap(
        lambda f, c: jax.scipy.linalg.solve_triangular(f, c.T, lower=True), in_axes=(0, 1), out_axes=1
    )(factors, centred)
    log_det = 2 * jnp.log(jnp.diagonal(factors, axis1=-2, axis2=-1)).sum(-1)
    square = (white**2).sum(0).T
    return jnp.log(mixture.weights) - 0.5 * (square + log_det + x.shape[1] * jnp.log(2 * jnp.pi))


@checked
def responsibilities(mixture: Mixture, x: Float[Array, "n dim"]) -> Float[Array, "n components"]:
    """Return p(k | x_n) `[N, K]`: the E step.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import em
      >>> two = em.Mixture(jnp.full(2, 0.5), jnp.array([[-1.0], [1.0]]), jnp.ones((2, 1, 1)))
      >>> em.responsibilities(two, jnp.zeros((1, 1))).tolist()
      [[0.5, 0.5]]
    """
    return jax.nn.softmax(_log_joint(mixture, x))


@checked
def maximised(x: Float[Array, "n dim"], r: Float[Array, "n components"], floor: float = 0.0) -> Mixture:
    """Return the mixture that the responsibilities r say is likeliest: the M step.

    Args:
      x: `[N, D]`.
      r: `[N, K]`, rows of sum 1.
      floor: added to the variances, against a component that collapses onto a point; above 0 it is no longer
        the maximum, and the bound may fall by a little.

    Raises:
      ValueError: for a negative floor.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import em
      >>> em.maximised(jnp.array([[0.0], [2.0]]), jnp.ones((2, 1))).covariances.tolist()
      [[[1.0]]]
    """
    checks.not_negative("floor", floor)
    r = jnp.where(r.sum(0) > 0, r, jnp.finfo(r.dtype).eps)  # what explains no point keeps the data's shape
    count = r.sum(0)
    means = r.T @ x / count[:, None]
    centred = x[:, None] - means
    covariances = jnp.einsum("nk,nki,nkj->kij", r, centred, centred) / count[:, None, None]
    return Mixture(count / len(x), means, covariances + floor * jnp.eye(x.shape[1], dtype=x.dtype))


@checked
def elbo(mixture: Mixture, x: Float[Array, "n dim"], r: Float[Array, "n components"]) -> Float[Array, ""]:
    """Return the bound L(q, theta), nats a point; at r = p(k | x) the mean log-likelihood itself.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import em
      >>> one = em.Mixture(jnp.ones(1), jnp.zeros((1, 1)), jnp.ones((1, 1, 1)))
      >>> round(float(em.elbo(one, jnp.zeros((1, 1)), jnp.ones((1, 1)))), 4)  # log N(0; 0, 1)
      -0.9189
    """
    joint = _log_joint(mixture, x)
    r = checks.same_shape("r", r, joint, "the mixture's [n, components]")
    return (r * joint - xlogy(r, r)).sum(1).mean()


@checked
def begin(key: Key[Array, ""], x: Float[Array, "n dim"], components: int, floor: float = 0.0) -> Mixture:
    """Return a mixture to start from: equal weights, the data's covariance, and data points as means.

    Each next point is the farthest of 16 drawn ones from those that were taken, so that few start together.

    Args:
      key: consumed.
      x: `[N, D]`.
      components: K.
      floor: added to the variances, where data do not vary in every direction.

    Raises:
      ValueError: unless components is an integer in 1..N, or for data that are not finite.

    Example:
      >>> import jax
      >>> from diffjax import em
      >>> em.begin(jax.random.key(0), jax.random.normal(jax.random.key(1), (50, 2)), 3).means.shape
      (3, 2)
    """
    components = checks.count("components", components)
    checks.not_negative("floor", floor)
    checks.finite("x", x)
    if components > len(x):
        raise ValueError(f"components must be at most the {len(x)} points, got {components}")
    drawn = x[jax.random.randint(key, (components, 16), 0, len(x))]
    means = drawn[:1, 0]
    for k in range(1, components):
        distances = ((drawn[k][:, None] - means) ** 2).sum(-1).min(1)
        means = jnp.concatenate([means, drawn[k][distances.argmax()][None]])
    covariance = jnp.atleast_2d(jnp.cov(x.T, bias=True)) + floor * jnp.eye(x.shape[1], dtype=x.dtype)
    return Mixture(
        jnp.full(components, 1 / components, x.dtype), means, jnp.tile(covariance, (components, 1, 1))
    )


@checked
def fit(
    mixture: Mixture, x: Float[Array, "n dim"], num_steps: int, floor: float = 0.0
) -> tuple[Mixture, Float[Array, "steps"]]:
    """Make E and M steps by turns.

    Args:
      mixture: to start from, see `begin`.
      x: `[N, D]`.
      num_steps: of each.
      floor: of the variances, see `maximised`.

    Returns:
      The mixture, and the bound after each E step `[num_steps]`: the mean log-likelihood of the mixture that
      the step before left, which never falls where floor = 0.

    Raises:
      ValueError: for num_steps below 1, a negative floor, or, where the host knows the result, a covariance
        that is not positive definite: the mixture's, or that of a component that collapsed onto a point.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from diffjax import em
      >>> x = jnp.concatenate([jnp.full((3, 1), -1.0), jnp.full((1, 1), 1.0)])
      >>> found, bound = em.fit(em.begin(jax.random.key(0), x, 2), x, 20, floor=1e-2)
      >>> sorted(found.weights.round(3).tolist())
      [0.25, 0.75]
    """
    num_steps = checks.count("num_steps", num_steps)
    checks.not_negative("floor", floor)

    def step(now, _):
        r = responsibilities(now, x)
        return maximised(x, r, floor), elbo(now, x, r)

    found, bound = jax.lax.scan(step, mixture, None, length=num_steps)
    if not isinstance(bound, Tracer) and not np.isfinite(bound).all():
        at = int(np.argmin(np.isfinite(bound)))
        raise ValueError(
            f"floor must be larger, got {floor:g}: after {at} steps the mixture is none (a covariance that "
            "is not positive definite, a negative weight, or numbers that are not finite)"
        )
    return found, bound

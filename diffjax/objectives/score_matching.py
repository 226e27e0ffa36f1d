"""Score matching: estimates of the Fisher divergence between a model's score s and the data's.

    explicit     1/2 ||s - grad log p||^2                       where the score is known                  (1)
    implicit     1/2 ||s||^2 + tr(grad s)                       Hyvarinen 2005, theorem 1                (2)
    sliced       1/2 (v.s)^2 + v.(grad s) v                     Song et al. 2019; E[v v^T] = I            (3)
    sliced_vr    1/2 ||s||^2 + v.(grad s) v                     the same: less variance                   (4)
    denoising    1/2 ||s + eps / sigma||^2                      Vincent 2011                              (5)

(2) to (4) have the expectation of (1) less that of 1/2 ||grad log p||^2, (5) that of (1) at p(x_t) plus a
constant too, so all have one minimum. As elsewhere a loss is `[B]` and a mean over dimensions: each line is
divided by D.

`network` is (x `[B, ...]`, t `[B]`, cond) -> s `[B, ...]`. That of an energy E is `process.energy.score(E)`,
with which (2) reads 1/2 ||grad E||^2 - laplacian E. The samples of a batch must not see each other inside it.
Training differentiates these losses once more: an energy needs third derivatives and so smooth activations.
For many noise levels hand in x_t and its times, and weight the losses (NCSN: by sigma^2).
"""

from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.objectives.denoising import denoising as denoising_loss
from diffjax.objectives.weightings import Weighting
from diffjax.process import checks, prediction
from diffjax.process.level import NoiseLevel, mean_of_each, sum_of_each
from diffjax.process.prediction import Network
from diffjax.types import Array, Float

Losses = tuple[Float[Array, " batch"], dict[str, Any]]


@checked
def explicit(
    network: Network,
    x: Float[Array, "batch *shape"],
    score: Float[Array, "batch *shape"],
    t: float | Float[Array, " batch"] = 0.0,
    cond: Any = None,
) -> Losses:
    """Return half the squared error of a known score, (1).

    Args:
      network: see above.
      x: `[B, ...]`.
      score: `[B, ...]`, grad log p(x), e.g. of `exact.gaussian_mixture(...)`.
      t: scalar or `[B]`, handed to the network.
      cond: condition handed to the network.

    Returns:
      loss `[B]`, and aux {"score"}.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import score_matching
      >>> gaussian = lambda x, t, cond: -x
      >>> score_matching.explicit(gaussian, jnp.ones((1, 2)), jnp.zeros((1, 2)))[0].tolist()
      [0.5]
    """
    s = _score(network, t, cond)(x)
    return 0.5 * mean_of_each((s - score) ** 2), {"score": s}


@checked
def implicit(
    network: Network,
    x: Float[Array, "batch *shape"],
    t: float | Float[Array, " batch"] = 0.0,
    cond: Any = None,
) -> Losses:
    """Return Hyvarinen's loss (2) with the exact trace: D directional derivatives, for small D.

    Args:
      network, x, t, cond: see `explicit`.

    Returns:
      loss `[B]`, and aux {"score", "divergence" `[B]`, the trace}.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import score_matching
      >>> gaussian = lambda x, t, cond: -x
      >>> score_matching.implicit(gaussian, jnp.ones((1, 2)))[0].tolist()  # 1/2 - 1
      [-0.5]
    """
    s, push = jax.linearize(_score(network, t, cond), x)
    dim = x[0].size
    basis = jnp.eye(dim, dtype=x.dtype).reshape(dim, *x.shape[1:])
    entries = jax.vmap(lambda e: sum_of_each(e * push(jnp.broadcast_to(e, x.shape))))(basis)
    divergence = entries.sum(0)
    return 0.5 * mean_of_each(s**2) + divergence / dim, {"score": s, "divergence": divergence}


@checked
def sliced(
    network: Network,
    x: Float[Array, "batch *shape"],
    v: Float[Array, "batch *shape"],
    t: float | Float[Array, " batch"] = 0.0,
    cond: Any = None,
) -> Losses:
    """Return the sliced loss (3): one directional derivative whatever D.

    Args:
      network, x, t, cond: see `explicit`.
      v: `[B, ...]` directions with E[v v^T] = I: unit normal, `jax.random.rademacher`, or uniform on the
        sphere of radius sqrt(D). For M directions a sample take the mean of `jax.vmap` over them.

    Returns:
      loss `[B]`, and aux {"score"}.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import score_matching
      >>> gaussian = lambda x, t, cond: -x
      >>> score_matching.sliced(gaussian, jnp.ones((1, 2)), jnp.ones((1, 2)))[0].tolist()
      [0.0]
    """
    s, js = _along(network, x, v, t, cond)
    return (0.5 * sum_of_each(v * s) ** 2 + sum_of_each(v * js)) / x[0].size, {"score": s}


@checked
def sliced_vr(
    network: Network,
    x: Float[Array, "batch *shape"],
    v: Float[Array, "batch *shape"],
    t: float | Float[Array, " batch"] = 0.0,
    cond: Any = None,
) -> Losses:
    """Return the sliced loss of reduced variance (4): E[(v.s)^2] = ||s||^2 is not estimated.

    Args, Returns: see `sliced`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import score_matching
      >>> gaussian = lambda x, t, cond: -x
      >>> score_matching.sliced_vr(gaussian, jnp.ones((1, 2)), jnp.ones((1, 2)))[0].tolist()
      [-0.5]
    """
    s, js = _along(network, x, v, t, cond)
    return 0.5 * mean_of_each(s**2) + mean_of_each(v * js), {"score": s}


@checked
def denoising(
    network: Network,
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level: NoiseLevel,
    cond: Any = None,
    *,
    weighting: Weighting | None = None,
) -> Losses:
    """Return the denoising loss (5), half of `objectives.denoising` of a score.

    Args:
      network: see above; it gets x_t and level.t.
      x0: `[B, ...]`.
      eps: `[B, ...]` unit normal noise.
      level: NoiseLevel, scalars or `[B]`: one noise level or many.
      cond: condition handed to the network.
      weighting: see `objectives.denoising`; `weightings.snr()` is NCSN's sigma^2 (Song & Ermon 2019, eq. 6).

    Returns:
      loss `[B]`, and aux of `objectives.denoising`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import score_matching
      >>> from diffjax.process import schedules
      >>> zero = lambda x, t, cond: jnp.zeros_like(x)
      >>> x0, eps = jnp.zeros((1, 2)), jnp.ones((1, 2))
      >>> score_matching.denoising(zero, x0, eps, schedules.edm()(2.0))[0].tolist()  # 1/2 (eps / sigma)^2
      [0.125]
    """
    loss, aux = denoising_loss(network, x0, eps, level, cond, kind="score", weighting=weighting)
    return 0.5 * loss, aux


def _score(network, t, cond):
    """Return x -> s, refused unless it is shaped like x."""
    checks.finite("t", t)
    return lambda x: checks.same_shape("the network's score", network(x, prediction.times(t, x), cond), x)


def _along(network, x, v, t, cond):
    """Return s and (grad s) v."""
    return jax.jvp(_score(network, t, cond), (x,), (v,))

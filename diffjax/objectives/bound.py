"""The variational bound as a loss: single terms, and the hybrid loss of improved DDPM."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.objectives.denoising import denoising
from diffjax.objectives.weightings import Weighting
from diffjax.process import checks, elbo, forward
from diffjax.process.level import NoiseLevel, namespace
from diffjax.process.prediction import Network, Reading
from diffjax.process.schedules import Chain
from diffjax.types import Array, ArrayLike, Float


@checked
def bound(
    network: Network,
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level: NoiseLevel,
    cond: Any = None,
    *,
    level_s: NoiseLevel,
    reading: Reading | None = None,
    kind: str | None = None,
    variance: forward.Variance = "learned_range",
    floor: ArrayLike = -np.inf,
    pair: forward.Pair | None = None,
    x_t: Float[Array, "batch *shape"] | None = None,
) -> tuple[Float[Array, "batch"], dict[str, Any]]:
    """Return one term of the bound for each sample: L_vlb (Ho et al. 2020, eq. 5).

    Times drawn uniformly from a chain of T steps make T times its mean an estimate of the bound less its
    prior term. Where level_s is clean data the term is the discretized decoder's.

    Args:
      network: (x, t `[B]`, cond) -> output `[B, ..., C or 2C]`.
      x0: `[B, ...]`, 8-bit images scaled to [-1, 1].
      eps: `[B, ...]` unit normal noise.
      level, level_s: levels of the step t -> s, scalars or `[B]`.
      cond: condition handed to the network.
      reading, kind: see `denoising`.
      variance: of the model's transition, see `forward.reverse`.
      floor: log variance at sigma_s = 0, usually `schedule.floor()`; variance "fixed_small" needs one, as the
        posterior's own is 0 there.
      pair: the step's coefficients if they are known better than float32 levels give them, see `step_table`.
      x_t: see `denoising`.

    Returns:
      Bits per dimension `[B]`, and aux of `denoising`.

    Raises:
      ValueError: for variance "fixed_small" without a floor or a pair, unless the host knows that all
        sigma_s > 0.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> from diffjax.process import schedules
      >>> chain, x0, eps = schedules.linear_beta(100), jnp.zeros((1, 2)), jnp.ones((1, 2))
      >>> exact = lambda x, t, cond: jnp.ones_like(x)  # eps itself
      >>> level, level_s = chain(50), chain(49)
      >>> objectives.bound(exact, x0, eps, level, level_s=level_s, variance="fixed_small")[0].tolist()
      [0.0]
    """
    _require_floor(variance, floor, pair, level_s)
    _, aux = denoising(network, x0, eps, level, cond, reading=reading, kind=kind, level_s=level_s, x_t=x_t)
    pair = forward.pair(level_s, level, floor) if pair is None else pair
    return _bits(aux["prediction"], aux["x_t"], x0, level_s, pair, variance), aux


@checked
def hybrid(
    network: Network,
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level: NoiseLevel,
    cond: Any = None,
    *,
    level_s: NoiseLevel,
    bound_weight: float,
    reading: Reading | None = None,
    kind: str | None = None,
    weighting: Weighting | None = None,
    variance: forward.Variance = "learned_range",
    floor: ArrayLike = -np.inf,
    pair: forward.Pair | None = None,
    x_t: Float[Array, "batch *shape"] | None = None,
) -> tuple[Float[Array, "batch"], dict[str, Any]]:
    """Return L_simple + bound_weight L_vlb, the bound teaching the variance alone.

    Nichol & Dhariwal 2021, eq. 16: the gradient of the bound stops at the mean.

    Args:
      bound_weight: of one term in bits per dimension; the paper's lambda = 0.001 of the bound's sum is
        T / 1000, guided-diffusion's "rescaled MSE".
      weighting: of L_simple, see `denoising`.
      Others, Raises: see `bound`; for a bound_weight below 0.

    Returns:
      loss `[B]`, and aux of `denoising` with "mse" and "bound" `[B]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> from diffjax.process import schedules
      >>> chain, x0, eps = schedules.linear_beta(100), jnp.zeros((1, 2)), jnp.ones((1, 2))
      >>> smallest = lambda x, t, cond: jnp.concatenate([jnp.ones_like(x), -jnp.ones_like(x)], -1)
      >>> loss, aux = objectives.hybrid(
      ...     smallest, x0, eps, chain(50), level_s=chain(49), bound_weight=0.1, floor=chain.floor()
      ... )
      >>> aux["mse"].tolist(), aux["bound"].tolist()
      ([0.0], [0.0])
    """
    checks.not_negative("bound_weight", bound_weight)
    _require_floor(variance, floor, pair, level_s)
    mse, aux = denoising(
        network, x0, eps, level, cond,
        reading=reading, kind=kind, weighting=weighting, level_s=level_s, x_t=x_t,
    )  # fmt: skip
    pair = forward.pair(level_s, level, floor) if pair is None else pair
    predicted = aux["prediction"]
    fixed = predicted._replace(x0=jax.lax.stop_gradient(predicted.x0))
    bits = _bits(fixed, aux["x_t"], x0, level_s, pair, variance)
    return mse + bound_weight * bits, aux | {"mse": mse, "bound": bits}


@checked
def step_table(chain: Chain) -> Callable[[ArrayLike], forward.Pair]:
    """Return n -> Pair of the step n -> n - 1, read from a table made on the host in float64.

    In float32 the difference of two neighbouring log SNRs keeps four digits; the table keeps all seven.

    Args:
      chain: a Chain; its `floor()` is in the table.

    Raises:
      ValueError: for a continuous schedule.

    Example:
      >>> from diffjax import objectives
      >>> from diffjax.process import schedules
      >>> chain = schedules.from_betas([0.19, 0.36])
      >>> round(float(objectives.step_table(chain)(2).alpha_ts), 6)
      0.8
    """
    n = np.arange(1, chain.num_steps + 1)
    table = forward.pair(chain(n - 1), chain(n), chain.floor())
    return lambda n: jax.tree.map(lambda a: jnp.asarray(a)[jnp.asarray(n).astype(int) - 1], table)


def _require_floor(variance, floor, pair, level_s):
    if variance not in forward.VARIANCES:
        raise ValueError(f"variance must be one of {', '.join(forward.VARIANCES)}; got {variance!r}")
    if variance != "fixed_small" or pair is not None or namespace(floor) is jnp or floor > -np.inf:
        return
    if namespace(level_s.sigma) is jnp or np.any(np.asarray(level_s.sigma) == 0):
        raise ValueError(
            "floor must be given with variance='fixed_small' (usually `schedule.floor()`, or pair=...): the "
            "posterior variance of the step that lands on data is 0"
        )


def _bits(predicted, x_t, x0, level_s, pair, variance):
    at_data = jnp.asarray(level_s.sigma) == 0
    return elbo.term_of(pair, predicted, x_t, x0, at_data, variance) / np.log(2)

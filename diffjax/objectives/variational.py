"""The bound of a continuous schedule as a loss, and the gradient that quiets it (Kingma et al. 2021)."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from diffjax.border import checked
from diffjax.likelihoods import continuous_elbo
from diffjax.process.level import NoiseLevel
from diffjax.process.prediction import Reading
from diffjax.types import Array, Float, PyTree


@checked
def variational(
    denoise: Any,
    x0: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"],
    level: NoiseLevel,
    cond: Any = None,
    *,
    reading: Reading | None = None,
    **options: Any,
) -> tuple[Float[Array, "batch"], dict[str, Float[Array, "batch"]]]:
    """Return one draw of the bound on -log2 p(x) per dimension for each sample.

    Args:
      denoise: Denoiser, or, with a reading, the Network.
      x0, eps: `[B, ...]` data and unit normal noise.
      level: NoiseLevel `[B]` at times uniform over the schedule, best `low_discrepancy`.
      cond: condition handed to the denoiser.
      reading: of the network, e.g. `prediction.reading("eps", ask=lambda level: -level.log_snr)`.
      options: eps_0, level_0, level_1 and the others of `continuous_elbo.terms`.

    Returns:
      Bits per dimension `[B]`, and aux with the terms, `[B]` each.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> from diffjax.process import prediction, schedules
      >>> schedule, x0, eps = schedules.log_snr_linear(), jnp.zeros((2, 3)), jnp.ones((2, 3))
      >>> told = prediction.reading("eps", ask=lambda level: -level.log_snr)
      >>> loss, terms = objectives.variational(
      ...     lambda x, gamma, cond: jnp.ones_like(x), x0, eps, schedule(0.5), reading=told,
      ...     eps_0=eps, level_0=schedule(0.0), level_1=schedule(1.0), values=None,
      ... )
      >>> loss.shape, terms["diffusion"].tolist()
      ((2,), [0.0, 0.0])
    """
    denoise = denoise if reading is None else reading.denoiser(denoise)
    nats = continuous_elbo.terms(denoise, x0, eps, level, cond, **options)
    bits = {name: value / np.log(2) for name, value in nats.items()}
    return bits["prior"] + bits["reconstruction"] + bits["diffusion"], bits


@checked
def reducing_variance(
    losses: Callable[[PyTree, PyTree], Float[Array, "batch"]],
) -> Callable[[PyTree, PyTree], Float[Array, "batch"]]:
    """Let what is between a learned schedule's ends lower the loss's variance, in the same backward pass.

    Kingma et al. 2021, app. I.2: the expected loss does not depend on it, so the variance falls with
    E[loss^2], whose gradient is 2 loss times the loss's own, sample by sample.

    Args:
      losses: (shared, own) -> losses `[B]`; loss i depends on the pytree `own` of `[B, ...]` leaves through
        their entries i alone, e.g. `learned.position` at its time. All else that is trained is in `shared`.

    Returns:
      (shared, own) -> the same losses; their gradient is the plain one in `shared`, that of loss^2 in `own`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> losses = objectives.reducing_variance(lambda shared, own: shared * own)
      >>> of_own = jax.grad(lambda own: losses(3.0, own).sum())(jnp.array([1.0, 2.0]))
      >>> of_own.tolist()  # 2 (3 own) 3
      [18.0, 36.0]
    """

    @jax.custom_vjp
    def quiet(shared, own):
        return losses(shared, own)

    def forwards(shared, own):
        values, pull = jax.vjp(losses, shared, own)
        return values, (values, pull)

    def backwards(saved, cotangent):
        values, pull = saved
        of_shared, of_own = pull(cotangent)
        twice = lambda a: a * (2 * values).reshape(-1, *[1] * (a.ndim - 1))
        return of_shared, jax.tree.map(twice, of_own)

    quiet.defvjp(forwards, backwards)
    return quiet

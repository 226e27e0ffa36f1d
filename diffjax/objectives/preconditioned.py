"""The loss of a network inside a preconditioning: EDM's, and those of VP and VE seen the same way."""

import jax.numpy as jnp

from diffjax.process import forward, prediction
from diffjax.process import preconditioning as forms


def preconditioned(network, x0, eps, level, cond=None, *, preconditioning, weighting=None, x_t=None):
    """Return the mean squared error of F against its own target (Karras et al. 2022, eq. 8).

    That is c_out^-2 ||x_0 - D||^2, and c_out^-2 is the published weight of every form: EDM's
    (s^2 + sd^2) / (s sd)^2, VP's and VE's 1 / s^2. Loss and network share `preconditioning`, and with it
    sigma_data.

    Args:
      network: (c_in y `[B, ...]`, c_noise `[B]`, cond) -> F `[B, ..., C or 2C]`; a second half is left alone.
      x0: `[B, ...]` data.
      eps: `[B, ...]` unit normal noise.
      level: NoiseLevel with sigma > 0, scalars or `[B]`.
      cond: condition handed to the network.
      preconditioning: level -> Scales, e.g. `prediction.edm_preconditioning(sigma_data=0.5)`.
      weighting: level -> weight of ||x_0 - D||^2 instead, see `objectives.weightings`.
      x_t: `[B, ...]` to show the network instead of alpha x_0 + sigma eps, see `perturbed_input`.

    Returns:
      loss `[B]`, and aux {"x_t", "prediction"}.
    """
    x_t = forward.perturb(x0, eps, level) if x_t is None else x_t
    scales = preconditioning(level)
    output = prediction.raw_output(network, scales, x_t, level, cond)
    error = prediction.split_variance(output, x_t)[0] - forms.target(x0, eps, level, scales)
    loss = jnp.mean(error.reshape(len(x0), -1) ** 2, axis=1)
    if weighting is not None:
        loss = loss * weighting(level) * scales.c_out**2
    return loss, {"x_t": x_t, "prediction": prediction.from_preconditioned(output, scales, x_t, level)}

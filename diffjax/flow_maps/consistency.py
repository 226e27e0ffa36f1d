"""The consistency function of a network: the identity at the last level by construction."""

import numpy as np

from diffjax.border import checked
from diffjax.process import checks, prediction
from diffjax.process.flow_map import FlowMap
from diffjax.process.level import expand, namespace
from diffjax.process.prediction import Network


@checked
def consistency(network: Network, sigma_data: float = 0.5, sigma_min: float = 0.002) -> FlowMap:
    """Make the flow map f(y, s) = c_skip y + c_out F(c_in y, c_noise) to the level of sigma_min.

    Song et al. 2023, eq. 5 with the scales of `prediction.consistency_preconditioning`: y = x_t / alpha, and
    f(y, sigma_min) = y. It knows one end: walk it by `samplers.jump(renoise=True)`. The one step of DDIM of
    any denoiser, `flow_maps.of_denoiser`, is a consistency function too.

    Args:
      network: (c_in y `[B, ...]`, c_noise `[B]`, cond) -> F `[B, ...]`.
      sigma_data: standard deviation of the data.
      sigma_min: e, the last sigma / alpha.

    Raises:
      ValueError: unless both are positive; when called, for a level_s above sigma_min that the host knows.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import flow_maps
      >>> from diffjax.process import schedules
      >>> f, edm = flow_maps.consistency(lambda x, t, cond: jnp.tanh(x)), schedules.edm()
      >>> f(jnp.ones((1, 2)), edm(0.002), edm(0.002)).tolist()
      [[1.0, 1.0]]
    """
    checks.positive("sigma_min", sigma_min)
    scales = prediction.consistency_preconditioning(sigma_data, sigma_min)
    denoise = prediction.reading_of(scales).denoiser(network)

    def flow_map(x_t, level_t, level_s, cond=None):
        known = namespace(level_s.sigma, level_s.alpha) is np
        if known and np.any(level_s.sigma > 1.001 * sigma_min * level_s.alpha):
            raise ValueError(
                f"level_s must be the last level, sigma / alpha = {sigma_min:g}: a consistency function goes "
                "nowhere else; walk it by `samplers.jump(renoise=True)`"
            )
        return expand(level_s.alpha, x_t) * denoise(x_t, level_t, cond).x0

    return flow_map

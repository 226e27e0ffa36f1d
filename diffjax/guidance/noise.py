"""Noise that a denoiser draws for itself, of a sample's key and the noise level alone."""

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.keys import per_sample
from diffjax.process import forward
from diffjax.process.level import NoiseLevel
from diffjax.types import Array, Float, Key

_GUIDES = np.uint32(2**32 - 1)  # fold_in tag; a walk's start and steps use the small ones


def noised_afresh(
    key: Key[Array, "..."], clean: Float[Array, "batch *shape"], level: NoiseLevel
) -> Float[Array, "batch *shape"]:
    """Return alpha clean + sigma eps with an eps `[B, ...]` of its own at every level.

    The same key, level and sample give the same eps, in any batch: a step can be repeated, and a walk whose
    steps are at other levels draws afresh at each.

    Args:
      key: one key, or `[B]` keys, as in `samplers.sample`.
      clean: `[B, ...]`.
      level: NoiseLevel.
    """
    keys = jax.vmap(jax.random.fold_in, (0, None))(per_sample(key, len(clean)), _GUIDES)
    bits = jax.lax.bitcast_convert_type(jnp.asarray(level.log_snr, jnp.float32), jnp.uint32)
    draw = lambda key, bits: jax.random.normal(jax.random.fold_in(key, bits), clean.shape[1:], clean.dtype)
    return forward.perturb(clean, jax.vmap(draw)(keys, jnp.broadcast_to(bits, keys.shape)), level)

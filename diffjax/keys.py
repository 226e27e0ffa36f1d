"""Random keys of samples: sample i depends on its own key alone, whatever the batch and the devices."""

import jax
import jax.numpy as jnp
import numpy as np


def per_sample(key: jax.Array, batch: int) -> jax.Array:
    """Return `[B]` keys: the given ones, or one folded out of a single key for each position.

    Raises:
      ValueError: for something else than keys, another number of them, or a generator that does not commute
        with `jax.vmap`.
    """
    dtype = getattr(key, "dtype", np.dtype(object))
    if dtype == np.uint32:
        key = jax.random.wrap_key_data(key)  # an old-style key
    elif not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        raise ValueError(f"key must be of jax.random.key, got {type(key).__name__} of dtype {dtype}")
    if "fry" not in str(key.dtype):
        raise ValueError(
            f"key must be of JAX's default generator, threefry2x32, got {key.dtype}: with that one an image "
            "would depend on its batch"
        )
    if key.ndim == 0:
        return numbered(key, batch)
    if key.shape != (batch,):
        raise ValueError(f"key must be one key or one a sample [{batch}], got shape {list(key.shape)}")
    return key


def numbered(key: jax.Array, n: int) -> jax.Array:
    """Return `[n]` keys, 0..n-1 folded into one key: unlike those of `jax.random.split`, whatever n is."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(n))


def fold_each(keys: jax.Array, number: int | jax.Array) -> jax.Array:
    """Return `[B]` keys with a number folded into each: a stream of its own for every sample."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, number)

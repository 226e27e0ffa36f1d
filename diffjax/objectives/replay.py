"""A replay buffer: where the chains of persistent contrastive divergence wait between training steps.

Tieleman 2008; Du & Mordatch 2019, sec. 3.2: a share of the chains goes on from the buffer, the others begin
afresh, and all are put back at their own places. The buffer is one array `[N, ...]`, e.g. a System's `extra`.
"""

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process import checks
from diffjax.types import Array, Float, Int, Key


@checked
def draw(
    key: Key[Array, ""],
    buffer: Float[Array, "places *shape"],
    fresh: Float[Array, "batch *shape"],
    share: float = 0.95,
) -> tuple[Float[Array, "batch *shape"], Int[Array, " batch"]]:
    """Choose where a batch of chains starts.

    Args:
      key: consumed.
      buffer: `[N, ...]`.
      fresh: `[B, ...]` new starts, B <= N.
      share: probability of going on from the buffer; the papers' 0.95.

    Returns:
      Starts `[B, ...]`, and their distinct places in the buffer, `[B]`, for `put`.

    Raises:
      ValueError: if the buffer holds fewer than B chains, or share is outside [0, 1].

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import replay
      >>> x, places = replay.draw(jax.random.key(0), jnp.zeros((9, 2)), jnp.ones((4, 2)), share=1.0)
      >>> x.sum().item(), len(set(places.tolist()))
      (0.0, 4)
    """
    if len(fresh) > len(buffer):
        raise ValueError(f"the buffer must hold a batch of {len(fresh)} chains, got {len(buffer)}")
    checks.within("share", share, 0, 1)
    key_place, key_kept = jax.random.split(key)
    places = jax.random.choice(key_place, len(buffer), (len(fresh),), replace=False)
    kept = jax.random.bernoulli(key_kept, share, (len(fresh),) + (1,) * (fresh.ndim - 1))
    return jnp.where(kept, buffer[places], fresh), places


@checked
def put(
    buffer: Float[Array, "places *shape"], places: Int[Array, " batch"], x: Float[Array, "batch *shape"]
) -> Float[Array, "places *shape"]:
    """Return the buffer `[N, ...]` with chains x `[B, ...]` at their places `[B]`.

    Raises:
      ValueError: outside `jit`, for a place that the buffer does not have.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import replay
      >>> replay.put(jnp.zeros((3, 1)), jnp.array([2]), jnp.ones((1, 1)))[:, 0].tolist()
      [0.0, 0.0, 1.0]
    """
    checks.within("places", places, 0, len(buffer) - 1)
    return jnp.asarray(buffer).at[places].set(jax.lax.stop_gradient(x))

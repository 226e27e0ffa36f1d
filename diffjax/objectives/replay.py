"""A replay buffer: where the chains of persistent contrastive divergence wait between training steps.

Tieleman 2008; Du & Mordatch 2019, sec. 3.2: a share of the chains goes on from the buffer, the others begin
afresh, and all are put back at their own places. The buffer is one array `[N, ...]`, e.g. a System's `extra`.
"""

import jax
import jax.numpy as jnp


def draw(key, buffer, fresh, share=0.95):
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
    """
    if len(fresh) > len(buffer):
        raise ValueError(f"the buffer must hold a batch of {len(fresh)} chains, got {len(buffer)}")
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1], got {share}")
    key_place, key_kept = jax.random.split(key)
    places = jax.random.choice(key_place, len(buffer), (len(fresh),), replace=False)
    kept = jax.random.bernoulli(key_kept, share, (len(fresh),) + (1,) * (fresh.ndim - 1))
    return jnp.where(kept, buffer[places], fresh), places


def put(buffer, places, x):
    """Return the buffer `[N, ...]` with chains x `[B, ...]` at their places `[B]`."""
    return buffer.at[places].set(jax.lax.stop_gradient(x))

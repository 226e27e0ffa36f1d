"""InfoNCE between two views of the same things: a picture and its text, a picture and its noised self.

    L = -1/2 (log softmax_j(s a_i . b_j) + log softmax_j(s a_j . b_i)) at j = i        (Radford et al. 2021)

a and b are of unit norm, s > 0 is the inverse temperature. Two rows that are the same thing (one caption of
several pictures) are neither right nor wrong of each other: their pairs are left out of both sums.
"""

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process import checks
from diffjax.types import Array, ArrayLike, Bool, Float


@checked
def info_nce(
    a: Float[Array, "batch features"],
    b: Float[Array, "batch features"],
    scale: ArrayLike,
    same: Bool[Array, "batch batch"] | None = None,
) -> tuple[Float[Array, " batch"], dict[str, Float[Array, " batch"]]]:
    """Return the symmetric loss of every pair (a_i, b_i) among those of the batch.

    It is no mean over rows: every pair is told from all others, so a batch cannot be taken in parts.

    Args:
      a, b: `[B, D]`, of unit norm.
      scale: s, a scalar.
      same: `[B, B]`, which rows are the same thing, such as `same_rows` of captions; None: no two are.

    Returns:
      loss `[B]`, and aux {"hit": 1 where a_i is nearest to b_i of all b that are not the same}, `[B]`.

    Raises:
      ValueError: if a and b differ in shape, or for a negative scale.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> a = jnp.eye(2)
      >>> [round(float(each), 4) for each in objectives.info_nce(a, a, 1.0)[0]]  # log(1 + 1 / e)
      [0.3133, 0.3133]
      >>> objectives.info_nce(a, a, 1.0, same=jnp.ones((2, 2), bool))[0].tolist()
      [0.0, 0.0]
    """
    checks.same_shape("b", b, a, "a")
    if jnp.ndim(scale):
        raise ValueError(f"scale must be a scalar, got shape {list(jnp.shape(scale))}")
    checks.within("scale", scale, 0.0, float(jnp.finfo(a.dtype).max))
    own = jnp.eye(len(a), dtype=bool)
    logits = scale * a @ b.T
    if same is not None:
        logits = jnp.where(same & ~own, -jnp.inf, logits)
    right = jnp.diagonal(logits)
    among = jax.nn.logsumexp(logits, axis=1), jax.nn.logsumexp(logits, axis=0)
    others = jnp.where(own, -jnp.inf, logits).max(axis=1)
    return 0.5 * (among[0] + among[1]) - right, {"hit": (right > others).astype(a.dtype)}


@checked
def same_rows(*arrays: Array) -> Bool[Array, "batch batch"]:
    """Return which rows `[B, ...]` of all these arrays are equal, bool `[B, B]`.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import objectives
      >>> objectives.same_rows(jnp.array([3, 5, 3])).astype(int).tolist()
      [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    """
    if not arrays:
        raise ValueError("arrays must be at least one, got none")
    same = jnp.ones((len(arrays[0]), len(arrays[0])), bool)
    for each in arrays:
        if len(each) != len(arrays[0]):
            raise ValueError(f"arrays must have equal rows, got {[len(each) for each in arrays]}")
        flat = each.reshape(len(each), -1)
        same &= (flat[:, None] == flat[None]).all(axis=-1)
    return same

"""Which activations of a block are kept for the backward pass, and which are computed there again."""

from typing import Any, Literal, get_args

import flax.linen as nn
import jax

Kept = Literal["dots_saveable", "dots_with_no_batch_dims_saveable"]
Remat = bool | Kept


def recomputed(module: Any, remat: Remat, **options: Any) -> Any:
    """Return a class of modules whose activations are computed again in the backward pass, to save memory.

    Args:
      module: the class.
      remat: False keeps all of them, True none but the inputs; "dots_saveable" the results of products and
        convolutions, "dots_with_no_batch_dims_saveable" those without a batched dimension, which logits of
        attention have (`jax.checkpoint_policies`).
      **options: of `flax.linen.remat`.

    Raises:
      ValueError: for another remat.

    Reference: Chen et al. 2016.
    """
    if isinstance(remat, bool):
        return nn.remat(module, **options) if remat else module
    if remat not in get_args(Kept):
        raise ValueError(f"remat must be one of True, False, {', '.join(get_args(Kept))}; got {remat!r}")
    return nn.remat(module, policy=getattr(jax.checkpoint_policies, remat), **options)

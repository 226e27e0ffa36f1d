"""Attention with a mask, by the name of its implementation; and the transformers' MLP."""

import math
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.models import splash
from diffjax.types import Array, Bool, Float

Implementation = Literal["auto", "xla", "cudnn", "splash", "plain"]
REVERSE_ONLY = ("cudnn", "splash")  # whose own reverse rules forward mode refuses
_XAVIER, _ZEROS = nn.initializers.xavier_uniform(), nn.initializers.zeros


@checked
def attend(
    q: Float[Array, "batch queries heads width"],
    k: Float[Array, "batch keys heads width"],
    v: Float[Array, "batch keys heads width"],
    mask: Bool[Array, "batch keys"] | None = None,
    *,
    implementation: Implementation = "xla",
) -> Float[Array, "batch queries heads width"]:
    """Mix values by how well their keys answer each query: `softmax(q k^T / sqrt(width)) v`.

    Args:
      q: queries [B, N, heads, width].
      k: keys [B, M, heads, width].
      v: values like the keys.
      mask: which keys are there, [B, M]; None for all of them. What it hides is not seen, whatever it holds,
        NaN too; where none of a row is there, the result is 0.
      implementation: "xla" or "cudnn" of `jax.nn.dot_product_attention`, "splash" of `splash.attend`, or
        "plain", this formula as it stands. "cudnn" is for half precision on GPUs, "splash" for TPUs; both
        have a reverse rule that forward mode refuses. "auto" is "splash" on TPUs, "cudnn" for half precision
        on GPUs, and "xla" elsewhere. The softmax is taken in float32, of "plain" in float32 at least.

    Returns:
      [B, N, heads, width].

    Raises:
      ValueError: for another implementation, or "cudnn" where it cannot run.

    Reference: Vaswani et al. 2017, equation (1).
    """
    chosen = which(implementation, q.dtype)
    seen = None
    if mask is not None:
        # Zeros stand where nothing is: 0 * NaN would be NaN, and the mean of a row that is hidden is 0.
        k, v = (jnp.where(mask[:, :, None, None], h, 0) for h in (k, v))
        seen = mask[:, None, None, :]
    if chosen == "splash":
        return splash.attend(q, k, v, mask)
    if chosen == "plain":
        logits = jnp.einsum("bnhd,bmhd->bhnm", q, k) / math.sqrt(q.shape[-1])
        logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
        weights = nn.softmax(logits if seen is None else jnp.where(seen, logits, jnp.finfo(logits.dtype).min))
        return jnp.einsum("bhnm,bmhd->bnhd", weights.astype(v.dtype), v)
    if chosen == "cudnn" and seen is not None:
        seen = jnp.broadcast_to(seen, (len(q), 1, q.shape[1], k.shape[1]))  # which it does not do itself
    return jax.nn.dot_product_attention(
        q, k, v, mask=seen, implementation="cudnn" if chosen == "cudnn" else "xla"
    )


def which(implementation: Implementation, dtype: Any) -> Implementation:
    """Return what "auto" is here for values of a dtype, and refuse cuDNN where there is none."""
    backend = jax.default_backend()
    fused = backend == "gpu" and dtype.itemsize == 2
    if implementation == "auto":
        return "splash" if backend == "tpu" else "cudnn" if fused else "xla"
    if implementation == "cudnn" and not fused:
        got = f"{dtype} on {backend}"
        raise ValueError(f'implementation="cudnn" needs half precision and a GPU, got {got}: take "xla"')
    return implementation


class Attention(nn.Module):
    """Let a sequence attend to itself, or to a context.

    Attributes:
      num_heads: heads; must divide the width of x.
      qk_norm: normalise queries and keys over each head, by a root mean square with learned scales. It bounds
        the logits, which otherwise grow in long trainings until they overflow.
      zero: the output starts at zero.
      bias: queries, keys and values have biases; the output has one in any case.
      implementation: see `attend`.
      dtype: dtype of the products; None follows the input.

    Reference: Vaswani et al. 2017, section 3.2.2; Dehghani et al. 2023, section 2 (normalised queries and
    keys), as Esser et al. 2024, section 5.3.2.
    """

    num_heads: int
    qk_norm: bool = False
    zero: bool = False
    bias: bool = True
    implementation: Implementation = "xla"
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch queries features"],
        context: Float[Array, "batch keys context_features"] | None = None,
        mask: Bool[Array, "batch keys"] | None = None,
    ) -> Float[Array, "batch queries features"]:
        """Attend.

        Args:
          x: sequence [B, N, F].
          context: what it attends to, [B, M, D]; None for x itself.
          mask: which of the context, or of x, is there: [B, M]; None for all of it.

        Returns:
          [B, N, F].

        Raises:
          ValueError: if the heads do not divide the width.
        """
        width = x.shape[-1]
        whole_heads(self, width)

        def project(h, parts, name):
            h = nn.Dense(parts * width, self.bias, self.dtype, kernel_init=_XAVIER, name=name)(h)
            return jnp.split(h.reshape(*h.shape[:-1], parts * self.num_heads, -1), parts, axis=-2)

        if context is None:
            q, k, v = project(x, 3, "qkv")
        else:
            (q,), (k, v) = project(x, 1, "q"), project(context, 2, "kv")
        if self.qk_norm:
            # Statistics are taken in float32; the result returns to the dtype of the products.
            q, k = (nn.RMSNorm(name=f"{n}_norm")(h).astype(v.dtype) for n, h in (("q", q), ("k", k)))
        h = attend(q, k, v, mask, implementation=self.implementation)
        init = _ZEROS if self.zero else _XAVIER
        return nn.Dense(width, kernel_init=init, dtype=self.dtype, name="out")(h.reshape(x.shape))


def whole_heads(module: nn.Module, channels: int) -> None:
    """Refuse a module whose `num_heads` do not divide the channels, by a ValueError."""
    if channels % module.num_heads:
        where = f"the {channels} channels of {'/'.join(module.path) or type(module).__name__}"
        raise ValueError(f"num_heads: must divide {where}; got {module.num_heads}")


class FeedForward(nn.Module):
    """Map each element of a sequence by one hidden layer with the tanh form of GELU.

    Attributes:
      features: units of the hidden layer.
      dtype: dtype of the products; None follows the input.

    Reference: Hendrycks & Gimpel 2016, section 2.
    """

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch length width"]) -> Float[Array, "batch length width"]:
        """Map x [B, N, F] to the same shape."""
        h = nn.Dense(self.features, kernel_init=_XAVIER, dtype=self.dtype, name="hidden")(x)
        h = nn.gelu(h, approximate=True)
        return nn.Dense(x.shape[-1], kernel_init=_XAVIER, dtype=self.dtype, name="out")(h)

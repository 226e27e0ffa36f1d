"""Keeping the predicted x_0 inside the range of the data."""

import jax.numpy as jnp

from diffjax.process import prediction


def clip(lo=-1.0, hi=1.0, keep_eps=False):
    """Clip the predicted x_0 to [lo, hi] (static thresholding).

    Args:
      lo, hi: the range of the data.
      keep_eps: False recomputes eps from the clipped x_0, as guided-diffusion does; True keeps the
        network's, as diffusers does.
    """
    if not lo < hi:
        raise ValueError(f"clip needs lo < hi, got {lo} and {hi}")
    return _bounded(lambda x0: jnp.clip(x0, lo, hi), keep_eps)


def dynamic_threshold(quantile=0.995, max_value=jnp.inf, keep_eps=False):
    """Clip each sample's x_0 to its own quantile s of |x_0|, s >= 1, and divide by s.

    Saharia et al. 2022 (Imagen), sec. 2.3: identity where the quantile is at most 1, output in [-1, 1].

    Args:
      quantile: in (0, 1], of |x_0| over each sample.
      max_value: upper bound of s, at least 1.
      keep_eps: see `clip`.
    """
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile must be in (0, 1], got {quantile}")
    if not max_value >= 1:
        raise ValueError(f"max_value must be at least 1, got {max_value}")

    def bound(x0):
        s = jnp.quantile(jnp.abs(x0).reshape(len(x0), -1), float(quantile), axis=1)
        s = jnp.clip(s, 1.0, max_value).astype(x0.dtype).reshape(-1, *[1] * (x0.ndim - 1))
        return jnp.clip(x0, -s, s) / s

    return _bounded(bound, keep_eps)


def _bounded(bound, keep_eps):
    def transform(denoise):
        def bounded(x_t, level, cond=None):
            raw = denoise(x_t, level, cond)
            x0 = bound(raw.x0)
            return raw._replace(x0=x0) if keep_eps else prediction.from_x0(x0, x_t, level, raw.variance)

        return bounded

    return transform

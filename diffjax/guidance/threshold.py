"""Keeping the predicted x_0 inside the range of the data."""

from collections.abc import Callable

import jax.numpy as jnp

from diffjax.border import checked
from diffjax.guidance.chain import Transformation
from diffjax.process import prediction
from diffjax.process.level import expand
from diffjax.process.prediction import Denoiser, returning_prediction
from diffjax.types import Array, Extended


@checked
def clip(lo: Extended = -1.0, hi: Extended = 1.0, keep_eps: bool = False) -> Transformation:
    """Clip the predicted x_0 to [lo, hi] (static thresholding).

    Args:
      lo, hi: the range of the data.
      keep_eps: False recomputes eps from the clipped x_0, as guided-diffusion does; True keeps the
        network's, as diffusers does.

    Raises:
      ValueError: unless lo < hi.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance
      >>> from diffjax.process import schedules
      >>> point = exact.gaussian_mixture([1.0], [[3.0]], [0.01])
      >>> clipped = guidance.clip()(point.denoiser())
      >>> clipped(jnp.full((1, 1), 2.0), schedules.rectified_flow()(0.5)).x0.tolist()
      [[1.0]]
    """
    if not lo < hi:
        raise ValueError(f"clip needs lo < hi, got {lo} and {hi}")
    return _bounded(lambda x0: jnp.clip(x0, lo, hi), keep_eps)


@checked
def dynamic_threshold(
    quantile: float = 0.995, max_value: float = jnp.inf, keep_eps: bool = False
) -> Transformation:
    """Clip each sample's x_0 to its own quantile s of |x_0|, s >= 1, and divide by s.

    Saharia et al. 2022 (Imagen): identity where the quantile is at most 1, output in [-1, 1].

    Args:
      quantile: in (0, 1], of |x_0| over each sample.
      max_value: upper bound of s, at least 1.
      keep_eps: see `clip`.

    Raises:
      ValueError: for a number out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance
      >>> from diffjax.process import schedules
      >>> points = exact.gaussian_mixture([1.0], [[2.0, 4.0]], [0.0])
      >>> whole = guidance.dynamic_threshold(quantile=1.0)(points.denoiser())
      >>> whole(jnp.zeros((1, 2)), schedules.edm()(1.0)).x0.tolist()  # divided by the largest
      [[0.5, 1.0]]
    """
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile must be in (0, 1], got {quantile}")
    if not max_value >= 1:
        raise ValueError(f"max_value must be at least 1, got {max_value}")

    def bound(x0):
        s = jnp.quantile(jnp.abs(x0).reshape(len(x0), -1), float(quantile), axis=1)
        s = expand(jnp.clip(s, 1.0, max_value), x0)
        return jnp.clip(x0, -s, s) / s

    return _bounded(bound, keep_eps)


def _bounded(bound: Callable[[Array], Array], keep_eps: bool) -> Transformation:
    @checked
    def transform(denoise: Denoiser) -> Denoiser:
        denoise = returning_prediction(denoise)

        def bounded(x_t, level, cond=None):
            raw = denoise(x_t, level, cond)
            x0 = bound(raw.x0)
            return raw._replace(x0=x0) if keep_eps else prediction.from_x0(x0, x_t, level, raw.variance)

        return bounded

    return transform

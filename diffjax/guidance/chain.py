"""Composition of guidance transformations."""

from collections.abc import Callable

from diffjax.border import checked
from diffjax.process.prediction import Denoiser

Transformation = Callable[[Denoiser], Denoiser]


@checked
def chain(*transforms: Transformation) -> Transformation:
    """Compose transformations Denoiser -> Denoiser; the first acts first, on the network's own prediction.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance
      >>> from diffjax.process import schedules
      >>> both = guidance.chain(guidance.clip(-1.0, 1.0), guidance.clip(-0.5, 0.5))
      >>> point = exact.gaussian_mixture([1.0], [[3.0]], [0.01])
      >>> both(point.denoiser())(jnp.full((1, 1), 2.0), schedules.rectified_flow()(0.5)).x0.tolist()
      [[0.5]]
    """

    @checked
    def transform(denoise: Denoiser) -> Denoiser:
        for each in transforms:
            denoise = each(denoise)
        return denoise

    return transform

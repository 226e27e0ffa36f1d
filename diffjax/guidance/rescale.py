"""Guidance whose output keeps the standard deviation of the unguided one."""

import dataclasses

import jax.numpy as jnp

from diffjax.border import checked
from diffjax.guidance.chain import Transformation
from diffjax.guidance.extrapolation import Extrapolation
from diffjax.process import checks, prediction
from diffjax.types import Array


@checked
def rescale(guide: Transformation, phi: float = 0.7, kind: str = "eps") -> Transformation:
    """Rescale a guided output to the standard deviation of the conditional one (Lin et al. 2023, sec. 3.4).

    y <- y (phi std(y_cond) / std(y) + 1 - phi), each sample for itself: guidance at a large scale makes
    outputs too large, and pictures too bright. No further network call.

    Args:
      guide: `classifier_free`, `autoguidance` or `apg`, whose two predictions are reused.
      phi: in [0, 1]; 0 changes nothing.
      kind: of the output y that is rescaled, as the network gives it: the paper's is "v", diffusers rescales
        whatever the network predicts. "eps" leaves x_0 infinite where alpha = 0.

    Raises:
      ValueError: for a guide of another kind, phi outside [0, 1], or kind "mean".

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import guidance
      >>> from diffjax.process import prediction, schedules
      >>> network = lambda x, t, cond: jnp.array([[1.0, -1.0]]) * cond[:, None]
      >>> denoise = prediction.reading("eps").denoiser(network)
      >>> guided = guidance.rescale(guidance.classifier_free(4.0, null=0), phi=1.0)(denoise)
      >>> guided(jnp.zeros((1, 2)), schedules.edm()(1.0), jnp.array([1])).eps.tolist()  # and not 4
      [[1.0, -1.0]]
    """
    if not isinstance(guide, Extrapolation) or not guide.towards_at_one:  # CFG++ says x_0 and eps apart
        told = "classifier_free, autoguidance or apg"
        raise ValueError(f"guide must be made by {told}, whose outputs are reused; got {guide!r}")
    checks.within("phi", phi, 0, 1)
    kinds = [each for each in prediction.KINDS if each != "mean"]
    if kind not in kinds:
        raise ValueError(f"kind must be one of {', '.join(kinds)}; got {kind!r}")

    def mix(away, towards, s, x_t, level):
        guided = guide.mix(away, towards, s, x_t, level)
        y, like = (prediction.target(kind, each.x0, each.eps, level) for each in (guided, towards))
        spread, wanted = _std(y), _std(like)
        ratio = jnp.where(spread == 0, 1, wanted / jnp.where(spread == 0, 1, spread))
        return prediction.from_output(kind, y * (phi * ratio + 1 - phi), x_t, level)

    return dataclasses.replace(guide, mix=mix, away_at_zero=guide.away_at_zero and phi == 0)


def _std(y: Array) -> Array:
    return jnp.std(y, tuple(range(1, y.ndim)), keepdims=True)

"""Exponential moving averages of parameters and the rules for their decay.

A decay rule is a function of the number of updates made before this one, `n = 0, 1, ...`, as an optax
schedule is: `ema <- decay(n) ema + (1 - decay(n)) params`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import checks
from diffjax.border import checked

Decay = Callable[[jax.Array], jax.Array | float]

TRACK = "ema"  # the average of a run that follows only one


def tracks(decays: "float | Decay | Mapping[str, float | Decay]") -> dict[str, Decay]:
    """Return {track: rule} of what says it in short: a number, a rule, or either for each track.

    Raises:
      ValueError: if a number is outside [0, 1], there is no track, or several and none of them is "ema".
    """
    decays = decays if isinstance(decays, Mapping) else {TRACK: decays}
    main(decays)
    return {name: each if callable(each) else constant(each) for name, each in decays.items()}


def main(tracks: Mapping[str, Any]) -> str:
    """Return the name of the average that is sampled with: the only one, or "ema" of several.

    Raises:
      ValueError: if there is none.
    """
    if len(tracks) == 1:
        return next(iter(tracks))
    if TRACK not in tracks:
        raise ValueError(f"one of several averages must be {TRACK!r}, to sample with; got {sorted(tracks)}")
    return TRACK


def init(params: Any) -> Any:
    """Start the average at the parameters, in float32 or wider.

    Args:
      params: pytree of arrays.

    Returns:
      Copies of the same shapes; half precision becomes float32.
    """
    wide = lambda p: jnp.promote_types(p.dtype, jnp.float32) if jnp.issubdtype(p.dtype, jnp.inexact) else None
    return jax.tree.map(lambda p: jnp.array(p, wide(p)), params)


def update(ema: Any, params: Any, decay: jax.Array | float) -> Any:
    """Move the average one update towards the parameters.

    Args:
      ema: pytree as `init` returns it.
      params: pytree of the same structure, the parameters after the update.
      decay: scalar in [0, 1], the weight of the old average.

    Returns:
      The new average, in the dtypes of `ema`.
    """

    def move(average, p):
        if not jnp.issubdtype(average.dtype, jnp.inexact):
            return p  # a count or a key has no mean
        return (decay * average + (1 - decay) * p.astype(average.dtype)).astype(average.dtype)

    return jax.tree.map(move, ema, params)


@checked
def constant(decay: float) -> Decay:
    """Return the same decay at every update.

    Args:
      decay: weight of the old average, in [0, 1].

    Returns:
      The rule.

    Raises:
      ValueError: if `decay` is outside [0, 1].
    """
    _check(decay)
    return lambda n: decay


@checked
def warmed_up(decay: float) -> Decay:
    """Return `min(decay, (1 + n) / (10 + n))`, 0 at the first update: early parameters are soon forgotten.

    Args:
      decay: the final decay, in [0, 1].

    Returns:
      The rule.

    Raises:
      ValueError: if `decay` is outside [0, 1].

    Reference:
      TensorFlow's ExponentialMovingAverage(num_updates=...); diffusers' EMAModel without `use_ema_warmup`.
    """
    _check(decay)
    return lambda n: jnp.where(n > 0, jnp.minimum(decay, (1 + n) / (10 + n)), 0.0)


@checked
def inverse_power(decay: float, inv_gamma: float = 1.0, power: float = 2 / 3) -> Decay:
    """Return `min(decay, 1 - (1 + n / inv_gamma)^-power)`.

    Args:
      decay: the final decay, in [0, 1].
      inv_gamma: updates after which the warm-up begins to bite, positive.
      power: 2/3 reaches 0.999 after 31.6 thousand updates, 3/4 after 10 thousand.

    Returns:
      The rule.

    Raises:
      ValueError: if `decay` is outside [0, 1], or another number is not positive.

    Reference:
      Crowson's k-diffusion and diffusers' EMAModel(use_ema_warmup=True).
    """
    _check(decay)
    checks.positive("inv_gamma", inv_gamma)
    checks.positive("power", power)
    return lambda n: jnp.minimum(decay, 1 - (1 + n / inv_gamma) ** -power)


@checked
def half_life(images: float, batch_size: int, rampup: float | None = 0.05) -> Decay:
    """Return a decay whose half-life is a number of images, whatever the batch size.

    Args:
      images: half-life in training images.
      batch_size: images an update.
      rampup: the half-life is at most this fraction of the images seen so far; None: no ramp-up.

    Returns:
      The rule.

    Raises:
      ValueError: if a number is not positive.

    Reference:
      Karras et al. 2022 (EDM), training loop: `beta = 0.5^(batch / max(min(half_life, seen rampup),
      1e-8))`.
    """
    checks.positive("images", images)
    checks.count("batch_size", batch_size)
    if rampup is not None:
        checks.positive("rampup", rampup)

    def decay(n):
        life = images if rampup is None else jnp.minimum(images, n * batch_size * rampup)
        return 0.5 ** (batch_size / jnp.maximum(life, 1e-8))

    return decay


@checked
def power(width: float) -> Decay:
    """Return (1 - 1 / (n + 1))^(gamma + 1): an average whose memory is a constant share of the run so far.

    The average weighs the parameters at time s of a run of length t by s^gamma, as far as a sum can. Several
    of them, kept now and then (`post_hoc`), make an average of any other width afterwards.

    Args:
      width: standard deviation of that weight relative to t, in (0, 0.288), such as 0.05 and 0.10.

    Returns:
      The rule.

    Raises:
      ValueError: if `width` is out of range.

    Reference:
      Karras et al. 2024 (EDM2, arXiv:2312.02696), section 3.1 and equation 127.
    """
    return Power(width, exponent(width))


class Power(NamedTuple):
    """The rule of `power`."""

    width: float
    gamma: float

    def __call__(self, n: Any) -> Any:
        """Return the decay of update n."""
        # by the logarithm: in float32 1 - 1 / (n + 1) has lost percents of a small 1 / (n + 1)
        return jnp.exp((self.gamma + 1) * jnp.log1p(-1 / (n + 1)))


def exponent(width: float) -> float:
    """Return gamma of a power-function average of a relative width; see `power`.

    The weight s^gamma on [0, 1] has variance (gamma + 1) / ((gamma + 2)^2 (gamma + 3)).

    Raises:
      ValueError: if `width` is not in (0, 0.288), that of equal weights.
    """
    widest = 12**-0.5
    if not 0 < width < widest:
        raise ValueError(f"width={width} of an average must be in (0, {widest:.3f})")
    inverse = width**-2
    roots = np.roots([1, 7, 16 - inverse, 12 - inverse])
    return float(roots.real.max())


def _check(decay: float) -> None:
    if not 0 <= decay <= 1:
        raise ValueError(f"ema decay={decay} must be in [0, 1]")

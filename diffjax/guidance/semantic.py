"""Semantic guidance: by what an encoder sees in x_t, a text, a picture or its style (Liu et al. 2021).

Each guide is a score F(x_t, level, cond) -> `[B]` in the place of a classifier's log p(y | x_t). Its encoder
is a function (x_t `[B, ...]`, level) that knows noise; a picture to resemble is noised afresh at every level,
so that both are seen through as much of it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from diffjax.border import checked
from diffjax.guidance.chain import Transformation
from diffjax.guidance.classifier import OfLevel, classifier, gradient_of
from diffjax.guidance.noise import noised_afresh
from diffjax.guidance.strength import Strength
from diffjax.process import checks
from diffjax.process.level import NoiseLevel, mean_of_each, sum_of_each, unit_of_each
from diffjax.types import Array, Float, Key

Encoder = Callable[[Array, NoiseLevel], Any]  # (x_t `[B, ...]`, level) -> `[B, D]`, or maps `[B, ..., C]`


@checked
def semantic(
    guides: Sequence[tuple[float, OfLevel]], scale: Strength = 1.0, *, of_x0: bool = False
) -> Transformation:
    """Shift eps by -scale sigma grad F, F = sum_i w_i F_i: `classifier` with a weighted sum of guides.

    The paper moves the mean of ancestral sampling instead, by variance times grad F:
    `samplers.ancestral(mean_shift=gradient_of(weighted(guides)))`. One network call, and forward and backward
    passes of the encoders. F is no log probability: what is sampled is of no model's posterior, and the
    weights belong to the encoder.

    Args:
      guides: pairs (weight, F) of `resembles_text`, `resembles_image`, `resembles_layout`, `resembles_style`,
        or any function (x_t, level, cond) -> `[B]`.
      scale: of them all, a number, `[B]`, or a function of the noise level.
      of_x0: see `classifier`: of encoders of clean data, as of those of pictures where x_t are latents.

    Raises:
      ValueError: for no guides, or a weight that is not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact, guidance
      >>> from diffjax.process import schedules
      >>> text = guidance.resembles_text(lambda x, level: x, jnp.array([[0.0, 1.0]]))
      >>> point = exact.gaussian_mixture([1.0], [[0.0, 0.0]], [1.0])
      >>> guided = guidance.semantic([(4.0, text)])(point.denoiser())
      >>> guided(jnp.array([[2.0, 0.0]]), schedules.edm()(1.0)).eps.tolist()  # 1 - 0 and 0 - 4 / 2
      [[1.0, -2.0]]
    """
    return classifier(gradient_of(weighted(guides)), scale, of_x0=of_x0)


@checked
def weighted(guides: Sequence[tuple[float, OfLevel]]) -> OfLevel:
    """Return the weighted sum of guides, itself one.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import guidance
      >>> first, second = (lambda x, level, cond, i=i: x[:, i] for i in (0, 1))
      >>> guidance.weighted([(2.0, first), (1.0, second)])(jnp.array([[1.0, 5.0]]), None, None).tolist()
      [7.0]
    """
    pairs = tuple(guides)
    if not pairs:
        raise ValueError("guides must be at least one pair (weight, F), got none")
    return lambda x_t, level, cond=None: sum(w * f(x_t, level, cond) for w, f in pairs)


@checked
def resembles_text(encode: Encoder, text: Float[Array, "#batch features"]) -> OfLevel:
    """Return F = e(x_t) . l, both of unit norm (language guidance).

    Args:
      encode: (x_t, level) -> `[B, D]`, the noise-aware image encoder.
      text: `[B, D]` or `[1, D]`, the text encoder's embedding.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import guidance
      >>> score = guidance.resembles_text(lambda x, level: x, jnp.array([[0.0, 3.0]]))
      >>> score(jnp.array([[0.0, 2.0], [5.0, 0.0]]), None, None).tolist()
      [1.0, 0.0]
    """

    checks.finite("text", text)

    def score(x_t, level, cond=None):
        seen, said = _unit(encode(x_t, level)), _unit(_of_all("text", text, x_t))
        return (seen * checks.same_shape("text", said, seen, "encode(x_t, level)")).sum(-1)

    return score


@checked
def resembles_image(
    encode: Encoder, reference: Float[Array, "#batch *shape"], *, key: Key[Array, "..."]
) -> OfLevel:
    """Return F = e(x_t) . e(x'_t), both of unit norm: the content of a reference (image guidance).

    Args:
      encode: (x_t, level) -> `[B, D]`.
      reference: `[B, ...]` or `[1, ...]`, clean.
      key: one key or `[B]` keys, for the noise on the reference.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from diffjax import guidance
      >>> from diffjax.process import schedules
      >>> x, level = jnp.array([[3.0, 4.0]]), schedules.edm()(1e-3)
      >>> alike = guidance.resembles_image(lambda x, level: x, x, key=jax.random.key(0))
      >>> round(float(alike(2 * x, level, None)[0]), 3)
      1.0
    """

    def score(x_t, level, cond=None):
        noised = noised_afresh(key, _of_all("reference", reference, x_t), level)
        return (_unit(encode(x_t, level)) * _unit(encode(noised, level))).sum(-1)

    return score


@checked
def resembles_layout(
    maps: Encoder, reference: Float[Array, "#batch *shape"], *, key: Key[Array, "..."]
) -> OfLevel:
    """Return F = -sum_j mean (f_j(x'_t) - f_j(x_t))^2 over positions and channels: where things are.

    Args:
      maps: (x_t, level) -> maps `[B, H_j, W_j, C_j]`, one or a list of them.
      reference, key: see `resembles_image`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from diffjax import guidance
      >>> from diffjax.process import schedules
      >>> x, level = jnp.zeros((1, 2, 2, 1)), schedules.edm()(1e-3)
      >>> alike = guidance.resembles_layout(lambda x, level: x, x, key=jax.random.key(0))
      >>> round(float(alike(x + 2.0, level, None)[0]), 1)
      -4.0
    """
    return _likeness(maps, reference, key, lambda a, b: mean_of_each((a - b) ** 2))


@checked
def resembles_style(
    maps: Encoder, reference: Float[Array, "#batch *shape"], *, key: Key[Array, "..."]
) -> OfLevel:
    """Return F = -sum_j ||G_j(x'_t) - G_j(x_t)||^2, G = m m^T / (H W C) of a map's channels: the style.

    It knows which features go together, and not where they are. Arguments as of `resembles_layout`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from diffjax import guidance
      >>> from diffjax.process import schedules
      >>> x, level = jnp.array([2.0, 0.0, 0.0, 0.0]).reshape(1, 2, 2, 1), schedules.edm()(1e-3)
      >>> alike = guidance.resembles_style(lambda x, level: x, x, key=jax.random.key(0))
      >>> abs(round(float(alike(x[:, ::-1], level, None)[0]), 2))
      0.0
    """

    def gram(m):
        flat = m.reshape(len(m), -1, m.shape[-1])
        return jnp.einsum("bpc,bpd->bcd", flat, flat) / flat[0].size

    return _likeness(maps, reference, key, lambda a, b: sum_of_each((gram(a) - gram(b)) ** 2))


def _likeness(maps, reference, key, distance):
    def score(x_t, level, cond=None):
        noised = noised_afresh(key, _of_all("reference", reference, x_t), level)
        pairs = zip(_maps(maps(noised, level)), _maps(maps(x_t, level)), strict=True)
        return -sum(distance(*pair) for pair in pairs)

    return score


def _maps(found):
    found = list(found) if isinstance(found, list | tuple) else [found]
    for each in found:
        if jnp.ndim(each) < 3:
            given = list(jnp.shape(each))
            raise ValueError(f"maps must give [B, ..., C] with positions, got {given}")
    return found


def _of_all(name, array, x_t):
    """Return `[B, ...]` of what may be one for all samples."""
    if jnp.shape(array)[0] not in (1, len(x_t)):
        told = f"one for all or one for each of {len(x_t)} samples"
        raise ValueError(f"{name} must be {told}, got {len(array)}")
    array = jnp.broadcast_to(jnp.asarray(array, x_t.dtype), (len(x_t), *jnp.shape(array)[1:]))
    return array if name == "text" else checks.same_shape(name, array, x_t, "x_t")


def _unit(features):
    """Return an encoder's features `[B, D]`, of norm 1."""
    shape = list(getattr(features, "shape", ()))
    if len(shape) != 2:
        raise ValueError(f"encode must give [B, D], got {shape or type(features).__name__}")
    return unit_of_each(features)

"""An invertible network: couplings between halves, mixed in between, image scales factored out.

RealNVP (Dinh et al. 2017), Glow (Kingma & Dhariwal 2018), Flow++ (Ho et al. 2019) and neural spline flows
(Durkan et al. 2019) are this one with another coupling.
"""

import math
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.models import bijections
from diffjax.models.blocks import AttentionBlock, conv3x3, whole_halvings
from diffjax.types import Array, Float

Coupling = Literal["affine", "mixture", "spline"]
_ZERO = nn.initializers.zeros


class Flow(nn.Module):
    """Map data to standard normal numbers and back, with the log-determinant of the way there.

    Attributes:
      shape: of one x: (D,), or (H, W, C).
      steps: of each scale: an actnorm, a mixing of channels, a coupling.
      scales: of images: each halves height and width, and lets half of its channels go, the last none.
      coupling: "affine", "mixture" (of logistics, then affine) or "spline" (rational-quadratic).
      features, depth: of the couplings' networks, residual; convolutions for images.
      components: of the mixture, or bins of the spline.
      attention: whether each coupling's network of images ends in self-attention (Flow++).
      ends: of the interval that x lies in, whose logits are then taken; None for x on the line.
      margin: of these logits, see `bijections.squash`.
    """

    shape: tuple[int, ...]
    steps: int = 4
    scales: int = 1
    coupling: Coupling = "affine"
    features: int = 64
    depth: int = 1
    components: int = 8
    attention: bool = False
    ends: tuple[float, float] | None = None
    margin: float = 0.05

    @property
    def images(self) -> bool:
        """Whether x are images."""
        return len(self.shape) == 3

    def setup(self) -> None:
        """Make the steps of each scale, in the order of the way to noise."""
        make = partial(_Step, self.coupling, self.features, self.depth, self.components, self.attention)
        self.chain = [[make() for _ in range(self.steps)] for _ in range(self.scales if self.images else 1)]

    @checked
    def __call__(self, x: Float[Array, "batch *shape"]) -> tuple[list[Array], Float[Array, " batch"]]:
        """Map x to noise.

        Args:
          x: `[B, *shape]`; the first batch sets the scales of the actnorms.

        Returns:
          Numbers z, `[B, ...]` arrays of as many numbers as x has, and log |det dz/dx| `[B]`.

        Raises:
          ValueError: for images that cannot be halved once a scale.
        """
        total, parts = jnp.zeros(len(x)), list[Array]()
        if self.images:
            whole_halvings(x.shape[1:], self.scales)
        if self.ends is not None:
            x, slope = bijections.squash(x, *self.ends, self.margin)
            total = total + slope.reshape(len(x), -1).sum(1)
        for i, steps in enumerate(self.chain):
            x = bijections.squeeze(x) if self.images else x
            for step in steps:
                x, log_det = step(x)
                total = total + log_det
            if i + 1 < len(self.chain):
                x, gone = jnp.split(x, 2, -1)
                parts.append(gone)
        return [*parts, x], total

    @property
    def noise_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of z for one x."""
        if not self.images:
            return [tuple(self.shape)]
        (height, width, channels), shapes = self.shape, []
        for i in range(self.scales):
            height, width, channels = height // 2, width // 2, 4 * channels
            if i + 1 < self.scales:
                channels //= 2
            shapes.append((height, width, channels))
        return shapes

    @checked
    def inverse(self, z: list[Array]) -> Float[Array, "batch *shape"]:
        """Map noise to x."""
        parts = list(z)
        x: Any = parts.pop()
        for i, steps in reversed(list(enumerate(self.chain))):
            if i + 1 < len(self.chain):
                x = jnp.concatenate([x, parts.pop()], -1)
            for step in reversed(steps):
                x = step(x, inverse=True)
            x = bijections.unsqueeze(x) if self.images else x
        return x if self.ends is None else bijections.unsquash(x, *self.ends, self.margin)


class _Step(nn.Module):
    """An actnorm, a linear mixing of channels, and a coupling of its halves."""

    coupling: Coupling
    features: int
    depth: int
    components: int
    attention: bool

    @nn.compact
    def __call__(self, x, inverse=False):
        channels, places = x.shape[-1], math.prod(x.shape[1:-1])
        rows = tuple(range(x.ndim - 1))
        # of the first batch: mean 0 and variance 1 a channel (Kingma & Dhariwal 2018, section 3.1)
        shift = self.param("shift", lambda key: -x.mean(rows))
        log_scale = self.param("log_scale", lambda key: -jnp.log(_spread(x.std(rows))))
        mix = self.param("mix", nn.initializers.orthogonal(), (channels, channels))
        split = channels // 2
        numbers = _NUMBERS[self.coupling](self.components)
        tell = _Teller(self.features, self.depth, self.attention, numbers)
        if inverse:
            kept, moved = x[..., :split], x[..., split:]
            moved = _INVERSES[self.coupling](moved, tell(kept, moved.shape[-1]))
            x = jnp.linalg.solve(mix, jnp.concatenate([kept, moved], -1)[..., None])[..., 0]
            return x * jnp.exp(-log_scale) - shift
        x = (x + shift) * jnp.exp(log_scale)
        x = jnp.einsum("...i,ji->...j", x, mix)
        kept, moved = x[..., :split], x[..., split:]
        moved, log_slope = _FORWARD[self.coupling](moved, tell(kept, moved.shape[-1]))
        linear = places * (log_scale.sum() + jnp.linalg.slogdet(mix)[1])
        return jnp.concatenate([kept, moved], -1), linear + log_slope.reshape(len(x), -1).sum(1)


class _Teller(nn.Module):
    """Say the numbers `[..., channels, numbers]` of a coupling from the half that stays; zeros at first."""

    features: int
    depth: int
    attention: bool
    numbers: int

    @nn.compact
    def __call__(self, kept, channels):
        image = kept.ndim == 4
        dense = lambda features, zero=False, *, name: (
            conv3x3(features, zero=zero, name=name) if image else nn.Dense(features, name=name) if not zero
            else nn.Dense(features, kernel_init=_ZERO, name=name)
        )  # fmt: skip
        if not kept.shape[-1]:  # of one number nothing stays, and the coupling is the same everywhere
            kept = jnp.ones((*kept.shape[:-1], 1), kept.dtype)
        h = dense(self.features, name="into")(kept)
        for i in range(self.depth):
            inside = dense(self.features, name=f"{i}_0")(nn.silu(h))
            h = h + dense(self.features, name=f"{i}_1")(nn.silu(inside))
        if self.attention and image:
            h = AttentionBlock(1, None, name="attention")(h)
        out = dense(channels * self.numbers, zero=True, name="out")(nn.silu(h))
        return out.reshape(*kept.shape[:-1], channels, self.numbers)


def _spread(std):
    """A standard deviation, 1 where a first batch of one row or of zeros has none."""
    return jnp.where(std > 1e-4, std, 1.0)


def _bounded(log_scale):
    """A log scale within (-2, 2), which an unbounded one leaves sooner or later."""
    return 2 * jnp.tanh(log_scale / 2)


def _affine(x, told):
    return bijections.affine(x, _bounded(told[..., 0]), told[..., 1])


def _affine_inverse(y, told):
    return bijections.affine_inverse(y, _bounded(told[..., 0]), told[..., 1])


def _mixture_parts(told):
    """The affine numbers of the end, and those of the mixture, whose means start apart."""
    k = told.shape[-1] // 3
    logits, means, log_scales = jnp.split(told[..., 2:], 3, -1)
    apart = jnp.linspace(-1.0, 1.0, k) if k > 1 else jnp.zeros(1)
    return told[..., :2], (logits, means + apart, jnp.clip(log_scales, -5, 5))


def _mixture(x, told):
    rest, mixture = _mixture_parts(told)
    y, log_slope = bijections.mixture_logit(x, *mixture)
    y, more = _affine(y, rest)
    return y, log_slope + more


def _mixture_inverse(y, told):
    rest, mixture = _mixture_parts(told)
    return bijections.mixture_logit_inverse(_affine_inverse(y, rest), *mixture)


def _spline_parts(told):
    k = (told.shape[-1] + 1) // 3
    return told[..., :k], told[..., k : 2 * k], told[..., 2 * k :]


_NUMBERS = {"affine": lambda k: 2, "mixture": lambda k: 2 + 3 * k, "spline": lambda k: 3 * k - 1}
_FORWARD = {
    "affine": _affine,
    "mixture": _mixture,
    "spline": lambda x, told: bijections.spline(x, *_spline_parts(told)),
}
_INVERSES = {
    "affine": _affine_inverse,
    "mixture": _mixture_inverse,
    "spline": lambda y, told: bijections.spline_inverse(y, *_spline_parts(told)),
}

"""The networks of a variational autoencoder, of one level of latents or many."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.models.blocks import conv3x3, mean_pool, nearest, whole_halvings
from diffjax.types import Array, Float

_ZERO = nn.initializers.zeros
Normal = tuple[Array, Array]  # mean and log variance
Drawn = tuple[Normal, Normal, Array]  # posterior, prior, and a draw of the posterior


class Ladder(nn.Module):
    """Encode from x up, decode from the top down: q and p share the way down (Sonderby et al. 2016).

    The top level's prior is N(0, 1); below, prior and posterior both see what was drawn above, and the
    posterior is said relative to the prior (Vahdat & Kautz 2020, section 3.2): at first they are equal.

    Attributes:
      shape: of one x, e.g. (H, W, C).
      outputs: numbers for each element of x that the likelihood takes.
      latents: channels of each level, from the lowest up: (16,) is a plain VAE.
      features: width of the layers.
      depth: residual layers of each level, up and down.
      convolutional: images stay images, halved at each level; else x is flattened first.
    """

    shape: tuple[int, ...]
    outputs: int = 1
    latents: tuple[int, ...] = (16,)
    features: int = 64
    depth: int = 1
    convolutional: bool = False

    @property
    def latent_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each level's latents, from the lowest up."""
        if not self.convolutional:
            return tuple((c,) for c in self.latents)
        height, width, _ = self.shape
        return tuple((height >> i + 1, width >> i + 1, c) for i, c in enumerate(self.latents))

    def setup(self) -> None:
        """Make the layers, level by level."""
        layer = partial(_Layer, self.features, self.depth, self.convolutional)
        levels = range(len(self.latents))
        size = math.prod(self.shape) * self.outputs
        if self.convolutional:
            self.into = conv3x3(self.features, name="into")
            self.out = conv3x3(self.shape[-1] * self.outputs, name="out")
        else:
            self.into, self.out = nn.Dense(self.features), nn.Dense(size)
        self.ups = [layer(resize=mean_pool) for _ in levels]
        self.downs = [layer(resize=nearest) for _ in levels]
        self.posteriors = [nn.Dense(2 * c, kernel_init=_ZERO) for c in self.latents]
        self.priors = [nn.Dense(2 * c, kernel_init=_ZERO) for c in self.latents[:-1]]
        self.merges = [nn.Dense(self.features) for _ in levels]

    @checked
    def __call__(self, x: Float[Array, "batch *shape"], noise: Sequence[Array]) -> tuple[Array, list[Drawn]]:
        """Encode and decode.

        Args:
          x: `[B, *shape]`.
          noise: standard normal, `[B, *latent_shape]` a level, from the lowest up.

        Returns:
          The likelihood's numbers `[B, *shape, outputs]`, and from the top down ((mean, log variance) of the
          posterior, (mean, log variance) of the prior, z) a level.

        Raises:
          ValueError: for images that cannot be halved once a level.
        """
        if self.convolutional:
            whole_halvings(x.shape[1:], len(self.latents))
        h, seen = self.into(x if self.convolutional else x.reshape(len(x), -1)), []
        for up in self.ups:
            h = up(h)
            seen.append(h)
        return self._down(noise, seen)

    @checked
    def decode(self, noise: Sequence[Array]) -> Array:
        """Draw from the prior and decode: the likelihood's numbers `[B, *shape, outputs]`.

        Args:
          noise: standard normal, `[B, *latent_shape]` a level, from the lowest up.
        """
        return self._down(noise, None)[0]

    def _down(self, noise, seen):
        h: Any = None
        levels = []
        for i in reversed(range(len(self.latents))):
            mean, log_variance = prior = jnp.zeros((2, *noise[i].shape), noise[i].dtype)
            if h is not None:
                mean, log_variance = prior = jnp.split(self.priors[i](h), 2, -1)
            if seen is not None:
                told = seen[i] if h is None else jnp.concatenate([seen[i], h], -1)
                shift, widen = jnp.split(self.posteriors[i](told), 2, -1)
                mean, log_variance = mean + shift, log_variance + jnp.clip(widen, -20, 10)
            z = mean + jnp.exp(0.5 * log_variance) * noise[i]
            levels.append(((mean, log_variance), tuple(prior), z))
            merged = self.merges[i](z)
            h = self.downs[i](merged if h is None else h + merged)
        return self.out(nn.silu(h)).reshape(len(h), *self.shape, self.outputs), levels


class _Layer(nn.Module):
    """Resize images, and add what residual layers say; the last of each starts at zero."""

    features: int
    depth: int
    convolutional: bool
    resize: Callable[[Array], Array]

    @nn.compact
    def __call__(self, h):
        make = conv3x3 if self.convolutional else _dense
        if self.convolutional:
            h = self.resize(h)
        for i in range(self.depth):
            inside = make(self.features, name=f"{i}_0")(nn.silu(h))
            h = h + make(self.features, zero=True, name=f"{i}_1")(nn.silu(inside))
        return h


def _dense(features, *, zero=False, name):
    return nn.Dense(features, kernel_init=_ZERO if zero else nn.initializers.lecun_normal(), name=name)

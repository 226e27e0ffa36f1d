"""The networks of two players: generators make x of noise, discriminators give x one number.

Called `(z, cond, train=)` and `(x, cond, train=)`; of a condition they take the vector. A generator sees it
beside z (Mirza & Osindero 2014), a discriminator's number is w.h + v.h / sqrt(width) of its last features h,
a projection (Miyato & Koyama 2018, eq. 3, but for the scale, which keeps the first numbers small).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from diffjax import checks
from diffjax.border import checked
from diffjax.models.blocks import conv3x3, mean_pool, nearest, whole_halvings
from diffjax.models.conditions import Condition, beside, checked_condition, counts
from diffjax.types import Array, Float

_leaky = partial(nn.leaky_relu, negative_slope=0.2)


class MLPGenerator(nn.Module):
    """Make points, or small images, of noise by dense layers.

    Attributes:
      shape: of one x.
      latent: numbers of the noise z, and of the condition's vector.
      width: units of each hidden layer.
      depth: hidden layers.
      bounded: x is in [-1, 1], as pixels are.
    """

    shape: tuple[int, ...]
    latent: int = 16
    width: int = 128
    depth: int = 3
    bounded: bool = False

    @property
    def vector_features(self) -> int:
        """Width of the condition's vector."""
        return self.latent

    @nn.compact
    @checked
    def __call__(
        self, z: Float[Array, "batch latent"], cond: Condition | None = None, *, train: bool = False
    ) -> Float[Array, "batch *shape"]:
        """Make x `[B, *shape]` of z `[B, latent]`."""
        del train
        counts(self, "latent", "width", "depth")
        h = _noise(self, z, cond)
        for i in range(self.depth):
            h = nn.relu(nn.Dense(self.width, name=f"hidden_{i}")(h))
        x = nn.Dense(math.prod(self.shape), name="out")(h).reshape(len(z), *self.shape)
        return jnp.tanh(x) if self.bounded else x


class ConvGenerator(nn.Module):
    """Make images of noise: a dense layer makes a small one, which is doubled again and again.

    As DCGAN's (Radford et al. 2015) with pixels repeated before a 3x3 convolution where it has a transposed
    one, which leaves checkerboards (Odena et al. 2016).

    Attributes:
      shape: of one image, (H, W, C).
      latent: numbers of the noise z, and of the condition's vector.
      features: channels at full size; twice as many at each size below.
      doublings: of height and width.
      batch_norm: normalise over the batch after each layer, as DCGAN does; in use by moving averages.
      bounded: x is in [-1, 1], as pixels are.
    """

    shape: tuple[int, ...]
    latent: int = 64
    features: int = 32
    doublings: int = 2
    batch_norm: bool = True
    bounded: bool = True

    @property
    def vector_features(self) -> int:
        """Width of the condition's vector."""
        return self.latent

    @nn.compact
    @checked
    def __call__(
        self, z: Float[Array, "batch latent"], cond: Condition | None = None, *, train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        """Make x `[B, H, W, C]` of z `[B, latent]`."""
        counts(self, "latent", "features")
        checks.count("doublings", self.doublings, least=0)
        _images("shape", self.shape)
        whole_halvings(tuple(self.shape), self.doublings)
        norm = lambda h, name: (
            nn.BatchNorm(use_running_average=not train, momentum=0.9, name=name)(h) if self.batch_norm else h
        )
        height, width = (side >> self.doublings for side in self.shape[:2])
        channels = self.features << self.doublings
        h = nn.Dense(height * width * channels, name="into")(_noise(self, z, cond))
        h = nn.relu(norm(h.reshape(len(z), height, width, channels), "into_norm"))
        for i in reversed(range(self.doublings)):
            h = conv3x3(self.features << i, name=f"conv_{i}")(nearest(h))
            h = nn.relu(norm(h, f"norm_{i}"))
        x = conv3x3(self.shape[-1], name="out")(h)
        return jnp.tanh(x) if self.bounded else x


class MLPDiscriminator(nn.Module):
    """Give points, or small images, a number each by dense layers.

    Attributes:
      width: units of each hidden layer.
      depth: hidden layers.
      spectral_norm: divide every layer by its largest singular value (Miyato et al. 2018), estimated by a
        power iteration that goes on from step to step: the network is 1-Lipschitz, but for the projection.
    """

    width: int = 128
    depth: int = 3
    spectral_norm: bool = False

    @property
    def vector_features(self) -> int:
        """Width of the condition's vector."""
        return self.width

    @nn.compact
    @checked
    def __call__(
        self, x: Float[Array, "batch *shape"], cond: Condition | None = None, *, train: bool = False
    ) -> Float[Array, " batch"]:
        """Return a number a sample, `[B]`; training lets the power iteration go on."""
        counts(self, "width", "depth")
        normed = partial(_normed, self.spectral_norm, train)
        h = x.reshape(len(x), -1)
        for i in range(self.depth):
            h = _leaky(normed(nn.Dense(self.width, name=f"hidden_{i}"))(h))
        return _projected(self, normed, h, cond)


class ConvDiscriminator(nn.Module):
    """Give images a number each: convolutions, and means of 2x2 pixels until at most 4 x 4 are left.

    Attributes:
      features: channels of the first convolution; twice as many after each pooling.
      spectral_norm: see `MLPDiscriminator`.
    """

    features: int = 32
    spectral_norm: bool = False

    @property
    def vector_features(self) -> int:
        """Width of the condition's vector."""
        return 4 * self.features

    @nn.compact
    @checked
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        cond: Condition | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, " batch"]:
        """Return a number a sample, `[B]`; training lets the power iteration go on."""
        counts(self, "features")
        _images("x", x.shape[1:])
        normed = partial(_normed, self.spectral_norm, train)
        h, level = _leaky(normed(conv3x3(self.features, name="into"))(x)), 0
        while max(h.shape[1:3]) > 4:
            level += 1
            h = mean_pool(_leaky(normed(conv3x3(self.features << level, name=f"conv_{level}"))(h)))
        h = _leaky(normed(nn.Dense(4 * self.features, name="hidden"))(h.reshape(len(h), -1)))
        return _projected(self, normed, h, cond)


def _noise(module, z, cond):
    """Return z `[B, latent]` with the condition's vector beside it."""
    if z.shape[-1] != module.latent:
        raise ValueError(f"z: must have shape ({len(z)}, {module.latent}); got {z.shape}")
    return beside(z, checked_condition(cond, z, vector_features=module.latent).vector)


def _normed(spectral_norm: bool, train: bool, layer: nn.Module) -> Callable[..., Any]:
    if not spectral_norm:
        return layer
    return partial(nn.SpectralNorm(layer, name=f"{layer.name}_norm"), update_stats=train)


def _projected(module, normed, h, cond):
    """Return the number of each sample `[B]` from its last features."""
    vector = checked_condition(cond, h, vector_features=module.vector_features).vector
    number = normed(nn.Dense(1, name="out"))(h)[:, 0]
    return number if vector is None else number + (h * vector).sum(-1) / math.sqrt(h.shape[-1])


def _images(name, shape):
    if len(shape) != 3 or min(shape[:2]) < 2:
        raise ValueError(f"{name}: must be images (H, W, C) of at least 2 x 2; got shape {tuple(shape)}")

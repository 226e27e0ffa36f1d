"""InceptionV3 as the graph of 2015 that FID is defined by: not the network of the paper in three places.

Its average poolings do not count the padding, the last block pools by maxima, and images are resized by
TensorFlow 1's bilinear rule. Modules have the names of the published PyTorch file.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.types import Array, Float, UInt8

_SIZE = 299


class InceptionOutputs(NamedTuple):
    """What FID, KID and the inception score read.

    Attributes:
      features: [B, 2048], the mean over places before the last layer, 0 or more.
      logits: [B, 1008], 1000 classes of ImageNet and eight unused ones.
      logits_unbiased: [B, 1008] without the last layer's bias; the inception score is defined by these.
    """

    features: Float[Array, "batch 2048"]
    logits: Float[Array, "batch 1008"]
    logits_unbiased: Float[Array, "batch 1008"]


class InceptionV3(nn.Module):
    """Compute the features that FID is measured in.

    Reference: Szegedy et al. 2016 (arXiv:1512.00567); the graph `inception-2015-12-05` with which Heusel et
    al. 2017 (arXiv:1706.08500) define FID.
    """

    @nn.compact
    @checked
    def __call__(self, images: UInt8[Array, "batch height width 3"]) -> InceptionOutputs:
        """Apply the network in its only mode, with the stored statistics of its normalisations.

        Args:
          images: uint8 [B, H, W, 3] of any size. Numbers agree with published ones only if the images
            really went through 8 bits, so nothing else is taken.

        Returns:
          InceptionOutputs in float32.

        Raises:
          ValueError: for another dtype or shape.
        """
        x = (resize_like_tf1(jnp.asarray(images, jnp.float32), _SIZE, _SIZE) - 128) / 128
        for name, features, size, stride, padding, pooled in _STEM:
            x = ConvNorm(features, (size, size), stride, padding, name=name)(x)
            x = _max_pool(x) if pooled else x
        for name, block in _BLOCKS.items():
            x = block(name=name)(x)
        features = x.mean(axis=(1, 2))
        unbiased = nn.Dense(1008, use_bias=False, name="fc")(features)
        bias = self.param("fc_bias", nn.initializers.zeros, (1008,))
        return InceptionOutputs(features, unbiased + bias, unbiased)


class Conv(NamedTuple):
    """One convolution of a block: its name, output channels and kernel (height, width)."""

    name: str
    features: int
    kernel: tuple[int, int]


class Mixed(nn.Module):
    """Concatenate the outputs of convolutional branches and of a pooling.

    Attributes:
      branches: each a sequence of stages; a stage is one convolution, or two side by side.
      pool: [B, H, W, C] -> the same, or half the size as the branches.
      pool_features: channels of the 1x1 convolution after the pooling; None for no convolution.
      halve: the last stage of each branch strides over two places, without padding.
    """

    branches: tuple[tuple[tuple[Conv, ...], ...], ...]
    pool: Callable[[Array], Array]
    pool_features: int | None = None
    halve: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch _ _ _"]:
        """Apply the block to [B, H, W, C]; channels are in the order of the branches, the pooling last."""
        outputs = []
        for branch in self.branches:
            y = x
            for stage in branch:
                how = (2, "VALID") if self.halve and stage is branch[-1] else (1, "SAME")
                y = [ConvNorm(conv.features, conv.kernel, *how, name=conv.name)(y) for conv in stage]
                y = jnp.concatenate(y, axis=-1)
            outputs.append(y)
        pooled = self.pool(x)
        if self.pool_features is not None:
            pooled = ConvNorm(self.pool_features, (1, 1), name="branch_pool")(pooled)
        return jnp.concatenate([*outputs, pooled], axis=-1)


class ConvNorm(nn.Module):
    """Convolve without bias, normalise with stored statistics (epsilon 1e-3), rectify."""

    features: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch _ _ _"]:
        """Apply to [B, H, W, C]."""
        strides = (self.stride, self.stride)
        x = nn.Conv(self.features, self.kernel, strides, self.padding, use_bias=False, name="conv")(x)
        return nn.relu(nn.BatchNorm(use_running_average=True, epsilon=1e-3, name="bn")(x))


def resize_like_tf1(
    x: Float[Array, "batch _ _ channels"], height: int, width: int
) -> Float[Array, "batch {height} {width} channels"]:
    """Resize bilinearly as TensorFlow 1 did: pixel i of n is read at i * size / n, without antialiasing.

    The first pixels of both images coincide and the last are repeated, so the content is shifted by up to
    half a pixel beside a resize that aligns centres; FID is defined with the shift.

    Args:
      x: float [B, H, W, C].
      height, width: new size.

    Returns:
      [B, height, width, C].

    Reference: `resize_bilinear` of TensorFlow 1 with align_corners=False and half_pixel_centers=False.
    """
    low, high, rest = _neighbours(x.shape[2], width)
    x = x[:, :, low] + (x[:, :, high] - x[:, :, low]) * rest[:, None]
    low, high, rest = _neighbours(x.shape[1], height)
    return x[:, low] + (x[:, high] - x[:, low]) * rest[:, None, None]


def _neighbours(old, new):
    """Return for each new pixel the old ones on both sides and the place between them, in [0, 1)."""
    place = np.arange(new, dtype=np.float32) * np.float32(old / new)
    low = np.minimum(place.astype(np.int32), old - 1)
    return low, np.minimum(low + 1, old - 1), place - low.astype(np.float32)


_max_pool = partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2))
_max_pool_same = partial(nn.max_pool, window_shape=(3, 3), padding="SAME")
_average_pool_same = partial(nn.avg_pool, window_shape=(3, 3), padding="SAME", count_include_pad=False)

# name, channels, kernel, stride, padding, and whether a pooling follows
_STEM = (
    ("Conv2d_1a_3x3", 32, 3, 2, "VALID", False),
    ("Conv2d_2a_3x3", 32, 3, 1, "VALID", False),
    ("Conv2d_2b_3x3", 64, 3, 1, "SAME", True),
    ("Conv2d_3b_1x1", 80, 1, 1, "VALID", False),
    ("Conv2d_4a_3x3", 192, 3, 1, "VALID", True),
)


def _branch(name, *layers, fork=None):
    """Number the layers (channels, height, width) of a branch; a fork ends in a 1x3 beside a 3x1."""
    alone = len(layers) == 1 and fork is None
    numbered = [name if alone else f"{name}_{i}" for i in range(1, len(layers) + 1)]
    stages: list[tuple[Conv, ...]] = []
    for each, (features, height, width) in zip(numbered, layers):
        stages.append((Conv(each, features, (height, width)),))
    if fork is not None:
        last = f"{name}_{len(layers) + 1}"
        stages.append((Conv(f"{last}a", fork, (1, 3)), Conv(f"{last}b", fork, (3, 1))))
    return tuple(stages)


def _block_35(pool_features):
    branches = (
        _branch("branch1x1", (64, 1, 1)),
        _branch("branch5x5", (48, 1, 1), (64, 5, 5)),
        _branch("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3)),
    )
    return partial(Mixed, branches, _average_pool_same, pool_features)


def _block_17(c):
    branches = (
        _branch("branch1x1", (192, 1, 1)),
        _branch("branch7x7", (c, 1, 1), (c, 1, 7), (192, 7, 1)),
        _branch("branch7x7dbl", (c, 1, 1), (c, 7, 1), (c, 1, 7), (c, 7, 1), (192, 1, 7)),
    )
    return partial(Mixed, branches, _average_pool_same, 192)


def _block_8(pool):
    branches = (
        _branch("branch1x1", (320, 1, 1)),
        _branch("branch3x3", (384, 1, 1), fork=384),
        _branch("branch3x3dbl", (448, 1, 1), (384, 3, 3), fork=384),
    )
    return partial(Mixed, branches, pool, 192)


def _halving(*branches):
    return partial(Mixed, branches, _max_pool, halve=True)


_BLOCKS = {
    "Mixed_5b": _block_35(32),
    "Mixed_5c": _block_35(64),
    "Mixed_5d": _block_35(64),
    "Mixed_6a": _halving(
        _branch("branch3x3", (384, 3, 3)),
        _branch("branch3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3)),
    ),
    "Mixed_6b": _block_17(128),
    "Mixed_6c": _block_17(160),
    "Mixed_6d": _block_17(160),
    "Mixed_6e": _block_17(192),
    "Mixed_7a": _halving(
        _branch("branch3x3", (192, 1, 1), (320, 3, 3)),
        _branch("branch7x7x3", (192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3)),
    ),
    "Mixed_7b": _block_8(_average_pool_same),
    "Mixed_7c": _block_8(_max_pool_same),
}

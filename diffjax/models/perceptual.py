"""The convolutions of AlexNet and VGG16 as perceptual features."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.types import Array, Float

# Mean and standard deviation of ImageNet's pixels, in units of [-1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


class Convolution(NamedTuple):
    """Channels, kernel size, stride and padding of a square convolution."""

    features: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1


class Trunk(nn.Module):
    """Return feature maps at five depths of a classifier of ImageNet.

    Attributes:
      stages: the convolutions up to each map, a ReLU after each.
      pools: before each stage, the window of a max pooling of stride 2; None for no pooling.
      smallest: images must be at least this high and wide.
    """

    stages: tuple[tuple[Convolution, ...], ...]
    pools: tuple[int | None, ...]
    smallest: int

    @nn.compact
    @checked
    def __call__(self, x: Float[Array, "batch height width 3"]) -> tuple[Float[Array, "batch _ _ _"], ...]:
        """Apply the network.

        Args:
          x: images [B, H, W, 3] in [-1, 1].

        Returns:
          The maps, [B, H', W', C] each, 0 or more, from the finest to the coarsest.

        Raises:
          ValueError: for another shape, images that are too small, or pixels as integers.
        """
        if min(x.shape[1:3]) < self.smallest:
            least = f"{self.smallest} x {self.smallest}"
            raise ValueError(f"x: must be images of at least {least}; got shape {list(x.shape)}")
        x = (x - jnp.asarray(_SHIFT, x.dtype)) / jnp.asarray(_SCALE, x.dtype)
        maps, count = [], 0
        for stage, pool in zip(self.stages, self.pools):
            x = x if pool is None else nn.max_pool(x, (pool, pool), strides=(2, 2))
            for features, kernel, stride, padding in stage:
                conv = nn.Conv(features, (kernel, kernel), (stride, stride), padding, name=f"conv_{count}")
                x, count = nn.relu(conv(x)), count + 1
            maps.append(x)
        return tuple(maps)


def alexnet() -> Trunk:
    """Make the convolutions of AlexNet with one tower; maps of 64, 192, 384, 256, 256 channels.

    Reference: Krizhevsky 2014 (arXiv:1404.5997), as in torchvision.
    """
    stages = (
        (Convolution(64, 11, 4, 2),),
        (Convolution(192, 5, 1, 2),),
        *[(Convolution(c),) for c in (384, 256, 256)],
    )
    return Trunk(stages, pools=(None, 3, 3, None, None), smallest=31)


def vgg16() -> Trunk:
    """Make the convolutions of VGG16; maps of 64, 128, 256, 512, 512 channels, before each pooling.

    Reference: Simonyan & Zisserman 2015 (arXiv:1409.1556), configuration D.
    """
    stages = tuple((Convolution(c),) * n for c, n in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)))
    return Trunk(stages, pools=(None, 2, 2, 2, 2), smallest=16)

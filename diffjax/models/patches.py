"""A discriminator of patches: convolutions whose every output sees a part of the picture alone."""

from functools import partial
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from diffjax import checks
from diffjax.border import checked
from diffjax.types import Array, Float

_START = nn.initializers.normal(0.02)
_MOST = 8  # times the channels of the first convolution


class PatchDiscriminator(nn.Module):
    """Give each overlapping patch of a picture a number.

    Attributes:
      features: channels of the first convolution; twice as many after each further one, at most eight times.
      layers: convolutions that halve the picture; two more follow that do not. With three a patch has 70x70
        pixels, with two 34x34, with one 16x16.
      norm: "batch" (of the paper: statistics of the batch at hand in training, moving averages else),
        "spectral" (every convolution is divided by its largest singular value, see Miyato et al. 2018) or
        "none".

    Reference: Isola et al. 2017 (pix2pix), appendix 6.1.2; Esser et al. 2021, section 3.1.
    """

    features: int = 64
    layers: int = 3
    norm: Literal["batch", "spectral", "none"] = "batch"

    @nn.compact
    @checked
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch h w"]:
        """Return numbers [B, h, w] of the patches of x [B, H, W, C]; training moves the statistics."""
        for name in ("features", "layers"):
            checks.count(name, getattr(self, name))
        least = 3 * 2**self.layers
        if min(x.shape[1:3]) < least:
            size = "x".join(map(str, x.shape[1:3]))
            raise ValueError(f"layers: {self.layers} need pictures of at least {least}x{least}; got {size}")

        def conv(h, features, stride, name, bias=True):
            given = {"use_bias": bias, "kernel_init": _START, "name": name}
            layer = nn.Conv(features, (4, 4), (stride, stride), 1, **given)
            if self.norm == "spectral":
                return nn.SpectralNorm(layer, name=f"{name}_norm")(h, update_stats=train)
            return layer(h)

        def normalised(h, name):
            if self.norm != "batch":
                return h
            around_one = lambda key, shape, dtype=jnp.float32: 1 + _START(key, shape, dtype)
            return nn.BatchNorm(not train, momentum=0.9, scale_init=around_one, name=name)(h)

        leaky = partial(nn.leaky_relu, negative_slope=0.2)
        h = leaky(conv(x, self.features, 2, "conv_0"))
        for i in range(1, self.layers + 1):
            width = self.features * min(2**i, _MOST)
            h = conv(h, width, 2 if i < self.layers else 1, f"conv_{i}", bias=self.norm != "batch")
            h = leaky(normalised(h, f"norm_{i}"))
        return conv(h, 1, 1, "out")[..., 0]

"""The autoencoders of latent diffusion: a convolutional encoder and decoder with attention in the middle.

A code is a Gaussian at every place (`KLAutoencoder`), or the nearest of a table of vectors (`VQAutoencoder`).
The table belongs to the decoder: what is encoded, and what a diffusion model learns, is not yet rounded to
it. No time and no condition enters.

Rombach et al. 2022, sections 3.1 and G.1; the networks are Esser et al. 2021's without a discriminator.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.models import quantiser
from diffjax.models.blocks import (
    AttentionBlock,
    Downsample,
    GroupNorm,
    Upsample,
    conv3x3,
    mean_pool,
    nearest,
    single,
    whole_halvings,
)
from diffjax.types import Array, Float, Int

_EPSILON = 1e-6  # of every normalisation
_LOG_VARIANCE = (-30.0, 20.0)


class Plan(nn.Module):
    """What encoder and decoder share.

    Attributes:
      channels: of each level, the finest first; each but the first has half the size of the one before, so
        that four levels reduce height and width by 8.
      num_res_blocks: residual blocks of a level on the way down; one more on the way up.
      attention_resolutions: DOWNSAMPLING RATES at which there is attention after each block, see
        `models.levels`.
      middle_attention: attention between the two blocks of the middle.
      num_groups: groups of the normalisations; must divide the channels of every level.
      dropout: rate in the residual blocks, when training.
      conv_resample: change sizes by convolutions; otherwise by means and repeated pixels.
      dtype: of the convolutions; None follows the input.
    """

    channels: tuple[int, ...] = (128, 256, 512, 512)
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = ()
    middle_attention: bool = True
    num_groups: int = 32
    dropout: float = 0.0
    conv_resample: bool = True
    dtype: Any = None

    @nn.nowrap
    def stage(self, h, level: int, name: str, train: bool):
        """Apply a block of a level, and attention where the level has it."""
        h = Residual(self.channels[level], self.num_groups, self.dropout, self.dtype, name=name)(h, train)
        if 2**level in self.attention_resolutions:
            h = self.attend(h, f"{name}_attention")
        return h

    @nn.nowrap
    def attend(self, h, name: str):
        """Let pixels attend to each other, by one head."""
        return AttentionBlock(1, self.num_groups, epsilon=_EPSILON, dtype=self.dtype, name=name)(h)

    @nn.nowrap
    def middle(self, h, train: bool):
        """Apply the middle."""
        block = lambda name: Residual(self.channels[-1], self.num_groups, self.dropout, self.dtype, name=name)
        h = block("middle_0")(h, train)
        h = self.attend(h, "middle_attention") if self.middle_attention else h
        return block("middle_1")(h, train)

    @nn.nowrap
    def last(self, h, features: int):
        """Normalise, and make the output in float32 at least."""
        h = nn.silu(GroupNorm(self.num_groups, _EPSILON, name="out_norm")(single(h)))
        return conv3x3(features, name="out_conv")(h)


class Residual(nn.Module):
    """Add two normalised convolutions to the input, which is projected where it has other channels.

    Attributes:
      features: output channels.
      num_groups, dropout, dtype: see `Plan`.
    """

    features: int
    num_groups: int
    dropout: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch height width features"]:
        """Map x [B, H, W, C] to [B, H, W, features]."""
        h = nn.silu(GroupNorm(self.num_groups, _EPSILON, name="in_norm")(x))
        h = conv3x3(self.features, dtype=self.dtype, name="in_conv")(h)
        h = nn.silu(GroupNorm(self.num_groups, _EPSILON, name="out_norm")(h))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = conv3x3(self.features, dtype=self.dtype, name="out_conv")(h)
        if x.shape[-1] != self.features:
            x = nn.Dense(self.features, dtype=self.dtype, name="skip")(x)
        return x + h


class Encoder(Plan):
    """Go from an image down to `features` numbers a place.

    Attributes:
      features: channels of the output.
      stem: channels of the first convolution.

    The others are those of `Plan`.
    """

    features: int = 4
    stem: int = 128

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch h w features"]:
        """Map x [B, H, W, C] to [B, H / f, W / f, features]."""
        h = conv3x3(self.stem, dtype=self.dtype, name="in_conv")(x)
        for level in range(len(self.channels)):
            for i in range(self.num_res_blocks):
                h = self.stage(h, level, f"down_{level}_{i}", train)
            if level + 1 < len(self.channels):
                name = f"down_{level}_resample"
                h = Downsample(True, self.dtype, name=name)(h) if self.conv_resample else mean_pool(h)
        return self.last(self.middle(h, train), self.features)


class Decoder(Plan):
    """Go from a code up to an image.

    Attributes:
      features: channels of the image.

    The others are those of `Plan`.
    """

    features: int = 3

    @nn.compact
    def __call__(
        self, z: Float[Array, "batch h w channels"], train: bool = False
    ) -> Float[Array, "batch height width features"]:
        """Map z [B, h, w, C] to [B, f h, f w, features]."""
        h = self.middle(conv3x3(self.channels[-1], dtype=self.dtype, name="in_conv")(z), train)
        for level in reversed(range(len(self.channels))):
            for i in range(self.num_res_blocks + 1):
                h = self.stage(h, level, f"up_{level}_{i}", train)
            if level:
                h = Upsample(self.dtype, name=f"up_{level}_resample")(h) if self.conv_resample else nearest(h)
        return self.last(h, self.features)


class Autoencoder(nn.Module):
    """The two networks, and a linear map of each place on either side of the code.

    Parameters correspond one to one to those of latent diffusion's and of diffusers' autoencoders.

    Attributes:
      latent_channels: of the code.
      z_channels: of what the encoder gives and the decoder takes; None for those of the code.
      stem: channels of the encoder's first convolution; None for those of the first level.
      image_channels: of the images.
      out_channels: of what the decoder gives; None for those of the images.
      decoder_attention_resolutions: `attention_resolutions` of the decoder; None for the same.
      maps: whether there is a linear map (behind the encoder, before the decoder).
      tanh: the decoder ends with a hyperbolic tangent.

    The others are those of `Plan`.
    """

    latent_channels: int = 4
    z_channels: int | None = None
    stem: int | None = None
    image_channels: int = 3
    out_channels: int | None = None
    channels: tuple[int, ...] = (128, 256, 512, 512)
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = ()
    decoder_attention_resolutions: tuple[int, ...] | None = None
    middle_attention: bool = True
    num_groups: int = 32
    dropout: float = 0.0
    conv_resample: bool = True
    maps: tuple[bool, bool] = (True, True)
    tanh: bool = False
    dtype: Any = None

    @property
    def factor(self) -> int:
        """By what height and width are divided."""
        return 2 ** (len(self.channels) - 1)

    @nn.nowrap
    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape [h, w, C] of the code of an image [H, W, C].

        Raises:
          ValueError: if the factor does not divide its height and width.
        """
        whole_halvings(tuple(shape), len(self.channels) - 1)
        height, width, _ = shape
        return height // self.factor, width // self.factor, self.latent_channels

    @nn.nowrap
    def code_channels(self, parts: int = 1):
        """Return the channels of the encoder's output, and of what is behind its linear map."""
        z = self.latent_channels if self.z_channels is None else self.z_channels
        return parts * z, parts * self.latent_channels

    def setup(self):
        raise_for(self)
        shared = {
            name: getattr(self, name)
            for name in ("channels", "num_res_blocks", "middle_attention", "num_groups", "dropout")
        } | {"conv_resample": self.conv_resample, "dtype": self.dtype}
        down, up = self.attention_resolutions, self.decoder_attention_resolutions
        inner, outer = self.code_channels(self.parts)
        image = self.image_channels if self.out_channels is None else self.out_channels
        stem = self.channels[0] if self.stem is None else self.stem
        self.encoder = Encoder(**shared, attention_resolutions=down, features=inner, stem=stem)
        self.decoder = Decoder(**shared, attention_resolutions=down if up is None else up, features=image)
        if self.maps[0]:
            self.to_code = nn.Dense(outer)
        if self.maps[1]:
            self.of_code = nn.Dense(self.code_channels()[0])

    @property
    def parts(self) -> int:
        """How many numbers the encoder gives for each of the code."""
        return 1

    def _encoded(self, x, train):
        whole_halvings(x.shape[1:], len(self.channels) - 1)
        h = self.encoder(single(x), train)
        return self.to_code(h) if self.maps[0] else h

    def _decoded(self, z, train):
        y = self.decoder(self.of_code(z) if self.maps[1] else z, train)
        return jnp.tanh(y) if self.tanh else y


def raise_for(module: Autoencoder) -> None:
    """Raise a ValueError for fields that do not fit each other."""
    if not module.channels:
        raise ValueError("channels: must name one level at least; got ()")
    if not all(module.maps) and module.z_channels not in (None, module.latent_channels):
        raise ValueError(
            f"z_channels: must be latent_channels, {module.latent_channels}, without linear maps; got "
            f"{module.z_channels}"
        )


class KLAutoencoder(Autoencoder):
    """Encode an image as a Gaussian at every place; see `Autoencoder`."""

    @property
    def parts(self) -> int:
        """Mean and log variance."""
        return 2

    @checked
    def encode(
        self, x: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> tuple[Float[Array, "batch h w latent"], Float[Array, "batch h w latent"]]:
        """Return mean and log variance of the code of x [B, H, W, C], [B, h, w, latent_channels] each."""
        mean, log_variance = jnp.split(self._encoded(x, train), 2, axis=-1)
        return mean, jnp.clip(log_variance, *_LOG_VARIANCE)

    @checked
    def decode(
        self, z: Float[Array, "batch h w latent"], *, train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        """Return the image [B, H, W, C] of a code z [B, h, w, latent_channels]."""
        return self._decoded(z, train)

    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch height width out"]:
        """Return the image of the mean of x's code."""
        return self.decode(self.encode(x, train=train)[0], train=train)


class VQAutoencoder(Autoencoder):
    """Encode an image as vectors, which the decoder rounds to the nearest of a table; see `Autoencoder`.

    Attributes:
      codes: number of vectors in the table.
      averaged: the table is no parameter but the collection "codes", which `quantiser.averaged` moves.
      restarts: of a table that is one, vectors may begin anew, see `quantiser.Codebook`.
    """

    codes: int = 8192
    averaged: bool = False
    restarts: bool = False

    def setup(self):
        super().setup()
        self.quantiser = quantiser.Codebook(self.codes, self.latent_channels, self.averaged, self.restarts)

    @checked
    def encode(
        self, x: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch h w latent"]:
        """Return the code of x [B, H, W, C] before rounding, [B, h, w, latent_channels]."""
        return self._encoded(x, train)

    @checked
    def quantise(
        self, z: Float[Array, "batch h w latent"]
    ) -> tuple[Float[Array, "batch h w latent"], Int[Array, "batch h w"]]:
        """Return the nearest vectors of the table to those of z, and their numbers."""
        return self.quantiser(z)

    @checked
    def decode(
        self, z: Float[Array, "batch h w latent"], *, train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        """Return the image [B, H, W, C] of a code z [B, h, w, latent_channels], which is rounded first.

        The gradient by z passes through the rounding as if it were not there.
        """
        return self._decoded(quantiser.straight_through(z, self.quantise(z)[0]), train)

    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch height width out"]:
        """Return the image of x's code."""
        return self.decode(self.encode(x, train=train), train=train)

"""Codecs of networks: what encodes a picture, and what decodes it, as a system in latents takes them."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from diffjax.models.autoencoder import Autoencoder, VQAutoencoder
from diffjax.models.conditions import Condition
from diffjax.models.encoders import resized
from diffjax.process import gaussian
from diffjax.systems import networks
from diffjax.systems.requests import Asked
from diffjax.training.system import Codec, Variables


def of_module(module: Any) -> Callable[[Variables], Codec] | None:
    """Return `System.codec` of an autoencoder, or None of another module.

    A Gaussian code is drawn, or without a key its mean is taken; one that the decoder rounds to a table is
    what it is before that.
    """
    if not isinstance(module, Autoencoder):
        return None

    def codec(variables):
        apply = networks.evaluating(module, variables)

        def moments(x):
            found: Any = apply(x, method="encode")
            return found if isinstance(module, VQAutoencoder) else jnp.concatenate(found, axis=-1)

        def draw(key, found):
            if isinstance(module, VQAutoencoder):
                return found
            law = gaussian.Gaussian(*jnp.split(found, 2, axis=-1))
            return law.mean if key is None else gaussian.sample(key, law)

        def encode(key, x):
            return draw(key, moments(x))

        return Codec(encode, lambda z: apply(z, method="decode"), None, moments, draw)

    return codec


class AsToken(nn.Module):
    """Tell what a module makes a vector of as the only token.

    Attributes:
      module: `(value, keep) -> Condition` of a vector.
    """

    module: nn.Module

    def __call__(self, value: Any, keep: Any = None) -> Condition:
        """Encode a value, see `module`."""
        vector = self.module(value, keep).vector
        return Condition(tokens=vector[:, None])


class AtSize(nn.Module):
    """Encode a condition, and make its map as large as a network's input is.

    Attributes:
      module: `(value, keep) -> Condition`.
      space: (h, w).
    """

    module: nn.Module
    space: tuple[int, int]

    def __call__(self, value: Any, keep: Any = None) -> Condition:
        """Encode a value, see `module`."""
        cond = self.module(value, keep)
        return cond if cond.map is None else cond._replace(map=resized(cond.map, self.space))


def beside_latents(asked: Asked, space: tuple[int, int]) -> Asked:
    """Return a part that is made of the pictures of a batch in latents, and lies beside these."""

    def of_batch(key, batch):
        return asked.of_batch(key, {**batch, "x": batch["pictures"]})

    return asked._replace(module=AtSize(asked.module, space), of_batch=of_batch)

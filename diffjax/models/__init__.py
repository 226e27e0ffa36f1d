"""Flax networks, called `module.apply(variables, x, t, cond, train=False, rngs=...)`: no diffusion in
them."""

from diffjax.models.embeddings import (
    fourier_features,
    octaves,
    sincos_2d,
    timestep_embedding,
)
from diffjax.models.energy import ConvEnergy
from diffjax.models.mlp import MLP
from diffjax.models.refinenet import RefineNet
from diffjax.models.unet import UNet

__all__ = [
    "MLP",
    "ConvEnergy",
    "RefineNet",
    "UNet",
    "fourier_features",
    "octaves",
    "sincos_2d",
    "timestep_embedding",
]

"""Flax networks, called `module.apply(variables, x, t, cond, train=False, rngs=...)`: no diffusion in
them."""

from diffjax.models.conditions import ClassTable, Condition, Encoders, Labelled, merge
from diffjax.models.dit import DiT
from diffjax.models.efficient_unet import EfficientUNet
from diffjax.models.embeddings import (
    fourier_features,
    octaves,
    sincos_2d,
    timestep_embedding,
)
from diffjax.models.energy import ConvEnergy
from diffjax.models.half_unet import HalfUNet
from diffjax.models.mlp import MLP
from diffjax.models.prior import Prior
from diffjax.models.refinenet import RefineNet
from diffjax.models.unet import UNet

# By the names that configs give them. Each is called `(x, t, Condition | None, train=)`.
NETWORKS = {
    "unet": UNet,
    "efficient_unet": EfficientUNet,
    "half_unet": HalfUNet,
    "mlp": MLP,
    "refinenet": RefineNet,
    "conv_energy": ConvEnergy,
    "dit": DiT,
    "prior": Prior,
}

__all__ = [
    "MLP",
    "NETWORKS",
    "ClassTable",
    "Condition",
    "ConvEnergy",
    "DiT",
    "EfficientUNet",
    "Encoders",
    "HalfUNet",
    "Labelled",
    "Prior",
    "RefineNet",
    "UNet",
    "fourier_features",
    "merge",
    "octaves",
    "sincos_2d",
    "timestep_embedding",
]

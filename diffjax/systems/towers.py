"""What systems of embeddings share: pictures and texts as features of unit norm, and a learned temperature.

A tower is a network `(x, t, None) -> [B, D]`, such as a half U-Net. `System.features` of its system has

- "image": (x, level=None) -> `[B, D]` of unit norm,
- "maps": (x, level=None) -> [`[B, H, W, C]`, ...], what its blocks make of x, from the largest on,
- "text": request -> `[B, D]` of unit norm, where it knows texts,

each as `guidance.semantic` takes them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from diffjax import objectives
from diffjax.process.level import unit_of_each
from diffjax.systems import networks
from diffjax.training.system import Variables

TEMPERATURE = "temperature"  # the name of the learned scale's parameters
_START, _MOST = np.log(1 / 0.07), np.log(100.0)  # of log s (Radford et al. 2021, section 2.5)


def width(module: nn.Module, inputs: tuple[Any, ...]) -> int:
    """Return the size D of a tower's features.

    Raises:
      ValueError: unless it gives `[B, D]`.
    """
    found = networks.given(module, inputs)
    if len(found) != 2:
        raise ValueError(
            "model must give features [B, D] (model.out_features of a half_unet, or of an mlp of points); "
            f"got shape {networks.shown(found)}"
        )
    return found[1]


def maps(module: nn.Module, variables: Variables, x: jax.Array, t: jax.Array) -> list[jax.Array]:
    """Return what the blocks of a tower of images give, each `[B, H, W, C]`, in the order of its calls."""
    block = lambda each, method: method == "__call__" and len(each.path) == 1
    _, kept = networks.evaluating(module, variables)(
        x, t, None, capture_intermediates=block, mutable=["intermediates"]
    )
    found = [each["__call__"][0] for each in kept["intermediates"].values() if "__call__" in each]
    return [each for each in found if getattr(each, "ndim", 0) == 4]


def start() -> dict[str, Any]:
    """Return the parameters of the temperature: log s = log(1 / 0.07)."""
    return {TEMPERATURE: {"log_scale": jnp.asarray(_START, jnp.float32)}}


def contrast(
    params: Mapping[str, Any], a: jax.Array, b: jax.Array, same: Mapping[str, jax.Array]
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the loss `objectives.info_nce` of pairs at the learned scale, `[B]`, and metrics.

    The scale is at most 100 for numerical stability (Radford et al. 2021, section 2.4): beyond, its value is
    clamped and its gradient is not, so that it can come back.

    Args:
      params: with the temperature's.
      a, b: features `[B, D]`, normalised here.
      same: arrays `[B, ...]`; pairs with equal rows of all of them are one thing.
    """
    log_scale = params[TEMPERATURE]["log_scale"]
    scale = jnp.exp(log_scale - jax.lax.stop_gradient(jnp.maximum(log_scale - _MOST, 0)))
    a, b = unit_of_each(a), unit_of_each(b)
    loss, aux = objectives.info_nce(a, b, scale, objectives.same_rows(*same.values()))
    metrics = {"accuracy": aux["hit"].mean(), "cosine": (a * b).sum(-1).mean(), "scale": scale}
    return loss, metrics


def held_back(gradients: Callable) -> Callable:
    """Return the gradients of an update, but for one that moves a clamped scale yet further away."""

    def held(variables, key, batch, step):
        grads, extra, metrics = gradients(variables, key, batch, step)
        slope, now = grads[TEMPERATURE]["log_scale"], variables.params[TEMPERATURE]["log_scale"]
        slope = jnp.where((now >= _MOST) & (slope < 0), 0, slope)
        return {**grads, TEMPERATURE: {"log_scale": slope}}, extra, metrics

    return held

"""How a walk asks what it was given: a denoiser for its prediction, or a flow map for x at another level."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from diffjax.border import checked, returning
from diffjax.process import checks
from diffjax.process.flow_map import FlowMap
from diffjax.process.prediction import Denoiser, Prediction


@checked
def predictions(denoise: Denoiser, dtype: Any) -> Callable:
    """Return a Denoiser that is checked while it is traced, and answers in the dtype of x."""
    how = "make one of a network with prediction.denoiser(network, kind)"
    told = returning(denoise, "denoise", Prediction, how)

    def call(x, level, cond=None):
        said = told(x, level, cond)
        for name in ("x0", "eps"):
            checks.same_shape(f"denoise's {name}", getattr(said, name), x)
        return Prediction(*(None if field is None else jnp.asarray(field, dtype) for field in said))

    return call


@checked
def jumps(flow_map: FlowMap, dtype: Any) -> Callable:
    """Return a FlowMap that is checked while it is traced, and answers in the dtype of x."""

    def call(x, level_t, level_s, cond=None):
        return jnp.asarray(checks.same_shape("flow_map's x_s", flow_map(x, level_t, level_s, cond), x), dtype)

    return call

"""Bits per dimension of images by the probability-flow ODE, as a measure of a system."""

import math
from collections.abc import Callable
from typing import Any

import jax

from diffjax.evaluation.dequantiser import ENDS, UNIFORM, Dequantisation, model_of
from diffjax.likelihoods import dequantisation, likelihood_grid, log_likelihood
from diffjax.pixels import to_uint8
from diffjax.training.system import System, Variables


def possible(system: System, variables: Variables) -> bool:
    """Say whether a system has what it takes: a denoiser of pixels on a continuous schedule."""
    if system.denoiser is None or system.schedule is None or system.codec is not None:
        return False
    return system.schedule(variables).num_steps is None


def measure(
    system: System,
    variables: Variables,
    dequantise: Dequantisation = UNIFORM,
    *,
    steps: int = 64,
    probes: int = 1,
) -> Callable[..., dict[str, jax.Array]]:
    """Make the measure -log2 p of dequantised images per dimension, with what their law costs.

    It bounds the bits of the 8-bit images from above. The density is the model's at the schedule's least
    noise, and the divergence is estimated with random signs that are kept along the way. Each step is one of
    the classical Runge-Kutta method: four calls of the network and of its derivative along each probe.

    Args:
      system: with a denoiser and a schedule with rates.
      variables: of the system, of which the schedule is made.
      dequantise: `dequantiser.UNIFORM`, or what `dequantiser.fit` made for this model.
      steps: equal in log SNR from t_min to t_max.
      probes: of the divergence, for each image.

    Returns:
      `((variables, dequantise.params), key, batch) -> {"bits_per_dim": [B]}`, see `bits.measure_bits`.

    Raises:
      ValueError: for a chain.

    Reference:
      Song et al. 2021, section 4.3 and appendix D.2; Theis et al. 2016.
    """
    denoiser, schedule_of = model_of(system)
    schedule = schedule_of(variables)
    times = likelihood_grid(steps, schedule)

    def bits(both: Any, key: jax.Array, batch: Any) -> dict[str, jax.Array]:
        (variables, weights), (key_noise, key_probes) = both, jax.random.split(key)
        x, log_q = dequantise.draw(weights, key_noise, to_uint8(batch["x"]))
        cond = system.request.told(variables, key, batch)
        log_p = log_likelihood(
            key_probes, denoiser(variables), schedule, x, cond=cond, divergence="hutchinson",
            probes=probes, times=times,
        )  # fmt: skip
        return {"bits_per_dim": dequantisation.bits_per_dim(log_p, math.prod(x.shape[1:]), log_q, **ENDS)}

    bits.how = {"dequantisation": dequantise.name, "steps": steps, "probes": probes}
    return bits

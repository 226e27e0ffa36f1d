"""Bits per dimension of held-out images by the probability-flow ODE."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from diffjax import samplers
from diffjax.evaluation import bound
from diffjax.evaluation.dequantiser import ENDS, UNIFORM, Dequantisation
from diffjax.process.schedules import Continuous
from diffjax.samplers import dequantisation


def measure_likelihood(
    denoiser: Callable[[Any], Callable],
    params: Any,
    schedule: Continuous,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    key: jax.Array,
    dequantise: Dequantisation = UNIFORM,
    steps: int = 64,
    probes: int = 1,
    batch_size: int = 64,
    progress: str | None = "likelihood",
) -> dict[str, Any]:
    """Average -log2 p of dequantised images per dimension, with what their law of dequantisation costs.

    It bounds the bits of the 8-bit images from above. The density is the model's at the schedule's least
    noise, and the divergence is estimated with random signs that are kept along the way. Each step is one of
    the classical Runge-Kutta method: four calls of the network and of its derivative along each probe.

    Args:
      denoiser: params -> Denoiser.
      params: of the network, an argument of the compiled program.
      schedule: with rates.
      images: uint8 [N, H, W, C], N at least 2.
      labels: int [N] conditions, or None.
      key: of the dequantisation and the probes.
      dequantise: `dequantiser.UNIFORM`, or what `dequantiser.fit` made for this model.
      steps: equal in log SNR from t_min to t_max.
      probes: of the divergence, for each image.
      batch_size: images at a time.
      progress: title of the progress bar, or None for no bar.

    Returns:
      "count" N; "bits_per_dim" and its "standard_error" over the images; "dequantisation", the law's name;
      "steps" and "probes".

    Raises:
      ValueError: for a chain, images that are not uint8 or fewer than 2.

    Reference:
      Song et al. 2021, section 4.3 and appendix D.2; Theis et al. 2016.
    """
    times = samplers.likelihood_grid(steps, schedule)

    def batch(params, key, codes, cond):
        (params, weights), (key_noise, key_probes) = params, jax.random.split(key)
        x, log_q = dequantise.draw(weights, key_noise, codes)
        log_p = samplers.log_likelihood(
            key_probes, denoiser(params), schedule, x, cond=cond, divergence="hutchinson", probes=probes,
            times=times,
        )  # fmt: skip
        return {"bits": dequantisation.bits_per_dim(log_p, math.prod(x.shape[1:]), log_q, **ENDS)}

    bits = bound.per_image(
        batch, (params, dequantise.params), images, labels, key=key, batch_size=batch_size, progress=progress,
        prepare=np.asarray,
    )  # fmt: skip
    law = {"dequantisation": dequantise.name}
    return {**bound.average(bits["bits"]), **law, "steps": steps, "probes": probes}

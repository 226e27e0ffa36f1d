"""How 8-bit images become real numbers before a density is measured: uniformly, or by a fitted network.

For any law q(u | k) of where in its bin a code k lies, E_q[log q - log p] bounds -log P(k) (Theis et al.
2016), and the bound is tight where q is the model's own law within the bin. `fit` brings a network near it
(Ho et al. 2019, Flow++; Song, Durkan, Murray & Ermon 2021): given the codes, a logit-logistic law for each
pixel, uniform to begin with and independent of the other pixels' noise, where the papers have a flow.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from diffjax import samplers
from diffjax.models.dequantiser import ConvDequantiser
from diffjax.process import continuous_elbo
from diffjax.process.level import log_snr_rate, part
from diffjax.process.schedules import Continuous
from diffjax.samplers import dequantisation

ENDS = {"low": -1 - 1 / 255, "high": 1 + 1 / 255}  # bins around the values x / 127.5 - 1 that networks see


class Dequantisation(NamedTuple):
    """A law q of real images given their codes.

    Attributes:
      name: for reports.
      params: of the law, an argument of compiled programs.
      draw: (params, key, integer codes 0..255 `[B, H, W, C]`) -> x `[B, H, W, C]` within `ENDS`, and log q
        `[B]` in nats.
    """

    name: str
    params: Any
    draw: Callable


UNIFORM = Dequantisation(
    "uniform", (), lambda params, key, codes: (dequantisation.uniform(key, codes, **ENDS), 0.0)
)


def fit(
    denoiser: Callable[[Any], Callable],
    params: Any,
    schedule: Continuous,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    key: jax.Array,
    num_steps: int = 600,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    progress: str | None = "dequantiser",
) -> Dequantisation:
    """Fit a network's dequantisation to a frozen model: minimise E_q[log q - log p] over training images.

    In place of -log p(x) stands one unbiased draw of the bound in continuous time, which costs one call of
    the model and its derivative; its noise levels are spread evenly in log SNR.

    Args:
      denoiser: params -> Denoiser.
      params: of the model; they stay as they are.
      schedule: with rates.
      images: uint8 [N, H, W, C], those that the model was trained on.
      labels: int [N] conditions, or None.
      key: of the initialisation, batches and noise.
      num_steps: updates of Adam, the rate falling to 0 along a cosine.
      batch_size: images of an update, drawn with replacement.
      learning_rate: at the start.
      progress: title of the progress bar, or None for no bar.

    Returns:
      The Dequantisation "variational".

    Raises:
      ValueError: for a chain, or images that are not uint8.

    Reference:
      Ho et al. 2019, section 3.1; Song, Durkan, Murray & Ermon 2021; Kingma et al. 2021, equation (17).
    """
    if images.dtype != np.uint8:
        raise ValueError(f"images must be uint8, whose 256 values are dequantised; got {images.dtype}")
    module = ConvDequantiser()
    bits = _bound(denoiser, schedule, module)
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps))

    @partial(jax.jit, donate_argnums=1)
    def update(params, state, key, codes, cond):
        weights, moments = state
        gradient = jax.grad(lambda weights: bits(weights, params, key, codes, cond))(weights)
        steps, moments = optimizer.update(gradient, moments, weights)
        return optax.apply_updates(weights, steps), moments

    weights = module.init(jax.random.fold_in(key, num_steps), jnp.zeros((1, *images.shape[1:])))
    state = weights, optimizer.init(weights)
    for i in tqdm(range(num_steps), desc=progress, unit="step", disable=progress is None):
        key_rows, key_noise = jax.random.split(jax.random.fold_in(key, i))
        rows = np.asarray(jax.random.randint(key_rows, (batch_size,), 0, len(images)))
        cond = None if labels is None else jnp.asarray(labels[rows], jnp.int32)
        state = update(params, state, key_noise, images[rows], cond)
    return Dequantisation("variational", state[0], partial(_draw, module))


DEQUANTISATIONS = {"uniform": lambda *model, **options: UNIFORM, "variational": fit}


def _draw(module, weights, key, codes):
    mean, log_scale = module.apply(weights, jnp.asarray(codes, jnp.float32) / 127.5 - 1)
    return dequantisation.logit_logistic(key, codes, mean, log_scale, **ENDS)


def _bound(denoiser, schedule, module):
    """Return (weights, params, key, codes, cond) -> one draw of the bound on the codes' mean bits/dim."""
    ends = schedule(samplers.likelihood_grid(1, schedule))
    first, last = (part(ends, i) for i in range(2))
    reach = last.log_snr - first.log_snr

    def bits(weights, params, key, codes, cond):
        key_q, key_t, key_eps, key_0 = jax.random.split(key, 4)
        x, log_q = _draw(module, weights, key_q, codes)
        eps, eps_0 = (jax.random.normal(k, x.shape, x.dtype) for k in (key_eps, key_0))
        u = (jax.random.uniform(key_t) + jnp.arange(len(x)) / len(x)) % 1
        level = schedule(schedule.inv_log_snr(first.log_snr + reach * u))
        nats = continuous_elbo.terms(
            denoiser(params), x, eps, level, cond, eps_0=eps_0, level_0=first, level_1=last,
            span=reach / log_snr_rate(level), prior_std=schedule.prior_std, values=None,
        )  # fmt: skip
        dims = math.prod(x.shape[1:])
        return dequantisation.bits_per_dim(-dims * sum(nats.values()), dims, log_q, **ENDS).mean()

    return bits

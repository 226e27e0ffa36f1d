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

from diffjax.data import Source
from diffjax.evaluation import batches
from diffjax.likelihoods import continuous_elbo, dequantisation, likelihood_grid
from diffjax.models.dequantiser import ConvDequantiser
from diffjax.pixels import to_model
from diffjax.process.level import evenly, log_snr_rate, part
from diffjax.training import in_memory
from diffjax.training.system import System, Variables

ENDS: dict[str, Any] = {
    "low": -1 - 1 / 255,
    "high": 1 + 1 / 255,
}  # bins around the values x / 127.5 - 1 that networks see


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
    system: System,
    variables: Variables,
    source: Source,
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
      system: with a denoiser and a schedule with rates.
      variables: of the model; they stay as they are.
      source: uint8 images that the model was trained on, with what it is asked about them.
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
    if source.x.dtype != np.uint8:
        raise ValueError(f"images must be uint8, whose 256 values are dequantised; got {source.x.dtype}")
    module = ConvDequantiser()
    bits = _bound(system, model_of(system)[1](variables), module)
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps))
    images = batches.on_device(source)

    def step(state, i, data):
        (weights, moments), (rows, variables) = state, data
        key_rows, key_noise = jax.random.split(jax.random.fold_in(key, i))
        chosen = jax.random.randint(key_rows, (batch_size,), 0, len(images["x"]))
        batch = {name: array[chosen] for name, array in rows.items()}
        gradient = jax.grad(lambda weights: bits(weights, variables, key_noise, batch))(weights)
        updates, moments = optimizer.update(gradient, moments, weights)
        return (optax.apply_updates(weights, updates), moments), {}

    weights = module.init(jax.random.fold_in(key, num_steps), jnp.zeros((1, *source.shape)))
    state = weights, optimizer.init(weights)
    data = images, variables
    weights, _ = in_memory.train(step, state, data, num_steps, chunk=None, progress=progress)
    return Dequantisation("variational", weights, partial(draw, module))


DEQUANTISATIONS = {"uniform": lambda *model, **options: UNIFORM, "variational": fit}


def model_of(system: System) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return a system's denoiser and schedule, each of its variables.

    Raises:
      ValueError: if it lacks one.
    """
    if system.denoiser is None or system.schedule is None:
        raise ValueError(
            "a likelihood by the ODE needs a denoiser and a noise schedule, which this system lacks"
        )
    return system.denoiser, system.schedule


def draw(module: ConvDequantiser, weights: Any, key: jax.Array, codes: jax.Array) -> tuple[Any, Any]:
    """Return x `[B, H, W, C]` within `ENDS` and log q `[B]`, of a network's law of codes 0..255."""
    mean, log_scale = module.apply(weights, to_model(codes))
    return dequantisation.logit_logistic(key, codes, mean, log_scale, **ENDS)


def _bound(system, schedule, module):
    """Return (weights, variables, key, batch of codes) -> one draw of the bound on their mean bits/dim."""
    ends = schedule(likelihood_grid(1, schedule))
    first, last = (part(ends, i) for i in range(2))
    reach, denoiser = last.log_snr - first.log_snr, model_of(system)[0]

    def bits(weights, variables, key, batch):
        codes, seen = batch["x"], batch | {"x": to_model(batch["x"])}
        key_q, key_t, key_eps, key_0 = jax.random.split(key, 4)
        x, log_q = draw(module, weights, key_q, codes)
        eps, eps_0 = (jax.random.normal(k, x.shape, x.dtype) for k in (key_eps, key_0))
        u = evenly(jax.random.uniform(key_t), len(x))
        level = schedule(schedule.inv_log_snr(first.log_snr + reach * u))
        cond = system.request.told(variables, key, seen)
        nats = continuous_elbo.terms(
            denoiser(variables), x, eps, level, cond, eps_0=eps_0, level_0=first, level_1=last,
            span=reach / log_snr_rate(level), prior_std=schedule.prior_std, values=None,
        )  # fmt: skip
        dims = math.prod(x.shape[1:])
        return dequantisation.bits_per_dim(-dims * sum(nats.values()), dims, log_q, **ENDS).mean()

    return bits

"""The models of points in the plane, on the ring and on the grid, and what is measured of them."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax.evaluation import prdc, quadrature
from diffjax.evaluation.classes import reached
from diffjax.likelihoods import elbo, likelihood_grid, log_likelihood
from diffjax.systems import ebm, read
from experiments import costs, mixtures, study

NUM = 5400  # both 36 and 25 divide it: every mode can have its exact share
_HELD_OUT, _BATCH = 1000, 1800
TRUTHS = {"ring8": mixtures.RING, "grid25": mixtures.GRID}
_WITHOUT_R1 = {"loss": "non_saturating", "penalty": None, "discriminator_steps": 1}
# of each model: its file in configs/toys, steps for about 8 seconds of one core, what differs there; widths
# are for 34,000 parameters of what samples
_MODELS = {
    "GAN": ("gan", 1400, {}),
    "GAN without R1": ("gan", 2000, {"objective_": _WITHOUT_R1}),
    "VAE": ("vae", 4400, {"model": {"features": 64}}),
    "hierarchical VAE": ("vae", 2600, {"model": {"features": 45, "latents": (2, 2)}}),
    "flow": ("normalizing_flow", 1500, {"model": {"features": 43}}),
    "energy": ("ebm", 680, {"model": {"width": 68}}),
    "NCSN": ("ncsnv2", 4100, {"model": {"width": 68}}),
    "DDPM": ("ddpm", 3900, {"model": {"width": 68}}),
    "flow matching": ("flow", 4000, {"model": {"width": 68}}),
    "MeanFlow": ("mean_flow", 1200, {"model": {"width": 60}}),
}
_MOMENTUM = {"optimizer": {player: {"b1": 0.9} for player in ("discriminator", "generator")}}
_ON_THE_GRID = {  # where modes are many: what R1 and Adam's first moment do to a GAN
    **{model: _MODELS[model] for model in ("GAN", "GAN without R1", "DDPM")},
    "GAN, b1 0.9": ("gan", 1400, _MOMENTUM),
    "GAN, b1 0.9, without R1": ("gan", 2000, _MOMENTUM | {"objective_": _WITHOUT_R1}),
}


def arms(name: str) -> dict[str, ConfigDict]:
    """Return {model: config} on a set of points."""
    models = _ON_THE_GRID if name == "grid25" else _MODELS
    return {
        model: study.config_of(f"toys/{file}.py", name, training={"num_steps": steps}, **overrides)
        for model, (file, steps, overrides) in models.items()
    }


def of_data(name: str, seed: int) -> dict[str, float]:
    """Measure as many fresh points as are sampled."""
    return _quality(TRUTHS[name], TRUTHS[name].fresh(10_000 + seed, NUM), seed)


def measure(model: str, config, variables, seed: int) -> dict[str, float]:
    """Measure samples of a model, what they cost, and its density where it has one."""
    truth = TRUTHS[config.data.name]
    x, cost = costs.sample(config, variables, seed, NUM, _BATCH)
    found = _quality(truth, x, seed) | cost
    if model not in _DENSITIES:
        return found
    kind, of = _DENSITIES[model]
    return found | {kind: _above_truth(truth, of(config, costs.system_of(config), variables), seed)}


def _quality(truth, x, seed):
    ours = truth.metrics(x, seed)
    judged = prdc.prdc(truth.fresh(20_000 + seed, NUM), np.asarray(x))
    return {
        "distance": ours["SW2"],
        "floors": ours["SW2"] / _floor(truth),
        "TV": ours["TV"],
        "modes": reached(truth.shares(x), truth.parameters.weights),
        "precision": judged.precision,
        "coverage": judged.coverage,
        "nll": ours["nll"],
    }


@functools.cache
def _floor(truth):
    """Return the mean distance of as many fresh points."""
    return float(np.mean([truth.distance(truth.fresh(40_000 + i, NUM), i) for i in range(20)]))


def _above_truth(truth, log_prob, seed):
    """Return mean -log2 p a dimension less that of the truth."""
    x = jnp.asarray(truth.fresh(30_000 + seed, _HELD_OUT), jnp.float32)
    return float(jnp.mean(truth.density().log_prob(x) - log_prob(x))) / (x.shape[1] * math.log(2))


def _measured(measure):
    """Return the log density that a system's own measure tells in bits."""

    def of(config, system, variables):
        ask = jax.jit(system.measures[measure])
        return lambda x: -ask(variables, jax.random.key(0), {"x": x})["bits_per_dim"] * 2 * math.log(2)

    return of


def _of_energy(config, system, variables):
    energy = ebm.energy(read.network(config))(variables)
    at = lambda x: energy(x, jnp.zeros(len(x)))
    log_z = quadrature.partition(at, [[-3.0, 3.0]] * 2).log_z
    return lambda x: -at(x) - log_z


def _of_chain(config, system, variables):
    schedule, denoise, key = system.schedule(variables), system.denoiser(variables), jax.random.key(0)
    bound = jax.jit(lambda x: elbo.bits_per_dim(key, denoise, schedule, x, decoder="gaussian")["total"])
    return lambda x: -bound(x) * 2 * math.log(2)


def _of_ode(config, system, variables):
    schedule, denoise = system.schedule(variables), system.denoiser(variables)
    how = {"divergence": "exact", "times": likelihood_grid(64, schedule)}
    return jax.jit(lambda x: log_likelihood(jax.random.key(0), denoise, schedule, x, **how))


EXACT, BOUND = "bits, exact", "bits, bound"
_DENSITIES = {
    "VAE": (BOUND, _measured("importance_weighted")),
    "hierarchical VAE": (BOUND, _measured("importance_weighted")),
    "flow": (EXACT, _measured("likelihood")),
    "energy": (EXACT, _of_energy),
    "DDPM": (BOUND, _of_chain),
    "flow matching": (EXACT, _of_ode),
}

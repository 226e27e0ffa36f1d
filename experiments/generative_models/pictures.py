"""The models of scikit-learn's digits, and what is measured of them."""

import functools

import jax
import numpy as np
from ml_collections import ConfigDict

from diffjax import data
from diffjax.evaluation import bits, likelihood, prdc
from diffjax.evaluation.classes import reached, shares, total_variation
from diffjax.evaluation.dequantiser import UNIFORM
from diffjax.pixels import to_uint8
from experiments import costs, digits, study
from experiments.generative_models.points import BOUND, EXACT

_BATCH = 479  # three of them are as many as there are training digits
_V = {"kind": "v", "weighting": "none"}
_VELOCITY = {"kind": "velocity", "times": {"name": "logit_normal", "mean": 0.0, "std": 1.0}}
_WITHOUT_R1 = {"loss": "non_saturating", "penalty": None, "discriminator_steps": 1}


def _mlp(width, **more):
    return {"name": "mlp", "width": width, "depth": 3, **more}


_LADDER = {"features": 114, "latents": (16, 8, 4)}
_OF_GAN = {"model_": _mlp(290, latent=32), "discriminator_": _mlp(290)}
# of each model: its file in configs/digits, steps for about 12 seconds of one core, what
# differs; widths are for 200,000 parameters of what samples
_MODELS = {
    "GAN": ("gan", 1600, _OF_GAN),
    "GAN without R1": ("gan", 2100, _OF_GAN | {"objective_": _WITHOUT_R1}),
    "VAE": ("vae", 2500, {"model": {"features": 196}}),
    "hierarchical VAE": ("vae", 1700, {"model": _LADDER}),
    "flow": ("normalizing_flow", 125, {"model": {"features": 30}}),
    "DDPM": ("ddpm", 4200, {"model_": _mlp(160), "objective_": _V}),
    "flow matching": ("flow", 4200, {"model_": _mlp(160, time_scale=1000.0), "objective_": _VELOCITY}),
}


def arms() -> dict[str, ConfigDict]:
    """Return {model: config}."""
    return {
        model: study.config_of(f"digits/{file}.py", training={"num_steps": steps}, **overrides)
        for model, (file, steps, overrides) in _MODELS.items()
    }


def of_data(seed: int) -> dict[str, float]:
    """Measure the held-out digits."""
    return _quality(_held_out().x, seed)


def measure(model: str, config: ConfigDict, variables, seed: int) -> dict[str, float]:
    """Measure samples of a model, what they cost, and its bits/dim where it has them."""
    x, cost = costs.sample(config, variables, seed, digits.NUM, _BATCH)
    found = _quality(to_uint8(x), seed) | cost
    if model not in _CODES:
        return found
    kind, of = _CODES[model]
    code, given = of(costs.system_of(config), variables)
    measured = bits.measure_bits(code, given, _held_out(), key=jax.random.key(0))
    return found | {kind: measured["bits_per_dim"]}


@functools.cache
def _held_out():
    return data.load("digits", "test")


def _quality(x, seed):
    judge, real, floor = digits.reference()
    features, classes = judge.features(x), np.bincount(np.asarray(data.load("digits", "train").label))
    found, expected = shares(judge.predict(x), len(classes)), classes / classes.sum()
    judged = prdc.of_any_sizes(real, features, np.random.default_rng(seed))
    return {
        "distance": digits.distance(x),
        "floors": digits.distance(x) / floor,
        "TV": total_variation(found, expected),
        "modes": reached(found, expected),
        "precision": judged.precision,
        "coverage": judged.coverage,
    }


def _measured(measure):
    """Return the code length that a system's own measure tells."""
    return lambda system, variables: (system.measures[measure], variables)


def _of_ode(system, variables):
    return likelihood.measure(system, variables), (variables, UNIFORM.params)


_CODES = {
    "VAE": (BOUND, _measured("importance_weighted")),
    "hierarchical VAE": (BOUND, _measured("importance_weighted")),
    "flow": (EXACT, _measured("likelihood")),
    "DDPM": (BOUND, _measured("bound")),
    "flow matching": (EXACT, _of_ode),
}

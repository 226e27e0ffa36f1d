"""What the studies of guidance on digits share: networks, guided samples, and what is measured of them."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import guidance, samplers, systems
from diffjax.data import load
from diffjax.evaluation import prdc
from diffjax.systems import read
from experiments import digits, study

STEPS = 50
NUM = 1000  # samples of an arm, a tenth of each class
LABELS = np.arange(NUM) % 10
Guides = Callable[..., list[guidance.Transformation]]


def denoiser(classes: bool, dropout: float = 0.0) -> ConfigDict:
    """Return the config of an MLP that predicts v on cosine betas, with classes or without.

    Args:
      classes: whether it is told them.
      dropout: how often training hides them; above 0 the network is a model without classes as well.
    """
    return digits.config(
        4000,
        schedule={"name": "cosine_beta"},
        model={"num_classes": 10 + (dropout > 0) if classes else None},
        objective_={"kind": "v", "weighting": "none", "label_dropout": dropout},
        sampler_={"solver": "ddim", "steps": STEPS, "threshold": "static"},
    )


def classifier() -> ConfigDict:
    """Return the config of a noisy classifier of the same schedule, an MLP too."""
    return digits.config(
        1500,
        schedule={"name": "cosine_beta"},
        system_="classifier",
        model={"whole": True, "out_features": 10},
        objective_={"times": "uniform"},
    )


@functools.cache
def trained_classifier(seed: int) -> Any:
    """Return the variables of a classifier, trained once for all arms of a seed."""
    return study.train(classifier(), seed, progress=f"classifier, seed {seed}")


def quality(x: np.ndarray, label: np.ndarray = LABELS) -> dict[str, float]:
    """Return what a classifier of real digits says of samples.

    "class": share of the class asked for. "entropy": of the classifier's probabilities, in nats, mean over
    the samples. "spread": standard deviation of its features within a class, over that of real digits.
    "precision", "recall": Kynkäänniemi et al. 2019. "distance": Fréchet, over the floor between halves of
    real digits.
    """
    judge, real, floor = digits.reference()
    features, p = judge.features(x), np.asarray(judge.probabilities(x), np.float64)
    found = prdc.prdc(real, features)
    return {
        "class": float(np.mean(p.argmax(1) == label)),
        "entropy": float(-(p * np.log(np.maximum(p, 1e-12))).sum(1).mean()),
        "spread": _spread(features, label) / _spread(real, load("digits", "train").label),
        "precision": found.precision,
        "recall": found.recall,
        "distance": digits.distance(x) / floor,
    }


def _spread(features: np.ndarray, label: np.ndarray | None) -> float:
    return float(np.sqrt(np.mean([features[label == each].var(0).sum() for each in range(10)])))


def sample(config: ConfigDict, guides: Guides, given: Mapping[str, Any], seed: int) -> np.ndarray:
    """Sample float32 digits [NUM, 8, 8, 1] in model space by DDIM.

    Args:
      config: of the denoiser.
      guides: `(system, given, keys [NUM]) -> transformations` of the network's denoiser, in order. One object
        compiles once, whatever is given.
      given: arrays that the guides need, with "denoiser", its variables, and "asked", its request.
      seed: of the noise.
    """
    noise = read.schedule(config)
    rows = samplers.plan(noise, samplers.ddim(), read.sampler(config, noise).times)
    return np.asarray(_walk(digits.Arm(config), guides)(given, rows, jax.random.key(1000 + seed)))


@functools.cache
def _walk(arm, guides):
    system = systems.build(arm.config)

    @jax.jit
    def walk(given, rows, key):
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(NUM))
        x = jax.vmap(lambda key: jax.random.normal(key, arm.config.data.shape))(keys)
        denoise = guidance.chain(*guides(system, given, keys))(system.denoiser(given["denoiser"]))
        told = system.request.encode(given["denoiser"], given["asked"])
        return samplers.walk(keys, denoise, samplers.ddim(), rows, x, cond=told)

    return walk

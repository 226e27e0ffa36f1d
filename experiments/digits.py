"""What the studies on digits share: a small MLP's config, samples, their distance to the data, bits/dim."""

import functools

import jax
import numpy as np
from ml_collections import ConfigDict

from diffjax import data, guidance, samplers, systems
from diffjax.evaluation import classifier, frechet
from diffjax.likelihoods import elbo
from diffjax.pixels import to_model, to_uint8
from diffjax.systems import read
from diffjax.training.system import Variables
from experiments import study

NUM = 1437  # as many as there are training digits
CLIPPED, UNCLIPPED = guidance.clip(-1, 1), guidance.chain()


def config(num_steps: int = 6000, **overrides) -> ConfigDict:
    """Return the config of an unconditional MLP on digits, see `study.config_of` for the overrides."""
    model = {"name": "mlp", "width": 256, "depth": 3} | overrides.pop("model", {})
    ema = ConfigDict({"name": "constant", "decay": 0.999})
    return study.config_of(
        "digits/ddpm.py",
        model_=model,
        optimizer={"learning_rate": 1e-3, "schedule": "constant"},
        training={"num_steps": num_steps, "batch_size": 128, "ema": ema},
        **overrides,
    )


@functools.cache
def reference():
    """Return the classifier, the features of the training digits, and the floor of the distance."""
    train, test = (data.load("digits", split) for split in ("train", "test"))
    judge = classifier.fit(train, test)
    features = judge.features(train.x)
    return judge, features, frechet.halves_floor(features, np.random.default_rng(0))


def distance(images: np.ndarray) -> float:
    """Return the Frechet distance of uint8 images to the training digits."""
    judge, features, _ = reference()
    return frechet.frechet_distance(judge.features(images), features)


def samples_distance(config, variables: Variables, seed: int, **how) -> float:
    """Return the distance of `samples`."""
    return distance(samples(config, variables, seed, **how))


def floor() -> float:
    """Return the distance between halves of the training digits; 1,437 perfect samples are at half of it."""
    return reference()[2]


def samples(
    config, variables: Variables, seed: int, *, solver=None, times=None, num: int = NUM, transform=CLIPPED
) -> np.ndarray:
    """Sample uint8 digits by a config's sampler or another solver or grid.

    Args:
      config: of the arm.
      variables: of its system.
      seed: of the noise.
      solver: in place of the config's.
      times: in place of the config's; the start is N(0, prior_std^2) wherever they begin.
      num: of images.
      transform: of the denoiser, `CLIPPED` (x_0 to [-1, 1] at every step) or `UNCLIPPED`.
    """
    noise = read.schedule(config)
    own = read.sampler(config, noise)
    solver = own.solver if solver is None else solver
    rows = samplers.plan(noise, solver, own.times if times is None else times)
    x = _walk(Arm(config), solver, transform)(variables, rows, jax.random.key(1000 + seed), num)
    return to_uint8(np.asarray(x))


class Arm:
    """A config as a key of a cache: two with the same network, schedule and kind share their programs."""

    def __init__(self, config):
        self.config = config
        objective = [config.objective.get(name) for name in ("kind", "preconditioning")]
        parts = (config.model.to_dict(), config.schedule.to_dict(), objective)
        self.key = repr(parts)

    def __eq__(self, other):
        return self.key == other.key

    def __hash__(self):
        return hash(self.key)


@functools.cache
def _walk(arm, solver, transform):
    system, std = systems.build(arm.config), read.schedule(arm.config).prior_std

    @functools.partial(jax.jit, static_argnums=3)
    def walk(variables, rows, key, num):
        start = std * jax.random.normal(key, (num, *arm.config.data.shape))
        denoise = transform(system.denoiser(variables))
        return samplers.walk(jax.random.fold_in(key, 1), denoise, solver, rows, start)

    return walk


def bits_per_dim(config, variables: Variables, variance: str, seed: int) -> float:
    """Return the bound on the held-out digits, one draw of noise a step and image."""
    system, x = systems.build(config), to_model(data.load("digits", "test").x)
    key = jax.random.fold_in(jax.random.key(2000 + seed), 0)

    @jax.jit
    def bits(variables):
        denoise = system.denoiser(variables)
        return elbo.bits_per_dim(key, denoise, system.schedule(variables), x, variance=variance)["total"]

    return float(np.asarray(bits(variables), np.float64).mean())

"""What the studies on digits share: a small MLP's config, samples, their distance to the data, bits/dim."""

import functools

import jax
import numpy as np
from ml_collections import ConfigDict

from diffjax import data, guidance, samplers
from diffjax.data import to_uint8
from diffjax.evaluation import bound, classifier, frechet
from diffjax.systems import assemble
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


def floor() -> float:
    """Return the distance between halves of the training digits; 1,437 perfect samples are at half of it."""
    return reference()[2]


def samples(
    config, params, seed: int, *, solver=None, times=None, num: int = NUM, transform=CLIPPED
) -> np.ndarray:
    """Sample uint8 digits by a config's sampler or another solver or grid.

    Args:
      config: of the arm.
      params: of its network.
      seed: of the noise.
      solver: in place of the config's.
      times: in place of the config's; the start is N(0, prior_std^2) wherever they begin.
      num: of images.
      transform: of the denoiser, `CLIPPED` (x_0 to [-1, 1] at every step) or `UNCLIPPED`.
    """
    noise = assemble.schedule(config)
    own_solver, own_times, _, _ = assemble.sampler(config, noise)
    solver = own_solver if solver is None else solver
    rows = samplers.plan(noise, solver, own_times if times is None else times)
    x = _walk(_Arm(config), solver, transform)(params, rows, jax.random.key(1000 + seed), num)
    return to_uint8(np.asarray(x))


class _Arm:
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
    make, std = assemble.denoiser(arm.config), assemble.schedule(arm.config).prior_std

    @functools.partial(jax.jit, static_argnums=3)
    def walk(params, rows, key, num):
        start = std * jax.random.normal(key, (num, *arm.config.data.shape))
        denoise = transform(make(params))
        return samplers.walk(jax.random.fold_in(key, 1), denoise, solver, rows, start)

    return walk


def bits_per_dim(config, params, variance: str, seed: int) -> float:
    """Return the bound on the held-out digits."""
    found = bound.measure_bound(
        assemble.denoiser(config), params, assemble.schedule(config), data.load("digits", "test").x,
        variance=variance, key=jax.random.key(2000 + seed), batch_size=360, progress=None,
    )  # fmt: skip
    return found["bits_per_dim"]

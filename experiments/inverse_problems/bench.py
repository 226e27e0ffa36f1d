"""What the study of inverse problems and its pictures share: measurements, and what restores pictures."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import guidance, samplers
from diffjax.data import Source
from diffjax.guidance.operators import Operator
from diffjax.pixels import to_model
from diffjax.systems import requests
from diffjax.training.system import System, Variables

NOISE = 0.05
_STRENGTH, _DATA_STD = 0.4, 0.7
_JUMP, _RESAMPLINGS = 10, 5
_GUIDED = ("PiGDM", "DPS")


class Task(NamedTuple):
    """A measurement of pictures of a shape, what is made of it without a network, and what with one."""

    operator: Operator
    plain: dict
    methods: tuple[str, ...]
    unknown: np.ndarray | None = None


def tasks(shape: tuple[int, ...], mean: np.ndarray) -> dict[str, Task]:
    """Return the tasks of pictures [H, W, C] whose mean is given."""
    side = shape[0]
    known = np.ones((*shape[:2], 1), bool)
    known[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = False
    filled = lambda y: jnp.where(known, y, mean)
    x = np.arange(-(side // 7), side // 7 + 1)
    bell = np.exp(-0.5 * (x / (side / 14)) ** 2)
    kernel = np.outer(bell, bell) / bell.sum() ** 2
    filling = ("replacement", "RePaint", *_GUIDED)
    return {
        "hole": Task(guidance.operators.mask(known), {"mean": filled}, filling, ~known),
        "blur": Task(guidance.operators.blur(kernel), {"as it is": lambda y: y}, (*_GUIDED, "SDEdit")),
        "x2": _smaller(2, shape),
        "x4": _smaller(4, shape, "SDEdit"),
    }


def _smaller(factor, shape, *more):
    nearest = lambda y: jnp.repeat(jnp.repeat(y, factor, 1), factor, 2)
    cubic = lambda y: jax.image.resize(y, (len(y), *shape), "cubic")
    plain = {"nearest": nearest, "bicubic": cubic}
    return Task(guidance.operators.average(factor), plain, (*_GUIDED, *more))


class Bench:
    """A denoiser, held-out pictures that are measured, and what restores them."""

    def __init__(self, system: System, train: Source, test: Source, num: int, steps: int):
        """Choose pictures.

        Args:
          system: one with a denoiser of pictures.
          train: pictures, whose mean fills holes.
          test: pictures, of which some are measured.
          num: of them.
          steps: of each walk.
        """
        chosen = np.random.default_rng(0).permutation(len(test))[:num]
        mean = np.mean([to_model(np.asarray(each)) for each in train.x], 0)
        self.system, self.steps, self.truth = system, steps, np.asarray(to_model(test.x[chosen]))
        self.tasks = tasks(self.truth.shape[1:], mean)
        self._walks = {}

    def restored(self, arm: str, variables: Variables | None, seed: int):
        """Return what is measured for an arm "task: method", and the pictures restored of it."""
        name, method = arm.split(": ")
        task = self.tasks[name]
        y = task.operator.apply(jnp.asarray(self.truth))
        noise = NOISE * jax.random.normal(jax.random.key(3000 + seed), y.shape)
        y += noise if task.unknown is None else jnp.where(task.unknown, 0, noise)
        if method in task.plain:
            return y, np.clip(task.plain[method](y), -1, 1)
        walk = self._walks.setdefault(arm, jax.jit(functools.partial(self._walk, task, method)))
        return y, np.clip(walk(variables, jax.random.key(4000 + seed), y), -1, 1)

    def scores(self, name: str, y, x) -> dict[str, float]:
        """Return PSNR and residual of restored pictures in [-1, 1]."""
        task = self.tasks[name]
        inside = np.ones(x.shape[1:3], bool) if task.unknown is None else task.unknown[..., 0]
        error = np.mean((x - self.truth)[:, inside] ** 2, axis=(1, 2))
        missed = np.asarray(task.operator.apply(jnp.asarray(x)) - y) / NOISE
        share = 1.0 if task.unknown is None else 1 - inside.mean()
        return {
            "PSNR": float(np.mean(10 * np.log10(4 / np.maximum(error, 1e-8)))),
            "residual": float(np.sqrt(np.mean(missed**2) / share)),
        }

    def _walk(self, task, method, variables, key, y):
        """Walk with a network, which is asked for nothing."""
        system, noise, n = self.system, self.system.schedule(variables), len(y)
        times, solver = samplers.grids.make(noise, self.steps, "uniform"), samplers.ancestral()
        start = noise.prior_std * jax.random.normal(key, self.truth.shape)
        if method == "SDEdit":
            times = samplers.times_from(times, _STRENGTH)
            start = samplers.start_from(key, noise, list(task.plain.values())[-1](y), times[0])
        if method == "RePaint":
            solver = samplers.repaint(solver, jump_length=_JUMP, resamplings=_RESAMPLINGS)
        denoise = guidance.chain(_guide(task, method, y), guidance.clip())(system.denoiser(variables))
        cond = requests.nothing(system.request, variables, system.request.default(n), n)
        rows = samplers.plan(noise, solver, times)
        return samplers.walk(jax.random.fold_in(key, 1), denoise, solver, rows, start, cond=cond)


def _guide(task, method, y):
    if method in ("replacement", "RePaint"):
        return guidance.inpaint(y, ~np.asarray(task.unknown))
    if method == "SDEdit":
        return guidance.chain()
    tamed = lambda level: NOISE**2 / (NOISE**2 + level.sigma**2)
    if method == "DPS":
        return guidance.linear_inverse(task.operator, y, NOISE, method="dps", scale=tamed)
    return guidance.linear_inverse(task.operator, y, NOISE, data_std=_DATA_STD)

"""Golden arrays of the reference implementations, and the fake networks they were run with."""

import functools
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.process import learned, prediction, schedules

GOLDEN = pathlib.Path(__file__).parent / "golden"
SHARED = pathlib.Path(__file__).parents[2] / "shared" / "data"


# `jax.jit` of what runs hundreds of times: the tests' other programs are compiled in haste, see `compiling`.
thorough = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 3})


def optional_data(name):
    """Return the path of a data file that may lie beside the repository; skip the test without it."""
    if not (SHARED / name).exists():
        pytest.skip(f"needs ../shared/data/{name}, which is not part of this repository")
    return SHARED / name


def weights(name):
    """Return the folder with published weights and their outputs, or skip the test.

    They are in this repository, in the folder that DIFFJAX_GOLDEN names, or in ../shared/golden.
    """
    for place in (GOLDEN, pathlib.Path(os.environ.get("DIFFJAX_GOLDEN", GOLDEN)), SHARED.parent / "golden"):
        if (place / f"{name}.npz").exists():
            return place
    pytest.skip(f"{name} (some MB) is not in this repository; DIFFJAX_GOLDEN may name a folder that has it")


def load(name):
    """Return (arrays, hyperparameters) of one golden file."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return arrays, json.loads(str(arrays.pop("_hyper_json")))


def fake_network(hyper, variance=None):
    """The references' stand-in: a x cos(t / tau) + b, with channels for a variance if there is one.

    It takes our times n = 1..T and hands the reference's index n - 1 on.
    """
    a, b, tau = hyper["a"], hyper["b"], hyper["tau"]

    def network(x, n, cond=None):
        t = (n - 1).reshape(-1, *[1] * (x.ndim - 1))
        out = a * x * jnp.cos(t / tau) + b
        if variance == "learned_range":
            return jnp.concatenate([out, 0.8 * jnp.sin(2 * x + t / tau)], -1)
        if variance == "learned":
            return jnp.concatenate([out, -3 + 0.5 * jnp.sin(2 * x + t / tau)], -1)
        return out

    return network


KINDS = {"EPSILON": "eps", "START_X": "x0", "PREVIOUS_X": "mean"}


def fake_denoiser(hyper, kind, variance, schedule):
    """The fake network as a Denoiser on a chain."""
    variance = variance if variance.startswith("learned") else None
    previous = (lambda level: schedule(level.t - 1)) if kind == "mean" else None
    return prediction.denoiser(fake_network(hyper, variance), kind, previous)


def relative(ours, theirs):
    """Largest difference relative to the largest entry."""
    theirs = np.asarray(theirs, np.float64)
    return np.max(np.abs(np.asarray(ours, np.float64) - theirs)) / np.max(np.abs(theirs))


def vdm_schedule(golden, kind):
    """The VDM schedule "fixed", "learnable_scalar" or "learnable_nnet", with recorded parameters."""
    if kind == "fixed":
        return schedules.log_snr_linear(13.3, -5.0)
    names = {"w": "w", "b": "b"}
    if kind == "learnable_nnet":
        names = {"w": "l1/kernel", "b": "l1/bias", "w2": "l2/kernel", "b2": "l2/bias", "w3": "l3/kernel"}
    params = {ours: jnp.ravel(golden[f"{kind}__param__{theirs}"]) for ours, theirs in names.items()}
    return schedules.learned(functools.partial(learned.monotone, params))

"""Samplers with exact denoisers reach the data: mode weights, and sliced Wasserstein at its floor."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax import samplers
from diffjax.process import schedules

N = 4000
MIXTURES = {"ring8": mixtures.ring8(), "tilted": mixtures.tilted()}
CHAIN = schedules.linear_beta(1000)
COSINE = schedules.cosine_beta(1000)
ALL = np.arange(1000, -1, -1)
FLOW, EDM = schedules.rectified_flow(), schedules.edm()
SUB_VP, VE = schedules.sub_vp(), schedules.ve()
# (schedule, solver, times)
CASES = {
    "ancestral": (CHAIN, samplers.ancestral(), ALL),
    "ancestral_cosine": (COSINE, samplers.ancestral("fixed_large"), ALL),
    "ddim": (CHAIN, samplers.ddim(), ALL),
    "ddim_half": (CHAIN, samplers.ddim(0.5), ALL),
    "edm_heun": (EDM, samplers.edm_heun(), samplers.grids.karras(40, 0.002, 80.0)),
    "edm_churned": (
        EDM, samplers.edm_heun(s_churn=20, s_min=0.05, s_max=50), samplers.grids.karras(64, 0.002, 80.0),
    ),
    "flow_euler": (FLOW, samplers.euler(), samplers.grids.uniform(200)),
    "flow_heun": (FLOW, samplers.heun(), samplers.grids.uniform(64)),
    "dpm_solver_pp": (
        COSINE.continuous(), samplers.dpm_solver_pp(), samplers.grids.quadratic(40, 0.0, 1000.0),
    ),
    "vp_ancestral": (schedules.vp_linear(), samplers.ancestral(), samplers.grids.uniform(1000)),
    "sub_vp_ddim": (SUB_VP, samplers.ddim(), SUB_VP.inv_sigma(samplers.grids.karras(200, 0.002, 80.0))),
    "ve_heun": (VE, samplers.edm_heun(), VE.inv_sigma(samplers.grids.karras(40, 0.011, 49.9))),
    "vp_cosine_shifted": (
        schedules.shifted(schedules.vp_cosine(), 2.0), samplers.dpm_solver_pp(),
        samplers.grids.uniform(100, 0.0, 0.999),
    ),
    "ncsn": (schedules.geometric(20.0, 0.005, 1000), samplers.ancestral(), ALL),
}  # fmt: skip

LONG = ("ancestral_cosine", "ddim_half", "vp_ancestral", "sub_vp_ddim", "flow_euler", "vp_cosine_shifted")
LONG += ("ncsn",)


def _stratified(mixture, x):
    """Keep the same number of points of each mode, so that chance weights cannot blur the comparison."""
    mode = np.asarray(mixture.responsibilities(jnp.asarray(x)).argmax(-1))
    share = np.bincount(np.asarray(mixture.responsibilities(_true(mixture, 99)).argmax(-1))) / N
    kept = (N * share - 5 * np.sqrt(N * share * (1 - share))).astype(int)
    return np.concatenate([np.asarray(x)[mode == k][:count] for k, count in enumerate(kept)])


def _true(mixture, seed):
    return mixture.sample(jax.random.key(seed), N)


def _sliced_wasserstein(a, b):
    angles = np.pi * np.arange(64) / 64
    directions = np.stack([np.cos(angles), np.sin(angles)])
    return np.sqrt(np.mean((np.sort(a @ directions, 0) - np.sort(b @ directions, 0)) ** 2))


@pytest.fixture(scope="module")
def floors():
    """The distance between two independent true sets, averaged over six pairs."""
    sets = {name: [_stratified(m, _true(m, s)) for s in range(4)] for name, m in MIXTURES.items()}
    pairs = [(i, j) for i in range(4) for j in range(i)]
    return {n: (x[0], np.mean([_sliced_wasserstein(x[i], x[j]) for i, j in pairs])) for n, x in sets.items()}


@pytest.mark.parametrize("name", ["ring8", pytest.param("tilted", marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow) if c in LONG else c for c in CASES])
def test_samples_are_the_data(floors, name, case):
    mixture, (schedule, solver, times) = MIXTURES[name], CASES[case]
    x = samplers.sample(jax.random.key(11), mixture.denoiser(), schedule, solver, times, shape=(N, 2))
    counts = np.asarray(mixture.responsibilities(x)).sum(0)
    error = np.sqrt(N * mixture.weights * (1 - mixture.weights))
    assert (np.abs(counts - N * mixture.weights) < 3 * error).all(), (counts - N * mixture.weights) / error
    truth, floor = floors[name]
    ratio = _sliced_wasserstein(_stratified(mixture, x), truth) / floor
    assert ratio < 1.25, ratio

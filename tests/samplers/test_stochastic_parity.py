"""Predictors and correctors of samplers/ against score_sde and diffusers, with their recorded noise.

score_sde evaluates a continuous score with the coefficients of a chain, so the score here is closed over
score_sde's own times and the chain gives the coefficients. A batch holds another time for each sample.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax import samplers
from diffjax.process import prediction, schedules

KEY = jax.random.key(0)


def _processes(hyper, name):
    """Return the continuous schedule and the chain (or levels) of one of score_sde's SDEs."""
    own = hyper["sdes"][name]
    if name == "VE":
        smooth = schedules.ve(own["sigma_min"], own["sigma_max"])
        return smooth, schedules.geometric(own["sigma_max"], own["sigma_min"], own["N"]), own["N"]
    ends = own["beta_0"], own["beta_1"]
    smooth = schedules.vp_linear(*ends) if name == "VP" else schedules.sub_vp(*ends)
    return smooth, schedules.linear_beta(own["N"], *(end / own["N"] for end in ends)), own["N"]


def _score(hyper, schedule):
    """The reference's exact score of N(mu, s2) at time t of a continuous schedule."""

    def score(x, t):
        level = schedule(jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1]))
        alpha, sigma = (field.reshape(-1, *[1] * (x.ndim - 1)) for field in (level.alpha, level.sigma))
        return -(x - alpha * hyper["mu"]) / (alpha**2 * hyper["s2"] + sigma**2)

    return score


def _stacked(solver, schedule, pairs):
    """Plan one step with another pair of times for each sample: rows with fields [1, B]."""
    rows = [solver.plan(schedule, np.array(pair)) for pair in pairs]
    return jax.tree.map(lambda *fields: np.concatenate(fields)[None], *rows)


def _walk(solver, rows, score, x, noise):
    denoise = prediction.denoiser(lambda x, t, cond: score(x, t), "score")
    return samplers.walk(KEY, denoise, solver, samplers.Rows(rows), jnp.asarray(x), noise=noise)


EM, EM_ODE = samplers.euler_maruyama(), samplers.euler_maruyama(eta=0.0)
RD, RD_ODE = samplers.reverse_diffusion(), samplers.reverse_diffusion(eta=0.0)


@pytest.mark.parametrize(
    ("key", "solver", "on_chain"),
    [
        *((f"{name}__em", EM, False) for name in ("VP", "subVP", "VE")),
        *((f"{name}__em_pf", EM_ODE, False) for name in ("VP", "subVP", "VE")),
        *((f"{name}__rd", RD, True) for name in ("VP", "VE")),
        *((f"{name}__rd_pf", RD_ODE, True) for name in ("VP", "VE")),
        ("subVP__rd", EM, False),  # score_sde has no other discretisation of sub-VP
        ("subVP__rd_pf", EM_ODE, False),
        ("VP__anc", samplers.ancestral("fixed_large"), True),
        ("VE__anc", samplers.ancestral("fixed_small"), True),
    ],
)
def test_single_steps_of_predictors(x64, key, solver, on_chain):
    golden, hyper = reference.load("scoresde_pc_steps")
    smooth, chain, n = _processes(hyper, key.split("__")[0])
    t, steps = golden["t"], (golden["t"] * (n - 1)).astype(int) + 1
    if on_chain:
        rows = _stacked(solver, chain, zip(steps, steps - 1))
    else:
        rows = _stacked(solver, smooth, zip(t, t - 1 / n))
    score = lambda x, _: _score(hyper, smooth)(x, t)
    for suffix, noise in (("x", golden["pred_noise"]), ("x_mean", 0 * golden["pred_noise"])):
        # our ancestral sampler adds no noise on arrival at data
        some = steps > (key == "VP__anc" and suffix == "x")
        ours = _walk(solver, rows, score, golden["x"], noise[None, None])
        np.testing.assert_allclose(ours[some], golden[f"{key}__{suffix}"][some], rtol=1e-8, err_msg=suffix)


@pytest.mark.parametrize("name", ["VP", "VE"])
@pytest.mark.parametrize(("key", "make"), [("langevin", samplers.langevin), ("ald", samplers.ald)])
def test_single_steps_of_correctors(x64, name, key, make):
    golden, hyper = reference.load("scoresde_pc_steps")
    smooth, chain, n = _processes(hyper, name)
    t, steps = golden["t"], (golden["t"] * (n - 1)).astype(int) + 1
    solver = make(hyper["snr"], steps=hyper["n_steps"], **({"norm": "batch"} if key == "langevin" else {}))
    # the level is continuous, its 1 - beta discrete
    share = _stacked(solver, chain, zip(steps, steps - 1)).share
    rows = _stacked(solver, smooth, zip(t, t / 2))._replace(share=share)
    score = lambda x, _: _score(hyper, smooth)(x, t)
    ours = _walk(solver, rows, score, golden["x"], golden["corr_noise"][None])
    np.testing.assert_allclose(ours, golden[f"{name}__{key}__x"], rtol=1e-8)


@pytest.mark.parametrize(
    ("case", "solver"),
    [
        ("VP__rd__langevin", samplers.reverse_diffusion()),
        ("VE__rd__langevin", samplers.reverse_diffusion()),
        ("VE__anc__None", samplers.ancestral()),
    ],
)
def test_whole_walks(x64, case, solver):
    golden, hyper = reference.load("scoresde_pc_sampler")
    name, _, corrector = case.split("__")
    smooth, chain, n = _processes(hyper, name)
    if corrector == "langevin":
        corrector = samplers.langevin(hyper["snr"], norm="batch", steps=hyper["n_steps"])
        solver = samplers.predictor_corrector(solver, corrector)
    times = np.linspace(1, hyper["eps"][name], n)[::-1]
    score = _score(hyper, smooth)
    denoise = prediction.denoiser(lambda x, t, cond: score(x, jnp.asarray(times)[t.astype(int) - 1]), "score")
    noise = golden[f"{case}__noise"]
    x = samplers.sample(
        KEY, denoise, chain, solver, np.arange(n, -1, -1), noise=noise.reshape(n, -1, *noise.shape[1:]),
        x_init=chain.prior_std * golden[f"{case}__prior_noise"],
    )  # fmt: skip
    np.testing.assert_allclose(x, golden[f"{case}__sample"], rtol=1e-6, atol=1e-8)


def test_the_walk_of_euler_maruyama(x64):
    """score_sde steps by 1/N on a grid whose spacing is (1 - eps) / (N - 1)."""
    golden, hyper = reference.load("scoresde_pc_sampler")
    smooth, _, n = _processes(hyper, "VP")
    solver = samplers.euler_maruyama()
    rows = [solver.plan(smooth, np.array([t, t - 1 / n])) for t in np.linspace(1, hyper["eps"]["VP"], n)]
    rows = jax.tree.map(lambda *fields: np.concatenate(fields), *rows)
    noise = np.array(golden["VP__em__None__noise"])[:, None]
    noise[-1] = 0
    x = _walk(solver, rows, _score(hyper, smooth), golden["VP__em__None__prior_noise"], noise)
    np.testing.assert_allclose(x, golden["VP__em__None__sample"], rtol=1e-6, atol=1e-8)


def test_scheduler_of_diffusers(x64):
    golden, hyper = reference.load("diffusers_sde_ve")
    n, calls = hyper["num_train_timesteps"], hyper["correct_steps"] + 1
    levels = schedules.geometric(hyper["sigma_max"], hyper["sigma_min"], n)
    score = lambda x, sigma: -(x - hyper["mu"]) / (hyper["s2"] + sigma**2)
    denoise = lambda x, level, cond=None: prediction.from_eps(-level.sigma * score(x, level.sigma), x, level)
    corrector = samplers.langevin(hyper["snr"], norm="batch", steps=hyper["correct_steps"])
    solver = samplers.predictor_corrector(samplers.reverse_diffusion(), corrector)
    noise = golden["noise"].reshape(n, calls, *golden["x_init"].shape)
    x, path = samplers.sample(
        KEY, denoise, levels, solver, np.arange(n, -1, -1), noise=noise, trajectory=True,
        x_init=levels.prior_std * golden["x_init"],
    )  # fmt: skip
    np.testing.assert_allclose(path[:-1], golden["traj"][calls:-1:calls], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(x, golden["prev_sample_mean"][-1], rtol=1e-3, atol=1e-3)

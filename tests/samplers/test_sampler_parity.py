"""samplers/ against guided-diffusion, NVlabs' EDM and diffusers, with their recorded noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax import guidance, samplers
from diffjax.process import forward, prediction, schedules

KEY = jax.random.key(0)


def _cond_fn(hyper):
    """The reference's grad log p(y | x): -k (x - m) (1 + t / tau)."""

    def gradient(x, level, cond):
        t = (jnp.asarray(level.t) - 1).reshape(-1, *[1] * (x.ndim - 1))
        return -hyper["k"] * (x - hyper["m"]) * (1 + t / hyper["tau"])

    return gradient


@pytest.mark.parametrize("mean", ["EPSILON", "START_X"])
@pytest.mark.parametrize("variance", ["FIXED_SMALL", "LEARNED_RANGE"])
@pytest.mark.parametrize("guided", ["uncond", "cond"])
def test_single_steps(x64, mean, variance, guided):
    golden, hyper = reference.load("gd_sampling_steps")
    chain = schedules.linear_beta(hyper["T"])
    unguided = guidance.clip()(reference.fake_denoiser(hyper, reference.KINDS[mean], variance.lower(), chain))
    shift = _cond_fn(hyper)
    prefix = f"{mean}__{variance}__"

    def step(solver, denoise, i, upward, noisy):
        # the golden batch has another time for each sample, and `floor` belongs to the whole chain
        n = int(golden["t"][i]) + 1
        times = [n, n + 1] if upward else [n, n - 1]
        rows = solver.plan(chain, np.array(times))
        if hasattr(rows, "pair"):
            pair = forward.pair(chain(n - 1), chain(n), chain.floor())
            rows = rows._replace(pair=jax.tree.map(lambda a: np.asarray(a)[None], pair))
        x, noise = jnp.asarray(golden["x"][i : i + 1]), jnp.asarray(golden["noise"][i : i + 1], jnp.float64)
        noise = noise * noisy
        return samplers.walk(KEY, denoise, solver, samplers.Rows(rows), x, noise=noise[None, None])[0]

    def compare(key, solver, denoise, upward=False, noisy=True):
        # the reference steps on from the last time to a level that no chain has (alpha = 0)
        some = [i for i, t in enumerate(golden["t"]) if not (upward and t + 1 == hyper["T"])]
        ours = jnp.stack([step(solver, denoise, i, upward, noisy) for i in some])
        np.testing.assert_allclose(ours, golden[prefix + key][some], rtol=2e-4, atol=1e-4, err_msg=key)

    shifted = guidance.classifier(shift)(unguided) if guided == "cond" else unguided
    for eta in hyper["etas"]:
        compare(f"ddim_sample_eta{eta}__{guided}__sample", samplers.ddim(eta), shifted)
    mean_shift = shift if guided == "cond" else None
    compare(f"p_sample__{guided}__sample", samplers.ancestral(variance.lower(), mean_shift), unguided)
    level = chain(golden["t"] + 1)
    x0 = shifted(jnp.asarray(golden["x"]), level, None).x0
    np.testing.assert_allclose(x0, golden[f"{prefix}ddim__{guided}__pred_xstart"], rtol=2e-4, atol=1e-4)
    if guided == "uncond":
        compare("ddim_reverse_sample", samplers.ddim(), unguided, upward=True)
        return
    np.testing.assert_allclose(x0, golden[prefix + "condition_score__pred_xstart"], rtol=2e-4, atol=1e-4)
    compare("condition_score__mean", samplers.ancestral(variance.lower()), shifted, noisy=False)
    compare("condition_mean", samplers.ancestral(variance.lower(), shift), unguided, noisy=False)


@pytest.mark.parametrize(
    ("num_steps", "sections", "key"),
    [(1000, "250", "T1000__250"), (1000, "ddim50", "T1000__ddim50"), (1000, "10,15,20", "T1000__10,15,20"),
     (300, [10, 15, 20], "T300__10-15-20")],
)  # fmt: skip
def test_respaced_tables(num_steps, sections, key):
    golden, _ = reference.load("gd_respacing")
    times = samplers.grids.spaced(num_steps, sections)
    np.testing.assert_array_equal(times[:-1][::-1] - 1, golden[f"{key}__timesteps"])
    scale = 1000 / num_steps
    for name, chain in [
        ("linear", schedules.linear_beta(num_steps, 1e-4 * scale, 0.02 * scale)),
        ("cosine", schedules.cosine_beta(num_steps)),
    ]:
        level, previous = chain(times[:-1]), chain(times[1:])
        pair = forward.pair(previous, level, chain.floor(times))
        for quantity, ours in [
            ("betas", np.exp(pair.log_var_ts)),
            ("alphas_cumprod", level.alpha**2),
            ("posterior_log_variance_clipped", pair.log_small),
        ]:
            np.testing.assert_allclose(ours[::-1], golden[f"{key}__{name}_{quantity}"], rtol=1e-9)


@pytest.mark.parametrize("variance", ["FIXED_LARGE", "LEARNED_RANGE"])
@pytest.mark.parametrize(("key", "eta"), [("p_sample", None), ("ddim_eta0.0", 0.0), ("ddim_eta0.5", 0.5)])
def test_respaced_loops(x64, variance, key, eta):
    golden, hyper = reference.load("gd_respacing")
    chain = schedules.linear_beta(hyper["loop_T"])
    times = samplers.grids.spaced(hyper["loop_T"], hyper["loop_sections"])
    solver = samplers.ancestral(variance.lower()) if eta is None else samplers.ddim(eta)
    denoise = guidance.clip()(reference.fake_denoiser(hyper, "eps", variance.lower(), chain))
    _, path = samplers.sample(
        KEY, denoise, chain, solver, times,
        x_init=jnp.asarray(golden["loop__x_T"]), noise=golden["loop__noise"][:, None], trajectory=True,
    )  # fmt: skip
    np.testing.assert_allclose(path, golden[f"loop__{variance}__{key}_traj"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("case", range(3))
def test_edm(x64, case):
    golden, hyper = reference.load("edm_sampler")
    name, kind, s2, options = hyper["cases"][case]
    options = hyper["defaults"] | options
    mu = jnp.asarray(golden[f"{kind}__mu"])
    schedule = schedules.edm(options["sigma_min"], options["sigma_max"])

    def denoise(x, level, cond):
        return prediction.from_x0(mu + s2 / (s2 + level.sigma**2) * (x - mu), x, level)

    solver = samplers.edm_heun(*(float(options[k]) for k in ("S_churn", "S_min", "S_max", "S_noise")))
    times = samplers.grids.karras(
        options["num_steps"], options["sigma_min"], options["sigma_max"], options["rho"]
    )
    np.testing.assert_allclose(times[:-1], golden[f"{name}__t_steps"], rtol=1e-12)
    rows = samplers.plan(schedule, solver, times)
    called = np.stack([rows.steps.level.sigma, rows.steps.target.sigma], 1).ravel()
    np.testing.assert_allclose([*called, rows.last.level.sigma], golden[f"{name}__net_sigma"], rtol=1e-12)
    noise = golden.get(f"edm{case}__noise")
    ours = samplers.walk(
        KEY, denoise, solver, rows, times[0] * jnp.asarray(golden["latents"]),
        noise=None if noise is None else noise[:, None],
    )  # fmt: skip
    np.testing.assert_allclose(ours, golden[f"{name}__out"], rtol=1e-8, atol=1e-10)


def _diffusers_chain(config):
    ends = [config[key] for key in ("beta_start", "beta_end") if key in config]
    make = {
        "linear": schedules.linear_beta,
        "scaled_linear": schedules.scaled_linear,
        "squaredcos_cap_v2": schedules.cosine_beta,
    }
    return make[config["beta_schedule"]](1000, *ends)


def _diffusers_loop(file, case, solver, last):
    """Walk one case of diffusers on its own time steps; NCHW arrays are turned to NHWC."""
    golden, hyper = reference.load(file)
    spec = next(c for c in hyper["cases"] if c["case"] == case)
    config = {"beta_schedule": "linear", "prediction_type": "epsilon", "clip_sample": True} | spec["config"]
    chain = _diffusers_chain(config)
    kind = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}[config["prediction_type"]]
    denoise = reference.fake_denoiser(hyper, kind, config.get("variance_type", ""), chain)
    if config.get("thresholding"):
        denoise = guidance.dynamic_threshold(
            config["dynamic_thresholding_ratio"], config["sample_max_value"], keep_eps=True
        )(denoise)
    elif config["clip_sample"]:
        denoise = guidance.clip(keep_eps=True)(denoise)
    last_axis = lambda a: np.moveaxis(a, -3, -1)
    path = last_axis(golden[f"{case}__traj"])
    starts = path[:-1]
    noise = golden.get(f"{case}__noise", np.zeros((0, *golden["x_init"].shape)))
    noise = last_axis(np.concatenate([noise, np.zeros((len(path) - 1 - len(noise), *noise.shape[1:]))]))
    times = np.append(golden[f"{case}__timesteps"] + 1, last)
    _, ours = samplers.sample(
        KEY, denoise, chain, solver, times, x_init=jnp.asarray(path[0]), noise=noise[:, None], trajectory=True
    )
    if case == "learned_range_cos":
        # Its trailing grid arrives on data from t = 99, where diffusers still adds noise, of a variance
        # interpolated from a clamp at 1e-20; here a step onto data never does.
        x, level = jnp.asarray(path[-2]), chain(times[-2])
        model = forward.reverse(denoise(x, level), x, chain(0), level, "learned_range", floor=np.log(1e-20))
        noisy = model.mean + jnp.exp(0.5 * model.log_variance) * noise[-1]
        np.testing.assert_allclose(noisy, path[-1], rtol=1e-4, atol=1e-5)
        ours, path = ours[:-1], path[:-1]
    np.testing.assert_allclose(ours, path[1:], rtol=1e-4, atol=1e-5)
    for x, n, x0 in zip(starts, times, last_axis(golden[f"{case}__pred_x0"])):
        np.testing.assert_allclose(denoise(jnp.asarray(x), chain(n)).x0, x0, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "case",
    [f"fixed_{size}_{kind}" for size in ("small", "large") for kind in ("epsilon", "sample", "v_prediction")]
    + ["thresholding", "learned_range_cos"],
)
def test_diffusers_ddpm(x64, case):
    variance = next((v for v in forward.VARIANCES if case.startswith(v)), "fixed_small")
    variance = "learned_range" if case.startswith("learned_range") else variance
    _diffusers_loop("diffusers_ddpm", case, samplers.ancestral(variance), last=0)


@pytest.mark.parametrize(
    ("case", "eta", "last"),
    # set_alpha_to_one=False ends on the chain's first step, n = 1, instead of on data
    [("eta0", 0.0, 0), ("eta1", 1.0, 0), ("sd_style", 0.0, 1), ("vpred", 0.0, 0), ("sample_thresh", 0.5, 0)],
)
def test_diffusers_ddim(x64, case, eta, last):
    _diffusers_loop("diffusers_ddim", case, samplers.ddim(eta), last)

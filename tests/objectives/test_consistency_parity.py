"""Consistency models as published: scalings, grids, schedules, losses and samplers of other programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax import flow_maps, objectives, samplers
from diffjax.objectives import consistency_steps, metrics, weightings
from diffjax.process import prediction, schedules

EDM, KEY = schedules.edm(), jax.random.key(0)
END = EDM(0.002)
EDM_SCALES = prediction.edm_preconditioning(0.5)


def _network(numbers, scale):
    """F(x, t) = tanh(a x) + b sin(scale c_noise / c)."""
    a, b, c = numbers

    def network(x, t, cond=None):
        return jnp.tanh(a * x) + b * jnp.sin(scale * t / c).reshape(-1, *[1] * (x.ndim - 1))

    return network


def _pair(num_levels, place):
    """Return levels t, s of the places in a descending grid, as both programs count."""
    index = num_levels - 1 - place
    return tuple(EDM(objectives.discrete_consistency_grid(num_levels, each)) for each in (index, index - 1))


def _teacher(network):
    return prediction.reading_of(EDM_SCALES).denoiser(network)


def test_scales_and_weights():
    golden, _ = reference.load("cm_scalings")
    level = EDM(golden["sigma"])
    ours = prediction.consistency_preconditioning(0.5, 0.002)(level)
    for name in ("c_skip", "c_out", "c_in"):
        np.testing.assert_allclose(getattr(ours, name), golden[f"boundary__{name}"], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(1000 * ours.c_noise, golden["rescaled_t"], rtol=1e-9)
    for name, weighting in (("snr", "snr"), ("snr+1", "snr_plus_one"), ("truncated-snr", "truncated_snr")):
        with jax.enable_x64(True):
            found = getattr(weightings, weighting)()(level)
        np.testing.assert_allclose(found, golden[f"weight__{name}"], rtol=1e-9)


@pytest.mark.parametrize("name", ["cm_schedule", "jcm_schedule"])
def test_numbers_of_levels_and_target_rates(name):
    golden, hyper = reference.load(name)
    for i, case in enumerate(hyper["cases"]):
        step = golden[f"case{i}__step"]
        if case["scale_mode"] == "fixed":
            number = consistency_steps.fixed(int(golden[f"case{i}__num_scales"][0]))
        else:
            total = case.get("total_steps", case.get("n_iters"))
            number = consistency_steps.progressive(total, case["start_scales"], case["end_scales"])
        found = np.array([number(k) for k in step])
        np.testing.assert_array_equal(found, golden[f"case{i}__num_scales"])
        if case["target_ema_mode"] == "adaptive":
            rate = consistency_steps.target_rate(found, case["start_ema"], case["start_scales"])
            np.testing.assert_allclose(rate, golden[f"case{i}__ema"], rtol=1e-12)


@pytest.mark.parametrize("kind", ["ct", "cd"])
def test_losses(x64, kind):
    golden, hyper = reference.load("cm_losses")
    level_t, level_s = _pair(hyper["num_scales"], golden["indices"])
    np.testing.assert_allclose(
        [level_t.t, level_s.t], [golden[f"{kind}__t"], golden[f"{kind}__t2"]], rtol=1e-9
    )
    student, target = (flow_maps.consistency(_network(hyper[who], 1000)) for who in ("student", "target"))
    teacher = _teacher(_network(hyper["teacher"], 1000)) if kind == "cd" else None
    data = jnp.asarray(golden["x_start"]), jnp.asarray(golden["noise"])
    for metric in ("l1", "l2"):
        for name, weight in (("uniform", 1.0), ("karras", weightings.edm(0.5)(level_t))):
            loss, aux = objectives.consistency(
                student, target, *data, level_t, level_s, END, teacher=teacher,
                metric=getattr(metrics, metric), weight=weight,
            )  # fmt: skip
            np.testing.assert_allclose(loss, golden[f"{kind}__{metric}__{name}__loss"], rtol=1e-8)
    np.testing.assert_allclose(aux["student"], golden[f"{kind}__distiller"], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(aux["target"], golden[f"{kind}__distiller_target"], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("kind", ["ct", "cd"])
def test_losses_of_the_program_in_jax(x64, kind):
    """Means over the rows that a mask leaves."""
    golden, hyper = reference.load("jcm_losses")
    level_t, level_s = _pair(hyper["num_scales"], golden["indices"])
    student, target = (flow_maps.consistency(_network(hyper[who], 1)) for who in ("student", "target"))
    teacher = _teacher(_network(hyper["teacher"], 1)) if kind == "cd" else None
    data = jnp.asarray(golden["image"]), jnp.asarray(golden["z"])
    weights = {"uniform": 1.0, "snr": weightings.snr(), "snrp1": weightings.snr_plus_one()}
    weights["truncated_snr"] = weightings.truncated_snr()
    for metric in ("l1", "l2"):
        for name, weight in weights.items():
            loss, _ = objectives.consistency(
                student, target, *data, level_t, level_s, END, teacher=teacher,
                metric=getattr(metrics, metric), weight=weight(level_t) if callable(weight) else weight,
            )  # fmt: skip
            expected = golden[f"consistency__{metric}__{name}__heun__{kind}"]
            np.testing.assert_allclose(np.average(loss, weights=golden["mask"]), expected, rtol=1e-7)


def test_samplers(x64):
    golden, hyper = reference.load("cm_samplers")
    f = flow_maps.consistency(_network(hyper["net"], 1000))
    for case, kind, steps, options in hyper["cases"][:2]:
        if kind == "onestep":
            times, noise = [80.0, 0.002], None
        else:
            times = np.asarray(objectives.discrete_consistency_grid(steps))[::-1][options["ts"]]
            noise = golden[f"{case}__noise"][:, None]
        x = samplers.sample(
            KEY, f, EDM, samplers.jump(renoise=True), times, noise=noise,
            x_init=80 * golden[f"{case}__x_T_unit"],
        )  # fmt: skip
        np.testing.assert_allclose(np.clip(x, -1, 1), golden[f"{case}__sample"], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("case", ["cm_multistep", "cm_10"])
def test_sampler_of_diffusers(x64, case):
    """Its scheduler scales the input and combines the output; the last of its levels is the end, twice."""
    golden, hyper = reference.load("diffusers_few_step")
    network = lambda x, t, cond=None: (
        hyper["a"] * x * jnp.cos(250 * (4 * t) / hyper["tau"]).reshape(-1, 1, 1, 1) + hyper["b"]
    )
    times = golden[f"{case}__sigmas"].astype(float)
    times = times[:-1] if times[-1] == times[-2] else times
    noise = golden[f"{case}__noise"][: len(times) - 1, None]
    own = flow_maps.consistency(network, sigma_min=float(times[-1]))
    clipped = lambda *asked: jnp.clip(own(*asked), -1, 1)
    _, path = samplers.sample(
        KEY, clipped, EDM, samplers.jump(renoise=True), times, x_init=golden[f"{case}__traj"][0], noise=noise,
        trajectory=True,
    )  # fmt: skip
    np.testing.assert_allclose(path, golden[f"{case}__traj"][1 : len(times)], rtol=1e-4, atol=1e-5)


def test_latent_consistency_sampler_of_diffusers(x64):
    """Its boundary is written in times: c_skip = s^2 / ((10 t)^2 + s^2), c_out = 10 t / sqrt(...)."""
    golden, hyper = reference.load("diffusers_few_step")
    chain, indices = schedules.scaled_linear(1000, 0.00085, 0.012), golden["lcm_4__timesteps"]

    def f(x, level_t, level_s, cond=None):
        t = level_t.t - 1
        eps = hyper["a"] * x * jnp.cos(t / hyper["tau"]) + hyper["b"]
        skip, out = 0.25 / ((10 * t) ** 2 + 0.25), 10 * t / jnp.sqrt((10 * t) ** 2 + 0.25)
        return out * prediction.from_eps(eps, x, level_t).x0 + skip * x

    _, path = samplers.sample(
        KEY, f, chain, samplers.jump(renoise=True), np.append(indices + 1, 0), trajectory=True,
        x_init=golden["lcm_4__traj"][0],
        noise=np.concatenate([golden["lcm_4__noise"], np.zeros((1, 2, 3, 6, 6))])[:, None],
    )  # fmt: skip
    np.testing.assert_allclose(path, golden["lcm_4__traj"][1:], rtol=1e-4, atol=1e-5)

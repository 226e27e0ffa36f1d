"""Consistency models as published: scalings, grids, schedules, losses and samplers of other programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax import flow_maps, guidance, objectives, samplers
from diffjax.objectives import consistency_steps, metrics, weightings
from diffjax.process import forward, prediction, schedules

EDM, KEY = schedules.edm(), jax.random.key(0)
END = EDM(0.002)
EDM_SCALES = prediction.edm_preconditioning(0.5)
JCM_WEIGHTS = {
    "snr": weightings.snr(), "snrp1": weightings.snr_plus_one(), "truncated_snr": weightings.truncated_snr(),
}  # fmt: skip


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


def _halves(num_steps, place):
    """Return levels t, t', s of a student's steps: the grid of the teacher has two for each."""
    grid = objectives.discrete_consistency_grid(2 * num_steps + 1)[::-1]
    return tuple(EDM(grid[2 * place + i]) for i in range(3))


def test_scales_and_weights():
    golden, _ = reference.load("cm_scalings")
    level = EDM(golden["sigma"])
    ours = prediction.consistency_preconditioning(0.5, 0.002)(level)
    for name in ("c_skip", "c_out", "c_in"):
        np.testing.assert_allclose(getattr(ours, name), golden[f"boundary__{name}"], rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(getattr(EDM_SCALES(level), name), golden[f"karras__{name}"], rtol=1e-9)
    np.testing.assert_allclose(1000 * ours.c_noise, golden["rescaled_t"], rtol=1e-9)
    named = {"snr": "snr", "snr+1": "snr_plus_one", "truncated-snr": "truncated_snr", "karras": "edm"}
    for name, weighting in named.items():
        with jax.enable_x64(True):
            found = getattr(weightings, weighting)()(level)
        np.testing.assert_allclose(found, golden[f"weight__{name}"], rtol=1e-9)


def test_denoisers(x64):
    golden, hyper = reference.load("cm_scalings")
    level, network = EDM(golden["sigma"]), _network(hyper["abc"], 1000)
    x_t = jnp.asarray(golden["x"] * golden["sigma"].reshape(-1, 1, 1, 1))
    f, denoise = flow_maps.consistency(network), _teacher(network)
    close = lambda ours, name: np.testing.assert_allclose(ours, golden[name], rtol=1e-9, atol=1e-12)
    close(f(x_t, level, END), "denoise__boundary")
    close(denoise(x_t, level).x0, "denoise__karras")


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


def test_progressive_distillation(x64):
    """In units of EDM; the last time is sigma_min."""
    golden, hyper = reference.load("cm_losses")
    levels = _halves(hyper["num_scales"], golden["indices"])
    np.testing.assert_allclose(levels[0].t, golden["progdist__t"], rtol=1e-9)
    student, teacher = (_teacher(_network(hyper[who], 1000)) for who in ("student", "teacher"))
    x_t = forward.perturb(jnp.asarray(golden["x_start"]), jnp.asarray(golden["noise"]), levels[0])
    _, aux = objectives.progressive_distillation(student, teacher, x_t, *levels)
    np.testing.assert_allclose(aux["prediction"].x0, golden["progdist__denoised"], rtol=1e-8, atol=1e-12)
    for metric in ("l1", "l2"):
        plain = getattr(metrics, metric)(aux["prediction"].x0, aux["target"])
        for name, weight in (("uniform", 1.0), ("karras", weightings.edm(0.5)(levels[0]))):
            np.testing.assert_allclose(plain * weight, golden[f"progdist__{metric}__{name}__loss"], rtol=1e-8)


def test_denoising(x64):
    golden, hyper = reference.load("cm_losses")
    data = jnp.asarray(golden["x_start"]), jnp.asarray(golden["noise"])
    level, network = EDM(golden["dsm__sigmas"]), _network(hyper["student"], 1000)
    for name, weighting in (
        ("xs_mse", lambda level: jnp.ones_like(level.sigma)),
        ("mse", weightings.edm(0.5)),
        ("loss", None),
    ):
        loss, _ = objectives.preconditioned(
            network, *data, level, preconditioning=EDM_SCALES, weighting=weighting
        )
        np.testing.assert_allclose(loss, golden[f"dsm__{name}"], rtol=1e-8, err_msg=name)


@pytest.mark.parametrize("kind", ["ct", "cd"])
def test_losses_of_the_program_in_jax(x64, kind):
    """Means over the rows that a mask leaves."""
    golden, hyper = reference.load("jcm_losses")
    level_t, level_s = _pair(hyper["num_scales"], golden["indices"])
    student, target = (flow_maps.consistency(_network(hyper[who], 1)) for who in ("student", "target"))
    teacher = _teacher(_network(hyper["teacher"], 1)) if kind == "cd" else None
    data = jnp.asarray(golden["image"]), jnp.asarray(golden["z"])
    for metric in ("l1", "l2", "linf"):
        for name, weight in (("uniform", 1.0), *((name, w(level_t)) for name, w in JCM_WEIGHTS.items())):
            loss, _ = objectives.consistency(
                student, target, *data, level_t, level_s, END, teacher=teacher,
                metric=getattr(metrics, metric), weight=weight,
            )  # fmt: skip
            expected = golden[f"consistency__{metric}__{name}__heun__{kind}"]
            np.testing.assert_allclose(np.average(loss, weights=golden["mask"]), expected, rtol=1e-7)


def test_progressive_distillation_of_the_program_in_jax(x64):
    """There the student is EDM's denoiser."""
    golden, hyper = reference.load("jcm_losses")
    levels = _halves(hyper["num_scales"], golden["indices"])
    student, teacher = (_teacher(_network(hyper[who], 1)) for who in ("student", "teacher"))
    x_t = forward.perturb(jnp.asarray(golden["image"]), jnp.asarray(golden["z"]), levels[0])
    _, aux = objectives.progressive_distillation(student, teacher, x_t, *levels)
    for metric in ("l1", "l2", "linf"):
        plain = getattr(metrics, metric)(aux["prediction"].x0, aux["target"])
        for name, weighting in JCM_WEIGHTS.items():
            loss = np.average(plain * weighting(levels[0]), weights=golden["mask"])
            np.testing.assert_allclose(loss, golden[f"progdist__{metric}__{name}"], rtol=1e-7)


@pytest.mark.parametrize("kind", ["ct", "cd"])
def test_continuous_losses_of_the_program_in_jax(x64, kind):
    """-df/ds along the trajectory, s = d tan t: of our tangent, cos(t) df/dt, it is -cos(t) / d times.

    Its gradient with what is differentiated held still is that of ours without the norm times
    D sin(t) cos(t) / 2, as d dF = -df / sin(t) at one x.
    """
    golden, hyper = reference.load("jcm_losses")
    ratio = jnp.asarray(golden["u"] ** hyper["kvesde"]["rho"])
    teacher = _teacher(_network(hyper["teacher"], 1)) if kind == "cd" else None
    reading = prediction.reading_of(prediction.consistency_preconditioning())
    t = jnp.arctan(ratio / 0.5)

    def rows(numbers):
        student = reading.denoiser(_network(numbers, 1))
        loss, aux = objectives.continuous_consistency(
            student, jnp.asarray(golden["image"]), jnp.asarray(golden["z"]), ratio, EDM, teacher=teacher,
            offset=None,
        )  # fmt: skip
        still = jnp.average(192 / 2 * jnp.sin(t) * jnp.cos(t) * loss, weights=golden["mask"])
        return still, (aux["tangent"], student(aux["x_t"], EDM(ratio)).x0)

    grads, (tangent, f) = jax.jit(jax.grad(rows, has_aux=True))(jnp.asarray(hyper["student"]))
    slope = -(jnp.cos(t) / 0.5).reshape(-1, 1, 1, 1) * tangent
    zero = jnp.zeros_like(slope)
    losses = {
        "continuous__l1": metrics.l1(slope, zero),
        "continuous__l2": jnp.sqrt(192 * metrics.l2(slope, zero)),
        "continuous__linf": metrics.linf(slope, zero),
        "continuous_stopgrad__l2": jnp.sum(-slope * f, (1, 2, 3)),
    }
    for name, loss in losses.items():
        found = np.average(loss, weights=golden["mask"])
        np.testing.assert_allclose(found, golden[f"{name}__{kind}"], rtol=1e-7, err_msg=name)
    expected = [golden[f"continuous_stopgrad__l2__{kind}__grad_{name}"] for name in "abc"]
    np.testing.assert_allclose(grads, expected, rtol=1e-7)


def test_consistency_function_of_the_program_in_jax(x64):
    golden, hyper = reference.load("jcm_losses")
    x_t = jnp.asarray(golden["image"] * golden["t_grid"].reshape(-1, 1, 1, 1))
    f = flow_maps.consistency(_network(hyper["student"], 1))(x_t, EDM(golden["t_grid"]), END)
    np.testing.assert_allclose(f, golden["distiller_fn"], rtol=1e-7, atol=1e-9)


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


WALKS = {
    "heun": samplers.edm_heun(), "euler": samplers.edm_euler(), "progdist": samplers.edm_euler(),
    "ancestral": samplers.euler_ancestral(),
}  # fmt: skip


@pytest.mark.parametrize("case", range(2, 6))
def test_other_samplers(x64, case):
    """Of the first sample of four. A student of progressive distillation stops at the last level."""
    golden, hyper = reference.load("cm_samplers")
    case, kind, steps, _ = hyper["cases"][case]
    times = samplers.grids.karras(steps + (kind == "progdist"), 0.002, 80.0)
    times = times[:-1] if kind == "progdist" else times
    noise = {"noise": golden[f"{case}__noise"][:, None]} if kind == "ancestral" else {}
    x = samplers.sample(
        KEY, guidance.clip()(_teacher(_network(hyper["net"], 1000))), EDM, WALKS[kind], times,
        x_init=80 * golden[f"{case}__x_T_unit"], **noise,
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

    for n, x, denoised in zip(indices + 1, golden["lcm_4__traj"], golden["lcm_4__pred_x0"]):
        np.testing.assert_allclose(f(x, chain(n), chain(0)), denoised, rtol=1e-4, atol=1e-5)
    _, path = samplers.sample(
        KEY, f, chain, samplers.jump(renoise=True), np.append(indices + 1, 0), trajectory=True,
        x_init=golden["lcm_4__traj"][0],
        noise=np.concatenate([golden["lcm_4__noise"], np.zeros((1, 2, 3, 6, 6))])[:, None],
    )  # fmt: skip
    np.testing.assert_allclose(path, golden["lcm_4__traj"][1:], rtol=1e-4, atol=1e-5)


def test_trajectory_consistency_sampler_of_diffusers(x64):
    """To a level below the next of the grid by the map, here a step of DDIM, and up to the next by noise.

    No solver here mixes the two: these are its parts. Its levels are indices, floor((1 - eta) next) of them.
    """
    golden, hyper = reference.load("diffusers_few_step")
    chain, n = schedules.scaled_linear(1000, 0.00085, 0.012), golden["tcd_4__timesteps"].astype(int) + 1
    denoise = prediction.denoiser(reference.fake_network(hyper), "eps")
    step, x, noise = flow_maps.of_denoiser(denoise), golden["tcd_4__traj"], golden["tcd_4__noise"]
    for i, above in enumerate(n):
        below = n[i + 1] if i + 1 < len(n) else 1
        level, target = chain(above), chain(int(0.7 * (below - 1)) + 1)
        x_s = step(jnp.asarray(x[i]), level, target)
        np.testing.assert_allclose(x_s, golden["tcd_4__pred_x0"][i], rtol=1e-4, atol=1e-5)
        if i + 1 < len(n):
            law = forward.transition(x_s, target, chain(below))
            x_s = law.mean + np.exp(0.5 * law.log_variance) * noise[i]
        np.testing.assert_allclose(x_s, x[i + 1], rtol=1e-4, atol=1e-5)

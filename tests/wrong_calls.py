"""Wrong calls of public functions, made from right ones: how many are named by one line before anything compiles.

    PYTHONPATH=.:tests python tests/wrong_calls.py [-v]

A function of the table has a right call, argument by argument. From each come wrong ones: an argument that is missing,
misspelled or one too many; a value of another type, shape or range, or NaN. A wrong call is

    named     refused by a ValueError or TypeError of one line that says the argument's name
    late      so, but a program was compiled first
    unclear   refused, by something else
    silent    not refused
"""

# ruff: noqa: E501
import collections
import inspect
import re
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import exact, guidance, likelihoods, objectives, samplers
from diffjax.likelihoods import continuous_elbo, dequantisation, elbo
from diffjax.objectives import adversarial, replay, score_matching, second_moment, weightings
from diffjax.process import annealing, forward, gaussian, learned, prediction, schedules, sde
from diffjax.process.gaussian import Gaussian
from diffjax.process.prediction import Prediction
from diffjax.samplers import adaptive, grids

NAN, INF = float("nan"), float("inf")
KEY, X = jax.random.key(0), 0.5 * jnp.ones((4, 2))
VP, EDM, CHAIN, FLOW = (
    schedules.vp_linear(), schedules.edm(), schedules.cosine_beta(20), schedules.rectified_flow()
)  # fmt: skip
LEVEL, LOWER = VP(np.float64(0.5)), VP(np.float64(0.2))
MIXTURE = exact.gaussian_mixture([1, 2], [[-1.0, 0], [1, 0]], [0.1, 0.2])
DENOISE, LABELS, TIMES = MIXTURE.denoiser(), np.array([0, 1, 0, 1]), np.linspace(1, 0.01, 8)
CODES = np.arange(8).reshape(4, 2)
HISTORY = second_moment.init(20)


def network(x, t, cond=None):
    return x


def twice(x, t, cond=None):
    return jnp.concatenate([x, 0 * x], -1)


def energy(x, t, cond=None):
    return (x**2).sum(1)


def critic(x):
    return (x**2).sum(1)


class A:
    """A right value, and wrong ones beside those of its kind."""

    def __init__(self, right, *wrong, fine=()):
        self.right, self.wrong, self.fine = right, wrong, fine


def count(right):
    return A(right, 0, -3, 2.5)


def positive(right):
    return A(right, 0.0, -1.0, INF)


def share(right):
    return A(right, -0.1, 1.5)


def like(right):
    """An array shaped like the others."""
    return A(right, jnp.ones((3, 2)), jnp.ones((4, 1)), jnp.ones(2))


class Unmade:
    """A call in two steps: what the first makes is called at once."""

    def __init__(self, make, use):
        self.make, self.use = make, use
        self.__signature__ = inspect.signature(make)

    def __call__(self, *args, **kwargs):
        return self.use(self.make(*args, **kwargs))


def guided(make):
    return Unmade(make, lambda transform: transform(DENOISE)(X, LEVEL, LABELS))


def composed(make):
    return Unmade(make, lambda transform: transform(DENOISE)(X, LEVEL, [LABELS, 1 - LABELS]))


def sampled(make, schedule=VP):
    return Unmade(make, lambda solver: samplers.plan(schedule, solver, schedule.t_max * TIMES))


_SAMPLE = {
    "key": KEY, "denoise": DENOISE, "schedule": A(VP, schedules.vp_linear), "solver": A(samplers.ddim(), samplers.ddim),
    "times": A(TIMES, TIMES[::-1], [1.0], [0.5, 0.5], [1.0, NAN, 0.1]), "shape": A((4, 2), (4.5, 2), 4, (0, 2), ()),
}  # fmt: skip
_GRID = {"n": count(5)}
_ORDER = {"order": A(2, 0, 7)}
_NOISY = {"eta": share(0.5), "s_noise": A(1.0, -1.0, INF)}
_CHURN = {
    "s_churn": A(1.0, -1.0, INF),
    "s_min": A(0.0, INF),
    "s_max": A(INF, -1.0, fine=(INF,)),
    "s_noise": A(1.0, -1.0, INF),
}

TABLE = {
    "schedules.linear_beta": (schedules.linear_beta, {"num_steps": count(20), "beta_start": share(1e-4), "beta_end": share(0.02)}),
    "schedules.scaled_linear": (schedules.scaled_linear, {"num_steps": count(20), "beta_start": share(1e-3), "beta_end": share(0.02)}),
    "schedules.sigmoid_beta": (schedules.sigmoid_beta, {"num_steps": count(20), "beta_start": share(1e-4), "beta_end": share(0.02), "reach": positive(6.0)}),
    "schedules.cosine_beta": (schedules.cosine_beta, {"num_steps": count(20), "max_beta": share(0.9), "s": A(0.008, -1.0)}),
    "schedules.geometric": (schedules.geometric, {"sigma_max": positive(50.0), "sigma_min": positive(0.1), "num_levels": count(10)}),
    "schedules.from_betas": (schedules.from_betas, {"betas": A([0.1, 0.2], [0.1, 1.5], [-0.1, 0.2], [0.1, NAN], [], 3.0, [[0.1]], [1j])}),
    "schedules.zero_terminal_snr": (schedules.zero_terminal_snr, {"schedule": A(CHAIN, VP, schedules.cosine_beta)}),
    "schedules.edm": (schedules.edm, {"sigma_min": positive(0.01), "sigma_max": positive(80.0)}),
    "schedules.ve": (schedules.ve, {"sigma_min": positive(0.01), "sigma_max": positive(50.0)}),
    "schedules.vp_linear": (schedules.vp_linear, {"beta_min": A(0.1, -1.0, INF), "beta_max": positive(20.0), "offset": A(0.0, -1.0)}),
    "schedules.sub_vp": (schedules.sub_vp, {"beta_min": A(0.1, -1.0, INF), "beta_max": positive(20.0)}),
    "schedules.vp_cosine": (schedules.vp_cosine, {"s": A(0.008, -1.0)}),
    "schedules.log_snr_linear": (schedules.log_snr_linear, {"log_snr_max": A(13.3, -9.0), "log_snr_min": A(-5.0, 20.0)}),
    "schedules.shifted": (schedules.shifted, {"schedule": A(FLOW, schedules.rectified_flow, CHAIN), "factor": positive(2.0)}),
    "vp_linear()": (VP.__call__, {"t": A(0.5, -0.1, 1.5, "noon", fine=([0.5],))}),
    "cosine_beta(20)": (CHAIN.__call__, {"t": A(5, -1, 21, "noon", fine=(2.5,))}),
    "learned.init": (learned.init, {"key": KEY, "log_snr_max": A(13.3, -9.0), "log_snr_min": A(-5.0, 20.0), "width": A(8, -3, 2.5)}),
    "annealing.largest_distance": (annealing.largest_distance, {"x": np.zeros((3, 2)), "batch": count(2)}),
    "annealing.overlap": (annealing.overlap, {"ratio": A(1.5, 0.5, 0.0), "dim": count(10)}),
    "annealing.level_ratio": (annealing.level_ratio, {"dim": count(10), "share": A(0.5, 0.0, 1.5)}),
    "annealing.num_levels": (annealing.num_levels, {"sigma_max": positive(50.0), "sigma_min": positive(0.01), "dim": count(10)}),
    "annealing.variance_ratio": (annealing.variance_ratio, {"step": A(0.1, 3.0, -1.0), "ratio": A(1.1, 0.5), "num_steps": A(5, -3, 2.5)}),
    "annealing.step_size": (annealing.step_size, {"sigma_max": positive(50.0), "sigma_min": positive(0.01), "num_levels": A(10, 0, 2.5), "num_steps": count(5)}),
    "gaussian.sample": (gaussian.sample, {"key": KEY, "g": Gaussian(X, 0 * X)}),
    "gaussian.log_prob": (gaussian.log_prob, {"g": Gaussian(X, 0 * X), "x": like(X)}),
    "gaussian.kl": (gaussian.kl, {"p": Gaussian(X, 0 * X), "q": A(Gaussian(X, 0 * X), Gaussian(X[:3], 0 * X[:3]))}),
    "gaussian.discretized_log_prob": (gaussian.discretized_log_prob, {"g": Gaussian(X, 0 * X), "x": like(X), "cdf": "tanh"}),
    "forward.pair": (forward.pair, {"level_s": A(LOWER, VP(np.float64(0.9))), "level_t": LEVEL}),
    "forward.perturb": (forward.perturb, {"x0": X, "eps": like(X), "level": A(LEVEL, VP(np.full(3, 0.5)))}),
    "forward.marginal": (forward.marginal, {"x0": X, "level": LEVEL}),
    "forward.transition": (forward.transition, {"x_s": X, "level_s": LOWER, "level_t": LEVEL}),
    "forward.posterior": (forward.posterior, {"x_t": X, "x0": like(X), "level_s": LOWER, "level_t": LEVEL}),
    "forward.reverse": (forward.reverse, {"prediction": A(Prediction(X, X), X), "x_t": like(X), "level_s": LOWER, "level_t": LEVEL, "variance": "fixed_large"}),
    "prediction.row": (prediction.row, {"kind": "eps", "level": LEVEL}),
    "prediction.target": (prediction.target, {"kind": "eps", "x0": X, "eps": like(X), "level": LEVEL}),
    "prediction.from_output": (prediction.from_output, {"kind": "eps", "output": A(X, X[:3], jnp.ones((4, 3))), "x_t": X, "level": LEVEL}),
    "prediction.from_x0": (prediction.from_x0, {"x0": like(X), "x_t": X, "level": LEVEL}),
    "prediction.from_eps": (prediction.from_eps, {"eps": like(X), "x_t": X, "level": LEVEL}),
    "prediction.tweedie": (prediction.tweedie, {"score": like(X), "x_t": X, "level": LEVEL}),
    "prediction.velocity": (prediction.velocity, {"prediction": A(Prediction(X, X), X), "level": A(LEVEL, CHAIN(np.float64(3)))}),
    "prediction.denoiser": (prediction.denoiser, {"network": A(network, lambda x: x), "kind": "eps"}),
    "prediction.edm_preconditioning": (prediction.edm_preconditioning, {"sigma_data": positive(0.5)}),
    "prediction.vp_preconditioning": (prediction.vp_preconditioning, {"schedule": VP, "num_steps": count(100)}),
    "prediction.iddpm_preconditioning": (prediction.iddpm_preconditioning, {"chain": A(CHAIN, VP)}),
    "sde.drift": (sde.drift, {"schedule": VP, "x": X, "t": A(0.5, 1.5, "noon")}),
    "sde.diffusion": (sde.diffusion, {"schedule": VP, "t": A(0.5, 1.5, "noon")}),
    "sde.reverse_drift": (sde.reverse_drift, {"schedule": VP, "score": like(X), "x": X, "t": A(0.5, 1.5, "noon")}),
    "sde.probability_flow": (sde.probability_flow, {"schedule": VP, "score": like(X), "x": X, "t": A(0.5, 1.5, "noon")}),
    "samplers.sample": (samplers.sample, _SAMPLE),
    "samplers.encode": (samplers.encode, {"denoise": DENOISE, "schedule": VP, "solver": A(samplers.ddim(), samplers.ddim, samplers.ddim(1.0)), "times": A(TIMES, [1.0], "all"), "x": X}),
    "samplers.start": (samplers.start, {"key": KEY, "schedule": VP, "shape": A((4, 2), (4.5, 2), 4, (0, 2), ())}),
    "samplers.start_from": (samplers.start_from, {"key": KEY, "schedule": VP, "x0": X, "t": A(0.5, 1.5, "noon")}),
    "samplers.plan": (samplers.plan, {"schedule": VP, "solver": A(samplers.ddim(), samplers.ddim), "times": A(TIMES, [1.0], "all", [0.5, 0.5])}),
    "samplers.ddim": (sampled(samplers.ddim), _NOISY),
    "samplers.euler_ancestral": (sampled(samplers.euler_ancestral), _NOISY),
    "samplers.ancestral": (sampled(samplers.ancestral), {"variance": "fixed_small"}),
    "samplers.edm_heun": (sampled(samplers.edm_heun), _CHURN),
    "samplers.edm_euler": (sampled(samplers.edm_euler), _CHURN),
    "samplers.euler": (sampled(samplers.euler), _CHURN),
    "samplers.heun": (sampled(samplers.heun), {"alpha": positive(1.0), **_CHURN}),
    "samplers.dpm_2": (sampled(samplers.dpm_2), _CHURN),
    "samplers.dpm_2_ancestral": (sampled(samplers.dpm_2_ancestral), {"eta": A(0.5, -0.1), "s_noise": A(1.0, -1.0)}),
    "samplers.dpm_solver": (sampled(samplers.dpm_solver), {**_ORDER, "solver_type": "midpoint", "lower_order_final": True}),
    "samplers.dpm_solver_pp": (sampled(samplers.dpm_solver_pp), {**_ORDER, "solver_type": "midpoint", "eta": A(0.0, -1.0)}),
    "samplers.dpm_solver_pp_2s": (sampled(samplers.dpm_solver_pp_2s), {"eta": A(0.5, -0.1), "s_noise": A(1.0, -1.0)}),
    "samplers.dpm_solver_pp_sde": (sampled(samplers.dpm_solver_pp_sde), {"eta": A(0.5, -0.1), "r": A(0.5, 0.0, 2.0)}),
    "samplers.dpm_solver_single": (sampled(samplers.dpm_solver_single), {**_ORDER, "solver_type": "midpoint"}),
    "samplers.unipc": (sampled(samplers.unipc), {**_ORDER, "variant": "bh1", "disable_corrector": A((0,), 0, [0], (0.5,), "all")}),
    "samplers.deis": (sampled(samplers.deis), {"order": A(2, 0, 9), "variable": "t"}),
    "samplers.lms": (sampled(samplers.lms), {"order": A(2, 0, 9)}),
    "samplers.pndm": (sampled(samplers.pndm), {"warm_up": "multistep"}),
    "samplers.euler_maruyama": (sampled(samplers.euler_maruyama), {"eta": A(0.5, -0.1)}),
    "samplers.reverse_diffusion": (sampled(samplers.reverse_diffusion), {"eta": A(0.5, -0.1)}),
    "samplers.langevin": (samplers.langevin, {"snr": positive(0.16), "norm": "sample", "steps": count(1)}),
    "samplers.ald": (samplers.ald, {"snr": positive(0.16), "steps": count(1)}),
    "samplers.annealed_langevin": (samplers.annealed_langevin, {"step_size": positive(2e-5), "steps": count(1), "denoise_last": True}),
    "samplers.predictor_corrector": (samplers.predictor_corrector, {"predictor": A(samplers.ddim(), samplers.ddim, "ddim"), "corrector": A(samplers.langevin(), samplers.langevin)}),
    "samplers.short_run": (samplers.short_run, {"key": KEY, "network": network, "x": X, "num_steps": count(2), "step_size": positive(0.1)}),
    "samplers.slerp": (samplers.slerp, {"x": X, "y": like(X), "share": A(0.5, "half")}),
    "samplers.dpm_adaptive": (samplers.dpm_adaptive, {k: v for k, v in _SAMPLE.items() if k not in ("solver", "times")} | {"order": A(2, 0, 7), "rtol": positive(0.05), "eta": A(0.0, -0.1)}),
    "adaptive.sample_ode": (adaptive.sample_ode, {k: v for k, v in _SAMPLE.items() if k not in ("solver", "times")} | {"rtol": positive(1e-3), "atol": positive(1e-3)}),
    "grids.uniform": (grids.uniform, {**_GRID, "t_min": A(0.1, 2.0, -1.0), "t_max": A(1.0, 0.0)}),
    "grids.quadratic": (grids.quadratic, {**_GRID, "t_min": A(0.1, 2.0, -1.0), "t_max": A(1.0, 0.0)}),
    "grids.karras": (grids.karras, {**_GRID, "sigma_min": positive(0.01), "sigma_max": positive(80.0), "rho": A(7.0, 0, -1.0)}),
    "grids.exponential": (grids.exponential, {**_GRID, "sigma_min": positive(0.01), "sigma_max": positive(80.0)}),
    "grids.log_snr": (grids.log_snr, {**_GRID, "schedule": A(VP, schedules.vp_linear)}),
    "grids.subdivide": (grids.subdivide, {"times": A([0.8, 0.4, 0.2], "all", [0.2, NAN]), "schedule": VP, "parts": A(2, 1.5, [1, 2, 3], 0)}),
    "grids.spaced": (grids.spaced, {"num_steps": count(20), "sections": A("5", "many", 2.5, "50", fine=(3,))}),
    "grids.make": (grids.make, {"schedule": A(CHAIN, schedules.cosine_beta), "steps": count(5), "grid": "uniform"}),
    "likelihoods.log_likelihood": (likelihoods.log_likelihood, {"key": A(None, 0), "denoise": DENOISE, "schedule": A(VP, "vp"), "x": X, "divergence": "exact", "times": A(TIMES, 5, "all"), "integrator": A(None, samplers.heun())}),
    "likelihoods.log_likelihood_mmse": (likelihoods.log_likelihood_mmse, {"key": A(None, 0), "denoise": DENOISE, "schedule": A(VP, "vp"), "x": X, "num_levels": count(4), "expectation": "quadrature", "nodes": count(4)}),
    "likelihoods.likelihood_grid": (likelihoods.likelihood_grid, {**_GRID, "schedule": VP}),
    "elbo.bits_per_dim": (elbo.bits_per_dim, {"key": KEY, "denoise": DENOISE, "schedule": A(CHAIN, VP), "x0": X, "variance": "fixed_small", "decoder": "discretized"}),
    "continuous_elbo.bits_per_dim": (continuous_elbo.bits_per_dim, {"key": KEY, "denoise": DENOISE, "schedule": A(schedules.log_snr_linear(), CHAIN), "x0": A(X, 255 * jnp.ones((4, 2))), "num_steps": count(4), "draws": count(1)}),
    "dequantisation.uniform": (dequantisation.uniform, {"key": KEY, "codes": A(CODES, CODES + 0.5, -CODES), "levels": A(256, 0, 2.5), "low": A(-1.0, 3.0), "high": A(1.0, -3.0)}),
    "dequantisation.bits_per_dim": (dequantisation.bits_per_dim, {"log_p": jnp.zeros(4), "dims": count(2), "levels": A(256, 0, 2.5)}),
    "guidance.classifier_free": (guided(lambda scale: guidance.classifier_free(scale=scale, null=-1)), {"scale": A(2.0, "2", INF, jnp.ones(3), jnp.ones((4, 2)))}),
    "guidance.classifier_free (weight)": (guided(lambda weight: guidance.classifier_free(weight=weight, null=-1)), {"weight": A(1.0, "2", INF, jnp.ones(3))}),
    "guidance.classifier_free (null)": (guided(lambda null: guidance.classifier_free(2.0, null=null)), {"null": A(-1, {"label": -1}, -0.5, [-1, -1])}),
    "guidance.classifier": (guided(guidance.classifier), {"gradient": A(lambda x, level, cond: x, 3.0, lambda x: x), "scale": A(1.0, INF)}),
    "guidance.gradient_of": (guidance.gradient_of, {"log_prob": lambda x, level, cond: x.sum(1)}),
    "guidance.clip": (guided(guidance.clip), {"lo": A(-1.0, 2.0), "hi": A(1.0, -2.0), "keep_eps": False}),
    "guidance.dynamic_threshold": (guided(guidance.dynamic_threshold), {"quantile": A(0.9, 0.0, 1.5), "max_value": A(2.0, 0.5), "keep_eps": True}),
    "guidance.interval": (guided(guidance.interval), {"guide": A(guidance.clip(-1.0, 1.0), None, 3), "lo": A(0.1, 9.0, -1.0), "hi": A(2.0, 0.05, fine=(INF,)), "schedule": A(VP, "vp")}),
    "guidance.rescale": (guided(guidance.rescale), {"guide": A(guidance.classifier_free(2.0, null=-1), guidance.clip()), "phi": share(0.7), "kind": "eps"}),
    "guidance.autoguidance": (guided(guidance.autoguidance), {"weak": A(DENOISE, 3.0, None), "scale": A(2.0, INF, jnp.ones(3))}),
    "guidance.apg": (guided(lambda scale, parallel, threshold: guidance.apg(scale, null=-1, parallel=parallel, threshold=threshold)), {"scale": A(2.0, INF, jnp.ones(3)), "parallel": A(0.1, INF), "threshold": A(2.0, 0.0, -1.0, fine=(INF,))}),
    "guidance.cfg_plus_plus": (guided(lambda scale: guidance.cfg_plus_plus(scale, null=-1)), {"scale": A(0.6, INF, jnp.ones(3))}),
    "guidance.compose_conditions": (composed(lambda scales: guidance.compose_conditions(scales, null=-1)), {"scales": A([2.0, 1.0], [], [1.0], [INF, 1.0], 3.0)}),
    "guidance.semantic": (guided(guidance.semantic), {"guides": A([(1.0, lambda x, level, cond: x.sum(1))], [], [(NAN, energy)], [1.0], 3.0), "scale": A(1.0, INF)}),
    "guidance.resembles_text": (guided(lambda encode, text: guidance.semantic([(1.0, guidance.resembles_text(encode, text))])), {"encode": A(lambda x, level: x, 3.0), "text": A(jnp.ones((4, 2)), jnp.ones((3, 2)), jnp.ones((4, 3)))}),
    "guidance.resembles_image": (guided(lambda reference, key: guidance.semantic([(1.0, guidance.resembles_image(lambda x, level: x, reference, key=key))])), {"reference": like(X), "key": KEY}),
    "guidance.resembles_style": (guided(lambda reference, key: guidance.semantic([(1.0, guidance.resembles_style(lambda x, level: x[:, None], reference, key=key))])), {"reference": like(X), "key": KEY}),
    "guidance.inpaint": (guided(guidance.inpaint), {"known": like(X), "mask": A(jnp.array([1, 0]), jnp.zeros(2), jnp.ones(3), jnp.array([0.5, 1.0])), "key": A(None, 0)}),
    "guidance.linear_inverse": (guided(guidance.linear_inverse), {"operator": A(guidance.operators.mask(jnp.array([1, 0])), guidance.operators.mask, None), "measurement": A(X, X[:3], X[:, :1], NAN * X), "noise_std": A(0.1, -1.0, INF), "method": "dps", "data_std": positive(1.0), "scale": A(1.0, INF)}),
    "operators.mask": (guidance.operators.mask, {"known": A(jnp.array([1, 0]), jnp.zeros(2), jnp.array([0.5, 1.0]))}),
    "operators.average": (guidance.operators.average, {"factor": count(2)}),
    "operators.blur": (guidance.operators.blur, {"kernel": A([[0.5, 0.5]], [[NAN]], 1.0, "wide")}),
    "operators.matrix": (guidance.operators.matrix, {"a": A([[0.5, 0.5]], [[NAN]], 1.0, "wide")}),
    "samplers.times_from": (samplers.times_from, {"times": A([1.0, 0.5, 0.0], "all", 3), "strength": A(0.5, 0.0, 1.5, -0.5)}),
    "samplers.repaint": (sampled(samplers.repaint), {"solver": A(samplers.ddim(), samplers.ddim, samplers.dpm_solver_pp(2)), "jump_length": count(2), "resamplings": count(2)}),
    "guidance.chain": (guided(lambda transforms: guidance.chain(transforms)), {"transforms": A(guidance.clip(-1.0, 1.0), None, 3, "clip")}),
    "objectives.denoising": (objectives.denoising, {"network": A(network, lambda x: x), "x0": X, "eps": like(X), "level": LEVEL, "kind": "eps", "x_t": like(X)}),
    "objectives.bound": (objectives.bound, {"network": twice, "x0": X, "eps": like(X), "level": CHAIN(np.full(4, 9.0)), "level_s": CHAIN(np.full(4, 8.0)), "kind": "eps", "variance": "learned_range"}),
    "objectives.hybrid": (objectives.hybrid, {"network": twice, "x0": X, "eps": like(X), "level": CHAIN(np.full(4, 9.0)), "level_s": CHAIN(np.full(4, 8.0)), "bound_weight": A(0.1, -1.0, INF), "kind": "eps"}),
    "objectives.draw": (objectives.draw, {"key": KEY, "x0": X, "schedule": A(VP, "vp"), "times": A(objectives.uniform(VP), 0.5)}),
    "objectives.perturbed_input": (objectives.perturbed_input, {"x0": X, "eps": like(X), "level": LEVEL, "xi": like(X), "gamma": A(0.1, INF, -1.0)}),
    "objectives.contrastive_divergence": (objectives.contrastive_divergence, {"energy": energy, "x": X, "x_model": like(X), "regularization": A(0.1, -1.0, INF)}),
    "adversarial.gradient_penalty": (adversarial.gradient_penalty, {"critic": critic, "x": X, "x_model": like(X), "mix": like(X[:, 0]), "weight": A(10.0, -1.0, INF)}),
    "adversarial.r1": (adversarial.r1, {"critic": critic, "x": X, "weight": A(10.0, -1.0, INF)}),
    "adversarial.hinge": (adversarial.hinge, {"real": X, "fake": like(X)}),
    "objectives.uniform": (objectives.uniform, {"schedule": A(VP, schedules.vp_linear)}),
    "objectives.log_normal": (objectives.log_normal, {"mean": A(-1.2, "low"), "std": A(1.2, -1.0)}),
    "objectives.logit_normal": (objectives.logit_normal, {"mean": A(0.0, "low"), "std": A(1.0, -1.0)}),
    "weightings.min_snr": (weightings.min_snr, {"gamma": positive(5.0)}),
    "weightings.p2": (weightings.p2, {"gamma": A(1.0, -1.0, INF), "k": A(1.0, -1.0, INF)}),
    "weightings.edm": (weightings.edm, {"sigma_data": positive(0.5)}),
    "weightings.sigmoid": (weightings.sigmoid, {"bias": A(2.0, INF)}),
    "weightings.soft_min_snr": (weightings.soft_min_snr, {"gamma": positive(4.0)}),
    "second_moment.init": (second_moment.init, {"num_steps": count(20), "length": count(10)}),
    "second_moment.probabilities": (second_moment.probabilities, {"history": HISTORY, "uniform_share": share(0.1)}),
    "second_moment.update": (second_moment.update, {"history": HISTORY, "times": A(np.array([1, 2]), np.array([0, 1]), np.array([1, 21])), "losses": A(jnp.ones(2), jnp.ones(3))}),
    "replay.draw": (replay.draw, {"key": KEY, "buffer": jnp.zeros((9, 2)), "fresh": A(X, jnp.ones((4, 1))), "share": share(0.9)}),
    "replay.put": (replay.put, {"buffer": jnp.zeros((9, 2)), "places": A(np.array([0, 1]), np.array([9, 99])), "x": A(jnp.ones((2, 2)), jnp.ones((2, 1)))}),
    "score_matching.explicit": (score_matching.explicit, {"network": network, "x": X, "score": like(X), "t": A(0.0, jnp.zeros(3))}),
    "score_matching.implicit": (score_matching.implicit, {"network": network, "x": X, "t": A(0.0, jnp.zeros(3))}),
    "score_matching.sliced": (score_matching.sliced, {"network": network, "x": X, "v": like(X)}),
    "exact.gaussian_mixture": (exact.gaussian_mixture, {"weights": A([1.0, 2.0], [1.0, -2.0], "even", [1.0], [1.0, NAN]), "means": A([[-1.0, 0.0], [1.0, 0.0]], [[-1.0, 0.0]], [[-1.0, 0], [1]], 1.0), "covariances": A([0.1, 0.2], [0.1, -0.2], [0.1, NAN], [0.1])}),
    "GaussianMixture.sample": (MIXTURE.sample, {"key": KEY, "n": count(4), "label": A(0, 7)}),
    "GaussianMixture.predict": (MIXTURE.predict, {"x": A(X, jnp.ones((4, 3)), jnp.ones(4)), "level": LEVEL, "label": A(LABELS, LABELS[:3])}),
    "GaussianMixture.log_prob": (MIXTURE.log_prob, {"x": A(X, jnp.ones((4, 3)), jnp.ones(4)), "level": LEVEL}),
}  # fmt: skip


def wrong_values(right, parameter):
    """Return values of another type than a right one; NaN for numbers."""
    none = () if parameter.default is None else (None,)
    if isinstance(right, bool):
        return ("yes", *none)
    if isinstance(right, int):
        return ("ten", 2.5, NAN, *none)
    if isinstance(right, float):
        return ("half", NAN, [0.5], *none)
    if isinstance(right, str):
        return (f"{right}x", 3, *none)
    if isinstance(right, jax.Array) and jnp.issubdtype(right.dtype, jax.dtypes.prng_key):
        return (0, X, "key", *none)
    if isinstance(right, jax.Array) and right.dtype == X.dtype:
        return (right.astype(int), "x", 0.5j, *none)
    if isinstance(right, np.ndarray):
        return ("x", 1j, *none)
    if callable(right):
        return (3.5, "it", *none)
    if right is None:
        return ("none",)
    return (0.5, "it", *none)


def _same(a, b):
    return type(a) is type(b) and (
        a is b or (isinstance(a, float | int | str | tuple | list) and (a == b or (a != a and b != b)))
    )


def calls():
    """Yield (function's name, kind, argument, wrong arguments) of every wrong call."""
    for name, (function, given) in TABLE.items():
        right = {arg: each.right if isinstance(each, A) else each for arg, each in given.items()}
        parameters = inspect.signature(function).parameters
        for arg, each in given.items():
            told = each if isinstance(each, A) else A(each)
            parameter, seen = parameters[arg], []
            for kind, values in (("type", wrong_values(told.right, parameter)), ("value", told.wrong)):
                for value in values:
                    if not any(_same(value, other) for other in (*seen, *told.fine)):
                        seen.append(value)
                        yield name, "NaN" if _same(value, NAN) else kind, arg, {**right, arg: value}
            if parameter.default is parameter.empty:
                yield name, "missing", arg, {key: value for key, value in right.items() if key != arg}
        typo = f"{max(given, key=len)}s"
        yield name, "extra", typo, {**right, typo: 1.0}


class Compiled:
    """Counts the programs that XLA is given."""

    count = 0

    def __call__(self, event, *_, **__):
        self.count += event.endswith("backend_compile_duration")


COMPILED = Compiled()
jax.monitoring.register_event_duration_secs_listener(COMPILED)


def ask(function, argument, arguments):
    """Return how a wrong call ends, and what it said."""
    before = COMPILED.count
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = function(**arguments)
    except Exception as error:
        told = str(error)
        one_line = isinstance(error, ValueError | TypeError) and len(told) < 500 and "\n" not in told.strip()
        if not (one_line and re.search(rf"(?<!\w){re.escape(argument)}(?!\w)", told)):
            return "unclear", f"{type(error).__name__}: {told}"
        return ("named" if COMPILED.count == before else "late"), told
    return "silent", str(found)


ENDS = ("named", "late", "unclear", "silent")


def survey():
    """Return {function: Counter of how its wrong calls end}, and [(end, call, what was said)]."""
    table, told = collections.defaultdict(collections.Counter), []
    for name, kind, argument, arguments in calls():
        end, said = ask(TABLE[name][0], argument, arguments)
        table[name][end] += 1
        given = repr(arguments[argument]) if argument in arguments else "left out"
        told.append(
            (end, f"{name}({argument}={' '.join(given.split())[:40]}) [{kind}]", " ".join(said.split())[:160])
        )
    return table, told


def main():
    table, told = survey()
    total = sum(table.values(), collections.Counter())
    if "-v" in sys.argv:
        for end, call, said in told:
            if end != "named" or "-vv" in sys.argv:
                print(f"{end:8} {call} -> {said}")
    print(f"{'':38}" + "".join(f"{end:>9}" for end in ENDS))
    for name, ends in {**table, "all": total}.items():
        print(f"{name:38}" + "".join(f"{ends[end]:9}" for end in ENDS))
    calls = sum(total.values())
    print(
        f"{calls} wrong calls of {len(table)} functions: {100 * total['named'] / calls:.1f}% named by one line"
    )


if __name__ == "__main__":
    main()

"""Right calls of public functions, argument by argument, and wrong values beside: what `wrong_calls` tries."""

# ruff: noqa: E501
import inspect

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import em, exact, flow_maps, guidance, likelihoods, objectives, samplers
from diffjax.evaluation import similarity
from diffjax.likelihoods import continuous_elbo, dequantisation, elbo, latents, observed
from diffjax.objectives import (
    adversarial,
    consistency_steps,
    metrics,
    replay,
    score_matching,
    second_moment,
    weightings,
)
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
MAP = flow_maps.exact_gaussian(0.0, 1.0)
CODE = latents.Level(Gaussian(X, 0 * X), Gaussian(0 * X, 0 * X), X)
TWO = em.Mixture(jnp.full(2, 0.5), jnp.array([[-1.0, 0], [1, 0]]), jnp.tile(jnp.eye(2), (2, 1, 1)))
POINTS, DRAW = jax.random.normal(KEY, (8, 2)), objectives.logit_normal()


def network(x, t, cond=None):
    return x


def average(x, t, s, cond=None):
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
    "key": KEY, "denoise": A(DENOISE, MAP), "schedule": A(VP, schedules.vp_linear), "solver": A(samplers.ddim(), samplers.ddim),
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
    "forward.rescaled": (forward.rescaled, {"x_t": X, "level": LEVEL, "schedule": schedules.edm()}),
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
    "guidance.rescale": (guided(guidance.rescale), {"guide": A(guidance.classifier_free(2.0, null=-1), guidance.clip(), guidance.cfg_plus_plus(0.5, null=-1)), "phi": share(0.7), "kind": "eps"}),
    "guidance.autoguidance": (guided(guidance.autoguidance), {"weak": A(DENOISE, 3.0, None), "scale": A(2.0, INF, jnp.ones(3))}),
    "guidance.apg": (guided(lambda scale, parallel, threshold: guidance.apg(scale, null=-1, parallel=parallel, threshold=threshold)), {"scale": A(2.0, INF, jnp.ones(3)), "parallel": A(0.1, INF), "threshold": A(2.0, 0.0, -1.0, fine=(INF,))}),
    "guidance.cfg_plus_plus": (guided(lambda scale: guidance.cfg_plus_plus(scale, null=-1)), {"scale": A(0.6, INF, jnp.ones(3))}),
    "guidance.compose_conditions": (composed(lambda scales: guidance.compose_conditions(scales, null=-1)), {"scales": A([2.0, 1.0], [], [1.0], [INF, 1.0], 3.0)}),
    "guidance.semantic": (guided(guidance.semantic), {"guides": A([(1.0, lambda x, level, cond: x.sum(1))], [], [(NAN, energy)], [1.0], 3.0), "scale": A(1.0, INF)}),
    "guidance.resembles_text": (guided(lambda encode, text: guidance.semantic([(1.0, guidance.resembles_text(encode, text))])), {"encode": A(lambda x, level: x, 3.0), "text": A(jnp.ones((4, 2)), jnp.ones((3, 2)), jnp.ones((4, 3)), NAN * X)}),
    "guidance.resembles_image": (guided(lambda reference, key: guidance.semantic([(1.0, guidance.resembles_image(lambda x, level: x, reference, key=key))])), {"reference": like(X), "key": KEY}),
    "guidance.resembles_style": (guided(lambda reference, key: guidance.semantic([(1.0, guidance.resembles_style(lambda x, level: x[:, None], reference, key=key))])), {"reference": like(X), "key": KEY}),
    "guidance.inpaint": (guided(guidance.inpaint), {"known": A(X, X[:3], X[:, :1], NAN * X), "mask": A(jnp.array([1, 0]), jnp.zeros(2), jnp.ones(3), jnp.array([0.5, 1.0])), "key": A(None, 0)}),
    "guidance.linear_inverse": (guided(guidance.linear_inverse), {"operator": A(guidance.operators.mask(jnp.array([1, 0])), guidance.operators.mask, None), "measurement": A(X, X[:3], X[:, :1], NAN * X), "noise_std": A(0.1, -1.0, INF), "method": "dps", "data_std": positive(1.0), "scale": A(1.0, INF)}),
    "operators.mask": (guidance.operators.mask, {"known": A(jnp.array([1, 0]), jnp.zeros(2), jnp.array([0.5, 1.0]))}),
    "operators.average": (guidance.operators.average, {"factor": count(2)}),
    "operators.blur": (guidance.operators.blur, {"kernel": A([[0.5, 0.5]], [[NAN]], 1.0, "wide")}),
    "operators.matrix": (guidance.operators.matrix, {"a": A([[0.5, 0.5]], [[NAN]], 1.0, "wide")}),
    "samplers.times_from": (samplers.times_from, {"times": A([1.0, 0.5, 0.0], "all", 3, [0.0, 1.0], [1.0]), "strength": A(0.5, 0.0, 1.5, -0.5)}),
    "samplers.repaint": (sampled(samplers.repaint), {"solver": A(samplers.ddim(), samplers.ddim, samplers.dpm_solver_pp(2)), "jump_length": A(2, 0, -3, 2.5, 7, 10), "resamplings": count(2)}),
    "guidance.chain": (guided(lambda transforms: guidance.chain(transforms)), {"transforms": A(guidance.clip(-1.0, 1.0), None, 3, "clip")}),
    "objectives.denoising": (objectives.denoising, {"network": A(network, lambda x: x), "x0": X, "eps": like(X), "level": LEVEL, "kind": "eps", "x_t": like(X)}),
    "objectives.bound": (objectives.bound, {"network": twice, "x0": X, "eps": like(X), "level": CHAIN(np.full(4, 9.0)), "level_s": CHAIN(np.full(4, 8.0)), "kind": "eps", "variance": "learned_range"}),
    "objectives.hybrid": (objectives.hybrid, {"network": twice, "x0": X, "eps": like(X), "level": CHAIN(np.full(4, 9.0)), "level_s": CHAIN(np.full(4, 8.0)), "bound_weight": A(0.1, -1.0, INF), "kind": "eps"}),
    "objectives.draw": (objectives.draw, {"key": KEY, "x0": X, "schedule": A(VP, "vp"), "times": A(objectives.uniform(VP), 0.5)}),
    "objectives.perturbed_input": (objectives.perturbed_input, {"x0": X, "eps": like(X), "level": LEVEL, "xi": like(X), "gamma": A(0.1, INF, -1.0)}),
    "objectives.contrastive_divergence": (objectives.contrastive_divergence, {"energy": energy, "x": X, "x_model": like(X), "regularization": A(0.1, -1.0, INF)}),
    "adversarial.gradient_penalty": (adversarial.gradient_penalty, {"critic": critic, "x": X, "x_model": like(X), "mix": A(X[:, 0], X[:3, 0], 2 * X[:, 0] + 1), "weight": A(10.0, -1.0, INF)}),
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
    "flow_maps.consistency": (lambda network, sigma_data, sigma_min: flow_maps.consistency(network, sigma_data, sigma_min)(X, EDM(2.0), EDM(0.002)), {"network": A(network, MAP, lambda x: x), "sigma_data": positive(0.5), "sigma_min": positive(0.002)}),
    "flow_maps.exact_gaussian": (lambda mean, variance: flow_maps.exact_gaussian(mean, variance)(X, EDM(2.0), EDM(1.0)), {"mean": A(0.0, jnp.zeros(3), INF), "variance": A(1.0, jnp.ones((5, 2)), -1.0, INF)}),
    "flow_maps.mean_flow": (lambda average: flow_maps.mean_flow(average)(X, FLOW(1.0), FLOW(0.0)), {"average": A(average, lambda x: x, lambda x, t, s, cond: x[:, :1])}),
    "flow_maps.of_denoiser": (lambda denoise, solver=None, steps=1: flow_maps.of_denoiser(denoise, solver, VP, steps)(X, VP(0.5), VP(0.2)), {"denoise": A(DENOISE, MAP), "solver": A(samplers.ddim(), samplers.ddim(1.0), samplers.jump()), "steps": count(2)}),
    "samplers.jump": (sampled(samplers.jump), {"renoise": True}),
    "latents.elbo": (latents.elbo, {"log_likelihood": A(jnp.zeros(4), jnp.zeros(3), jnp.zeros(1)), "levels": A([CODE], [], [1.0])}),
    "latents.log_weight": (latents.log_weight, {"log_likelihood": A(jnp.zeros(4), jnp.zeros(3), jnp.zeros(1)), "levels": A([CODE], [], [CODE._replace(z=None)])}),
    "latents.importance_weighted": (latents.importance_weighted, {"log_weights": A(jnp.zeros((3, 4)), jnp.zeros((0, 4)), jnp.zeros(4))}),
    "latents.free_bits": (latents.free_bits, {"levels": A([CODE], []), "nats": A(0.5, -1.0, INF)}),
    "observed.gaussian": (lambda numbers, target: observed.gaussian().log_prob(numbers, target), {"numbers": A(jnp.zeros((4, 2, 2)), jnp.zeros((4, 2, 1)), jnp.zeros((4, 2))), "target": A(X, X[:3], X[:, :1])}),
    "observed.bernoulli": (lambda key, x: observed.bernoulli().target(key, x), {"key": KEY, "x": A(X, 255 * X)}),
    "em.fit": (em.fit, {"mixture": A(TWO, TWO._replace(weights=TWO.weights[:1])), "x": A(POINTS), "num_steps": count(2), "floor": A(0.1, -1.0)}),
    "em.begin": (em.begin, {"key": KEY, "x": A(POINTS, NAN * POINTS), "components": A(2, 0, 9, 2.5), "floor": A(0.1, -1.0)}),
    "objectives.consistency": (objectives.consistency, {"student": A(MAP, DENOISE), "target": A(MAP, DENOISE), "x0": X, "eps": like(X), "level_t": A(EDM(2.0), EDM(0.5)), "level_s": EDM(1.0), "level_end": EDM(0.002), "teacher": A(DENOISE, MAP), "weight": A(1.0, NAN, jnp.ones(3)), "metric": A(metrics.l2, lambda a, b: a)}),
    "objectives.continuous_consistency": (objectives.continuous_consistency, {"student": A(DENOISE, MAP), "x0": X, "eps": like(X), "ratio": A(jnp.ones(4), -jnp.ones(4), jnp.zeros(4), jnp.ones(3)), "schedule": A(EDM, CHAIN), "sigma_data": positive(0.5), "warmup": A(1.0, NAN, 2.0), "log_weight": A(0.0, NAN, jnp.ones(3))}),
    "objectives.distribution_matching": (objectives.distribution_matching, {"x": X, "eps": like(X), "level": EDM(1.0), "real": A(DENOISE, MAP), "fake": A(DENOISE, MAP), "weighting": A(weightings.snr(), lambda level: NAN, lambda level: jnp.ones(3))}),
    "objectives.guided_distillation": (objectives.guided_distillation, {"student": A(DENOISE, MAP), "guided": A(DENOISE, MAP), "x_t": X, "level": EDM(1.0)}),
    "objectives.progressive_distillation": (objectives.progressive_distillation, {"student": A(DENOISE, MAP), "teacher": A(DENOISE, MAP), "x_t": X, "level_t": A(VP(0.8), VP(0.1)), "level_mid": VP(0.5), "level_s": VP(0.2)}),
    "objectives.mean_flow": (objectives.mean_flow, {"average": A(average, lambda x: x, lambda x, t, s, cond: x[:, :1]), "x0": X, "eps": like(X), "level_t": A(FLOW(0.5), FLOW(0.1)), "level_s": FLOW(0.2), "power": A(1.0, -1.0), "offset": positive(0.01)}),
    "objectives.shortcut": (objectives.shortcut, {"average": A(average, lambda x: x, lambda x, t, s, cond: x[:, :1]), "target": A(average, lambda x: x, lambda x, t, s, cond: x[:, :1]), "x0": X, "eps": like(X), "level_t": FLOW(0.7), "level_mid": FLOW(0.5), "level_s": FLOW(0.2), "teacher": A(DENOISE, MAP)}),
    "objectives.lagrangian": (objectives.lagrangian, {"average": A(average, lambda x: x, lambda x, t, s, cond: x[:, :1]), "x0": X, "eps": like(X), "level_t": FLOW(0.7), "level_s": FLOW(0.2), "teacher": A(DENOISE, MAP)}),
    "objectives.two_times": (objectives.two_times, {"key": KEY, "n": count(4), "draw": A(DRAW, 0.5, lambda key, n: jnp.ones(n + 1)), "share_equal": share(0.5)}),
    "objectives.shortcut_times": (objectives.shortcut_times, {"key": KEY, "n": count(4), "draw": A(DRAW, 0.5, lambda key, n: jnp.ones(n + 1)), "finest": A(4, 3, 1), "share_equal": share(0.5)}),
    "objectives.info_nce": (objectives.info_nce, {"a": X, "b": like(X), "scale": A(2.0, -1.0, jnp.ones(4)), "same": A(jnp.zeros((4, 4), bool), jnp.zeros((3, 3), bool))}),
    "consistency_steps.target_rate": (consistency_steps.target_rate, {"num_levels": A(3, 1, 0), "mu0": A(0.9, 0.0, 1.5), "s0": 2}),
    "consistency_steps.log_normal_pairs": (consistency_steps.log_normal_pairs, {"key": KEY, "n": count(4), "num_levels": A(18, 1), "mean": -1.1, "std": positive(2.0), "sigma_min": A(0.002, -1.0, 90.0), "sigma_max": 80.0, "rho": positive(7.0)}),
    "consistency_steps.uniform_pairs": (consistency_steps.uniform_pairs, {"key": KEY, "n": count(4), "num_levels": A(18, 1)}),
    "consistency_steps.closing_pairs": (lambda t, doubled_every, q=2.0, k=8.0, b=1.0: consistency_steps.closing_pairs(t, 3, doubled_every, q, k, b), {"t": jnp.ones(4), "doubled_every": count(10), "q": A(2.0, 0.0, 0.5), "k": A(8.0, -1.0), "b": A(1.0, -1.0)}),
    "objectives.discrete_consistency_grid": (objectives.discrete_consistency_grid, {"num_levels": A(18, 1), "index": A(np.array([3]), np.array([18]), np.array([-1])), "sigma_min": A(0.002, -1.0, 90.0), "rho": positive(7.0)}),
    "grids.until": (grids.until, {"times": A(TIMES, TIMES[::-1]), "schedule": VP, "noise": A(0.5, 0.0, 1.0)}),
    "grids.vp": (grids.vp, {**_GRID, "t_min": A(0.01, 0.0, 2.0)}),
    "similarity.bicubic": (similarity.bicubic, {"x": A(jnp.zeros((1, 8, 8, 1)), X), "values": count(16)}),
    "exact.gaussian_mixture": (exact.gaussian_mixture, {"weights": A([1.0, 2.0], [1.0, -2.0], "even", [1.0], [1.0, NAN]), "means": A([[-1.0, 0.0], [1.0, 0.0]], [[-1.0, 0.0]], [[-1.0, 0], [1]], 1.0), "covariances": A([0.1, 0.2], [0.1, -0.2], [0.1, NAN], [0.1])}),
    "GaussianMixture.sample": (MIXTURE.sample, {"key": KEY, "n": count(4), "label": A(0, 7)}),
    "GaussianMixture.predict": (MIXTURE.predict, {"x": A(X, jnp.ones((4, 3)), jnp.ones(4)), "level": LEVEL, "label": A(LABELS, LABELS[:3])}),
    "GaussianMixture.log_prob": (MIXTURE.log_prob, {"x": A(X, jnp.ones((4, 3)), jnp.ones(4)), "level": LEVEL}),
}  # fmt: skip

"""Every solver, the schedules and grids that it is walked on, and the exact law that it must reach.

A new solver gets its tests by a line in `MAKERS`. `test_every_solver.py` fails until it has one.
"""

import functools

import jax.numpy as jnp
import numpy as np
from scipy import special

from diffjax import samplers
from diffjax.process import prediction, schedules

CHAIN = schedules.linear_beta(1000)
FLOW = schedules.rectified_flow()

# --- the data: coordinates from a mixture of two Gaussians, neither alike nor alone ----------------

WEIGHTS, MEANS, VARIANCES = np.array([0.3, 0.7]), np.array([-1.3, 0.7]), np.array([0.15, 0.3])


def denoise(x, level, cond=None):
    """Exact for x of any shape, coordinate by coordinate; with a variance for who reads one."""
    totals = [level.alpha**2 * v + level.sigma**2 for v in VARIANCES]
    pulls = [(x - level.alpha * m) / c for m, c in zip(MEANS, totals)]
    odds = np.log(WEIGHTS[1] / WEIGHTS[0]) + 0.5 * (
        jnp.log(totals[0] / totals[1])
        + pulls[0] * (x - level.alpha * MEANS[0])
        - pulls[1] * (x - level.alpha * MEANS[1])
    )
    second = 1 / (1 + jnp.exp(-odds))
    x0 = [m + level.alpha * v * pull for m, v, pull in zip(MEANS, VARIANCES, pulls)]
    mix = lambda a: (1 - second) * a[0] + second * a[1]
    return prediction.Prediction(mix(x0), level.sigma * mix(pulls), 0.3 * jnp.tanh(x))


def cdf(x, alpha=1.0, sigma=0.0, weights=WEIGHTS):
    """The distribution function of a coordinate of x_t."""
    spread = np.sqrt(alpha**2 * VARIANCES + sigma**2)
    return sum(w * special.ndtr((x - alpha * m) / s) for w, m, s in zip(weights, MEANS, spread))


def quantiles(n, alpha=1.0, sigma=0.0, weights=WEIGHTS):
    """Return n points `[n]` that divide the law of x_t into equal shares: a sample without chance."""
    grid = np.linspace(-1, 1, 20001) * (3 * alpha + 6 * sigma + 1)
    return np.interp((np.arange(n) + 0.5) / n, cdf(grid, alpha, sigma, weights), grid)


def distance(x, alpha=1.0, sigma=0.0):
    """Return Kolmogorov's distance between the coordinates of x and the law of x_t."""
    x = np.sort(np.asarray(x, np.float64).ravel())
    wanted, ranks = cdf(x, alpha, sigma), np.arange(len(x) + 1) / len(x)
    return max(np.max(ranks[1:] - wanted), np.max(wanted - ranks[:-1]))


# --- the solvers -----------------------------------------------------------------------------------

_M = functools.partial
MAKERS = {
    "fixed_small": _M(samplers.ancestral),
    "fixed_large": _M(samplers.ancestral, "fixed_large"),
    "learned_range": _M(samplers.ancestral, "learned_range"),
    "learned": _M(samplers.ancestral, "learned"),
    "ddim": _M(samplers.ddim),
    "ddim_half": _M(samplers.ddim, 0.5),
    "euler_ancestral": _M(samplers.euler_ancestral, s_noise=1.01),
    "dpm_pp_1": _M(samplers.dpm_solver_pp, 1),
    "dpm_pp_2": _M(samplers.dpm_solver_pp),
    "dpm_pp_3": _M(samplers.dpm_solver_pp, 3, "taylor"),
    "dpm_pp_2_sde": _M(samplers.dpm_solver_pp, 2, "heun", eta=1.0),
    "dpm_pp_3_sde": _M(samplers.dpm_solver_pp, 3, "heun", eta=0.5),
    "dpm_2m": _M(samplers.dpm_solver),
    "dpm_2m_sde": _M(samplers.dpm_solver, eta=1.0),
    "dpm_pp_2s_grid": _M(samplers.dpm_solver_pp_single, 2),
    "dpm_pp_3s_grid": _M(samplers.dpm_solver_pp_single, 3, "heun"),
    "dpm_3s_grid": _M(samplers.dpm_solver_single, 3, "dpm_solver"),
    "dpm_pp_2s": _M(samplers.dpm_solver_pp_2s),
    "dpm_pp_2s_ancestral": _M(samplers.dpm_solver_pp_2s, eta=1.0),
    "dpm_pp_sde": _M(samplers.dpm_solver_pp_sde),
    "dpm_2": _M(samplers.dpm_2),
    "dpm_2_churned": _M(samplers.dpm_2, s_churn=2.0),
    "dpm_2_ancestral": _M(samplers.dpm_2_ancestral),
    "unipc_2": _M(samplers.unipc),
    "unipc_3": _M(samplers.unipc, 3, "bh1", disable_corrector=(0,)),
    "unipc_eps": _M(samplers.unipc, 2, kind="eps"),
    "deis": _M(samplers.deis),
    "deis_log_rho": _M(samplers.deis, 2, "log_rho"),
    "lms": _M(samplers.lms),
    "pndm": _M(samplers.pndm),
    "plms": _M(samplers.pndm, "multistep"),
    "edm_heun": _M(samplers.edm_heun),
    "churned": _M(samplers.edm_heun, s_churn=2.0),
    "edm_euler": _M(samplers.edm_euler, s_churn=2.0),
    "euler": _M(samplers.euler),
    "heun": _M(samplers.heun),
    "heun_churned": _M(samplers.heun, alpha=0.75, s_churn=2.0),
    "euler_maruyama": _M(samplers.euler_maruyama),
    "euler_maruyama_ode": _M(samplers.euler_maruyama, eta=0.0),
    "reverse_diffusion": _M(samplers.reverse_diffusion),
    "annealed_langevin": _M(samplers.annealed_langevin, step_size=2e-4, steps=8),
    "corrected": _M(samplers.predictor_corrector, samplers.ancestral(), samplers.ald(0.1)),
    "langevin": _M(samplers.predictor_corrector, samplers.reverse_diffusion(), samplers.langevin(0.1)),
}
SOLVERS = {name: make() for name, make in MAKERS.items()}
CONSTRUCTORS = {make.func for make in MAKERS.values()}
ONLY_INSIDE = {  # of predictor_corrector: alone they stay at their level
    samplers.ald: "corrected",
    samplers.langevin: "langevin",
}
DETERMINISTIC = [name for name, solver in SOLVERS.items() if solver.draws == 0]
# as many steps as the highest order of a step; the others make what they need on their own
ORDERS = {
    "dpm_pp_2": 2, "dpm_pp_3": 3, "dpm_pp_2_sde": 2, "dpm_pp_3_sde": 3, "dpm_2m": 2, "dpm_2m_sde": 2,
    "dpm_pp_2s_grid": 2, "dpm_pp_3s_grid": 3, "dpm_3s_grid": 3, "unipc_2": 2, "unipc_3": 3, "unipc_eps": 2,
    "deis": 3, "deis_log_rho": 2, "lms": 4,
}  # fmt: skip

# --- the grids -------------------------------------------------------------------------------------

STEPS = 40


def _on(schedule, sigma_min=0.02, sigma_max=40.0):
    """Levels of a Karras grid, and then data."""
    return schedule, schedule.inv_sigma(samplers.grids.karras(STEPS, sigma_min, sigma_max))


CHAINS = {
    "chain": (CHAIN, np.append(samplers.grids.quadratic(STEPS - 1, 1, 1000), 0)),
    "respaced": (schedules.cosine_beta(1000), np.append(samplers.grids.uniform(STEPS - 1, 1, 990), 0)),
    "geometric": (schedules.geometric(50.0, 0.01, 100), np.rint(samplers.grids.uniform(STEPS, 0, 96))),
}
TO_ALPHA_0 = {  # no signal at all at the noisy end
    "zero_snr": (
        schedules.zero_terminal_snr(CHAIN),
        np.append(samplers.grids.uniform(STEPS - 1, 20, 1000), 0),
    ),
    "flow": (FLOW, samplers.grids.uniform(STEPS)),
    "vp_cosine_whole": (schedules.vp_cosine(), samplers.grids.uniform(STEPS)),
}
CONTINUOUS = {
    "continuous": (CHAIN.continuous(), samplers.grids.quadratic(STEPS, 0.0, 1000.0)),
    "edm": (schedules.edm(), samplers.grids.karras(STEPS, 0.002, 80.0)),
    "flow_inside": (FLOW, samplers.grids.uniform(STEPS, 0.05, 0.98)),
    "shifted": _on(schedules.shifted(FLOW, 3.0)),
    "vp_linear": _on(schedules.vp_linear()),
    "sub_vp": _on(schedules.sub_vp()),
    "vp_cosine": _on(schedules.vp_cosine()),
    "log_snr_linear": (schedules.log_snr_linear(10.0, -8.0), samplers.grids.uniform(STEPS, 0, 0.95)),
    "ve": _on(schedules.ve(0.01, 50.0)),
}
GRIDS = CHAINS | TO_ALPHA_0 | CONTINUOUS

# --- what does not go together ---------------------------------------------------------------------

NEEDS_RATES = ("euler", "heun", "heun_churned", "euler_maruyama", "euler_maruyama_ode")
NEEDS_ALPHA = (
    *("edm_heun", "churned", "edm_euler", "dpm_2", "dpm_2_churned", "dpm_2_ancestral", "dpm_2m"),
    *("dpm_2m_sde", "dpm_pp_2s_grid", "dpm_pp_3s_grid", "dpm_3s_grid", "dpm_pp_2s", "dpm_pp_2s_ancestral"),
    *("dpm_pp_sde", "unipc_eps", "deis", "deis_log_rho", "lms", "pndm", "plms"),
)
CONSTANT_ALPHA = ("geometric", "edm", "ve")
# what a solver cannot serve, and what it says
REFUSED = (
    {(s, g): "needs .* a discrete chain has none" for s in NEEDS_RATES for g in (*CHAINS, "zero_snr")}
    | {(s, g): "infinite at alpha = 0" for s in NEEDS_ALPHA for g in TO_ALPHA_0}
    | {
        (s, g): "infinite at alpha = 0"
        for s in ("heun_churned", "euler_maruyama", "euler_maruyama_ode")
        for g in ("flow", "vp_cosine_whole")
    }
    | {
        ("annealed_langevin", g): "needs a schedule of constant alpha"
        for g in GRIDS
        if g not in CONSTANT_ALPHA
    }
)
# what it would serve badly, and why
UNSUITED = {
    ("annealed_langevin", "edm"): "its steps are multiples of the last level's square: 0.002 wants others",
}
COMBINATIONS = [(s, g) for s in SOLVERS for g in GRIDS if (s, g) not in REFUSED and (s, g) not in UNSUITED]
# Kolmogorov's distance that 4096 coordinates and 40 steps may have: without noise there is no chance in them
NOISY_BOUND, BOUND = 0.045, 0.025
COARSE = {  # 40 steps are few for Euler in a time where sigma is exponential
    ("euler", "ve"): 0.12,
    ("euler_maruyama_ode", "ve"): 0.12,
}
NO_LAW = {"learned": "the variance is all the network's own, and that of `denoise` means nothing"}

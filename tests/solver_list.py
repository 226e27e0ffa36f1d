"""Every listed solver, the schedules and grids that it is walked on, and the exact law that it must reach.

A new solver gets its tests by its entry in `samplers.listing`. `test_every_solver.py` fails until it has one.
"""

import jax.numpy as jnp
import numpy as np
from scipy import special

from diffjax import samplers
from diffjax.process import prediction, schedules
from diffjax.samplers import listing

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


# --- the solvers, from the listing -----------------------------------------------------------------

ENTRIES = {**listing.SOLVERS, **listing.CORRECTORS}
LISTED = {**ENTRIES, **listing.JUMPS}  # walks of a flow map have tests of their own
VARIANTS = {name: variant for entry in ENTRIES.values() for name, variant in entry.variants.items()}


def _maker(entry, variant):
    def make():
        solver = variant.call.of(entry.make)
        return (
            solver if variant.predictor is None else samplers.predictor_corrector(variant.predictor, solver)
        )

    return make


MAKERS = {name: _maker(entry, v) for entry in ENTRIES.values() for name, v in entry.variants.items()}
SOLVERS = {name: make() for name, make in MAKERS.items()}
DETERMINISTIC = [name for name, solver in SOLVERS.items() if solver.draws == 0]
FEWEST = {name: variant.fewest for name, variant in VARIANTS.items() if variant.fewest > 1}

# --- the grids -------------------------------------------------------------------------------------

STEPS = 40


def _on(schedule, sigma_min=0.02, sigma_max=40.0, steps=STEPS):
    """Levels of a Karras grid, and then data."""
    return schedule, schedule.inv_sigma(samplers.grids.karras(steps, sigma_min, sigma_max))


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

CONSTANT_ALPHA = ("geometric", "edm", "ve")
# need of a solver -> the grids that do not have it, and what it says there; what is missing first is told
LACKS = {
    "rates": ((*CHAINS, "zero_snr"), "needs .* a discrete chain has none"),
    "signal": (tuple(TO_ALPHA_0), "infinite at alpha = 0"),
    "constant alpha": (
        tuple(grid for grid in GRIDS if grid not in CONSTANT_ALPHA),
        "needs a schedule of constant alpha",
    ),
}
REFUSED = {
    (solver, grid): LACKS[need][1]
    for solver, variant in VARIANTS.items()
    for need in reversed(variant.needs)
    for grid in LACKS[need][0]
}
COMBINATIONS = [
    (name, grid)
    for name, variant in VARIANTS.items()
    for grid in GRIDS
    if (name, grid) not in REFUSED and grid not in variant.unsuited
]
# All chains, all that end in alpha = 0, and of what has one form everywhere a third a day, in turn.
DAILY = [
    (name, grid)
    for name, grid in COMBINATIONS
    if grid not in CONTINUOUS or (list(VARIANTS).index(name) + list(CONTINUOUS).index(grid)) % 3 == 0
]
# Kolmogorov's distance that 4096 coordinates and 40 steps may have: without noise there is no chance in them
NOISY_BOUND, BOUND = 0.045, 0.025
# 40 steps are few for Euler in a time where sigma is exponential
FINER = {
    ("euler", "ve"): _on(schedules.ve(0.01, 50.0), steps=160),
    ("euler_maruyama_ode", "ve"): _on(schedules.ve(0.01, 50.0), steps=160),
}


def place(solver, grid):
    """Return (schedule, times) that a solver is walked on."""
    return FINER.get((solver, grid), GRIDS[grid])

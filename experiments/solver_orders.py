"""Measured orders of the solvers, and their errors at equal numbers of network calls

The exact denoiser of three Gaussians in the plane (`mixture`) stands in for the network; four points are
walked from sigma = 20 to 0.05 on Karras' grid of EDM's schedule, and from t = 0.95 to 0.05 in equal steps of
the straight path. The reference is scipy's DOP853 on the probability-flow ODE, at relative tolerance 1e-12.
The order is log2 of the error of N steps over that of 2 N. Stochastic solvers: the variance of samples from
N(0, 1/4), which is exact, since the solver is linear there.

    python -m experiments.solver_orders

writes the tables into docs/solvers.md. Two minutes on one core.
"""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate

from diffjax import exact, samplers
from diffjax.process import prediction, schedules, sde

DOCUMENT = pathlib.Path(__file__).parents[1] / "docs" / "solvers.md"
CALLS = (12, 24, 48, 96)
KEY = jax.random.key(0)
S = samplers


class Entry(NamedTuple):
    """A row: the call as the reader would write it, the solver, and the N of its coarser grid."""

    text: str
    solver: S.Solver
    steps: int = 192


FLOW = [
    Entry("ddim()", S.ddim()),
    Entry("euler()", S.euler()),
    Entry("heun()", S.heun()),
    Entry("edm_heun()", S.edm_heun()),
    Entry("dpm_2()", S.dpm_2()),
    Entry("dpm_solver(2)", S.dpm_solver(2)),
    Entry("dpm_solver_pp(2)", S.dpm_solver_pp(2)),
    Entry("dpm_solver_pp(2, 'heun')", S.dpm_solver_pp(2, "heun")),
    Entry("dpm_solver_pp(3)", S.dpm_solver_pp(3)),
    Entry("dpm_solver_pp(3, 'taylor')", S.dpm_solver_pp(3, "taylor")),
    Entry("dpm_solver_pp_2s()", S.dpm_solver_pp_2s()),
    Entry("dpm_solver_pp_single(2)", S.dpm_solver_pp_single(2)),
    Entry("dpm_solver_pp_single(3, 'heun', False)", S.dpm_solver_pp_single(3, "heun", False)),
    Entry("dpm_solver_single(3, 'dpm_solver', False)", S.dpm_solver_single(3, "dpm_solver", False)),
    Entry("unipc(1)", S.unipc(1)),
    Entry("unipc(2)", S.unipc(2)),
    Entry("unipc(3)", S.unipc(3)),
    Entry("deis(2)", S.deis(2)),
    Entry("deis(3)", S.deis(3)),
    Entry("deis(3, 'log_rho')", S.deis(3, "log_rho")),
    Entry("deis(3, 'log_rho', False)", S.deis(3, "log_rho", False)),
    Entry("lms(4)", S.lms(4), 96),
    Entry("pndm()", S.pndm()),
    Entry("pndm('multistep')", S.pndm("multistep")),
]
NOISY = [
    Entry("ancestral()", S.ancestral()),
    Entry("euler_ancestral()", S.euler_ancestral()),
    Entry("dpm_solver(2, eta=1.0)", S.dpm_solver(2, eta=1.0)),
    Entry("dpm_solver_pp(1, eta=1.0)", S.dpm_solver_pp(1, eta=1.0)),
    Entry("dpm_solver_pp(2, eta=1.0)", S.dpm_solver_pp(2, eta=1.0)),
    Entry("dpm_solver_pp(2, 'heun', eta=1.0)", S.dpm_solver_pp(2, "heun", eta=1.0)),
    Entry("dpm_solver_pp(3, 'taylor', eta=1.0)", S.dpm_solver_pp(3, "taylor", eta=1.0)),
    Entry("dpm_2_ancestral()", S.dpm_2_ancestral()),
    Entry("dpm_solver_pp_2s(eta=1.0)", S.dpm_solver_pp_2s(eta=1.0)),
    Entry("dpm_solver_pp_sde()", S.dpm_solver_pp_sde()),
]


def mixture() -> exact.GaussianMixture:
    """Return three Gaussians in the plane, none of them round."""
    covariances = [[[0.3, 0.2], [0.2, 0.25]], [[0.1, -0.05], [-0.05, 0.2]], [[0.4, 0.0], [0.0, 0.02]]]
    return exact.gaussian_mixture([0.5, 0.2, 0.3], [[-1.0, 0.5], [1.0, 1.0], [0.3, -1.2]], covariances)


def edm(n: int) -> tuple[schedules.Continuous, np.ndarray]:
    """Return EDM's schedule and n steps of Karras' grid from 20 to 0.05."""
    return schedules.edm(), samplers.grids.karras(n + 1, 0.05, 20.0)[:-1]


def straight(n: int) -> tuple[schedules.Continuous, np.ndarray]:
    """Return rectified flow and n equal steps from 0.95 to 0.05."""
    return schedules.rectified_flow(), samplers.grids.uniform(n, 0.05, 0.95)


class Problem(NamedTuple):
    """A grid, the points that start on it, and where the ODE takes them."""

    grid: Callable
    start: np.ndarray
    end: np.ndarray


def problem(grid: Callable) -> Problem:
    """Integrate the probability-flow ODE to the last digits."""
    schedule, times = grid(2)
    start = np.random.default_rng(0).normal(size=(4, 2)) * schedule(times[0]).sigma
    score = jax.jit(mixture().score)

    def slope(t: float, x: np.ndarray) -> np.ndarray:
        x = jnp.asarray(x.reshape(-1, 2))
        return np.asarray(sde.probability_flow(schedule, score(x, schedule(t)), x, np.float64(t))).ravel()

    end = integrate.solve_ivp(slope, times[[0, -1]], start.ravel(), "DOP853", rtol=1e-12, atol=1e-12)
    return Problem(grid, start, end.y[:, -1].reshape(-1, 2))


def flow_error(solver: S.Solver, task: Problem, steps: int) -> float:
    """Return the root mean square distance to the exact end."""
    schedule, times = task.grid(steps)
    x = samplers.sample(KEY, _DENOISE, schedule, solver, times, x_init=jnp.asarray(task.start))
    return float(np.sqrt(np.mean((x - task.end) ** 2)))


_DENOISE = mixture().denoiser()


def _gaussian(x: jax.Array, level: prediction.NoiseLevel, cond: None = None) -> prediction.Prediction:
    """The exact denoiser of N(0, 1/4)."""
    shrink = x / (0.25 * level.alpha**2 + level.sigma**2)
    return prediction.Prediction(0.25 * level.alpha * shrink, level.sigma * shrink)


def variance_error(solver: S.Solver, steps: int) -> float:
    """Return the relative error of the variance on EDM's grid: a sample for each source of noise."""
    schedule, times = edm(steps)
    batch = 1 + steps * solver.draws
    x = jnp.zeros((batch, 1)).at[0].set(np.sqrt(0.25 + times[0] ** 2))
    noise = np.zeros((steps * solver.draws, batch))
    noise[:, 1:] = np.eye(batch - 1)
    noise = noise.reshape(steps, solver.draws, batch, 1)
    x = samplers.sample(KEY, _gaussian, schedule, solver, times, x_init=x, noise=noise)
    return abs(float((x**2).sum()) / (0.25 + times[-1] ** 2) - 1)


def _steps_of(solver: S.Solver, calls: int) -> int:
    """Return how many steps a number of network calls buys; 0 if none."""
    if solver in (S.pndm(), S.pndm("multistep")):
        return calls - (9 if solver is S.pndm() else 1)
    return calls // solver.nfe


def flow_table() -> str:
    """Measure the solvers of the ODE."""
    tasks = [problem(edm), problem(straight)]
    heads = ["solver", "calls a step", "order, EDM", "order, straight", *(f"error, {c} calls" for c in CALLS)]
    rows = []
    for entry in FLOW:
        orders = [
            np.log2(flow_error(entry.solver, t, entry.steps) / flow_error(entry.solver, t, 2 * entry.steps))
            for t in tasks
        ]
        counts = [_steps_of(entry.solver, calls) for calls in CALLS]
        errors = [f"{flow_error(entry.solver, tasks[0], n):.2g}" if n > 0 else "" for n in counts]
        rows.append([f"`{entry.text}`", str(entry.solver.nfe), *(f"{o:.2f}" for o in orders), *errors])
    return _markdown(heads, rows)


def noisy_table() -> str:
    """Measure the solvers of the SDE."""
    heads = ["solver", "calls a step", "order", *(f"error, {c} calls" for c in CALLS)]
    rows = []
    for entry in NOISY:
        order = np.log2(variance_error(entry.solver, 128) / variance_error(entry.solver, 256))
        errors = [f"{variance_error(entry.solver, _steps_of(entry.solver, c)):.2g}" for c in CALLS]
        rows.append([f"`{entry.text}`", str(entry.solver.nfe), f"{order:.2f}", *errors])
    return _markdown(heads, rows)


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def insert(text: str, name: str, table: str) -> str:
    """Put a table between the marks of its name."""
    begin, end = f"<!-- {name}: begin -->\n", f"\n<!-- {name}: end -->"
    head, rest = text.split(begin)
    return head + begin + table + end + rest.split(end)[1]


def main() -> None:
    """Measure, and write the document."""
    with jax.enable_x64(True):
        tables = {"flow": flow_table(), "noisy": noisy_table()}
    text = DOCUMENT.read_text()
    for name, table in tables.items():
        text = insert(text, name, table)
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()

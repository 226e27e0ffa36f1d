"""Measured orders of the solvers, and their errors at equal numbers of network calls

The exact denoiser of three Gaussians in the plane (`mixture`) stands in for the network; four points are
walked from sigma = 20 to 0.05 on Karras' grid of EDM's schedule, and from t = 0.95 to 0.05 in equal steps of
the straight path. The reference is scipy's DOP853 on the probability-flow ODE, at relative tolerance 1e-12.
The order is log2 of the error of N steps over that of 2 N. Stochastic solvers: the variance of samples from
N(0, 1/4), which is exact, since the solver is linear there.

    python -m experiments.solver_orders

writes the tables into docs/solvers.md. Two minutes on one core.
"""

import importlib
import inspect
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate

from diffjax import exact, samplers
from diffjax.process import prediction, schedules, sde
from diffjax.samplers import listing
from diffjax.samplers.entry import TOLERANCE

DOCUMENT = pathlib.Path(__file__).parents[1] / "docs" / "solvers.md"
CALLS = (12, 24, 48, 96)
KEY = jax.random.key(0)
S = samplers


ENTRIES = {**listing.SOLVERS, **listing.CORRECTORS, **listing.JUMPS}
FAMILIES = {
    entry.family: importlib.import_module(f"diffjax.samplers.{entry.family}") for entry in ENTRIES.values()
}
FLOW = [(entry, order) for entry in ENTRIES.values() for order in entry.orders if order.shown]
EXTRA_ROWS = {
    variant.call.of(entry.make): variant.extra_rows
    for entry in ENTRIES.values()
    for variant in entry.variants.values()
}
NOISY = [(entry, order) for entry in ENTRIES.values() for order in entry.noisy_orders if order.shown]


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
    rows = EXTRA_ROWS.get(solver, 0)
    return (calls - rows) // solver.nfe


def measured(errors: tuple[float, float], own: int) -> str:
    """Return the order of two errors, and the method's own where that is further than the tolerance."""
    order = float(np.log2(errors[0] / errors[1]))
    return f"{order:.2f}" if abs(order - own) < TOLERANCE else f"{order:.2f} (not {own})"


def flow_table() -> str:
    """Measure the solvers of the ODE."""
    tasks = [problem(edm), problem(straight)]
    heads = ["solver", "calls a step", "order, EDM", "order, straight", *(f"error, {c} calls" for c in CALLS)]
    rows = []
    for entry, order in FLOW:
        solver, steps = order.call.of(entry.make), max(order.steps, 192 if order.order < 4 else 96)
        error = lambda task, n, solver=solver: flow_error(solver, task, n)
        orders = [measured((error(t, steps), error(t, 2 * steps)), order.order) for t in tasks]
        counts = [_steps_of(solver, calls) for calls in CALLS]
        errors = [f"{error(tasks[0], n):.2g}" if n > 0 else "" for n in counts]
        rows.append([f"`{order.call.text(entry.make)}`", str(solver.nfe), *orders, *errors])
    return _markdown(heads, rows)


def noisy_table() -> str:
    """Measure the solvers of the SDE."""
    heads = ["solver", "calls a step", "order", *(f"error, {c} calls" for c in CALLS)]
    rows = []
    for entry, order in NOISY:
        solver = order.call.of(entry.make)
        found = measured((variance_error(solver, 128), variance_error(solver, 256)), order.variance)
        errors = [f"{variance_error(solver, _steps_of(solver, c)):.2g}" for c in CALLS]
        rows.append([f"`{order.call.text(entry.make)}`", str(solver.nfe), found, *errors])
    return _markdown(heads, rows)


def solvers_table() -> str:
    """Return every solver and corrector by family, with the first line of its docstring."""
    needs = {"rates": "no chain", "signal": "alpha > 0", "constant alpha": "constant alpha"}
    rows = []
    for family, module in FAMILIES.items():
        rows.append([f"**{module.__doc__.strip()}**", "", ""])
        for entry in (entry for entry in ENTRIES.values() if entry.family == family):
            asked = next(iter(entry.variants.values())).needs
            what = inspect.getdoc(entry.make).splitlines()[0].replace("|", "\\|")
            rows.append([f"`{entry.name}`", what, ", ".join(needs[need] for need in asked)])
    return _markdown(["solver", "what it does", "asks for"], rows)


def elsewhere_table() -> str:
    """Return what other code bases call them."""
    rows = [list(row) for entry in ENTRIES.values() for row in entry.elsewhere]
    return _markdown(["here", "k-diffusion", "diffusers"], rows)


# what is known without measuring, and is compared with the document in the tests
TOLD = {"solvers": solvers_table, "elsewhere": elsewhere_table}


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
    tables |= {name: make() for name, make in TOLD.items()}
    text = DOCUMENT.read_text()
    for name, table in tables.items():
        text = insert(text, name, table)
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()

"""How a consistency function is learned, as `config.objective` says it.

levels      {"name": "fixed", "num_levels": 18} | "progressive" | "doubling" | "closing"
pairs       "uniform" | {"name": "log_normal", "mean": -1.1, "std": 2.0}
target      "stopped" | {"name": "constant", "rate": 0.95} | {"name": "adaptive", "mu0": 0.9}
metric      "l1" | "l2" | "pseudo_huber" | "perceptual", the distance of the section config.perceptual
weighting   "none" | "inverse_gap" | "snr" | "snr_plus_one" | "truncated_snr" | "edm"
tangent     "teacher" | "data", and solver "heun" | "euler" of a teacher's step
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import checks, objectives, samplers
from diffjax.objectives import consistency_steps, metrics, weightings
from diffjax.process.schedules import Schedule
from diffjax.systems import perceptual
from diffjax.systems.options import call, chosen, named, number, pick, require, section
from diffjax.training.system import Variables


class Ends(NamedTuple):
    """The levels between which a function is learned, in sigma / alpha, and the exponent of the grid."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0


class Rule(NamedTuple):
    """How a consistency function is learned.

    Attributes:
      pairs: (key, n, step) -> (t, s, N): neighbours in sigma / alpha `[n]`, and the number of levels.
      rate: N -> decay of the target; None: the target is the student itself.
      metric: variables -> (a, b) -> `[B]`.
      weight: (level_t, level_s) -> `[B]`.
      solver: of a teacher's step; None takes the data's.
    """

    pairs: Callable
    rate: Callable | None
    metric: Callable[[Variables], metrics.Metric]
    weight: Callable
    solver: samplers.Solver | None


def ends_of(options: dict[str, Any], noise: Schedule) -> Ends:
    """Take the ends out of the options of `config.objective`; ValueError beyond those of the schedule."""
    given = Ends()._asdict()
    ends = Ends(*(number(f"objective.{name}", options.pop(name, v), 1e-6) for name, v in given.items()))
    with np.errstate(divide="ignore"):
        low, high = (float(each.sigma / each.alpha) for each in map(noise, (noise.t_min, noise.t_max)))
    if not low * (1 - 1e-6) <= ends.sigma_min < ends.sigma_max <= high * (1 + 1e-6):
        raise ValueError(
            "objective.sigma_min and objective.sigma_max must lie in order between the schedule's sigma / "
            f"alpha, {low:g} and {high:g}; got {ends.sigma_min:g} and {ends.sigma_max:g}"
        )
    return ends


def walked(config: ConfigDict, ends: Ends) -> np.ndarray:
    """Return the levels of `sampler.steps`, from noise to the last, or those of `sampler.levels` and it.

    In sigma / alpha, as the ends.
    """
    options = section(config, "sampler")
    unknown = [name for name in options if name not in ("steps", "levels")]
    if unknown:
        raise ValueError(f"sampler.{unknown[0]} is not an option of a consistency model: steps, or levels")
    if options.get("levels") is not None:
        if not isinstance(options["levels"], tuple):
            raise ValueError(f"sampler.levels must be a sequence of numbers, got {options['levels']!r}")
        levels = [
            number("sampler.levels", each, ends.sigma_min, ends.sigma_max) for each in options["levels"]
        ]
        if options.get("steps") not in (None, len(levels)):
            raise ValueError(
                f"sampler.steps must be left out, or {len(levels)} as sampler.levels has; got "
                f"{options['steps']!r}"
            )
        return np.array([*levels, ends.sigma_min])
    require(config, "sampler.steps")
    steps = checks.count("sampler.steps", options["steps"])
    return np.asarray(consistency_steps.discrete_consistency_grid(steps + 1, **ends._asdict()))[::-1]


def to_data(config: ConfigDict, ends: Ends, noise: Schedule) -> np.ndarray:
    """Return the times of what is `walked`, but to data themselves in the place of the last level."""
    return np.asarray(noise.inv_sigma(np.append(walked(config, ends)[:-1], 0.0)), np.float64)


_LEVELS = {
    "fixed": consistency_steps.fixed,
    "progressive": consistency_steps.progressive,
    "doubling": consistency_steps.doubling,
}
_METRICS = {"l1": lambda: metrics.l1, "l2": lambda: metrics.l2, "pseudo_huber": metrics.pseudo_huber}
_SOLVERS = {"euler": samplers.ddim, "heun": samplers.edm_heun}
_WEIGHTS = ("snr", "snr_plus_one", "truncated_snr", "edm")


def rule_of(
    options: dict[str, Any], ends: Ends, num_steps: int, taught: bool, look: perceptual.Perceptual | None
) -> Rule:
    """Take the rule out of the options of `config.objective`.

    Args:
      options: of which those of the rule are taken.
      ends: of the levels.
      num_steps: of the whole run.
      taught: whether there is a teacher.
      look: the distance of `config.perceptual`, or None.

    Raises:
      ValueError: for an option that is wrong, or does not fit another.
    """
    tangent = options.pop("tangent", "teacher" if taught else "data")
    pick("objective.tangent", tangent, dict.fromkeys(("teacher", "data")))
    if tangent == "teacher" and not taught:
        raise ValueError("objective.tangent='teacher' needs config.teacher")
    if tangent == "data" and "solver" in options:
        raise ValueError("objective.solver is of a teacher's step, and objective.tangent is 'data'")
    solver = options.pop("solver", "heun")
    return Rule(
        _pairs(options.pop("levels", "fixed"), options.pop("pairs", "uniform"), ends, num_steps),
        _rate(options.pop("target", "stopped")),
        _metric(options.pop("metric", "l2"), look),
        _weight(options.pop("weighting", "none")),
        chosen("objective.solver", solver, _SOLVERS) if tangent == "teacher" else None,
    )


def _metric(value, look):
    """Return variables -> metric of `objective.metric`, the only one with variables that of a `look`."""
    seen = named(value, "objective.metric")[0] == perceptual.NAME
    if seen and look is None:
        raise ValueError("objective.metric='perceptual' needs config.perceptual")
    if look is not None and not seen:
        raise ValueError(
            f"config.perceptual is for objective.metric='perceptual'; got {value!r}: one of both is None"
        )
    metric = chosen("objective.metric", value, {**_METRICS, perceptual.NAME: lambda: None})
    if metric is not None:
        return lambda v: metric
    return lambda v: lambda a, b: look.distance(v.frozen[perceptual.NAME], a, b)


def _pairs(levels, pairs, ends, num_steps):
    """Return (key, n, step) -> (t, s, N) of `objective.levels` and `objective.pairs`."""
    name, how = named(levels, "objective.levels")
    drawn, odds = named(pairs, "objective.pairs")
    pick("objective.levels", name, {**_LEVELS, "closing": None})
    pick("objective.pairs", drawn, dict.fromkeys(("uniform", "log_normal")))
    if drawn == "uniform" and odds:
        raise ValueError(f"objective.pairs.{next(iter(odds))} is not an option of 'uniform'")
    if name == "closing" and drawn == "uniform":
        raise ValueError("objective.levels='closing' draws its levels by objective.pairs='log_normal'")
    made = (
        _closing({"doubled_every": max(num_steps // 8, 1), **how}, {"mean": -1.1, "std": 2.0, **odds}, ends)
        if name == "closing"
        else _neighbours(name, how, drawn, odds, ends, num_steps)
    )
    jax.eval_shape(lambda key, step: made(key, 2, step), jax.random.key(0), jnp.int32(0))  # refuse now
    return made


def _neighbours(name, how, drawn, odds, ends, num_steps):
    """Pairs of a grid of N(k) levels."""
    total = {} if name == "fixed" else {"num_steps": num_steps}
    count = call("objective.levels", _LEVELS[name], how, **total)

    def pairs(key, n, step):
        levels = count(step)
        if drawn == "uniform":
            i = consistency_steps.uniform_pairs(key, n, levels)
        else:
            draw = consistency_steps.log_normal_pairs
            i = call("objective.pairs", draw, odds, key, n, levels, **ends._asdict())
        at = lambda i: consistency_steps.discrete_consistency_grid(levels, i, **ends._asdict())
        return at(i + 1), at(i), levels

    return pairs


def _closing(how, odds, ends):
    """Pairs of no grid, whose ratio closes in; N is 2, 4, 8, ..., the gap's inverse."""
    draw = call("objective.pairs", objectives.log_normal, odds)

    def pairs(key, n, step):
        t = jnp.clip(draw(key, n), 1.001 * ends.sigma_min, ends.sigma_max)
        s = call("objective.levels", consistency_steps.closing_pairs, how, t, step)
        stage = jnp.floor(step / how["doubled_every"]) + 1
        return t, jnp.maximum(s, ends.sigma_min), how.get("q", 2.0) ** stage

    return pairs


def _rate(value):
    """Return N -> the decay of the target, None where it is the student itself."""
    name, options = named(value, "objective.target")
    how = pick("objective.target", name, {"stopped": None, "constant": _constant, "adaptive": _adaptive})
    if how is None:
        return None
    rate = call("objective.target", how, options)
    rate(jnp.asarray(3))
    return rate


def _constant(rate: float = 0.95) -> Callable:
    rate = number("objective.target.rate", rate, 0, 1)
    return lambda levels: rate


def _adaptive(mu0: float = 0.9, s0: int = 2) -> Callable:
    mu0 = number("objective.target.mu0", mu0, 1e-6, 1)
    return lambda levels: consistency_steps.target_rate(levels, mu0=mu0, s0=s0)


def _weight(value):
    """Return (level_t, level_s) -> weight `[B]`."""
    name, options = named(value, "objective.weighting")
    if name is None:
        return lambda t, s: 1.0
    if name == "inverse_gap":  # 1 / (t - s), in sigma / alpha
        return lambda t, s: 1 / (t.sigma / t.alpha - s.sigma / s.alpha)
    make = pick("objective.weighting", name, {each: getattr(weightings, each) for each in _WEIGHTS})
    weight = call("objective.weighting", make, options)
    return lambda t, s: weight(t)

"""How an average velocity is learned, as `config.objective` says it.

rule        "eulerian": MeanFlow, with `improved`, `power` and `offset`; "lagrangian"; {"name": "semigroup",
            "finest": 128}: shortcut models
target      of a semigroup's hops: "stopped" | {"name": "constant", "rate": 0.999}
times       of t, and of s too where `times_s` is not given
share_equal of rows with s = t
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from diffjax import checks, objectives
from diffjax.process.schedules import Schedule
from diffjax.systems import read
from diffjax.systems.options import call, named, number, pick
from diffjax.systems.students import stateless


class Rule(NamedTuple):
    """How an average velocity is learned.

    Attributes:
      draw: (key, n) -> times `[n]`, the first and the last of which are t and s.
      loss: (u, the target's u, x0, eps, levels, cond, **told) -> `[B]`.
      rate: of the moving average that the target is; None: the target is the student itself.
      smallest: gaps t - s up to it are told as 0.
      forward: whether the network is differentiated in forward mode.
    """

    draw: Callable
    loss: Callable
    rate: float | None = None
    smallest: float = 0.0
    forward: bool = True


def rule_of(config: ConfigDict, noise: Schedule) -> Rule:
    """Read the rule of `config.objective`.

    Raises:
      ValueError: naming the field.
    """
    options = {key: each for key, each in config.objective.items() if key not in read.DROPS}
    name, own = named(options.pop("rule", "eulerian"), "objective.rule")
    rules = {"eulerian": _eulerian, "lagrangian": _lagrangian, "semigroup": _semigroup}
    make = pick("objective.rule", name, rules)
    share = number("objective.share_equal", options.pop("share_equal", 0.75), 0, 1)
    draw, draw_s = _law(config, noise, "times"), None
    options.pop("times", None)
    if options.pop("times_s", None) is not None:
        draw_s = _law(config, noise, "times_s")
    if name == "semigroup" and draw_s is not None:
        raise ValueError("objective.times_s must be left out with objective.rule='semigroup'")
    if name == "semigroup" and noise.t_max != 1:
        raise ValueError("objective.rule='semigroup' needs a schedule of times up to 1")
    if name == "semigroup":
        own = {**own, "target": options.pop("target", "stopped")}
    return call("objective", make, {**own, **options}, draw, draw_s, share)


def _law(config, noise, field):
    times = stateless(read.times(config, noise, field))
    return lambda key, n: times.draw(key, (), n)[0]


def _eulerian(draw, draw_s, share, improved: bool = False, power: float = 1.0, offset: float = 0.01) -> Rule:
    if not isinstance(improved, bool):
        raise ValueError(f"objective.improved must be True or False, got {improved!r}")
    number("objective.power", power, 0)
    checks.positive("objective.offset", number("objective.offset", offset))

    def loss(u, target, x0, eps, levels, cond, *, target_cond=None, **taught):
        del target, target_cond
        how = {"improved": improved, "power": power, "offset": offset}
        level_t, level_s = levels
        return objectives.mean_flow(u, x0, eps, level_t, level_s, cond, **how, **taught)[0]

    return Rule(partial(objectives.two_times, draw=draw, share_equal=share, draw_s=draw_s), loss)


def _lagrangian(draw, draw_s, share) -> Rule:
    def loss(u, target, x0, eps, levels, cond, *, target_cond=None, **taught):
        del target, target_cond
        level_t, level_s = levels
        return objectives.lagrangian(u, x0, eps, level_t, level_s, cond, **taught)[0]

    return Rule(partial(objectives.two_times, draw=draw, share_equal=share, draw_s=draw_s), loss)


def _semigroup(draw, draw_s, share, finest: int = 128, target: Any = "stopped") -> Rule:
    del draw_s
    made, options = named(target, "objective.target")
    rate = pick("objective.target", made, {"stopped": lambda: None, "constant": lambda rate=0.999: rate})
    rate = call("objective.target", rate, options)
    if rate is not None:
        number("objective.target.rate", rate, 0, 1)
    if checks.count("objective.rule.finest", finest, least=2) & (finest - 1):
        raise ValueError(f"objective.rule.finest must be a power of two, got {finest}")

    def loss(u, hops, x0, eps, levels, cond, **told):
        level_t, level_mid, level_s = levels
        return objectives.shortcut(u, hops, x0, eps, level_t, level_mid, level_s, cond, **told)[0]

    times = partial(objectives.shortcut_times, draw=draw, finest=finest, share_equal=share)
    return Rule(times, loss, rate, smallest=1 / finest, forward=False)

"""Consistency models: one network call from noise to data (Song et al. 2023), distilled or trained alone.

    config.teacher = {"workdir": "runs/digits_edm"}  # or the sections schedule and model, without one
    config.objective = {"levels": {"name": "fixed", "num_levels": 18}, "metric": "pseudo_huber"}
    config.sampler = {"steps": 1}

With a teacher the student is its system with parameters of its own, which begin as the teacher's, and its
consistency function is the one step of DDIM to the last level: the identity there, whatever the network
predicts. `objective.tangent = "data"` only begins as the teacher (ECT, Geng et al. 2024). Without a teacher
the function has the scales of the paper. `objective.metric = "perceptual"` compares what `config.perceptual`
sees of student and target: LPIPS, or the maps of a network that was trained here. Samples are walked by
`samplers.jump(renoise=True)`.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import flow_maps, objectives
from diffjax.process import prediction
from diffjax.process.level import expand
from diffjax.process.schedules import Schedule
from diffjax.systems import perceptual, read
from diffjax.systems.consistency_rules import Ends, Rule, ends_of, rule_of, walked
from diffjax.systems.options import number, require, section
from diffjax.systems.stages import Stage, beside
from diffjax.systems.students import TEACHER, alone, begun, few_steps, own_of, schedule_of, teacher_of
from diffjax.training import ema
from diffjax.training.system import System, Update, from_loss

SECTIONS = ("data", "teacher", "schedule", "model", "conditions", "objective", "sampler", perceptual.NAME)
IDENTITY = ("data", "schedule", "model", "conditions")


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`: a teacher, or a schedule and a model.

    `perceptual` is for `objective.metric = "perceptual"` alone.
    """
    require(config, "data", "objective", "sampler", "training.num_steps")
    teacher = teacher_of(config, folder)
    noise = schedule_of(config, teacher)
    options = section(config, "objective", *(read.DROPS if teacher is None else ()))
    ends = ends_of(options, noise)
    sigma_data = number("objective.sigma_data", options.pop("sigma_data", 0.5), 1e-6)
    look = perceptual.of_config(config, folder, read.shape(config))
    rule = rule_of(options, ends, config.training.num_steps, teacher is not None, look)
    if options:
        raise ValueError(f"objective.{next(iter(options))} is not an option of a consistency model")
    scales = prediction.consistency_preconditioning(sigma_data, ends.sigma_min)
    base = alone(config, noise, folder, prediction.reading_of(scales)) if teacher is None else teacher.system
    times = np.asarray(noise.inv_sigma(walked(config, ends)), np.float64)
    system = consistency(base, teacher, noise, ends, rule, times)
    return system if look is None else beside(system, perceptual.NAME, look.stage)


def consistency(
    base: System, teacher: Stage | None, schedule: Schedule, ends: Ends, rule: Rule, times: Any
) -> System:
    """Make the system.

    Args:
      base: the teacher's system, or one whose denoiser's x_0 is a consistency function.
      teacher: Stage, or None.
      schedule: any schedule.
      ends: Ends.
      rule: Rule.
      times: that samples are walked along, from noise to the last level.

    Returns:
      A System without a denoiser. `extra["target"]` is the target where it has a rate of its own.
    """
    end = schedule(np.float64(schedule.inv_sigma(np.float64(ends.sigma_min))))
    of_base = own_of(base, teacher)

    def flow_map(v, key=None, params=None):
        denoise = base.denoiser(of_base(v, params), key)
        if teacher is not None:
            return flow_maps.of_denoiser(denoise)
        return lambda x, t, s, cond=None: expand(s.alpha, x) * denoise(x, t, cond).x0

    def init(key, batch, frozen):
        params = begun(base, teacher, key, batch, frozen)
        return params, ({} if rule.rate is None else {"target": jax.tree.map(jnp.copy, params)})

    def total(v, key, batch, step):
        key_t, key_eps, key_network, key_asked, key_drop = jax.random.split(key, 5)
        x0, n = batch["x"], len(batch["x"])
        t, s, number_of_levels = rule.pairs(key_t, n, step)
        level_t, level_s = (schedule(schedule.inv_sigma(each)) for each in (t, s))
        extra, target = v.extra, v.params
        if rule.rate is not None:  # first thing in a step, by the parameters that come in
            rate = rule.rate(number_of_levels)
            target = ema.update(v.extra["target"], jax.lax.stop_gradient(v.params), rate)
            extra = {**v.extra, "target": target}
        keep = base.request.kept(key_drop, n)
        asked = base.request.of_batch(of_base(v), key_asked, batch)
        told = lambda variables: base.request.encode(variables, asked, keep)
        taught = {}
        if rule.solver is not None:
            denoise = base.denoiser(v.frozen[TEACHER])
            taught = {"teacher": denoise, "teacher_cond": told(v.frozen[TEACHER]), "solver": rule.solver}
        below = told(of_base(v, target))
        f_below = flow_map(v, key_network, target)  # the same dropout in both
        losses, _ = objectives.consistency(
            flow_map(v, key_network), lambda x, t, s, cond=None: f_below(x, t, s, below), x0,
            jax.random.normal(key_eps, x0.shape, x0.dtype), level_t, level_s, end,
            told(of_base(v)), metric=rule.metric(v), weight=rule.weight(level_t, level_s), **taught,
        )  # fmt: skip
        return losses.mean(), (extra, {"levels": jnp.asarray(number_of_levels, jnp.float32)})

    update = Update("network", base.serves, from_loss(total, base.serves), rowwise=rule.rate is None)
    return few_steps(base, teacher, schedule, times, flow_map=flow_map, init=init, updates=(update,))

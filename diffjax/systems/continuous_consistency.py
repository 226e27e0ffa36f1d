"""Consistency in continuous time: sCM (Lu & Song 2024), distilled or trained alone, by forward mode.

    config.teacher = {"workdir": "runs/digits_v"}  # or the sections schedule and model, without one
    config.objective = {"sigma_data": 1.0, "mean": -1.0, "std": 1.4, "warmup": 1000}
    config.sampler = {"steps": 1}

With a teacher the student is its system with parameters of its own, which begin as the teacher's, whatever it
predicts and on whichever schedule: its x_0 is the consistency function, which is the identity at sigma = 0.
`objective.tangent = "data"` only begins as the teacher (consistency training from a diffusion model). Without
a teacher `objective.kind` or `objective.preconditioning` says what the network predicts: "v" on `vp_cosine`
is TrigFlow for data of standard deviation 1, the preconditioning "trigflow" for any. The network is told no
more than its time, whose derivative wants an embedding of low frequencies (`model.time_scale`).
"""

from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from diffjax import checks, flow_maps, objectives
from diffjax.models.conditions import Condition
from diffjax.models.encoders import NumberVector
from diffjax.process.schedules import Schedule
from diffjax.systems import read
from diffjax.systems.consistency_rules import Ends, to_data
from diffjax.systems.options import fill, number, pick, require, section
from diffjax.systems.stages import Stage
from diffjax.systems.students import (
    TEACHER,
    alone,
    begun,
    few_steps,
    own_of,
    require_forward_mode,
    schedule_of,
    teacher_of,
)
from diffjax.training.system import System, Update, from_loss

SECTIONS = ("data", "teacher", "schedule", "model", "conditions", "objective", "sampler")
IDENTITY = ("data", "schedule", "model", "conditions")
WEIGHT = "log_weight"  # the name of the learned weight's parameters


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`: a teacher, or a schedule and a model."""
    require(config, "data", "objective", "sampler")
    teacher = teacher_of(config, folder)
    require_forward_mode(config, teacher)
    noise = schedule_of(config, teacher).continuous()
    own = (*read.DROPS, "kind", "preconditioning") if teacher is None else ()
    options = section(config, "objective", *own)
    default = Ends()
    ends = Ends(
        number("objective.sigma_min", options.pop("sigma_min", default.sigma_min), 1e-6),
        number("objective.sigma_max", options.pop("sigma_max", default.sigma_max), 1e-6),
    )
    base = alone(config, noise, folder, read.reading(config, noise)) if teacher is None else teacher.system
    times = to_data(config, ends, noise)
    return fill("objective", continuous_consistency, options, base, teacher, noise, times)


def continuous_consistency(
    base: System,
    teacher: Stage | None,
    schedule: Schedule,
    walked_times: Any,
    *,
    sigma_data: float = 0.5,
    mean: float = -1.0,
    std: float = 1.4,
    warmup: int = 10_000,
    offset: float = 0.1,
    tangent: str | None = None,
    adaptive: bool = True,
) -> System:
    """Make the system.

    Args:
      base: the teacher's system, or one that is trained alone.
      teacher: Stage, or None.
      schedule: a continuous one.
      walked_times: that samples are walked along, from noise to data.
      sigma_data: standard deviation of data.
      mean, std: of the log-normal sigma / alpha that is trained at.
      warmup: steps in which the part with the network's derivative is turned on.
      offset: c of the tangent's norm.
      tangent: "teacher" or "data"; None takes the teacher's where there is one.
      adaptive: whether the weight of a level is learned.

    Raises:
      ValueError: for a number out of its range, or a tangent of no teacher.
    """
    for name, value in {"sigma_data": sigma_data, "std": std, "offset": offset}.items():
        checks.positive(f"objective.{name}", number(f"objective.{name}", value))
    number("objective.mean", mean)
    checks.count("objective.warmup", warmup, least=0)
    if not isinstance(adaptive, bool):
        raise ValueError(f"objective.adaptive must be True or False, got {adaptive!r}")
    tangent = ("data" if teacher is None else "teacher") if tangent is None else tangent
    pick("objective.tangent", tangent, dict.fromkeys(("teacher", "data")))
    if tangent == "teacher" and teacher is None:
        raise ValueError("objective.tangent='teacher' needs config.teacher")
    own, draw = own_of(base, teacher), objectives.log_normal(mean, std)
    log_weight = NumberVector(1, scale=1.0)  # of a number, a number

    def flow_map(v, key=None):
        return flow_maps.of_denoiser(base.denoiser(own(v), key))

    def init(key, batch, frozen):
        params = begun(base, teacher, key, batch, frozen)
        weight = {WEIGHT: log_weight.init(key, jnp.zeros(1))["params"]} if adaptive else {}
        return {**params, **weight}, {}

    def total(v, key, batch, step):
        key_t, key_eps, key_network, key_asked, key_drop = jax.random.split(key, 5)
        x0, n = batch["x"], len(batch["x"])
        ratio = draw(key_t, n)
        keep = base.request.kept(key_drop, n)
        asked = base.request.of_batch(own(v), key_asked, batch)
        told = lambda variables: base.request.encode(variables, asked, keep)
        taught: dict[str, Any] = {}
        weight: dict[str, Any] = {}
        if tangent == "teacher":
            taught = {"teacher": base.denoiser(v.frozen[TEACHER]), "teacher_cond": told(v.frozen[TEACHER])}
        if adaptive:
            said = log_weight.apply({"params": v.params[WEIGHT]}, jnp.log(ratio))
            weight = {"log_weight": jnp.asarray(cast(Condition, said).vector)[:, 0]}
        losses, aux = objectives.continuous_consistency(
            base.denoiser(own(v), key_network), x0, jax.random.normal(key_eps, x0.shape, x0.dtype), ratio,
            schedule, told(own(v)), sigma_data=sigma_data, offset=offset,
            warmup=jnp.minimum(1.0, step / max(warmup, 1)) if warmup else 1.0, **taught, **weight,
        )  # fmt: skip
        return losses.mean(), (v.extra, {"tangent": jnp.sqrt((aux["tangent"] ** 2).mean())})

    names = (*base.serves, WEIGHT) if adaptive else base.serves
    update = Update("network", names, from_loss(total, names))
    return few_steps(base, teacher, schedule, walked_times, flow_map=flow_map, init=init, updates=(update,))

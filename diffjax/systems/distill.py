"""Progressive distillation: a student that takes one step where its teacher takes two (Salimans & Ho 2022).

    config.teacher = {"workdir": "runs/digits"}
    config.objective = {"steps": 64, "weighting": "truncated_snr"}
    config.sampler = {"solver": "ddim", "steps": 64, "grid": "uniform"}

The student is its teacher's system with parameters of its own, which begin as the teacher's: the same
network, reading, schedule and request. `config.sampler` stands in the place of the teacher's. A config with
`phases` halves the number of steps again and again, each phase the teacher of the next.

A network of eps learns it too, but says less and less of x_0 as alpha falls: in few steps it breaks. Networks
of v, x_0 or a velocity do not.
"""

from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from diffjax import flow_maps, objectives
from diffjax.objectives.weightings import Weighting
from diffjax.process import forward
from diffjax.process.schedules import Schedule
from diffjax.systems import read
from diffjax.systems.options import fill, require, section
from diffjax.systems.stages import Stage
from diffjax.systems.students import TEACHER, asked_of, levels_at, own_of, prepare_of, required_teacher
from diffjax.training.system import System, Update, from_loss

SECTIONS = ("data", "teacher", "objective", "sampler")
IDENTITY = ("data", "objective")


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`."""
    require(config, *SECTIONS, "objective.steps")
    teacher = required_teacher(config, folder, sampler=section(config, "sampler"))
    options = section(config, "objective")
    options["weighting"] = read.weighting(options.get("weighting", "truncated_snr"))
    return fill("objective", distill, options, teacher)


def distill(
    teacher: Stage,
    *,
    steps: int,
    grid: str = "uniform",
    weighting: Weighting | None = None,
    between: bool = False,
) -> System:
    """Make the system.

    Args:
      teacher: a system with a denoiser, whose passes are the student's too.
      steps: N of the student; its teacher takes two where it takes one.
      grid: kind of the grid of 2 N steps, whose every other time is the student's.
      weighting: level -> weight of the error of x_0; None is 1.
      between: learn from the half steps too, which `ddim(ahead=2)` of 2 N steps visits.

    Returns:
      A System. Its flow map is one step of DDIM, trained on its own grid alone: `flow_map.how["times"]`.

    Raises:
      ValueError: for a grid that does not halve, or that is not its teacher's where that is a student itself.
    """
    if not isinstance(between, bool):
        raise ValueError(f"objective.between must be True or False, got {between!r}")
    base, schedule = teacher.system, teacher.system.schedule(None)
    own = own_of(base, teacher)
    times = _times(schedule, steps, grid)
    _require_halving(base, times)
    levels = schedule(times)

    def init(key, batch, frozen):
        del key, batch
        return dict(frozen[TEACHER].params), {}

    def total(v, key, batch, step):
        del step
        key_i, key_eps, key_network, key_asked, key_drop = jax.random.split(key, 5)
        x0, n = batch["x"], len(batch["x"])
        i = (
            jax.random.randint(key_i, (n,), 0, 2 * steps - 1)
            if between
            else 2 * jax.random.randint(key_i, (n,), 0, steps)
        )
        level_t, level_mid, level_s = (levels_at(levels, i + j) for j in range(3))
        x_t = forward.noised(key_eps, x0, level_t)
        request, taught = base.request, v.frozen[TEACHER]
        asked = request.of_batch(taught, key_asked, batch)
        keep = request.kept(key_drop, n)
        losses, _ = objectives.progressive_distillation(
            base.denoiser(own(v), key_network), base.denoiser(taught), x_t, level_t, level_mid, level_s,
            request.encode(own(v), asked, keep), teacher_cond=request.encode(taught, asked, keep),
            weighting=weighting,
        )  # fmt: skip
        return losses.mean(), (v.extra, {})

    def denoiser(v, key=None):
        return base.denoiser(own(v), key)

    def flow_map(v, key=None):
        return flow_maps.of_denoiser(denoiser(v, key))

    flow_map.how = {"times": times[::2].tolist()}
    walked = lambda each: lambda v, keys, asked, made: each.run(own(v), keys, asked, made)
    return System(
        example=base.example,
        init=init,
        updates=(Update("network", base.serves, from_loss(total, base.serves)),),
        serves=base.serves,
        frozen={TEACHER: teacher.shapes()},
        prepare=prepare_of(base, teacher),
        request=asked_of(base.request, own),
        passes=tuple(each._replace(run=walked(each)) for each in base.passes),
        gives=base.gives,
        denoiser=denoiser,
        schedule=lambda v: schedule,
        flow_map=flow_map,
        stages={TEACHER: teacher},
    )


def _times(schedule: Schedule, steps: int, grid: str) -> np.ndarray:
    """Return the 2 N + 1 times that a teacher walks; ValueError where every other one is no grid of N."""
    fine, coarse = (read.time_grid(schedule, n, grid, "objective") for n in (2 * steps, steps))
    if fine.shape != (2 * steps + 1,) or not np.allclose(fine[::2], coarse):
        raise ValueError(
            "objective.grid must be one whose every other time is a grid of half the steps, such as "
            f"'uniform'; {grid!r} of {2 * steps} steps is none"
        )
    if len(np.unique(schedule(fine).t)) < len(fine):
        raise ValueError(
            f"objective.steps must leave {2 * steps} steps to the teacher, more than the chain has"
        )
    return fine


def _require_halving(base: System, times: np.ndarray) -> None:
    """Raise where a teacher that is a student itself was not taught the steps that it should take."""
    taught = getattr(base.flow_map, "how", {}).get("times")
    if taught is not None and (len(taught) != len(times) or not np.allclose(taught, times)):
        raise ValueError(
            f"objective.steps must be half of the steps of the teacher, {len(taught) - 1}, on the same grid; "
            f"got {len(times) // 2}"
        )

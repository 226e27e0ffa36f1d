"""Arms of an evaluation: the run's config with overrides, each built before any of them is sampled."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from diffjax import systems
from diffjax.commands.loading import load_config, overridden
from diffjax.evaluation import report
from diffjax.systems import read
from diffjax.systems.options import is_section, require
from diffjax.systems.stages import stage
from diffjax.systems.students import TEACHER
from diffjax.training.system import System


class Arm(NamedTuple):
    """One way to sample.

    Attributes:
      about: what is said of it beside its numbers: {"guidance_weight": w}, {"arm": title}, {"steps": n}, or
        {"teacher": how it walks}.
      config: of the run, changed.
      system: of the config, or the run's teacher.
    """

    about: dict[str, Any]
    config: ConfigDict
    system: System

    @property
    def title(self) -> str:
        """A few words on it."""
        (kind, given), *_ = self.about.items()
        forms = {"guidance_weight": "w = {:g}", "steps": "{} steps", TEACHER: "teacher, {}"}
        return forms.get(kind, "{}").format(given)

    @property
    def file(self) -> str:
        """Name of its picture."""
        if "guidance_weight" in self.about:
            return f"samples_w{self.about['guidance_weight']:g}.png"
        return f"samples_{re.sub(r'[^0-9A-Za-z.]+', '_', self.title).strip('_.') or 'arm'}.png"

    @property
    def calls(self) -> int:
        """Network calls a sample, of all its passes."""
        return sum(sum(each.calls.values()) for each in self.system.passes)


def of(
    config: ConfigDict, settings: Mapping[str, Any], steps: int | None, workdir: Path | None
) -> tuple[list[Arm], list[Arm]]:
    """Build the arms that settings ask for.

    `guidance_weights` and `sweep_steps` are arms with a short name. Without weights the first arm is the run
    as it is, called by its `classifier_scale` if it has one.

    Args:
      config: of the run.
      settings: of `evaluation_settings.read`.
      steps: of the sampler in every arm, or None.
      workdir: of the run, or None for a pipeline.

    Returns:
      Arms that are measured wholly, and those of the sweep, with the first weight: the run's own, and those
      of its teacher, if it has one, in as many steps, in twice the most, and as it walks by itself.

    Raises:
      ValueError: for an override that does not fit the config, or needs another network than was trained.
    """
    if steps is not None:
        config = _in_steps(config, steps)

    def arm(about, changes, base=config):
        own = overridden(base, changes) if changes else base
        own = own if workdir is None else load_config(workdir, own)
        return Arm(about, own, systems.build(own, workdir))

    weights = settings.get("guidance_weights")
    sampler = config.get("sampler") or {}
    if weights is None and "classifier_scale" in sampler:
        arms = [arm({"arm": f"classifier scale {sampler['classifier_scale']:g}"}, {})]
    elif weights is None:
        w = sampler.get("guidance_weight", 0.0)
        about = {"arm": f"w by {w['name']}"} if is_section(w) else {"guidance_weight": float(w)}
        arms = [arm(about, {})]
    else:
        arms = [arm({"guidance_weight": float(w)}, {"sampler.guidance_weight": w}) for w in weights]
    sweep = [arm({"steps": n}, {}, _in_steps(arms[0].config, n)) for n in settings["sweep_steps"]]
    sweep += _of_teacher(arms[0], settings["sweep_steps"], workdir)
    return arms + [arm({"arm": title}, changes) for title, changes in settings["arms"]], sweep


def _in_steps(config: ConfigDict, steps: int) -> ConfigDict:
    require(config, "sampler")
    return overridden(config, {"sampler": read.resampled(config.sampler.to_dict(), {"steps": steps})})


def _of_teacher(own: Arm, numbers: Sequence[int], workdir: Path | None) -> list[Arm]:
    """Return the arms of the teacher of a run that is swept."""
    if not numbers or TEACHER not in own.system.stages:
        return []
    ways = {report.in_steps(n): {"sampler": {"steps": n}} for n in (*numbers, 2 * max(numbers))}
    ways["its own walk"] = {}
    taught = lambda more: stage({**own.config[TEACHER].to_dict(), **more}, workdir, TEACHER).system
    return [Arm({TEACHER: way}, own.config, taught(more)) for way, more in ways.items()]

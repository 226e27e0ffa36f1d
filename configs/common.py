"""What runs of minutes share, whatever their data."""

from typing import Any

from ml_collections import ConfigDict

from diffjax.process import annealing


def adam() -> ConfigDict:
    """Return Adam's settings: a short warm-up, then half a cosine down to zero."""
    return ConfigDict(
        {"name": "adam", "learning_rate": 2e-3, "schedule": "cosine", "warmup_steps": 100, "clip_norm": 1.0}
    )


def training(num_steps: int, **more: Any) -> ConfigDict:
    """Return the settings of a training that draws samples once, at its end.

    Args:
      num_steps: of the whole run.
      more: `batch_size` and what else the trainer reads.

    Returns:
      The section `training`, with a moving average over some hundred steps. Nothing that is not finite is
      rolled back, no held-out data are measured, and nothing is watched for, unless it is set.
    """
    average = ConfigDict({"name": "warmed_up", "decay": 0.995})
    unset = dict.fromkeys(("not_finite", "validation", "watch"))  # so that the command line can set them
    usual = {"num_steps": num_steps, "sample_every": num_steps, "seed": 0, "ema": average}
    return ConfigDict({**unset, **usual, **more})


def annealed_langevin(
    *, sigma_max: float, sigma_min: float, num_levels: int, steps_per_level: int
) -> ConfigDict:
    """Return NCSNv2's sampler (Song & Ermon 2020): the size of its steps follows from the levels.

    Args:
      sigma_max: the largest level.
      sigma_min: the smallest.
      num_levels: number of geometric levels.
      steps_per_level: Langevin steps on each.

    Returns:
      The section `sampler`; the step's size is twice the paper's epsilon.
    """
    epsilon = annealing.step_size(sigma_max, sigma_min, num_levels, steps_per_level)
    return ConfigDict(
        {
            "solver": "annealed_langevin",
            "steps": num_levels,
            "steps_per_level": steps_per_level,
            "step_size": 2 * epsilon,
        }
    )


def halving(most: int, least: int = 1) -> tuple[dict[str, Any], ...]:
    """Return the phases of a progressive distillation, each the teacher of the next.

    Args:
      most: steps of the first student, `least` times a power of two.
      least: of the last.

    Returns:
      `config.phases`; folders are called "steps_64", and so on.
    """
    phases, steps = [], most
    while steps >= least:
        phases.append({"name": f"steps_{steps}", "objective.steps": steps, "sampler.steps": steps})
        steps //= 2
    for later in phases[1:]:
        later["teacher.workdir"] = "previous"
    return tuple(phases)

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
    # what is not used is there, so that the command line can set it
    unset = dict.fromkeys(("mesh", "not_finite", "validation", "watch"))
    usual = {"best_metric": "loss", "snapshot_every": 0, "accumulate": 1, "seed": 0, "ema": average}
    steps = {"num_steps": num_steps, "sample_every": num_steps}
    return ConfigDict({**unset, **usual, **steps, **more})


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


def shortcut(rate: float, share_equal: float, **more: Any) -> ConfigDict:
    """Return the section `objective` of a shortcut model with hops down to 1 / 128 (Frans et al. 2024).

    Args:
      rate: of the moving average that says the hops.
      share_equal: of rows that learn the velocity itself.
      more: what else the section has.
    """
    rule, target = {"name": "semigroup", "finest": 128}, {"name": "constant", "rate": rate}
    own = {"rule": rule, "target": target, "share_equal": share_equal, "times": "uniform"}
    return ConfigDict({**own, **more})


def autoencoder(config: ConfigDict, model: dict[str, Any], num_steps: int, **objective: Any) -> ConfigDict:
    """Return the config of an autoencoder on the data of another config, with its two players' optimizers.

    Args:
      config: of a diffusion model; its sections schedule, sampler and conditions are taken out.
      model: the section `model`.
      num_steps: of the run; what the discriminator says counts in the second half.
      objective: the section `objective`, and in `discriminator` what differs from a small one of patches.
    """
    for section in ("schedule", "sampler", "conditions"):
        if section in config:
            del config[section]
    config.system = "autoencoder"
    config.model = ConfigDict(model)
    critic = {"features": 32, "layers": 2, "norm": "batch", "start": num_steps // 2, "weight": 0.5}
    critic |= objective.pop("discriminator", {})
    config.objective = ConfigDict({**objective, "discriminator": critic})
    moments = {"b1": 0.5, "b2": 0.9}  # as Esser et al. 2021 have them
    config.optimizer = ConfigDict(
        {
            "network": {**adam().to_dict(), "learning_rate": 1e-3, "clip_norm": None, **moments},
            "discriminator": {"name": "adam", "learning_rate": 4e-4, **moments},
        }
    )
    config.training.update({"num_steps": num_steps, "sample_every": 0})
    config.evaluation = ConfigDict({"batch_size": 100})
    return config

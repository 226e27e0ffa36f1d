"""Noise-conditional score networks, version 1 (Song & Ermon 2019) and version 2 (Song & Ermon 2020).

Training is that of `ddpm` on a chain of geometric noise levels, with the papers' loss; sampling is annealed
Langevin dynamics, whose last step denoises. The versions differ in numbers and in the network: version 1
predicts the score and is told the level ("score"), version 2 divides the network's output by sigma ("eps",
f = -eps), and its levels and step follow from the data (`process.annealing`).
"""

from pathlib import Path

import flax.linen as nn
from ml_collections import ConfigDict

from diffjax import objectives
from diffjax.objectives import weightings
from diffjax.process.prediction import Reading
from diffjax.process.schedules import Schedule
from diffjax.systems import read, weaker
from diffjax.systems.ddpm import ddpm
from diffjax.systems.options import fill, require, section
from diffjax.systems.stages import Stage
from diffjax.training.system import System

SECTIONS = ("data", "schedule", "model", "objective", "sampler")
IDENTITY = ("data", "schedule", "model")


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`."""
    require(config, *SECTIONS)
    noise, module = read.schedule(config), read.network(config)
    reading, sampler = read.kind(config, noise, default="score"), read.sampler(config, noise)
    if sampler.threshold or (sampler.guides and sampler.weak is None):
        told = "but for sampler.guidance='autoguidance'"
        raise ValueError(f"sampler.guidance_weight and sampler.threshold are not for system 'ncsn', {told}")
    read.require_unconditional(config)
    options = section(config, "objective", "kind")
    return fill(
        "objective", ncsn, options, module, noise, sampler,
        shape=read.shape(config), gives=read.gives(config), reading=reading,
        weak=weaker.of_config(config, sampler, folder),
    )  # fmt: skip


def ncsn(
    module: nn.Module,
    schedule: Schedule,
    sampler: read.Sampler,
    *,
    shape: tuple[int, ...],
    reading: Reading,
    gives: str = "images",
    weak: Stage | None = None,
) -> System:
    """Make the system.

    Args:
      module: unconditional network `(x, t) -> output`.
      schedule: `schedules.geometric(...)`; levels are drawn uniformly.
      sampler: `read.Sampler`, usually of `samplers.annealed_langevin(...)` from all noise to 0.
      shape, gives, weak: see `ddpm`.
      reading: of the score or of eps; any other kind would do.

    Returns:
      A System, see `ddpm`. Samples start from N(0, sigma_max^2).
    """

    def loss(network, x0, eps, level, cond, *, reading, level_s=None, pair=None, x_t=None):
        """1/2 sigma^2 ||s + eps / sigma||^2 a dimension, whatever the kind (Song & Ermon 2019, eq. 5, 6)."""
        del level_s, pair
        losses, aux = objectives.denoising(
            network, x0, eps, level, cond, reading=reading, weighting=weightings.snr(), x_t=x_t
        )
        return 0.5 * losses, aux

    made = ddpm(module, schedule, sampler, shape=shape, reading=reading, gives=gives, loss=loss, weak=weak)
    return made._replace(measures={})  # its levels are no chain of the data's own bound

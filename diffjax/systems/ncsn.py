"""Noise-conditional score networks, version 1 (Song & Ermon 2019) and version 2 (Song & Ermon 2020).

Training is that of `ddpm` on a chain of geometric noise levels, with the papers' loss; sampling is annealed
Langevin dynamics, whose last step denoises. The versions differ in numbers and in the network: version 1
predicts the score and is told the level ("score"), version 2 divides the network's output by sigma ("eps",
f = -eps), and its levels and step follow from the data (`process.annealing`).
"""

from diffjax import objectives
from diffjax.objectives import weightings
from diffjax.systems.ddpm import ddpm


def ncsn(module, schedule, solver, times, *, shape, kind="score"):
    """Make the system.

    Args:
      module: unconditional network `(x, t) -> output`.
      schedule: `schedules.geometric(...)`; levels are drawn uniformly.
      solver: Solver of `sample`, usually `samplers.annealed_langevin(...)`.
      times: its time grid, from all noise to 0.
      shape: of one example, e.g. (H, W, C).
      kind: what the network predicts, "score" or "eps" (any of `prediction.KINDS` would do).

    Returns:
      A System, see `ddpm`. Samples start from N(0, sigma_max^2).
    """

    def loss(network, x0, eps, level, cond, *, level_s, pair, x_t):
        """1/2 sigma^2 ||s + eps / sigma||^2 a dimension, whatever the kind (Song & Ermon 2019, eq. 5, 6)."""
        losses, aux = objectives.denoising(
            network, x0, eps, level, cond, kind=kind, weighting=weightings.snr(), level_s=level_s, x_t=x_t
        )
        return 0.5 * losses, aux

    return ddpm(module, schedule, solver, times, shape=shape, kind=kind, loss=loss)

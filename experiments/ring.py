"""What the studies on the ring of eight Gaussians share: `mixtures.RING` by short names."""

import jax

from diffjax import samplers
from experiments.mixtures import RING

UNIT, mixture, fresh, distance, metrics = RING.unit, RING.density, RING.fresh, RING.distance, RING.metrics


def samples_distance(seed: int, schedule, solver, times, num: int) -> float:
    """Return the distance of num samples that a solver makes with the exact denoiser."""
    x = samplers.sample(jax.random.key(seed), mixture().denoiser(), schedule, solver, times, shape=(num, 2))
    return distance(x, seed)


def floor(seed: int, num: int) -> float:
    """Return the distance of num fresh points."""
    return distance(fresh(seed, num), seed)

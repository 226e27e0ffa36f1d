"""What the studies on the ring of eight Gaussians share: points, and how far samples are from the truth."""

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import exact, samplers, toys
from diffjax.data import toys as points
from diffjax.evaluation.classes import shares, total_variation
from diffjax.evaluation.wasserstein import sliced_wasserstein

UNIT = 36  # the weights are k / 36: as many points hold every mode in its exact share
_BOX = 2.0
_MEDIAN = np.sqrt(2 * np.log(2))  # of the distance of a standard normal point of the plane from its mean


def mixture() -> exact.GaussianMixture:
    """Return the ring with its exact density."""
    return exact.gaussian_mixture(*toys.ring8())


def fresh(seed: int, num: int) -> np.ndarray:
    """Draw num independent points of the ring, [num, 2]."""
    return points.ring8(np.random.default_rng([seed, 7]), num)[0]


def distance(x: np.ndarray, seed: int) -> float:
    """Return the sliced 2-Wasserstein distance of samples to the ring.

    The reference is stratified: each mode has its exact share of the points, so that chance in their number,
    most of what two independent sets differ by, is that of the samples alone.

    Args:
      x: [N, 2] samples, N a multiple of 36; clipped to [-2, 2]^2.
      seed: of the reference and of the directions.

    Raises:
      ValueError: for another N.
    """
    if len(x) % UNIT:
        raise ValueError(f"x must hold a multiple of {UNIT} samples, got {len(x)}")
    weights, means, covariances = toys.ring8()
    modes = np.repeat(np.arange(len(weights)), np.rint(weights * len(x)).astype(int))
    rng = np.random.default_rng([seed, 8])
    unit = rng.standard_normal((len(x), 2))
    real = means[modes] + np.einsum("nij,nj->ni", np.linalg.cholesky(covariances)[modes], unit)
    return sliced_wasserstein(_boxed(x), real, rng)


def samples_distance(seed: int, schedule, solver, times, num: int) -> float:
    """Return the distance of num samples that a solver makes with the exact denoiser."""
    x = samplers.sample(jax.random.key(seed), mixture().denoiser(), schedule, solver, times, shape=(num, 2))
    return distance(x, seed)


def floor(seed: int, num: int) -> float:
    """Return the distance of num fresh points."""
    return distance(fresh(seed, num), seed)


def metrics(x: np.ndarray, seed: int) -> dict[str, float]:
    """Measure samples [N, 2] of the ring, clipped to [-2, 2]^2 (what diverged, to its corner).

    Returns:
      "nll": their mean negative log density less the entropy, nats: 0 for the truth, dear for points between
        the modes, and below 0 for modes that came out too narrow.
      "SW2": see `distance`.
      "TV": total variation between the modes' shares of the samples and their weights.
      "width": of the modes, the median distance from their centres over what it should be.
    """
    truth, x = mixture(), _boxed(x)
    entropy = -float(np.mean(truth.log_prob(jnp.asarray(points.ring8(np.random.default_rng(9), 200_000)[0]))))
    nearest = np.linalg.norm(x[:, None] - truth.means, axis=-1)
    return {
        "nll": -float(np.mean(truth.log_prob(jnp.asarray(x)))) - entropy,
        "SW2": distance(x, seed),
        "TV": total_variation(shares(nearest.argmin(1), len(truth.weights)), truth.weights),
        "width": float(np.median(nearest.min(1)) / (_MEDIAN * np.sqrt(toys.ring8().covariances[0, 0, 0]))),
    }


def _boxed(x):
    return np.clip(np.nan_to_num(np.asarray(x), nan=_BOX), -_BOX, _BOX)

"""What the studies on mixtures of Gaussians in the plane share: points, and how far samples are from them."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from diffjax import exact, toys
from diffjax.data import toys as points
from diffjax.evaluation.classes import shares, total_variation
from diffjax.evaluation.wasserstein import sliced_wasserstein

_BOX = 2.0
_MEDIAN = np.sqrt(2 * np.log(2))  # of the distance of a standard normal point of the plane from its mean


class Truth(NamedTuple):
    """A mixture by its name in `diffjax.toys`.

    Attributes:
      name: "ring8" or "grid25".
      unit: its weights are k / unit: as many points hold every mode in its exact share.
    """

    name: str
    unit: int

    @property
    def parameters(self) -> toys.Mixture:
        """Weights, means and covariances."""
        return getattr(toys, self.name)()

    def density(self) -> exact.GaussianMixture:
        """Return the mixture with its exact density."""
        return exact.gaussian_mixture(*self.parameters)

    def fresh(self, seed: int, num: int) -> np.ndarray:
        """Draw num independent points, [num, 2]."""
        return self._drawn([seed, 7], num)

    def distance(self, x: np.ndarray, seed: int) -> float:
        """Return the sliced 2-Wasserstein distance of samples to the mixture.

        The reference is stratified: each mode has its exact share of the points, so that chance in their
        number, most of what two independent sets differ by, is that of the samples alone.

        Args:
          x: [N, 2] samples, N a multiple of the unit; clipped to [-2, 2]^2.
          seed: of the reference and of the directions.

        Raises:
          ValueError: for another N.
        """
        if len(x) % self.unit:
            raise ValueError(f"x must hold a multiple of {self.unit} samples, got {len(x)}")
        weights, means, covariances = self.parameters
        modes = np.repeat(np.arange(len(weights)), np.rint(weights * len(x)).astype(int))
        rng = np.random.default_rng([seed, 8])
        unit = rng.standard_normal((len(x), 2))
        real = means[modes] + np.einsum("nij,nj->ni", np.linalg.cholesky(covariances)[modes], unit)
        return sliced_wasserstein(_boxed(x), real, rng)

    def metrics(self, x: np.ndarray, seed: int) -> dict[str, float]:
        """Measure samples [N, 2], clipped to [-2, 2]^2 (what diverged, to its corner).

        Returns:
          "nll": their mean negative log density less the entropy, nats: 0 for the truth, dear for points
            between the modes, and below 0 for modes that came out too narrow.
          "SW2": see `distance`.
          "TV": total variation between the modes' shares of the samples and their weights.
          "width": of the modes, the median distance from their centres over what it should be.
        """
        truth, x = self.density(), _boxed(x)
        weights, sd = self.parameters.weights, np.sqrt(self.parameters.covariances[0, 0, 0])
        entropy = -float(np.mean(truth.log_prob(jnp.asarray(self._drawn(9, 200_000)))))
        nearest = np.linalg.norm(x[:, None] - truth.means, axis=-1)
        return {
            "nll": -float(np.mean(truth.log_prob(jnp.asarray(x)))) - entropy,
            "SW2": self.distance(x, seed),
            "TV": total_variation(self.shares(x), weights),
            "width": float(np.median(nearest.min(1)) / (_MEDIAN * sd)),
        }

    def shares(self, x: np.ndarray) -> np.ndarray:
        """Return the share of the samples that is nearest to each mode."""
        nearest = np.linalg.norm(_boxed(x)[:, None] - self.parameters.means, axis=-1).argmin(1)
        return shares(nearest, len(self.parameters.weights))

    def _drawn(self, seed, num):
        return getattr(points, self.name)(np.random.default_rng(seed), num)[0]


RING, GRID = Truth("ring8", 36), Truth("grid25", 25)


def _boxed(x):
    return np.clip(np.nan_to_num(np.asarray(x), nan=_BOX), -_BOX, _BOX)

"""Small exact mixtures and quadratures that several tests share."""

import numpy as np

from diffjax import exact, toys


def ring8():
    """Eight narrow Gaussians on a circle, weights 1/36 to 8/36."""
    return exact.gaussian_mixture(*toys.ring8())


def tilted():
    """Three full covariances in the plane; the first two share a class."""
    return exact.gaussian_mixture(
        [0.5, 0.2, 0.3],
        [[-1.0, 0.5], [1.0, 1.0], [0.3, -1.2]],
        [[[0.3, 0.2], [0.2, 0.25]], [[0.1, -0.05], [-0.05, 0.2]], [[0.4, 0.0], [0.0, 0.02]]],
        labels=[0, 0, 1],
    )


def hermite(count):
    """Nodes and weights of the expectation over N(0, 1), exact for polynomials of degree 2 count - 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()

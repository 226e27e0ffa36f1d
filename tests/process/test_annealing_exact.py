"""Choosing levels and steps: NCSN v2's published numbers, and the formulas against what they stand for."""

import math

import jax
import numpy as np
import pytest
from scipy import stats

from diffjax import exact, samplers
from diffjax.process import annealing, schedules

# data set: sigma_max, levels, T, epsilon, D; all end at 0.01 (Song & Ermon 2020, app. B and their configs)
PUBLISHED = {
    "cifar10": (50, 232, 5, 6.2e-6, 3 * 32**2),
    "celeba": (90, 500, 5, 3.3e-6, 3 * 64**2),
    "bedroom": (190, 1086, 3, 1.8e-6, 3 * 128**2),
    "ffhq": (348, 2311, 3, 0.9e-6, 3 * 256**2),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_levels_and_steps(name):
    sigma_max, count, num_steps, epsilon, dim = PUBLISHED[name]
    assert annealing.num_levels(sigma_max, 0.01, dim) == count
    ours = annealing.step_size(sigma_max, 0.01, count, num_steps)
    assert round(ours * 1e6, 1) == round(epsilon * 1e6, 1)  # the digits that are printed
    levels = schedules.geometric(sigma_max, 0.01, count)
    np.testing.assert_allclose(levels.sigma[2] / levels.sigma[1], annealing.level_ratio(dim), rtol=2e-4)


@pytest.mark.parametrize("ratio", [1.0, 1.02, 1.0376, 1.1])
def test_overlap_is_that_of_the_radii(ratio):
    """The radius of N(0, I) lies within 3 sd of that of N(0, gamma^2 I); exact radii are chi distributed."""
    dim = 3072
    ring = ratio * (np.sqrt(dim) + 3 / np.sqrt(2) * np.array([-1, 1]))
    exact = np.diff(stats.chi(dim).cdf(ring))[0]
    np.testing.assert_allclose(annealing.overlap(ratio, dim), exact, atol=0.01)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_ratio_solves_for_the_share(share):
    for dim in (20, 64, 3072):
        np.testing.assert_allclose(
            annealing.overlap(annealing.level_ratio(dim, share), dim), share, rtol=1e-12
        )


def test_half_overlap_is_where_the_ring_ends_at_the_shell():
    """Phi(0) = 1/2: sqrt(2 D) (gamma - 1) = 3 gamma, up to the far side's 1e-9."""
    dim = 3072
    np.testing.assert_allclose(annealing.level_ratio(dim, 0.5), 1 / (1 - 3 / math.sqrt(2 * dim)), rtol=1e-9)


@pytest.mark.parametrize(("step", "ratio", "num_steps"), [(0.062, 1.0376, 5), (0.5, 2.0, 3), (1.5, 1.2, 7)])
def test_variance_ratio_is_the_recursion_of_the_steps(step, ratio, num_steps):
    variance = ratio**2
    for _ in range(num_steps):
        variance = (1 - step) ** 2 * variance + 2 * step
    np.testing.assert_allclose(annealing.variance_ratio(step, ratio, num_steps), variance, rtol=1e-12)


def test_twice_epsilon_is_the_step_size_of_annealed_langevin():
    """Data at a point, start at the level above: the sampler's spread after one level is `variance_ratio`."""
    levels, num_steps, n = schedules.geometric(3.0, 0.1, 8), 4, 20_000
    epsilon = annealing.step_size(3.0, 0.1, 8, num_steps)
    ratio = levels.sigma[-1] / levels.sigma[-2]
    solver = samplers.annealed_langevin(step_size=2 * epsilon, steps=num_steps)
    point = exact.gaussian_mixture([1.0], [[0.0]], [0.0]).denoiser()
    x = ratio * 3.0 * jax.random.normal(jax.random.key(0), (n, 1))
    rows = samplers.plan(levels, solver, np.arange(8, 0, -1))
    one_level = rows._replace(
        steps=jax.tree.map(lambda a: a[:1], rows.steps)
    )  # its step is of the whole grid
    x = samplers.walk(jax.random.key(1), point, solver, one_level, x)
    # the grid ends at level 1, so its finest level is the second: steps are in units of that one's sigma
    expected = annealing.variance_ratio(epsilon / levels.sigma[2] ** 2, ratio, num_steps)
    assert abs(x.var() / 9.0 / expected - 1) < 4 * np.sqrt(2 / n)


def test_step_size_is_the_best_of_all():
    steps = np.linspace(1e-4, 1.9, 20001)
    for sigma_max, count, num_steps in ((50, 232, 5), (3, 10, 100), (2, 4, 2)):
        found = annealing.step_size(sigma_max, 0.1, count, num_steps) / 0.01
        ratio = (sigma_max / 0.1) ** (1 / (count - 1))
        best = steps[annealing.variance_ratio(steps, ratio, num_steps).argmin()]
        assert abs(found - best) < 1e-4
    # one step: (1 - q)^2 gamma^2 + 2 q is least at q = 1 - 1 / gamma^2
    np.testing.assert_allclose(annealing.step_size(3.0, 1.0, 2, 1), 1 - 1 / 9, rtol=1e-6)


def test_largest_distance():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(53, 3, 2)) + 1000
    pairs = x[:, None] - x[None]
    expected = np.sqrt((pairs**2).sum((2, 3)).max())
    np.testing.assert_allclose(annealing.largest_distance(x, batch=10), expected, rtol=1e-9)
    assert annealing.largest_distance(x[:1]) == 0


def test_refusals():
    with pytest.raises(ValueError, match="needs 0 < sigma_min < sigma_max < inf, got 2 and 1"):
        annealing.num_levels(1.0, 2.0, 10)
    with pytest.raises(ValueError, match=r"share must be above 0 and below 0\.9973, got 1"):
        annealing.level_ratio(10, 1.0)
    with pytest.raises(ValueError, match="dim must be at least 5"):
        annealing.level_ratio(2)
    with pytest.raises(ValueError, match="num_levels must be >= 2"):
        annealing.step_size(2.0, 1.0, 1, 5)

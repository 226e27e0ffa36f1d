"""Langevin dynamics of one energy: its known stationary variance, temperature, and clipping."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import samplers

N = 20_000
UNIT = lambda x, t, cond: -x


@pytest.mark.parametrize("step_size", [0.05, 0.2, 0.5])
def test_stationary_variance_on_the_unit_normal(step_size):
    """x <- x - h x + sqrt(2h) z is stationary at variance 1 / (1 - h / 2)."""
    x = jnp.sqrt(1 / (1 - step_size / 2)) * jax.random.normal(jax.random.key(0), (N, 1))
    x = samplers.short_run(jax.random.key(1), UNIT, x, num_steps=20, step_size=step_size)
    assert abs(x.var() * (1 - step_size / 2) - 1) < 4 * np.sqrt(2 / N)
    assert abs(x.mean()) < 4.5 / np.sqrt(N)


def test_moments_after_k_steps():
    """From a point: mean (1 - h)^k, variance r^2 (1 - (1 - h)^2k) / (1 - (1 - h)^2) with noise of std r."""
    h, r, k = 0.1, 0.02, 7
    x = samplers.short_run(jax.random.key(2), UNIT, jnp.ones((N, 1)), num_steps=k, step_size=h, noise_std=r)
    variance = r**2 * (1 - (1 - h) ** (2 * k)) / (1 - (1 - h) ** 2)
    assert abs(x.mean() - (1 - h) ** k) < 4.5 * np.sqrt(variance / N)
    assert abs(x.var() / variance - 1) < 4 * np.sqrt(2 / N)


def test_less_noise_is_a_colder_energy():
    """noise_std r: stationary at variance r^2 / (2h) to first order, as under 2h / r^2 times the energy."""
    h, r = 0.02, 0.1
    x = 0.5 * jax.random.normal(jax.random.key(0), (N, 1))
    x = samplers.short_run(jax.random.key(1), UNIT, x, num_steps=200, step_size=h, noise_std=r)
    assert abs(x.var() / (r**2 / (2 * h - h**2)) - 1) < 4 * np.sqrt(2 / N)


def test_a_chain_depends_on_its_own_key_alone():
    x = jax.random.normal(jax.random.key(0), (4, 2, 2, 1))
    run = lambda key, x: samplers.short_run(key, UNIT, x, num_steps=3, step_size=0.1)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(5), jnp.arange(4))
    np.testing.assert_array_equal(run(jax.random.key(5), x), run(keys, x))
    np.testing.assert_allclose(run(keys[2:], x[2:]), run(keys, x)[2:], rtol=1e-6)


def test_score_and_box_are_clipped():
    x = jnp.array([[0.9, -5.0]])
    step = lambda **options: samplers.short_run(
        jax.random.key(0), lambda x, t, cond: -10 * x, x, num_steps=1, step_size=0.1, noise_std=0.0, **options
    )
    np.testing.assert_allclose(step(max_score=1.0), [[0.8, -4.9]], rtol=1e-6)
    np.testing.assert_allclose(step(max_score=1.0, box=(-1.0, 0.5)), [[0.5, -1.0]], rtol=1e-6)
    np.testing.assert_allclose(step(), [[0.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_size": 0.0}, "^step_size must be positive and finite, got 0.0$"),
        ({"step_size": np.inf}, "step_size must be a finite number, got inf$"),
        ({"num_steps": 0}, "^num_steps must be a positive integer, got 0$"),
        ({"noise_std": -1.0}, "^noise_std must be finite and at least 0, got -1.0$"),
        ({"max_score": 0.0}, "^max_score must be positive, or None for no clipping; got 0.0$"),
        ({"box": (1.0, -1.0)}, r"^box must be \(lo, hi\) with lo < hi, got \(1.0, -1.0\)$"),
        ({"network": lambda x, t, cond: x[:, :1]}, r"score must be shaped like x, \[2, 3\]; got \[2, 1\]"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        samplers.short_run(
            jax.random.key(0), x=jnp.ones((2, 3)),
            **{"network": UNIT, "num_steps": 1, "step_size": 0.1} | options,
        )  # fmt: skip


def test_times_and_conditions_reach_the_network():
    seen = lambda x, t, cond: (t + cond)[:, None] * jnp.ones_like(x)
    x = samplers.short_run(
        jax.random.key(0), seen, jnp.zeros((2, 1)), num_steps=2, step_size=1.0, noise_std=0.0, t=3.0,
        cond=jnp.array([1.0, 2.0]),
    )  # fmt: skip
    np.testing.assert_allclose(x, [[8.0], [10.0]])

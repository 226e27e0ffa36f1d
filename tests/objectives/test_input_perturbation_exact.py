"""What DDPM-IP learns: the closed-form optimum on a mixture."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax import objectives
from diffjax.process import schedules


@pytest.mark.parametrize("gamma", [0.0, 0.3])
@pytest.mark.parametrize("n", [100, 600])
def test_the_optimum_is_that_of_a_noisier_level(n, gamma):
    """eps* = (x_t - alpha D(x_t; alpha, sigma s)) / (sigma s^2), s^2 = 1 + gamma^2."""
    mixture, level = mixtures.ring8(), schedules.linear_beta(1000)(n)
    noisier = level._replace(sigma=level.sigma * np.sqrt(1 + gamma**2))

    def optimum(x_t, t, cond):
        denoised = mixture.predict(x_t, noisier).x0
        return (x_t - level.alpha * denoised) / (level.sigma * (1 + gamma**2))

    keys = jax.random.split(jax.random.key(n), 3)
    x0 = mixture.sample(keys[0], 100_000)
    eps, xi = (jax.random.normal(key, x0.shape) for key in keys[1:])
    x_t = objectives.perturbed_input(x0, eps, level, xi, gamma)
    residual = eps - optimum(x_t, None, None)
    # the optimum's residual is orthogonal to every function of the input
    for function in (jnp.ones_like, lambda x: x, jnp.sin, lambda x: x**2, lambda x: x[:, ::-1] * x):
        product = residual * function(x_t)
        error = product.std(0) / np.sqrt(len(x0))
        assert (jnp.abs(product.mean(0)) < 4 * error).all()
    loss, _ = objectives.denoising(optimum, x0, eps, level, x_t=x_t)
    for factor in (0.97, 1.03):
        worse, _ = objectives.denoising(lambda *a: factor * optimum(*a), x0, eps, level, x_t=x_t)  # noqa: B023
        assert worse.mean() > loss.mean()
    if gamma:  # an accurate network that was trained on clean inputs is not the optimum here
        clean, _ = objectives.denoising(
            lambda x, t, c: mixture.predict(x, level).eps, x0, eps, level, x_t=x_t
        )
        assert clean.mean() > loss.mean()

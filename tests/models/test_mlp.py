"""The MLP: its sizes, what its first layer sees, and that it learns a known optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diffjax.models import MLP, Labelled

X = np.random.default_rng(0).standard_normal((3, 2)).astype("f")
T = np.array([0.1, 0.5, 0.9], "f")


@pytest.mark.parametrize("out_features, expected", [(None, 2), (4, 4)])
def test_output_has_the_size_asked_for(out_features, expected):
    net = MLP(8, 2, out_features)
    out, variables = net.init_with_output(jax.random.key(0), X, T)
    assert out.shape == (3, expected) and out.dtype == jnp.float32
    np.testing.assert_allclose(jax.jit(net.apply)(variables, X, T), out, rtol=1e-5, atol=1e-6)


def test_a_classifier_of_images_gives_numbers_for_the_whole():
    images, net = np.zeros((3, 4, 4, 1), "f"), MLP(8, 1, 5, whole=True)
    assert jax.eval_shape(net.init_with_output, jax.random.key(0), images, T)[0].shape == (3, 5)


@pytest.mark.parametrize(
    "net, args, message",
    [
        (MLP(), (X[:, 0], T), r"x must be a float array \[batch, \*space, features\], got .*float32\[3\]"),
        (MLP(depth=0), (X, T), "depth must be a positive integer, got 0"),
    ],
)
def test_bad_input_is_named(net, args, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(net.init, jax.random.key(0), *args)


@pytest.mark.slow
def test_learns_the_optimal_noise_prediction_of_two_gaussians():
    # Class c is N(m_c, 0.5^2 I) and x_t = x_0 + t eps, so E[eps | x_t] = t (x_t - m_c) / (0.25 + t^2).
    means = jnp.array([[1.0, -1.0], [-0.5, 2.0]])
    net, optimizer = Labelled(MLP(64, 3), num_classes=2), optax.adam(optax.cosine_decay_schedule(5e-3, 600))

    def batch(key):
        label_key, time_key, data_key, noise_key = jax.random.split(key, 4)
        label = jax.random.randint(label_key, (256,), 0, 2)
        t = jax.random.uniform(time_key, (256,), minval=0.1, maxval=2.0)
        eps = jax.random.normal(noise_key, (256, 2))
        x0 = means[label] + 0.5 * jax.random.normal(data_key, (256, 2))
        return x0 + t[:, None] * eps, t, label, eps

    def loss(variables, x, t, label, eps):
        return jnp.mean((net.apply(variables, x, t, label) - eps) ** 2)

    @jax.jit
    def train(variables, keys):
        def step(state, key):
            variables, moments = state
            updates, moments = optimizer.update(jax.grad(loss)(variables, *batch(key)), moments)
            return (optax.apply_updates(variables, updates), moments), None

        return jax.lax.scan(step, (variables, optimizer.init(variables)), keys)[0][0]

    x, t, label, _ = batch(jax.random.key(2))
    variables = train(net.init(jax.random.key(0), x, t, label), jax.random.split(jax.random.key(1), 600))
    optimum = t[:, None] * (x - means[label]) / (0.25 + t[:, None] ** 2)
    error = jnp.mean((net.apply(variables, x, t, label) - optimum) ** 2) / jnp.mean(optimum**2)
    assert error < 0.02


def test_frequencies_are_sines_and_cosines_beside_the_points():
    """The first layer sees [x, sin(pi 2^k x), cos(pi 2^k x)], k = -1, 0: read off through its kernel."""
    module = MLP(width=10, depth=1, frequencies=2)
    x, t = jnp.array([[0.3, -0.7]]), jnp.ones(1)
    variables = module.init(jax.random.key(0), x, t)
    params = jax.tree.map(jnp.zeros_like, variables["params"])
    assert params["hidden_0"]["kernel"].shape == (10, 10)
    params["hidden_0"]["kernel"] = jnp.eye(10)
    params["hidden_0"]["bias"] = jnp.full(10, 20.0)  # silu is the identity there
    params["out"]["kernel"] = jnp.ones((10, 2))
    phase = np.outer([0.3, -0.7], np.pi * np.array([0.5, 1.0])).ravel()
    expected = 0.3 - 0.7 + np.sin(phase).sum() + np.cos(phase).sum() + 10 * 20.0
    np.testing.assert_allclose(module.apply({"params": params}, x, t), expected, rtol=1e-5)


def test_images_are_points_of_another_shape():
    images = jax.random.normal(jax.random.key(3), (5, 2, 3, 1))
    net, t = MLP(width=8, depth=1), jnp.ones(5)
    params = net.init(jax.random.key(0), images, t)
    flat = net.apply(params, images.reshape(5, 6), t)
    np.testing.assert_array_equal(net.apply(params, images, t), flat.reshape(images.shape))
    assert MLP(width=8, depth=1, out_features=2).init_with_output(jax.random.key(0), images, t)[0].shape == (
        5,
        2,
        3,
        2,
    )

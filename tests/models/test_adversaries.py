"""The networks of two players: shapes, what a condition changes, and how steep spectral norm lets them be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.models import adversaries
from diffjax.models.conditions import Condition

IMAGE, B = (8, 4, 1), 3
GENERATORS = {
    "points": adversaries.MLPGenerator((2,), latent=3, width=8, depth=1),
    "small images": adversaries.MLPGenerator(IMAGE, latent=3, width=8, depth=1, bounded=True),
    "images": adversaries.ConvGenerator(IMAGE, latent=3, features=2, doublings=2),
    "images without norm": adversaries.ConvGenerator(IMAGE, latent=3, features=2, batch_norm=False),
}
DISCRIMINATORS = {
    "points": (adversaries.MLPDiscriminator(8, 1), (2,)),
    "normed points": (adversaries.MLPDiscriminator(8, 2, spectral_norm=True), (2,)),
    "images": (adversaries.ConvDiscriminator(2), IMAGE),
    "normed images": (adversaries.ConvDiscriminator(2, spectral_norm=True), IMAGE),
}
KEY = jax.random.key(0)


def _conditions(module):
    vector = jax.random.normal(KEY, (B, module.vector_features))
    return None, Condition(vector=vector), Condition(vector=vector + 1)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_makes_what_it_says_and_hears_its_condition(name):
    module, z = GENERATORS[name], 3 * jax.random.normal(KEY, (B, 3))
    none, one, other = _conditions(module)
    assert jax.eval_shape(module.init_with_output, KEY, z, none)[0].shape == (B, *module.shape)
    variables, apply = jax.jit(module.init)(KEY, z, one), jax.jit(module.apply)
    made, apart = apply(variables, z, one), apply(variables, z, other)
    assert made.shape == (B, *module.shape) and np.abs(made - apart).max() > 1e-4
    assert not module.bounded or np.abs(made).max() <= 1
    assert ("batch_stats" in variables) == getattr(module, "batch_norm", False)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_discriminator_gives_a_number_a_row_and_projects_its_condition(name):
    """The number is linear in the vector: the middle of two conditions gives the middle of two numbers."""
    (module, shape), (none, one, other) = DISCRIMINATORS[name], _conditions(DISCRIMINATORS[name][0])
    x = jax.random.normal(KEY, (B, *shape))
    variables = jax.jit(module.init)(KEY, x, none)  # a projection has no parameters of its own
    ask = jax.jit(lambda x, cond: module.apply(variables, x, cond))
    plain, first, second = ask(x, none), ask(x, one), ask(x, other)
    assert plain.shape == (B,) and np.abs(first - plain).max() > 1e-4
    middle = ask(x, Condition(vector=0.5 * (one.vector + other.vector)))
    np.testing.assert_allclose(middle, 0.5 * (first + second), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ask(x, Condition(vector=0 * one.vector)), plain, rtol=1e-5)
    moved = x.at[1].add(1)
    np.testing.assert_allclose(ask(moved, one)[::2], first[::2], rtol=1e-5)  # its own row alone


def test_the_power_iteration_goes_on_in_training_alone_and_finds_the_norm_of_every_layer():
    """Then no slope is steeper than 1: each layer has largest singular value 1, and leaks are flatter."""
    module, x = adversaries.MLPDiscriminator(8, 2, spectral_norm=True), jax.random.normal(KEY, (64, 2))
    variables = jax.jit(module.init)(KEY, x)
    params, state = variables["params"], {"batch_stats": variables["batch_stats"]}
    train = jax.jit(
        lambda s: module.apply({"params": params, **s}, x, train=True, mutable=["batch_stats"])[1]
    )
    for _ in range(200):
        state = train(state)
    exact = {name: np.linalg.norm(layer["kernel"], 2) for name, layer in params.items()}
    leaves = {path[-1].key: value for path, value in jax.tree.leaves_with_path(state)}
    found = {name.split("/")[0]: value for name, value in leaves.items() if "sigma" in name}
    assert found.keys() == exact.keys()
    for name, sigma in exact.items():
        np.testing.assert_allclose(found[name], sigma, rtol=1e-4)
    slope = jax.jit(jax.grad(lambda x: module.apply({"params": params, **state}, x).sum()))(x)
    assert 0.01 < np.linalg.norm(slope, axis=1).max() <= 1 + 1e-4


Conv, Dense = adversaries.ConvGenerator, adversaries.MLPGenerator
WRONG = [
    (Conv((6, 6, 1), 3, 2, doublings=2), "height and width must be divisible by 4"),
    (Conv((2,), 3), r"shape: must be images \(H, W, C\) of at least 2 x 2; got shape"),
    (Conv(IMAGE, 3, doublings=-1), "doublings must be an integer of at least 0, got -1"),
    (Dense((2,), 4), r"z: must have shape \(3, 4\); got \(3, 3\)"),
    (Dense((2,), 3, width=0), "width must be a positive integer, got 0"),
    (adversaries.MLPDiscriminator(depth=0), "depth must be a positive integer, got 0"),
    (adversaries.ConvDiscriminator(features=0), "x must be a float array"),
]


@pytest.mark.parametrize(("module", "message"), WRONG)
@pytest.mark.unchecked
def test_what_does_not_fit_is_named(module, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(module.init, KEY, jnp.zeros((B, 3)))

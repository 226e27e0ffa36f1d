"""The convolutional energy: one number an image, whose slope every parameter bends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.models import ConvEnergy

X = np.random.default_rng(0).standard_normal((3, 8, 8, 1)).astype("f")
T = np.ones(3, "f")


@pytest.mark.parametrize("size", [(8, 8, 1), (28, 28, 1), (7, 5, 3)])
def test_one_number_an_image(size):
    out, _ = jax.eval_shape(ConvEnergy(4).init_with_output, jax.random.key(0), np.zeros((3, *size), "f"), T)
    assert out.shape == (3,) and out.dtype == jnp.float32


def test_every_parameter_bends_the_score():
    """d |grad E|^2 / d theta is not 0, but for the output's bias: only differences of energies count."""
    net = ConvEnergy(2)
    variables = jax.jit(net.init)(jax.random.key(0), X, T)

    def bend(variables):
        return (jax.grad(lambda x: net.apply(variables, x, T).sum())(X) ** 2).sum()

    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(bend))(variables)):
        name = jax.tree_util.keystr(path)
        assert np.abs(leaf).max() > 0 or "['out']['bias']" in name, name

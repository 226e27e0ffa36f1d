"""The convolutional energy: one number an image, smooth, conditioned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.models import ConvEnergy

X = np.random.default_rng(0).standard_normal((3, 8, 8, 1)).astype("f")
T, LABELS, MIDDLE = np.ones(3, "f"), np.array([0, 1, 2]), np.array([0, 1, 0])


@pytest.mark.parametrize("size", [(8, 8, 1), (28, 28, 1), (7, 5, 3)])
def test_one_number_an_image(size):
    out, _ = jax.eval_shape(ConvEnergy(4).init_with_output, jax.random.key(0), np.zeros((3, *size), "f"), T)
    assert out.shape == (3,) and out.dtype == jnp.float32


def test_image_time_and_label_matter_for_their_own_sample_only():
    net = ConvEnergy(4, num_classes=3)
    out, variables = net.init_with_output(jax.random.key(0), X, T, LABELS)
    for args in (
        (X + MIDDLE[:, None, None, None], T, LABELS),
        (X, T + MIDDLE, LABELS),
        (X, T, LABELS + MIDDLE),
    ):
        same = np.isclose(net.apply(variables, *args), out, rtol=0, atol=1e-6)
        assert same.tolist() == [True, False, True]


def test_every_parameter_bends_the_score():
    """d |grad E|^2 / d theta is not 0, but for the output's bias: only differences of energies count."""
    net = ConvEnergy(2)
    variables = net.init(jax.random.key(0), X, T)

    def bend(variables):
        return (jax.grad(lambda x: net.apply(variables, x, T).sum())(X) ** 2).sum()

    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(bend))(variables)):
        name = jax.tree_util.keystr(path)
        assert np.abs(leaf).max() > 0 or "['out']['bias']" in name, name


def test_points_are_refused():
    with pytest.raises(ValueError, match="x: must be images"):
        jax.eval_shape(ConvEnergy(4).init, jax.random.key(0), X[:, 0, 0], T)

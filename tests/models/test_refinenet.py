"""NCSN's networks: shapes, what they see, and the normalisation's formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.models import Condition, RefineNet
from diffjax.models.refinenet import InstanceNormPlus

RNG = np.random.default_rng(0)
MIDDLE = np.array([0, 1, 0], "f")


def _images(size, channels=1):
    return RNG.standard_normal((3, *size, channels)).astype("f")


@pytest.mark.parametrize(
    ("size", "dilations", "channels"), [((28, 28), (2, 4), 1), ((8, 8), (2,), 1), ((8, 12), (), 3)]
)
@pytest.mark.parametrize("num_levels", [None, 5])
def test_output_has_the_shape_of_the_input(size, dilations, channels, num_levels):
    net = RefineNet(4, dilations, num_levels)
    x, t = _images(size, channels), np.array([1.0, 3.0, 5.0], "f")
    out, variables = jax.eval_shape(net.init_with_output, jax.random.key(0), x, t)
    assert out.shape == x.shape and out.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    wide = RefineNet(4, dilations, num_levels, out_channels=7)
    assert jax.eval_shape(wide.init_with_output, jax.random.key(0), x, t)[0].shape == (*x.shape[:3], 7)


X, T = _images((8, 8)), np.array([1.0, 2.0, 3.0], "f")


def _same(net, args, others):
    """Which samples' outputs stay as they are when arguments change."""
    out, variables = net.init_with_output(jax.random.key(0), *args)
    found = [net.apply(variables, *other) for other in others]
    return [np.isclose(each, out, atol=1e-6).all((1, 2, 3)).tolist() for each in found], found


@pytest.mark.slow
def test_version_1_sees_the_level_of_its_own_sample_only():
    others = [(X, T + MIDDLE), (X + MIDDLE[:, None, None, None], T)]
    others += [(X, np.array([1.0, outside, 3.0], "f")) for outside in (0.0, 4.0)]
    same, found = _same(RefineNet(2, (), num_levels=3), (X, T), others)
    assert same == [[True, False, True]] * 4
    for outside in found[2:]:
        assert np.isnan(outside).all((1, 2, 3)).tolist() == [False, True, False]


def test_version_2_sees_no_time():
    same, _ = _same(RefineNet(2, (2,)), (X, T), [(X, 100 + T), (X + MIDDLE[:, None, None, None], T)])
    assert same == [[True] * 3, [True, False, True]]


@pytest.mark.slow
def test_every_parameter_is_used():
    net = RefineNet(2, (2,), num_levels=3)
    variables = net.init(jax.random.key(0), X, T)
    grads = jax.grad(lambda v: (net.apply(v, X, T) ** 2).sum())(variables)
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        assert np.abs(leaf).max() > 0, jax.tree_util.keystr(path)


def test_the_size_of_the_paper():
    """Version 2 at 32 x 32 as ermongroup/ncsnv2 has it: 29,694,083 parameters, counted layer by layer."""
    x = np.zeros((1, 32, 32, 3), "f")
    variables = jax.eval_shape(RefineNet().init, jax.random.key(0), x, np.ones(1, "f"))
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(variables)) == 29_694_083


def test_the_normalisation_is_its_formula():
    x = (3 * RNG.standard_normal((3, 5, 4, 6)) + np.arange(6)).astype("f")
    level = np.array([1, 0, 1])
    norm = InstanceNormPlus(num_levels=2)
    params = {name: RNG.standard_normal((2, 6)).astype("f") for name in ("gamma", "beta", "alpha")}
    ours = norm.apply({"params": params}, x, level)
    mu, s = x.mean((1, 2)), x.std((1, 2))
    m, v = mu.mean(1, keepdims=True), mu.std(1, keepdims=True)
    for i, each in enumerate(level):
        gamma, beta, alpha = (params[name][each] for name in ("gamma", "beta", "alpha"))
        theirs = gamma * (x[i] - mu[i]) / s[i] + beta + alpha * (mu[i] - m[i]) / v[i]
        np.testing.assert_allclose(ours[i], theirs, atol=1e-4)
    same = InstanceNormPlus().apply({"params": {k: p[1] for k, p in params.items()}}, x, None)
    np.testing.assert_allclose(same[0], ours[0], atol=1e-6)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((X[:, :7], T), "x: height and width must be divisible by 2; got 7x8"),
        ((X, T, Condition(vector=X[:, 0, :, 0])), r"cond.vector: must be None, .* got shape \(3, 8\)"),
        ((X, T, Condition(map=X)), r"cond.map: must be None, .* got shape \(3, 8, 8, 1\)"),
    ],
)
def test_bad_input_is_named(args, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(RefineNet(4).init, jax.random.key(0), *args)

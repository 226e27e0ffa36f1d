"""A flow is invertible, and its log-determinant is that of its Jacobian (float64, brute force)."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from diffjax.models import bijections
from diffjax.models.flow import Flow

FLOWS = {
    "affine": Flow((3,), 3, coupling="affine", features=8),
    "mixture": Flow((3,), 2, coupling="mixture", features=8, components=3),
    "spline": Flow((2,), 2, coupling="spline", features=8, components=5),
    "one number": Flow((1,), 2, coupling="spline", features=8, components=5),
    "images": Flow((4, 4, 1), 1, 2, "mixture", 8, components=2, attention=True, ends=(-1.1, 1.1)),
}


@cache
def _made(name):
    """A flow whose parameters are moved from their start, and x within its ends; both in float32."""
    module = FLOWS[name]
    x = np.random.default_rng(0).uniform(-1, 1, (6, *module.shape)).astype("f")
    with jax.enable_x64(False):
        params = jax.jit(module.init)(jax.random.key(0), x)
    move = lambda p: (p + 0.1 * np.random.default_rng(p.size).standard_normal(p.shape)).astype("f")
    return module, jax.tree.map(move, params), x


def _double(name):
    module, *rest = _made(name)
    return module, *jax.tree.map(np.float64, rest)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "images")) for name in FLOWS]
)
def test_the_inverse_and_the_log_determinant(x64, name):
    module, params, x = _double(name)
    z, log_det = jax.jit(module.apply)(params, x)
    assert [each.shape[1:] for each in z] == list(map(tuple, module.noise_shapes))
    back = jax.jit(lambda p, z: module.apply(p, z, method="inverse"))(params, z)
    np.testing.assert_allclose(back, x, atol=1e-9)

    def flat(row):
        return jnp.concatenate(
            [each.ravel() for each in module.apply(params, row.reshape(1, *module.shape))[0]]
        )

    jacobian = jax.jit(jax.vmap(jax.jacfwd(flat)))(x.reshape(6, -1)[:2])
    np.testing.assert_allclose(log_det[:2], np.linalg.slogdet(jacobian)[1], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "error"), [*zip(["affine", "mixture", "spline"], [1e-5] * 3), ("images", 1e-4)]
)
def test_the_inverse_in_float32(name, error):
    """To 1e-4 of images, where logits and more couplings amplify the rounding of what came out."""
    module, params, x = _made(name)
    there_and_back = lambda p, x: module.apply(p, module.apply(p, x)[0], method="inverse")
    np.testing.assert_allclose(jax.jit(there_and_back)(params, x), x, atol=error)


def test_a_density_of_one_number_integrates_to_one(x64):
    module, params, _ = _double("one number")
    x = np.linspace(-40, 40, 200_001)[:, None]
    (z,), log_det = jax.jit(module.apply)(params, x)
    density = np.exp(stats.norm.logpdf(z[:, 0]) + log_det)
    np.testing.assert_allclose(np.trapezoid(density, x[:, 0]), 1, rtol=1e-6)


def test_the_first_batch_has_mean_0_and_variance_1():
    module = Flow((3,), 1, coupling="affine")
    x = 5 + 3 * jax.random.normal(jax.random.key(1), (4000, 3))
    start = jax.jit(lambda x: module.apply(module.init(jax.random.key(0), x), x))
    (z,), _ = start(x)  # mixed by a rotation, kept by the coupling
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(z.var(0), 1, atol=0.1)


def test_a_mixture_of_one_is_a_line(x64):
    x, of = jnp.linspace(-50, 50, 11), lambda a: jnp.full((11, 1), a)
    y, log_slope = bijections.mixture_logit(x, of(0.3), of(2.0), of(np.log(0.5)))
    np.testing.assert_allclose(y, (x - 2) / 0.5, rtol=1e-12)
    np.testing.assert_allclose(log_slope, np.log(2), rtol=1e-12)


def test_a_mixture_is_scipys_distribution(x64):
    x, weights, means, scales = np.linspace(-9, 9, 41), np.array([0.2, 0.8]), [-3.0, 1.0], [0.3, 1.2]
    cdf = sum(w * stats.logistic(m, s).cdf(x) for w, m, s in zip(weights, means, scales))
    told = [np.broadcast_to(np.array(a), (41, 2)) for a in (np.log(weights), means, np.log(scales))]
    y, log_slope = jax.jit(bijections.mixture_logit)(x, *told)
    np.testing.assert_allclose(jax.nn.sigmoid(y), cdf, rtol=1e-9)
    one = lambda x: bijections.mixture_logit(x, *(a[0] for a in told))[0]
    slope = jax.jit(jax.vmap(jax.grad(one)))(x)
    np.testing.assert_allclose(jnp.exp(log_slope), slope, rtol=1e-9)
    np.testing.assert_allclose(jax.jit(bijections.mixture_logit_inverse)(y, *told), x, atol=1e-12)


def test_a_spline_goes_through_its_knots_and_is_the_identity_outside(x64):
    rng = np.random.default_rng(0)
    widths, heights, slopes = [*rng.normal(size=(2, 6)).tolist(), rng.normal(size=5).tolist()]
    told = lambda n: [np.broadcast_to(np.array(a), (n, len(a))) for a in (widths, heights, slopes)]
    share = lambda raw: 6 * np.cumsum(1e-3 + (1 - 6e-3) * np.exp(raw) / np.exp(raw).sum()) - 3
    knots = share(np.array(widths))
    spline = jax.jit(bijections.spline)
    x = np.linspace(-4, 4, 400)
    everywhere = spline(np.append(x, knots), *told(406))
    np.testing.assert_allclose(everywhere[0][400:], share(np.array(heights)), atol=1e-12)
    y, log_slope = (np.asarray(each)[:400] for each in everywhere)
    assert (np.diff(y) > 0).all()
    np.testing.assert_array_equal(y[np.abs(x) > 3], x[np.abs(x) > 3])
    one = lambda x: bijections.spline(x, *(a[0] for a in told(1)))[0]
    slope = jax.jit(jax.vmap(jax.grad(one)))(x)
    np.testing.assert_allclose(jnp.exp(log_slope), slope, rtol=1e-8)
    flat, _ = spline(np.append(x, knots), *np.zeros((2, 406, 6)), np.zeros((406, 5)))
    np.testing.assert_allclose(flat[:400], x, atol=1e-12)


def test_couplings_at_knots_and_far_out_in_float32():
    """Values, slopes and gradients are finite, and a step over a knot or an end is as small as its cause."""
    knots = np.array([-3.0000002, -3, -2.9999998, -1e-7, 0, 1e-7, 2.9999998, 3, 3.0000002], "f")
    told = [np.random.default_rng(n).standard_normal((9, n)).astype("f") for n in (5, 6, 7)]
    spline = lambda x: bijections.spline(x, told[1], told[1][::-1], told[0])
    far = np.array([-1e4, -200, -3, -1e-3, 0, 1e-3, 3, 200, 1e4], "f")
    mixture = lambda x: bijections.mixture_logit(x, told[0], 10 * told[0][::-1], 2 * told[0])
    found = {}
    for function, x in ((spline, knots), (mixture, far)):
        total = lambda x, function=function: (sum(each.sum() for each in function(x)), function(x))
        grads, (y, log_slope) = jax.jit(jax.grad(total, has_aux=True))(x)
        found[function] = np.asarray(y)
        assert all(np.isfinite(each).all() for each in (y, log_slope, grads))
        assert y.dtype == jnp.float32
    ends = found[spline][[0, 1, 2, 6, 7, 8]]
    np.testing.assert_allclose(ends, [-3] * 3 + [3] * 3, atol=1e-5)
    low, high = (bijections.squash(jnp.array(e), -1.0, 1.0, 0.05)[0] for e in (-1.0, 1.0))
    np.testing.assert_allclose([low, high], [np.log(0.05 / 0.95), np.log(0.95 / 0.05)], rtol=1e-5)


def test_squeezing_keeps_neighbours_together():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(bijections.squeeze(x)[0, 0, 0], [0, 1, 4, 5])
    np.testing.assert_array_equal(bijections.unsqueeze(bijections.squeeze(x)), x)

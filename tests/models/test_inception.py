"""The pieces of FID's InceptionV3 against their definitions; its numbers are in tests/evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.models import inception
from diffjax.models.inception import InceptionV3, resize_like_tf1


def resized(x, height, width):
    """TensorFlow 1's rule, one pixel at a time in double precision."""
    out = np.empty((height, width))
    for i, j in np.ndindex(height, width):
        v, u = i * x.shape[0] / height, j * x.shape[1] / width
        top, left = int(v), int(u)
        bottom, right = min(top + 1, x.shape[0] - 1), min(left + 1, x.shape[1] - 1)
        dv, du = v - top, u - left
        above = (1 - du) * x[top, left] + du * x[top, right]
        below = (1 - du) * x[bottom, left] + du * x[bottom, right]
        out[i, j] = (1 - dv) * above + dv * below
    return out


@pytest.mark.parametrize("old, new", [((8, 8), (29, 29)), ((5, 13), (17, 11)), ((31, 1), (13, 4))])
def test_resize_is_tensorflows_rule(old, new):
    x = np.random.default_rng(0).integers(0, 256, old).astype(np.float32)
    ours = resize_like_tf1(jnp.asarray(x)[None, :, :, None], *new)
    np.testing.assert_allclose(ours[0, :, :, 0], resized(x, *new), rtol=0, atol=2e-3)


def test_resize_to_the_same_size_and_to_a_multiple_keep_pixels():
    x = np.random.default_rng(0).random((2, 6, 9, 3), np.float32)
    np.testing.assert_array_equal(resize_like_tf1(x, 6, 9), x)
    np.testing.assert_array_equal(resize_like_tf1(x, 24, 36)[:, ::4, ::4], x)


def test_average_pooling_leaves_the_padding_out():
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    pooled = inception._average_pool_same(x)[0, :, :, 0]
    x = x[0, :, :, 0]
    expected = [[x[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean() for j in range(4)] for i in range(4)]
    np.testing.assert_allclose(pooled, expected, rtol=1e-6)


def test_shapes_and_number_of_parameters():
    """torchvision's network without its auxiliary head has 23,834,568; the last layer has 8 more classes."""
    image = jax.ShapeDtypeStruct((2, 32, 40, 3), jnp.uint8)
    outputs, variables = jax.eval_shape(InceptionV3().init_with_output, jax.random.key(0), image)
    assert [a.shape for a in outputs] == [(2, 2048), (2, 1008), (2, 1008)]
    assert all(a.dtype == jnp.float32 for a in outputs)
    assert sum(a.size for a in jax.tree.leaves(variables["params"])) == 23_834_568 + 8 * 2049


@pytest.mark.parametrize(
    "images", [np.zeros((1, 8, 8, 3), "f"), np.zeros((1, 8, 8, 1), "u1"), np.zeros((8, 8, 3), "u1")]
)
def test_what_did_not_go_through_8_bits_or_has_no_colours_is_refused(images):
    with pytest.raises(ValueError, match=r"images must be an? uint8 array \[batch, height, width, 3\], got"):
        jax.eval_shape(InceptionV3().init, jax.random.key(0), images)

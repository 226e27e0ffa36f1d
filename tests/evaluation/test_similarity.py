"""How alike two pictures are: closed forms."""

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.evaluation import similarity

X = jax.random.uniform(jax.random.key(0), (2, 16, 14, 3), minval=-1, maxval=1)


def test_psnr_of_a_shift_is_that_of_its_square():
    np.testing.assert_allclose(similarity.psnr(X, X + 0.02), 20 * np.log10(2 / 0.02), rtol=1e-4)
    np.testing.assert_allclose(similarity.psnr(X, X), 10 * np.log10(4 / 1e-10), rtol=1e-6)


def test_ssim_of_equal_flat_and_opposed_pictures():
    """1 for equal ones; of two flat ones a, b: (2ab + c) / (a^2 + b^2 + c); of x and its mirror in the mean
    the covariance turns its sign."""
    np.testing.assert_allclose(similarity.ssim(X, X), 1, atol=1e-5)
    a, b, c = 0.5, 1.5, (0.01 * 2) ** 2
    flat = lambda value: jnp.full((1, 12, 12, 1), value - 1.0)  # pixels begin at -1
    np.testing.assert_allclose(
        similarity.ssim(flat(a), flat(b)), (2 * a * b + c) / (a * a + b * b + c), rtol=1e-4
    )
    # stripes of two pixels of +-d around the same mean, in one whole window
    i = np.arange(8)
    d = np.where(i % 2, 0.3, -0.3)[None, :, None, None] * np.ones((1, 8, 8, 1))
    window = np.exp(-0.5 * ((i - 3.5) / 1.5) ** 2)
    window /= window.sum()
    mean = (window * d[0, :, 0, 0]).sum()
    s, c2 = (window * d[0, :, 0, 0] ** 2).sum() - mean**2, (0.03 * 2) ** 2
    mx, my = 1 + mean, 1 - mean
    expected = (2 * mx * my + c) * (-2 * s + c2) / ((mx**2 + my**2 + c) * (2 * s + c2))
    d = jnp.asarray(d, jnp.float32)
    np.testing.assert_allclose(similarity.ssim(d, -d), expected, rtol=1e-4)


def test_bicubic_keeps_flat_pictures_and_as_many_numbers():
    flat = jnp.full((1, 16, 12, 3), 0.25)
    np.testing.assert_allclose(similarity.bicubic(flat, 50), flat, atol=1e-5)
    np.testing.assert_allclose(similarity.bicubic(X, X[0].size), X, atol=1e-5)
    small = similarity.bicubic(X, 3)  # one pixel
    np.testing.assert_allclose(small, jnp.broadcast_to(small[:, :1, :1], X.shape), atol=1e-5)

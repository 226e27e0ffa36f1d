"""How images become squares of a size: halved, then filtered."""

import numpy as np
import pytest

from diffjax.data.squares import square

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(64, 64, 3), (64, 80, 1), (96, 64, 3)])
def test_halving_takes_means_of_two(shape):
    """Four times the size: two halvings of the middle, rows then columns; nothing left to filter."""
    pixels = RNG.integers(256, size=shape, dtype=np.uint8)
    top, left = (shape[0] - 64) // 2, (shape[1] - 64) // 2
    mean = pixels[top : top + 64, left : left + 64].astype(int)
    for _ in range(2):
        mean = (mean[:, ::2] + mean[:, 1::2] + 1) // 2  # halves are rounded up
        mean = (mean[::2] + mean[1::2] + 1) // 2
    np.testing.assert_array_equal(square(pixels, 16), mean)


def test_the_right_size_is_only_cut():
    pixels = RNG.integers(256, size=(8, 13, 3), dtype=np.uint8)
    np.testing.assert_array_equal(square(pixels, 8), pixels[:, 2:10])
    np.testing.assert_array_equal(square(pixels.swapaxes(0, 1), 8), pixels.swapaxes(0, 1)[2:10])


@pytest.mark.parametrize("size", [20, 50, 99, 128])
def test_a_ramp_stays_a_ramp(size):
    """A bicubic filter reproduces straight lines: a pixel is the value at its centre, but near the edges."""
    ramp = np.broadcast_to(np.arange(20, 20 + 2 * 80, 2, dtype=np.uint8), (80, 80))[..., None]
    found = square(ramp, size)[size // 2, :, 0].astype(float)
    centre = (np.arange(size) + 0.5) * 80 / size - 0.5
    halvings = int(np.log2(80 / size)) if size < 80 else 0
    inside = slice(size // 8, -(size // 8))
    assert np.abs(found - (20 + 2 * centre))[inside].max() <= 0.51 + 0.5 * halvings


def test_flat_images_stay_flat():
    for shape, size in (((37, 91), 16), ((5, 7), 12), ((300, 200), 64)):
        assert set(square(np.full((*shape, 3), 77, np.uint8), size).flat) == {77}

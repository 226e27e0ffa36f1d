"""The embeddings against the arrays that the published codes made, and against closed forms."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.models import fourier_features, octaves, sincos_2d, timestep_embedding

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "golden/embeddings.npz")
T = GOLDEN["t"]

SINUSOIDS = {
    "guided": {},
    "guided_maxperiod": {"max_period": 5000.0},
    "ldm_ddpm": {"order": "sin_cos", "shift": 1},
    "diffusers_flip0_shift0": {"order": "sin_cos", "shift": 0},
    "diffusers_flip0_shift1": {"order": "sin_cos", "shift": 1},
    "diffusers_flip1_shift0": {"order": "cos_sin", "shift": 0},
    "diffusers_flip1_shift1": {"order": "cos_sin", "shift": 1},
    "edm_positional_endpoint0": {"shift": 0},
    "edm_positional_endpoint1": {"shift": 1},
}
CASES = [(name, dim) for name in SINUSOIDS for dim in (8, 32, 33) if f"{name}_{dim}" in GOLDEN]


def test_every_golden_array_is_covered():
    names = {f"{name}_{dim}" for name, dim in CASES} | {"t", "_hyper_json"}
    names |= {f"edm_fourier_{part}{dim}" for part in ("", "freqs_") for dim in (8, 32)}
    names |= {"dit_sincos_16_grid4", "dit_sincos_32_grid3"}
    assert names == set(GOLDEN.files)


@pytest.mark.parametrize("name, dim", CASES)
def test_timestep_embedding_equals_published(name, dim):
    ours = timestep_embedding(T, dim, **SINUSOIDS[name])
    np.testing.assert_allclose(ours, GOLDEN[f"{name}_{dim}"], rtol=0, atol=2e-4)
    assert ours.dtype == jnp.float32


@pytest.mark.parametrize("dim", [8, 32])
def test_fourier_features_equal_published(dim):
    ours = fourier_features(0.01 * T, GOLDEN[f"edm_fourier_freqs_{dim}"])
    np.testing.assert_allclose(ours, GOLDEN[f"edm_fourier_{dim}"], rtol=0, atol=2e-4)


@pytest.mark.parametrize("dim, grid", [(16, 4), (32, 3)])
def test_sincos_2d_equals_published(dim, grid):
    ours = sincos_2d(dim, grid)
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, GOLDEN[f"dit_sincos_{dim}_grid{grid}"], rtol=1e-7, atol=1e-15)


def test_sincos_2d_of_a_rectangle_has_rows_first():
    table = sincos_2d(8, (2, 3)).reshape(2, 3, 8)
    np.testing.assert_array_equal(table[0, :, :4], table[1, :, :4])  # the column does not depend on the row
    np.testing.assert_allclose(table[1, :, 4], np.sin(1))
    np.testing.assert_allclose(table[:, 2, 0], np.sin(2))


def test_last_frequency_is_the_longest_period():
    embedding = timestep_embedding(np.array([70.0]), 6, max_period=100.0, order="sin_cos", shift=1)
    np.testing.assert_allclose(embedding[0, 2], np.sin(0.7), rtol=1e-6)


def test_integer_times_are_embedded_as_floats():
    ours = timestep_embedding(jnp.arange(4), 8)
    np.testing.assert_array_equal(ours, timestep_embedding(jnp.arange(4.0), 8))


def test_octaves_stand_beside_the_values():
    x = jnp.array([[[0.3, -0.7]]])
    expected = [0.3, -0.7]
    for wave in (np.sin, np.cos):
        expected += [wave(2.0**n * np.pi * value) for value in (0.3, -0.7) for n in (3, 4)]
    np.testing.assert_allclose(octaves(x, (3, 4)), np.array(expected).reshape(1, 1, 10), atol=1e-5)
    np.testing.assert_array_equal(octaves(x, 3), octaves(x, (-1, 0, 1)))
    for none in (0, ()):
        np.testing.assert_array_equal(octaves(x, none), x)


def test_values_on_a_grid_have_the_same_phase():
    """17 grey levels in [-1, 1]: at n = 4 each is at sin = 0, cos = 1."""
    waves = octaves(jnp.linspace(-1, 1, 17)[:, None], (4,))
    np.testing.assert_allclose(waves[:, 1:], np.tile([0.0, 1.0], (17, 1)), atol=1e-5)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: timestep_embedding(T, 1), "dim: must be at least 2"),
        (lambda: timestep_embedding(T, 2, shift=1), "shift: must be below dim // 2 = 1"),
        (lambda: timestep_embedding(T, 8, max_period=1.0), "max_period: must be above 1"),
        (lambda: timestep_embedding(T, 8, order="cos"), "order must be .*cos_sin.*, got 'cos'"),
        (lambda: fourier_features(T, np.ones(3), order="cos"), "order must be .*cos_sin.*, got 'cos'"),
        (lambda: octaves(T[:, None], -1), "frequencies: must be a number of octaves, .* got -1"),
        (lambda: octaves(T[:, None], (1.5,)), r"frequencies must be an integer .*, got \(1.5,\)"),
        (lambda: sincos_2d(6, 4), "dim: must be a positive multiple of 4"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()

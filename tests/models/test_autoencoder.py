"""The autoencoder's rounding, its gradients, and tables that are kept in use: closed forms and identities."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.models import quantiser
from diffjax.models.autoencoder import KLAutoencoder, VQAutoencoder
from diffjax.models.quantiser import Table

SMALL = {"channels": (8, 8), "num_res_blocks": 1, "num_groups": 4, "latent_channels": 2, "image_channels": 1}
X = np.random.default_rng(0).standard_normal((2, 4, 8, 1)).astype("f")
Z = jax.random.normal(jax.random.key(0), (3, 2, 4))
TABLE = jax.random.normal(jax.random.key(1), (5, 4))


@pytest.mark.parametrize("module", [KLAutoencoder(**SMALL), VQAutoencoder(**SMALL, codes=5)])
def test_rectangles_go_through_and_odd_sizes_are_refused(module):
    variables = jax.eval_shape(module.init, jax.random.key(0), X)
    code = jax.eval_shape(functools.partial(module.apply, method="encode"), variables, X)
    z = code[0] if isinstance(code, tuple) else code
    assert z.shape == (2, *module.latent_shape((4, 8, 1))) == (2, 2, 4, 2)
    assert jax.eval_shape(module.apply, variables, X).shape == X.shape
    with pytest.raises(ValueError, match="divisible by 2; got 4x5"):
        jax.eval_shape(functools.partial(module.apply, method="encode"), variables, X[:, :, :5])
    with pytest.raises(ValueError, match="divisible by 2; got 4x5"):
        module.latent_shape((4, 5, 1))


def test_without_linear_maps_the_code_has_the_encoders_channels():
    with pytest.raises(
        ValueError, match="z_channels: must be latent_channels, 2, without linear maps; got 3"
    ):
        jax.eval_shape(KLAutoencoder(**SMALL, z_channels=3, maps=(False, True)).init, jax.random.key(0), X)


def test_the_table_belongs_to_the_decoder():
    """What is decoded is rounded first, so that rounding beforehand changes nothing."""
    module = VQAutoencoder(**SMALL, codes=5)
    variables = jax.jit(module.init)(jax.random.key(0), X)
    applied = lambda method: jax.jit(functools.partial(module.apply, method=method))
    z = jax.random.normal(jax.random.key(1), (2, 2, 4, 2))
    rounded, codes = applied("quantise")(variables, z)
    np.testing.assert_array_equal(rounded, variables["params"]["quantiser"]["embedding"][codes])
    decode = applied("decode")
    np.testing.assert_allclose(decode(variables, z), decode(variables, rounded), atol=1e-5)


def test_rounding_is_to_the_nearest_and_idempotent():
    codes = quantiser.nearest_codes(Z, TABLE)
    distances = jnp.sum((Z[..., None, :] - TABLE) ** 2, -1)
    np.testing.assert_array_equal(codes, jnp.argmin(distances, -1))
    np.testing.assert_array_equal(quantiser.nearest_codes(TABLE[codes], TABLE), codes)


def test_the_gradient_passes_through_the_rounding():
    e = TABLE[quantiser.nearest_codes(Z, TABLE)]
    value, jacobian = quantiser.straight_through(Z, e), jax.jacfwd(quantiser.straight_through)(Z, e)
    np.testing.assert_allclose(value, e, atol=1e-6)
    np.testing.assert_array_equal(jacobian.reshape(Z.size, Z.size), np.eye(Z.size))


@pytest.mark.parametrize("order, of_table, of_encoder", [("paper", 1, 0.25), ("legacy", 0.25, 1)])
def test_commitment_gradients_are_as_published(order, of_table, of_encoder):
    """d/de = 2 w (e - z) / n of the table's term, d/dz = 2 w (z - e) / n of the encoder's; equal values."""
    e = TABLE[quantiser.nearest_codes(Z, TABLE)]
    loss = lambda z, e: quantiser.commitment(z, e, 0.25, order).sum()
    by_z, by_e = jax.grad(loss, (0, 1))(Z, e)
    n = Z[0].size
    np.testing.assert_allclose(by_z, 2 * of_encoder * (Z - e) / n, rtol=1e-5)
    np.testing.assert_allclose(by_e, 2 * of_table * (e - Z) / n, rtol=1e-5)
    np.testing.assert_allclose(loss(Z, e), 1.25 * ((Z - e) ** 2).mean((1, 2)).sum(), rtol=1e-5)


def test_averages_go_to_the_means_of_what_took_each_code():
    """k-means' own step where the decay is 0, its fixed point where the same batch comes again and again."""
    z = Z.reshape(-1, 4)
    codes = quantiser.nearest_codes(z, TABLE)
    table = Table(TABLE, jnp.ones(5), TABLE)
    once = quantiser.averaged(table, z, codes, decay=0.0, epsilon=0.0)
    for k in np.unique(codes):
        np.testing.assert_allclose(once.embedding[k], z[codes == k].mean(0), rtol=1e-5)
    np.testing.assert_array_equal(once.count, np.bincount(codes, minlength=5))
    step = lambda i, t: quantiser.averaged(t, z, codes, decay=0.5)
    often = jax.lax.fori_loop(0, 60, step, table)
    np.testing.assert_allclose(often.count, once.count, atol=1e-5)
    used = np.unique(codes)
    np.testing.assert_allclose(often.embedding[used], once.embedding[used], rtol=1e-3, atol=1e-3)


def test_dead_codes_begin_again_as_vectors_of_the_batch_and_others_stay():
    table = Table(TABLE, jnp.array([3.0, 0.2, 1.0, 0.0, 9.0]), 2 * TABLE)
    new = quantiser.restarted(jax.random.key(2), table, Z, least=1.0)
    z, dead = Z.reshape(-1, 4), np.array([1, 3])
    assert all((np.asarray(z) == row).all(1).any() for row in np.asarray(new.embedding[dead]))
    assert not (new.embedding[1] == new.embedding[3]).all()
    np.testing.assert_array_equal(new.count, [3, 1, 1, 1, 9])
    np.testing.assert_array_equal(new.total[dead], new.embedding[dead])
    alive = np.array([0, 2, 4])
    np.testing.assert_array_equal(new.embedding[alive], TABLE[alive])
    np.testing.assert_array_equal(new.total[alive], 2 * TABLE[alive])


@pytest.mark.parametrize("counts, expected", [([4, 4, 4], 3), ([0, 7, 0], 1), ([1, 1, 0], 2)])
def test_perplexity_is_the_number_of_codes_that_are_taken_alike(counts, expected):
    np.testing.assert_allclose(quantiser.perplexity(jnp.array(counts)), expected, rtol=1e-6)

"""InfoNCE in closed form, and as CLIP writes it; rows that are the same thing are not told apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.objectives import info_nce, same_rows

B, D, SCALE = 6, 4, 3.0


def _unit(seed):
    x = np.random.default_rng(seed).standard_normal((B, D))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def _plain(a, b):
    """Cross-entropies of rows and of columns against the diagonal, in plain numpy."""
    logits = SCALE * a.astype(np.float64) @ b.T.astype(np.float64)
    rows, columns = (np.log(np.exp(logits).sum(axis)) - np.diag(logits) for axis in (1, 0))
    return (rows + columns) / 2


def test_it_is_the_mean_of_two_cross_entropies():
    a, b = _unit(0), _unit(1)
    loss, aux = info_nce(a, b, SCALE)
    np.testing.assert_allclose(loss, _plain(a, b), rtol=1e-5)
    np.testing.assert_array_equal(aux["hit"], (a @ b.T).argmax(1) == np.arange(B))


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_of_orthonormal_pairs_it_is_known(scale):
    a = jnp.eye(B)
    loss, aux = info_nce(a, a, scale)
    np.testing.assert_allclose(loss, np.log1p((B - 1) * np.exp(-scale)), rtol=1e-5)
    assert aux["hit"].all()
    np.testing.assert_allclose(info_nce(a, jnp.broadcast_to(a[0], a.shape), 0.0)[0], np.log(B), rtol=1e-6)


def test_a_row_is_told_from_those_that_are_another_thing_alone():
    """Its loss is that of the batch without its likes, and they move nothing of it."""
    a, b, name = _unit(2), _unit(3), np.array([0, 1, 0, 2, 1, 0])
    loss = info_nce(a, b, SCALE, same_rows(jnp.asarray(name)))[0]
    for i in range(B):
        kept = [i, *np.flatnonzero(name != name[i])]
        np.testing.assert_allclose(loss[i], _plain(a[kept], b[kept])[0], rtol=1e-5)
    slope = jax.grad(lambda b: info_nce(a, b, SCALE, same_rows(jnp.asarray(name)))[0][0])(b)
    slope = np.asarray(slope)
    assert np.isfinite(slope).all() and not slope[[2, 5]].any() and slope[[0, 1, 3, 4]].any(axis=1).all()


def test_where_all_are_one_thing_there_is_nothing_to_learn():
    a, b = _unit(4), _unit(5)
    loss, aux = info_nce(a, b, SCALE, jnp.ones((B, B), bool))
    np.testing.assert_allclose(loss, 0, atol=1e-6)
    assert aux["hit"].all()


def test_rows_are_the_same_where_all_arrays_say_so():
    one, two = np.array([[1, 2], [1, 2], [1, 3]]), np.array([5.0, 6.0, 5.0])
    np.testing.assert_array_equal(same_rows(one), [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(same_rows(one, two), np.eye(3))
    with pytest.raises(ValueError, match="arrays must be at least one"):
        same_rows()

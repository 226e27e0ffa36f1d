"""Pixels outside and numbers inside: one rule for numpy and for jax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.pixels import to_model, to_uint8

CODES = np.arange(256, dtype=np.uint8)


@pytest.mark.parametrize("call", [lambda f, x: f(x), lambda f, x: jax.jit(f)(x), lambda f, x: jax.vmap(f)(x)])
def test_jax_gives_what_numpy_gives(call):
    x = call(to_model, jnp.asarray(CODES))
    assert isinstance(x, jax.Array) and x.dtype == jnp.float32
    np.testing.assert_allclose(x, to_model(CODES), rtol=0, atol=2e-7)
    found = call(to_uint8, x)
    assert isinstance(found, jax.Array) and found.dtype == jnp.uint8
    np.testing.assert_array_equal(found, CODES)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float16, np.float64])
def test_other_floats_are_rounded_to_the_nearest_pixel(dtype):
    x = np.array([-1, -0.5, 0.5, 1, 9]).astype(dtype)
    np.testing.assert_array_equal(to_uint8(x), [0, 64, 191, 255, 255])
    assert isinstance(to_uint8(x), np.ndarray)


def test_tracers_of_the_wrong_side_are_refused():
    with pytest.raises(ValueError, match=r"images must be an? uint8 array .*, got a traced int32"):
        jax.eval_shape(to_model, jnp.zeros(3, jnp.int32))
    with pytest.raises(ValueError, match=r"x must be a float array .*, got a traced int32"):
        jax.eval_shape(to_uint8, jnp.zeros(3, jnp.int32))

"""Trainings in memory: the steps are those of a plain loop, whatever the chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.training import in_memory

DATA = np.arange(5, dtype=np.float32)


def _step(state, i, data):
    """A sum that tells which step it was, and in which order."""
    state = 0.5 * state + i * data[i % len(data)]
    return state, {"loss": state}


def _plainly(num_steps):
    state = 1.0
    for i in range(num_steps):
        state = 0.5 * state + i * DATA[i % 5]
    return state


@pytest.mark.parametrize("chunk", [None, 1, 3, 100])
def test_all_steps_are_made_in_their_order(chunk):
    found = in_memory.train(_step, jnp.float32(1), DATA, 7, chunk=chunk)
    np.testing.assert_allclose(found, _plainly(7), rtol=1e-6)


def test_a_metric_that_is_not_finite_ends_it_and_counts_are_checked():
    def breaks(state, i, data):
        return state, {"loss": jnp.where(i == 4, jnp.nan, 0.0)}

    with pytest.raises(ValueError, match="loss is not finite before step 6"):
        in_memory.train(breaks, jnp.float32(1), DATA, 9, chunk=3)
    with pytest.raises(ValueError, match="num_steps must be at least 1, got 0"):
        in_memory.train(_step, jnp.float32(1), DATA, 0)


def test_a_single_step_is_compiled_alone():
    """Bit for bit what a jitted step gives, which the body of a loop need not."""
    weights = jax.random.normal(jax.random.key(0), (16, 16))

    def step(state, i, data):
        gradient = jax.grad(lambda w: jnp.mean(jnp.tanh(data @ w) ** 2))(state)
        return state - 0.1 * gradient / (1 + i), {}

    data, expected = jax.random.normal(jax.random.key(1), (8, 16)), jnp.array(weights)
    for i in range(4):
        expected = jax.jit(step)(expected, np.int32(i), data)[0]
    np.testing.assert_array_equal(in_memory.train(step, weights, data, 4, chunk=None), expected)

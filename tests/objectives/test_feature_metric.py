"""The metric of features: against its equation, and whom its gradient reaches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import objectives
from diffjax.objectives import metrics
from diffjax.process import schedules

EDM = schedules.edm()
RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((2, 3, 4, 5, 2))
LINEAR = RNG.standard_normal((2, 6))
HEADS = RNG.uniform(size=6), RNG.uniform(size=2)


def _features(x):
    """Return two linear maps, of which the second is coarser."""
    return [x @ LINEAR, x[:, ::2, ::2]]


@pytest.mark.parametrize("heads", [None, HEADS], ids=["alike", "fitted"])
def test_linear_features_by_hand(x64, heads):
    expected = np.zeros(3)
    for i, (a, b) in enumerate(zip(_features(A), _features(B))):
        a, b = (m / np.linalg.norm(m, axis=-1, keepdims=True) for m in (a, b))
        weight = np.ones(a.shape[-1]) if heads is None else heads[i]
        expected += np.einsum("bhwc,c->b", (a - b) ** 2, weight) / (a.shape[1] * a.shape[2])
    found = jax.jit(metrics.of_features(_features, heads))(A, B)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_it_is_zero_at_equal_inputs_and_symmetric(x64):
    metric = jax.jit(metrics.of_features(_features))
    np.testing.assert_array_equal(metric(A, A), np.zeros(3))
    np.testing.assert_allclose(metric(A, B), metric(B, A), rtol=1e-12)
    np.testing.assert_allclose(jax.grad(lambda a: metric(a, A).sum())(A), np.zeros_like(A), atol=1e-14)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"b must be shaped like a, \[3, 4, 5, 2\]; got \[2, 4, 5, 2\]"):
        metrics.of_features(_features)(A, B[:2])


def test_the_gradient_of_a_consistency_loss_reaches_the_student_alone(x64):
    def f(theta):
        return lambda x, t, s, cond=None: x + theta  # a scale would not be seen

    def loss(theta, target, linear):
        metric = metrics.of_features(lambda x: [x @ linear])
        found, _ = objectives.consistency(
            f(theta), f(target), A, B, EDM(2.0), EDM(1.0), EDM(0.002), metric=metric
        )
        return found.sum()

    of_student, of_target = jax.jit(jax.grad(loss, argnums=(0, 1)))(0.5, 0.4, jnp.asarray(LINEAR) + 1.0)
    assert of_target == 0 and of_student != 0

"""The compiled step: what it computes, what it donates, how often it is traced."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training import toy_training

from diffjax import training
from diffjax.training import ema, sharding, state, step


@pytest.fixture
def mesh():
    return sharding.make_mesh(devices=jax.devices()[:1])


def _start(system, optimizer, mesh):
    key = jax.random.key(0)
    return (
        state.create(system, optimizer, key, mesh, sharding.replicated),
        state.frozen(system, key, mesh, sharding.replicated),
    )


def _quadratic():
    def loss(params, extra, frozen, key, batch, step):
        return 0.5 * jnp.sum(params["w"] ** 2), (extra + 1, {})

    return training.System(
        lambda key: ({"w": jnp.array([1.0, -2.0])}, jnp.int32(0), ()), training.from_loss(loss), None
    )


def test_gradient_descent_in_closed_form(mesh):
    rate, decay = 0.1, 0.8
    optimizer = training.optimizer.make("sgd", rate, b1=0.0)
    now, frozen = _start(_quadratic(), optimizer, mesh)
    run = step.compiled(step.make(_quadratic(), optimizer, ema.constant(decay)), now)
    w = start = np.array([1.0, -2.0])
    average = start
    for n in range(5):
        now, metrics = run(now, frozen, jax.random.key(1), {"x": jnp.zeros(1)})
        np.testing.assert_allclose(metrics["loss"], 0.5 * np.sum(w**2), rtol=1e-6)
        np.testing.assert_allclose(metrics["grad_norm"], np.linalg.norm(w), rtol=1e-6)
        np.testing.assert_allclose(metrics["learning_rate"], rate, rtol=1e-6)
        w = start * (1 - rate) ** (n + 1)
        average = decay * average + (1 - decay) * w
        np.testing.assert_allclose(metrics["param_norm"], np.linalg.norm(w), rtol=1e-6)
        np.testing.assert_allclose(now.params["w"], w, rtol=1e-5)
        np.testing.assert_allclose(now.ema["w"], average, rtol=1e-5)
        assert now.step == now.extra == n + 1


def test_state_is_donated_and_frozen_is_not(mesh):
    system, optimizer = toy_training.system(), toy_training.adam()
    before, frozen = _start(system, optimizer, mesh)
    run = step.compiled(step.make(system, optimizer, ema.constant(0.9)), before)
    batch = sharding.put_batch(mesh, next(toy_training.Batches()))
    after, _ = run(before, frozen, jax.random.key(1), batch)
    gone = jax.tree.leaves((before.params, before.ema, before.opt_state[1].mu, before.opt_state[1].nu))
    assert all(leaf.is_deleted() for leaf in gone)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((after, frozen, batch)))


def test_each_step_has_its_own_key(mesh):
    def gradients(params, extra, frozen, key, batch, step):
        return params, extra, {"loss": jax.random.uniform(key)}

    system = training.System(lambda key: ({"w": jnp.ones(2)}, (), ()), gradients, None)
    optimizer = optax.sgd(0.0)
    now, frozen = _start(system, optimizer, mesh)
    run = step.compiled(step.make(system, optimizer, ema.constant(0.9)), now)
    key = jax.random.key(3)
    for n in range(3):
        now, metrics = run(now, frozen, key, {})
        assert metrics["loss"] == jax.random.uniform(jax.random.fold_in(key, n))


def test_two_players_have_a_rate_each(mesh):
    def gradients(params, extra, frozen, key, batch, step):
        grads = {"gen": jnp.ones(2), "disc": -jnp.ones(2)}
        return grads, extra, {"loss": jnp.float32(0)}

    params = {"gen": jnp.zeros(2), "disc": jnp.zeros(2)}
    system = training.System(lambda key: (params, (), ()), gradients, None)
    make = training.optimizer.make
    optimizer = optax.multi_transform(
        {"gen": make("sgd", 0.1, b1=0.0), "disc": make("sgd", 0.3, b1=0.0)}, {"gen": "gen", "disc": "disc"}
    )
    now, frozen = _start(system, optimizer, mesh)
    now, metrics = step.compiled(step.make(system, optimizer, ema.constant(0.9)), now)(
        now, frozen, jax.random.key(0), {}
    )
    np.testing.assert_allclose(now.params["gen"], -0.1, rtol=1e-6)
    np.testing.assert_allclose(now.params["disc"], 0.3, rtol=1e-6)
    np.testing.assert_allclose(metrics["learning_rate/disc"], 0.3, rtol=1e-6)


def test_frozen_arrays_are_handed_on_without_a_program(mesh):
    key, traces = jax.random.key(0), []

    def frozen(make):
        def init(key):
            traces.append(make)
            return {"w": jnp.ones(1)}, (), make(key)

        return state.frozen(training.System(init, None, None), key, mesh, sharding.replicated)

    table = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(frozen(lambda key: {"table": table})["table"], table)
    assert len(traces) == 1  # for the shapes; a compiled program would trace again
    drawn = frozen(lambda key: jax.random.normal(key, (3,)))
    np.testing.assert_array_equal(drawn, jax.random.normal(key, (3,)))


@pytest.mark.parametrize(
    "metrics, message", [({}, "need 'loss'"), ({"loss": jnp.zeros(3)}, r"'loss' must be a scalar.*\(3,\)")]
)
def test_bad_metrics_are_named(metrics, message, mesh):
    system = training.System(
        lambda key: ({"w": jnp.ones(2)}, (), ()), lambda params, extra, *_: (params, extra, metrics), None
    )
    now, frozen = _start(system, optax.sgd(0.1), mesh)
    with pytest.raises(ValueError, match=message):
        step.make(system, optax.sgd(0.1), ema.constant(0.9))(now, frozen, jax.random.key(0), {})

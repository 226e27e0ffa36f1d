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


def _start(system, optimizer, mesh, batch=None):
    frozen = jax.tree.map(jnp.asarray, system.prepare(None)[0])
    batch = {} if batch is None else batch
    places = state.abstract(system, optimizer, batch, frozen, mesh, sharding.replicated)
    return state.create(system, optimizer, jax.random.key(0), batch, frozen, places), frozen


def _quadratic():
    def loss(variables, key, batch, step):
        extra = {"calls": variables.extra["calls"] + 1}
        return 0.5 * jnp.sum(variables.params["w"] ** 2), (extra, {})

    start = {"w": jnp.array([1.0, -2.0])}
    return toy_training.lone(start, training.from_loss(loss, ["w"]), extra={"calls": jnp.int32(0)})


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
        np.testing.assert_allclose(now.ema["ema"]["w"], average, rtol=1e-5)
        assert now.step == now.extra["calls"] == n + 1


def test_state_is_donated_and_frozen_is_not(mesh):
    system, optimizer = toy_training.system(), toy_training.adam()
    before, frozen = _start(system, optimizer, mesh)
    run = step.compiled(step.make(system, optimizer, ema.constant(0.9)), before)
    batch = sharding.put_batch(mesh, next(toy_training.Batches()))
    adam = before.opt_state["regression"][1]
    after, _ = run(before, frozen, jax.random.key(1), batch)
    gone = jax.tree.leaves((before.params, before.ema, adam.mu, adam.nu))
    assert all(leaf.is_deleted() for leaf in gone)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((after, frozen, batch)))


def test_each_step_has_its_own_key(mesh):
    def gradients(variables, key, batch, step):
        return variables.params, variables.extra, {"loss": jax.random.uniform(key)}

    system = toy_training.lone({"w": jnp.ones(2)}, gradients)
    optimizer = optax.sgd(0.0)
    now, frozen = _start(system, optimizer, mesh)
    run = step.compiled(step.make(system, optimizer, ema.constant(0.9)), now)
    key = jax.random.key(3)
    for n in range(3):
        now, metrics = run(now, frozen, key, {})
        assert metrics["loss"] == jax.random.uniform(jax.random.fold_in(key, n))


def test_two_players_have_a_rate_each(mesh):
    def gradients(variables, key, batch, step):
        grads = {"gen": jnp.ones(2), "disc": -jnp.ones(2)}
        return grads, variables.extra, {"loss": jnp.float32(0)}

    system = toy_training.lone({"gen": jnp.zeros(2), "disc": jnp.zeros(2)}, gradients)
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


def test_frozen_arrays_are_arguments_of_the_programs(mesh, tmp_path):
    table = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    traced = []

    def gradients(variables, key, batch, step):
        traced.append(isinstance(variables.frozen["table"], jax.core.Tracer))
        loss = jnp.sum((variables.frozen["table"] @ variables.params["w"]) ** 2)
        return variables.params, variables.extra, {"loss": loss}

    def init(key, batch, frozen):
        traced.append(isinstance(frozen["table"], jax.core.Tracer))
        return {"w": frozen["table"][0]}, {}

    system = toy_training.lone({"w": jnp.ones(256)}, gradients)._replace(
        init=init, prepare=lambda folder, source=None: ({"table": table}, source)
    )
    state = toy_training.run(tmp_path, 1, 1, 1, system=system)
    assert traced and all(traced)
    now, frozen = _start(system, optax.sgd(0.1), mesh)
    np.testing.assert_array_equal(now.params["w"], table[0])
    run = step.compiled(step.make(system, optax.sgd(0.1), ema.constant(0.9)), now)
    text = run.lower(now, frozen, jax.random.key(0), {}).as_text()
    assert "tensor<256x256xf32>" in text and len(text) < 50_000  # the table's numbers alone are 500,000
    assert '"0x' not in text  # how a constant array is written
    assert int(state.step) == 1


@pytest.mark.parametrize(
    "metrics, message", [({}, "need 'loss'"), ({"loss": jnp.zeros(3)}, r"'loss' must be a scalar.*\(3,\)")]
)
def test_bad_metrics_are_named(metrics, message, mesh):
    system = toy_training.lone({"w": jnp.ones(2)}, lambda v, *_: (v.params, v.extra, metrics))
    now, frozen = _start(system, optax.sgd(0.1), mesh)
    with pytest.raises(ValueError, match=message):
        step.make(system, optax.sgd(0.1), ema.constant(0.9))(now, frozen, jax.random.key(0), {})

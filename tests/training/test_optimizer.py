"""Learning rates and updates against their closed forms."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diffjax.training import optimizer

NAMES = ["adam", "adamw", "radam", "sgd"]


def _update(tx, grads, params):
    return tx.update(grads, tx.init(params), params)[0]


def test_constant_with_warm_up():
    rate = optimizer.learning_rate_schedule(0.2, warmup_steps=4)
    np.testing.assert_allclose([rate(n) for n in range(7)], [0, 0.05, 0.1, 0.15, 0.2, 0.2, 0.2], rtol=1e-6)


def test_cosine_with_warm_up():
    rate = optimizer.learning_rate_schedule(0.2, schedule="cosine", warmup_steps=10, num_steps=110)
    steps = [0, 5, 10, 35, 60, 110]
    expected = [0, 0.1, *(0.1 * (1 + math.cos(math.pi * (n - 10) / 100)) for n in steps[2:])]
    np.testing.assert_allclose([rate(n) for n in steps], expected, rtol=1e-5, atol=1e-8)


def test_linear_reaches_zero():
    rate = optimizer.learning_rate_schedule(0.2, schedule="linear", num_steps=10)
    np.testing.assert_allclose([rate(n) for n in (0, 5, 10)], [0.2, 0.1, 0], rtol=1e-6, atol=1e-9)


def test_clip_scales_by_the_global_norm():
    grads = {"a": jnp.array([3.0]), "b": jnp.array([0.0, 4.0])}
    params = jax.tree.map(jnp.zeros_like, grads)
    clipped = _update(optimizer.make("sgd", 0.5, clip_norm=1.0, b1=0.0), grads, params)
    np.testing.assert_allclose(clipped["a"], [-0.5 * 3 / 5], rtol=1e-6)
    np.testing.assert_allclose(clipped["b"], [0, -0.5 * 4 / 5], rtol=1e-6)
    whole = _update(optimizer.make("sgd", 0.5, clip_norm=10.0, b1=0.0), grads, params)
    np.testing.assert_allclose(whole["a"], [-1.5], rtol=1e-6)


def test_first_adam_step_is_the_sign():
    grads = jnp.array([3.0, -0.01])
    got = _update(optimizer.make("adam", 0.1), grads, jnp.ones(2))
    np.testing.assert_allclose(got, [-0.1, 0.1], rtol=1e-5)


def test_adamw_decays_weights_apart_from_the_gradient():
    got = _update(optimizer.make("adamw", 0.1, weight_decay=0.5), jnp.array([3.0]), jnp.array([2.0]))
    np.testing.assert_allclose(got, [-0.1 * (1 + 0.5 * 2)], rtol=1e-5)


def test_sgd_momentum_accumulates():
    tx = optimizer.make("sgd", 0.1, b1=0.9)
    state, total = tx.init(jnp.zeros(1)), 0.0
    for _ in range(3):
        update, state = tx.update(jnp.ones(1), state)
        total += update
    np.testing.assert_allclose(total, [-0.1 * (1 + 1.9 + 2.71)], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_reaches_the_minimum(name):
    tx = optimizer.make(name, 0.1, schedule="cosine", num_steps=1000, warmup_steps=10, clip_norm=10.0)
    goal = jnp.array([1.0, -2.0])

    def step(carry, _):
        x, state = carry
        updates, state = tx.update(x - goal, state, x)
        return (optax.apply_updates(x, updates), state), None

    start = jnp.zeros(2)
    (x, _), _ = jax.jit(lambda: jax.lax.scan(step, (start, tx.init(start)), length=1000))()
    np.testing.assert_allclose(x, goal, atol=1e-2)


def test_rates_are_found_and_named_by_their_players():
    tx = optax.multi_transform(
        {"one": optimizer.make("adam", 0.1), "two": optimizer.make("sgd", 0.2)}, {"a": "one", "b": "two"}
    )
    rates = optimizer.learning_rates(tx.init({"a": jnp.ones(1), "b": jnp.ones(1)}))
    assert {name: round(float(rate), 6) for name, rate in rates.items()} == {
        "learning_rate/one": 0.1,
        "learning_rate/two": 0.2,
    }
    assert optimizer.learning_rates(optax.adam(0.1).init(jnp.ones(1))) == {}


def test_updates_keep_the_dtype_of_the_parameters():
    params = jnp.ones(2, jnp.bfloat16)
    assert _update(optimizer.make("adam", 0.1, clip_norm=1.0), params, params).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "adan"}, "'adan' is not one of adam, adamw, radam, sgd"),
        ({"name": "adam", "schedule": "step"}, "'step' is not one of constant, cosine, linear"),
        ({"name": "adam", "schedule": "cosine"}, "needs num_steps > warmup_steps=0, got num_steps=None"),
        ({"name": "adam", "weight_decay": 0.1}, "weight_decay=0.1"),
        ({"name": "adam", "clip_norm": 0.0}, "clip_norm=0.0"),
        ({"name": "adam", "clip_norm": math.nan}, "clip_norm must be"),
        ({"name": "adamw", "weight_decay": -1e-4}, "weight_decay must be finite and at least 0, got -0.0001"),
        ({"name": "adam", "warmup_steps": -1}, "warmup_steps must be finite and at least 0, got -1"),
        ({"name": "adam", "warmup_steps": 1.5}, "warmup_steps must be an integer, got 1.5"),
        ({"name": "adam", "b1": 1.0}, r"b1 must be in \[0, 1\), got 1.0"),
        ({"name": "radam", "b2": -0.1}, r"b2 must be in \[0, 1\), got -0.1"),
        ({"name": "adam", "eps": 0}, "eps must be positive and finite, got 0"),
        ({"name": "sgd", "learning_rate": 0.0}, "learning_rate must be positive and finite, got 0.0"),
        ({"name": "sgd", "learning_rate": math.nan}, "learning_rate must be a finite number, got nan"),
        ({"name": "sgd", "learning_rate": "0.1"}, "learning_rate must be a finite number, got '0.1'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        optimizer.make(**{"learning_rate": 0.1, **arguments})


def test_an_imported_optimizer_is_optax_own():
    """Clipped, with its own options and the rate of the section, which the step reports."""
    own = optimizer.make(
        "optax.lion",
        0.1,
        schedule="linear",
        num_steps=4,
        clip_norm=1.0,
        options={"b1": 0.5, "weight_decay": 0.1},
    )
    known = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.lion(optax.linear_schedule(0.1, 0.0, 4), b1=0.5, weight_decay=0.1),
    )
    params = {"w": jnp.array([1.0, -2.0, 3.0])}
    states, followed = [own.init(params), known.init(params)], [params, params]
    for n in range(3):
        for i, each in enumerate((own, known)):
            changes, states[i] = each.update(jax.tree.map(jnp.cos, followed[i]), states[i], followed[i])
            followed[i] = optax.apply_updates(followed[i], changes)
        np.testing.assert_array_equal(*(tree["w"] for tree in followed))
        assert optimizer.learning_rates(states[0])["learning_rate"] == pytest.approx(0.1 * (1 - n / 4))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("optax.lyon", None, "optimizer name='optax.lyon' cannot be imported"),
        ("no.such.module", None, "cannot be imported"),
        ("optax.lion", {"b3": 1}, "optimizer optax.lion does not take these options"),
        ("math.sqrt", None, "optimizer math.sqrt"),
        ("adam", {"b1": 0.5}, "options are of an imported optimizer"),
        ("lion", None, "is not one of adam, adamw, radam, sgd, nor a path such as optax.lion"),
    ],
)
def test_what_cannot_be_imported(name, options, message):
    with pytest.raises(ValueError, match=message):
        optimizer.make(name, 0.1, options=options)

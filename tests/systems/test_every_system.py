"""What every system promises to trainer, commands and evaluation, whatever it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import system_list
from systems.system_list import CASES, jitted, start, system

from diffjax import systems
from diffjax.training import optimizer as optimizers
from diffjax.training import state, step
from diffjax.training.system import served

B, N = 8, 4


def _batch(own, rows=B):
    """Random rows of the shapes of the example; labels are 0, 1, ..."""
    key = jax.random.key(5)
    draw = lambda leaf: (
        jnp.arange(rows, dtype=leaf.dtype) % 3
        if jnp.issubdtype(leaf.dtype, jnp.integer)
        else jnp.clip(0.5 * jax.random.normal(key, (rows, *leaf.shape[1:]), leaf.dtype), -1, 1)
    )
    return {name: draw(leaf) for name, leaf in own.example.items()}


def test_every_system_of_the_table_is_a_case():
    trained = {getattr(systems, name) for name in systems._BUILT_IN if name not in system_list.MADE_OF_RUNS}
    assert {systems.module(system_list.tiny(name)) for name in CASES} == trained


@pytest.mark.parametrize("name", CASES)
def test_shapes_are_known_without_values(name):
    own = system(name)
    abstract = jax.eval_shape(own.init, jax.random.key(0), own.example, own.frozen)
    concrete = start(name)
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    assert shapes(abstract) == shapes((concrete.params, concrete.extra))
    names = {**concrete.params, **concrete.extra}
    assert set(own.serves) <= set(names) and set(served(own, concrete)) == set(own.serves)
    assert own.gives in ("images", "points", "embeddings") if own.passes else own.gives is None


@pytest.mark.parametrize("name", CASES)
def test_gradients_move_what_they_say_and_keep_the_rest(name):
    own, v, moved, heard = system(name), start(name), [], False
    v = v._replace(params=jax.tree.map(lambda p: p + 0.01, v.params))  # players may begin where nothing moves
    same = lambda one, two: (
        jax.tree.map(lambda a: (a.shape, a.dtype), one) == jax.tree.map(lambda a: (a.shape, a.dtype), two)
    )
    for update in own.updates:
        gradients = jitted(name)[1][update.name]
        grads, extra, metrics = gradients(v, jax.random.key(1), _batch(own), 0)
        moved += update.moves
        assert set(grads) == set(update.moves)
        assert same(grads, {each: v.params[each] for each in update.moves}) and same(extra, v.extra)
        assert np.isfinite(metrics["loss"]) and all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
        assert any(np.abs(g).max() > 0 for g in jax.tree.leaves(grads))
        assert all(jnp.shape(value) == () for value in metrics.values())
        if own.frozen:
            other = v._replace(frozen=jax.tree.map(lambda leaf: leaf + 0.01, v.frozen))
            heard |= bool(gradients(other, jax.random.key(1), _batch(own), 0)[2]["loss"] != metrics["loss"])
            assert gradients._cache_size() == 1
    assert heard == bool(own.frozen)  # what comes of files is an argument, and no constant of the program
    assert sorted(moved) == sorted(v.params)  # each once


@pytest.mark.parametrize("name", CASES)
def test_one_program_serves_all_steps(name):
    """What the trainer's step returns is what it takes, also where the batch is taken in parts."""
    own = system(name)
    optimizer = {update.name: optimizers.make("adam", 1e-3) for update in own.updates}
    accumulate = 2 if all(update.rowwise for update in own.updates) else 1
    rows, frozen = accumulate * B * step.rows_a_step(own), start(name).frozen
    begin = lambda key: state.initial(own, optimizer, key, _batch(own), frozen)
    now = jax.eval_shape(begin, jax.random.key(0))
    run = step.make(own, optimizer, lambda n: 0.9, accumulate)
    after, metrics = jax.eval_shape(run, now, frozen, jax.random.key(2), _batch(own, rows))
    about = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), tree)
    assert about(after) == about(now)
    of = [""] if len(own.updates) == 1 else [f"{update.name}/" for update in own.updates]
    assert {"loss", "param_norm"} <= set(metrics)
    assert {f"{each}{told}" for each in of for told in ("grad_norm", "learning_rate")} <= set(metrics)


@pytest.mark.parametrize("name", CASES)
def test_a_sample_depends_on_its_own_key_alone(name):
    own, v, sample = system(name), start(name), jitted(name)[0]
    if not own.passes:
        pytest.skip("a classifier or an encoder: it samples nothing")
    keys, request = jax.random.split(jax.random.key(3), N), own.request.default(N)
    x = sample(v, keys, request, N)
    assert x.shape == (N, *own.example["x"].shape[1:]) and np.isfinite(x).all()
    half = jax.tree.map(lambda leaf: leaf[2:], request)
    np.testing.assert_allclose(sample(v, keys[2:], half, N - 2), x[2:], rtol=2e-4, atol=2e-4)
    again = sample(v._replace(params=jax.tree.map(lambda p: p + 0.01, v.params)), keys, request, N)
    assert sample._cache_size() == 2  # of N and of N - 2: variables are arguments, and no constants of it
    assert again.shape == x.shape


@pytest.mark.parametrize("name", CASES)
def test_the_request_of_a_batch_is_one_that_can_be_sampled(name):
    own, v = system(name), start(name)
    asked = own.request.of_batch(v, jax.random.key(0), _batch(own))
    assert set(asked) == set(own.request.parts) == set(own.request.default(B))
    for part, about in own.request.parts.items():
        assert asked[part].shape == (B, *about.shape) and asked[part].dtype == about.dtype
    said = own.request.describe(own.request.default(B))
    assert said is None or len(said) == B
    if own.request.drop is not None:
        keep = own.request.drop(jax.random.key(1), B)
        assert all(each.shape == (B,) and each.dtype == bool for each in keep.values())
    with pytest.raises(ValueError, match="smell"):
        own.request.of_user({"smell": ["sweet"]}, 2)


@pytest.mark.parametrize("name", CASES)
def test_measures_are_one_number_a_row(name):
    own, v, batch = system(name), start(name), _batch(system(name))
    for measure in own.measures.values():
        found = jax.eval_shape(measure, v, jax.random.key(2), batch)
        assert found and all(leaf.shape[0] == B for leaf in jax.tree.leaves(found))
        assert "bits_per_dim" not in found or found["bits_per_dim"].shape == (B,)


@pytest.mark.parametrize("name", CASES)
def test_a_denoiser_serves_any_solver(name):
    own, v, x = system(name), start(name), _batch(system(name))["x"]
    if own.denoiser is None:
        pytest.skip("a method without noise levels, or an encoder: it has no denoiser")
    schedule = own.schedule(v)
    level = schedule(0.5 * (schedule.t_min + schedule.t_max))
    cond = own.request.encode(v, own.request.default(B))
    for key in (None, jax.random.key(1)):
        found = own.denoiser(v, key)(x, level, cond)
        again = level.alpha * found.x0 + level.sigma * found.eps
        assert found.x0.shape == x.shape
        np.testing.assert_allclose(again, x, rtol=2e-3, atol=2e-3)

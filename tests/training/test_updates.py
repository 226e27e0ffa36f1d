"""Steps of several updates: order, keys, rows, rates, names; accumulation; the same on eight devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training import toy_training

from diffjax import training
from diffjax.training import ema, metrics, sharding, state, step, watching

BATCH, CALLS = 4, 3  # a step's calls of gradients: two of the critic, one of the player
RATES = {"critic": (0.1, 20), "player": (0.2, 10)}  # at first, and updates until it is zero


def _note(extra, who, key, batch):
    """Write down a call: who made it, on which rows, with which key."""
    at = extra["calls"]
    wrote = {"who": who, "key": jax.random.key_data(key), "rows": batch["x"]}
    return {"calls": at + 1, **{name: extra[name].at[at].set(value) for name, value in wrote.items()}}


def _players(num_steps=4):
    """A critic moves twice in a step, then a player once; both write down what they got."""

    def critic(variables, key, batch, step):
        extra = _note(variables.extra, 0, key, batch)
        return {"d": jnp.float32(1.0)}, extra, {"loss": variables.params["d"], "shared": jnp.float32(7.0)}

    def player(variables, key, batch, step):
        extra = _note(variables.extra, 1, key, batch)
        return {"g": jnp.float32(1.0)}, extra, {"loss": jnp.float32(5.0), "sees": variables.params["d"]}

    def init(key, batch, frozen):
        n = CALLS * num_steps
        extra = {
            "who": jnp.zeros(n, int),
            "key": jnp.zeros((n, 2), jnp.uint32),
            "rows": jnp.zeros((n, BATCH)),
        }
        return {"d": jnp.float32(0), "g": jnp.float32(0)}, extra | {"calls": jnp.int32(0)}

    updates = training.Update("critic", ("d",), critic, repeats=2), training.Update("player", ("g",), player)
    return training.System({"x": jax.ShapeDtypeStruct((1,), jnp.float32)}, init, updates, serves=("g",))


def _optimizers():
    make = training.optimizer.make
    return {
        name: make("sgd", rate, b1=0.0, schedule="linear", num_steps=n) for name, (rate, n) in RATES.items()
    }


class _Counted(toy_training.Batches):
    """Rows 0, 1, 2, ... of which none comes twice."""

    def __next__(self):
        self.position += 1
        return {"x": np.arange(2 * BATCH, dtype=np.float32) + 2 * BATCH * (self.position - 1)}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("played")
    options = {"batches": _Counted(), "mesh": sharding.make_mesh(devices=jax.devices()[:1])}
    return workdir, toy_training.fit(workdir, _players(), _optimizers(), 4, log_every=1, **options)


def test_updates_are_made_in_order_each_with_keys_and_rows_of_its_own(played):
    _, now = played
    extra = jax.device_get(now.extra)
    assert extra["calls"] == CALLS * 4 and extra["who"].tolist() == [0, 0, 1] * 4
    assert len(np.unique(extra["key"], axis=0)) == CALLS * 4
    critic = extra["rows"][extra["who"] == 0]
    assert sorted(critic.ravel()) == list(range(4 * 2 * BATCH))  # each row once
    for n in range(4):
        rows = set(range(n * 2 * BATCH, (n + 1) * 2 * BATCH))
        assert set(critic[2 * n : 2 * n + 2].ravel()) == rows  # and in its own step
        assert set(extra["rows"][extra["who"] == 1][n]) < rows


def test_the_second_update_sees_what_the_first_left_and_rates_count_their_own_updates(played):
    workdir, now = played
    rows, d = metrics.read(workdir), 0.0
    assert set(rows[0]) | set(watching.CLOCKS) == {
        "step", "loss", "param_norm", *watching.CLOCKS,
        "critic/loss", "critic/shared", "critic/grad_norm", "critic/learning_rate",
        "player/loss", "player/sees", "player/grad_norm", "player/learning_rate",
    }  # fmt: skip
    for n, row in enumerate(rows):
        (first, ends), (own, own_ends) = RATES["critic"], RATES["player"]
        rates = [first * (1 - k / ends) for k in (2 * n, 2 * n + 1)]
        np.testing.assert_allclose(row["critic/learning_rate"], np.mean(rates), rtol=1e-6)
        np.testing.assert_allclose(row["critic/loss"], np.mean([d, d - rates[0]]), rtol=1e-6, atol=1e-9)
        d -= sum(rates)
        np.testing.assert_allclose(row["player/sees"], d, rtol=1e-5)
        np.testing.assert_allclose(row["player/learning_rate"], own * (1 - n / own_ends), rtol=1e-6)
        assert row["loss"] == row["player/loss"] == 5.0 and row["critic/shared"] == 7.0
    np.testing.assert_allclose(now.params["d"], d, rtol=1e-6)
    assert set(now.opt_state) == {"critic", "player"} and set(now.ema["ema"]) == {"g"}


def test_the_loss_is_of_the_last_update_that_moves_what_is_served(tmp_path):
    system = _players(1)._replace(serves=("d",))
    toy_training.fit(tmp_path, system, _optimizers(), 1, log_every=1, batches=_Counted())
    (row,) = metrics.read(tmp_path)
    assert row["loss"] == row["critic/loss"] != row["player/loss"]


def test_eight_devices_give_the_same(played, tmp_path):
    _, one = played
    wide = {"batches": _Counted(), "mesh": sharding.make_mesh(data=4, devices=jax.devices()[:4])}
    four = toy_training.fit(tmp_path, _players(), _optimizers(), 4, **wide)
    for got, expected in zip(jax.tree.leaves(four), jax.tree.leaves(one), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_two_updates_go_on_as_the_run_that_was_never_stopped(played, tmp_path):
    _, whole = played
    one = sharding.make_mesh(devices=jax.devices()[:1])
    for num_steps in (3, 4):
        options = {"batches": _Counted(), "mesh": one}
        parts = toy_training.fit(tmp_path, _players(), _optimizers(), num_steps, **options)
    jax.tree.map(np.testing.assert_array_equal, parts, whole)


@pytest.mark.parametrize("names", [(), ("critic",), ("network",), ("critic", "player", "judge")])
def test_each_update_needs_an_optimizer(names):
    optimizers = dict.fromkeys(names, optax.sgd(0.1)) or optax.sgd(0.1)
    message = r"optimizers must be given for each update, \['critic', 'player'\]; got"
    with pytest.raises(ValueError, match=message):
        step.make(_players(), optimizers, ema.constant(0.9))


def _regression(rowwise=True):
    def loss(variables, key, batch, step):
        residual = batch["x"] @ variables.params["w"] - batch["y"][:, 0]
        return jnp.mean(residual**2), (variables.extra, {"mean": residual.mean()})

    system = toy_training.lone({"w": jnp.zeros(toy_training.FEATURES)}, training.from_loss(loss, ["w"]))
    return system._replace(updates=(system.updates[0]._replace(rowwise=rowwise),))


@pytest.mark.parametrize("accumulate", [2, 8])
def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path, accumulate):
    mesh = sharding.make_mesh(devices=jax.devices()[:1])
    options, adam = {"mesh": mesh, "log_every": 1}, toy_training.adam()
    whole, split = (
        toy_training.fit(tmp_path / str(parts), _regression(), adam, 5, accumulate=parts, **options)
        for parts in (1, accumulate)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole.params, split.params)
    logs = [metrics.read(tmp_path / str(parts)) for parts in (1, accumulate)]
    for one, other in zip(*logs, strict=True):
        for name in ("loss", "grad_norm", "mean"):
            np.testing.assert_allclose(one[name], other[name], rtol=1e-5, atol=1e-7)


def test_accumulation_and_several_devices(tmp_path):
    """Each device keeps rows of its own: a quarter of eight rows is one row on each of two devices."""
    two = sharding.make_mesh(devices=jax.devices()[:2])
    whole = toy_training.fit(tmp_path / "1", _regression(), toy_training.adam(), 5, mesh=two)
    split = toy_training.fit(tmp_path / "4", _regression(), toy_training.adam(), 5, mesh=two, accumulate=4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole.params, split.params)


def test_what_cannot_be_accumulated_is_refused(tmp_path):
    message = "accumulate=2 must be 1: the loss of update 'network' is no mean over rows"
    with pytest.raises(ValueError, match=message):
        toy_training.fit(tmp_path, _regression(rowwise=False), toy_training.adam(), 5, accumulate=2)
    with pytest.raises(ValueError, match="accumulate=3 must divide the rows that are split, got 8"):
        toy_training.fit(tmp_path, _regression(), toy_training.adam(), 5, accumulate=3)
    with pytest.raises(ValueError, match="accumulate=0 must be at least 1"):
        toy_training.fit(tmp_path, _regression(), toy_training.adam(), 5, accumulate=0)


def test_a_target_moves_first_by_the_params_that_come_in(tmp_path):
    rate, decay = 0.5, 0.75

    def gradients(variables, key, batch, step):
        w, target = variables.params["w"], variables.extra["target"]
        target = decay * target + (1 - decay) * w  # before anything reads it
        return {"w": jnp.float32(1.0)}, {"target": target}, {"loss": target, "came_in": w}

    system = toy_training.lone({"w": jnp.float32(0)}, gradients, extra={"target": jnp.float32(8)})
    toy_training.fit(tmp_path, system, optax.sgd(rate), 6, log_every=1)
    target = 8.0
    for n, row in enumerate(metrics.read(tmp_path)):
        assert row["came_in"] == -rate * n
        target = decay * target + (1 - decay) * -rate * n
        np.testing.assert_allclose(row["loss"], target, rtol=1e-6)


@pytest.mark.parametrize("answer, message", [
    (lambda v: ({"v": jnp.ones(2)}, v.extra, {"loss": 0.0}), r"moves \['w'\], got gradients of \['v'\]"),
    (lambda v: (v.params, {}, {"loss": 0.0}), r"must keep the structure of extra, \['calls'\]"),
])  # fmt: skip
def test_gradients_that_break_the_frame_are_named(answer, message):
    system = toy_training.lone({"w": jnp.ones(2)}, lambda v, *_: answer(v), extra={"calls": jnp.int32(0)})
    mesh = sharding.make_mesh(devices=jax.devices()[:1])
    places = state.abstract(system, optax.sgd(0.1), {}, {}, mesh, sharding.replicated)
    run = step.make(system, optax.sgd(0.1), ema.constant(0.9))
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(run, places, {}, jax.random.key(0), {})

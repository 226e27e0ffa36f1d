"""What a system carries: batch statistics, a first batch, frozen values, averages; how it is read back."""

import shutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from training import toy_training

from diffjax import training
from diffjax.training import checkpoints, ema, metrics, sharding, system, watching


class _Net(nn.Module):
    """A layer between two normalisations by the batch."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.8)(x)
        return nn.Dense(1)(nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Dense(8)(x))))


def _normalised():
    """A regression whose network keeps running statistics of its batches in `extra`."""
    module, name = _Net(), "network_state"

    def init(key, batch, frozen):
        made = module.init(key, batch["x"])
        return {"network": made["params"]}, {name: {"batch_stats": made["batch_stats"]}}

    def loss(variables, key, batch, step):
        values = {"params": variables.params["network"], **variables.extra[name]}
        out, state = module.apply(values, batch["x"], train=True, mutable=["batch_stats"])
        return jnp.mean((out - batch["y"]) ** 2), ({name: state}, {})

    update = training.Update("network", ("network",), training.from_loss(loss, ["network"]), rowwise=False)
    return training.System(toy_training.ROW, init, (update,), serves=("network", name))


def _states(num_steps, **options):
    """The state after each step of the normalised regression."""
    yield from toy_training.by_hand(num_steps, toy=_normalised(), **options)


def _fit(workdir, num_steps, **options):
    return toy_training.fit(workdir, _normalised(), toy_training.adam(), num_steps, **options)


def _same(one, other):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(one), jax.device_get(other))


def test_batch_statistics_are_trained_averaged_and_read_back(tmp_path):
    state = _fit(tmp_path, 8, checkpoint_every=4, keep=2)
    history = [jax.device_get(now) for now in _states(8)]
    for name in ("params", "extra"):
        _same(getattr(state, name), getattr(history[-1], name))
    # momentum 0.8 of the running mean of the first normalisation, whose input is the data
    mean, batches = np.zeros(toy_training.FEATURES), toy_training.Batches()
    for now in history:
        mean = 0.8 * mean + 0.2 * next(batches)["x"].mean(0)
        found = now.extra["network_state"]["batch_stats"]["BatchNorm_0"]["mean"]
        np.testing.assert_allclose(found, mean, rtol=1e-4, atol=1e-6)
    # the average follows them, as it does the parameters, from the start that `init` gives: zeros
    average = np.zeros(toy_training.FEATURES)
    for now in history:
        average = 0.9 * average + 0.1 * now.extra["network_state"]["batch_stats"]["BatchNorm_0"]["mean"]
    served, step = checkpoints.restore_served(tmp_path, ("network", "network_state"))
    assert step == 8
    found = served["network_state"]["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(found, average, rtol=1e-4, atol=1e-6)
    _same(served, state.ema["ema"])
    for step in (4, 8):
        raw, found = checkpoints.restore_served(tmp_path, ("network", "network_state"), ema=False, step=step)
        assert found == step
        _same(raw, {**history[step - 1].params, **history[step - 1].extra})


def test_batch_statistics_go_on_bit_for_bit(tmp_path):
    def interrupt(step, variables):
        raise KeyboardInterrupt

    whole = _fit(tmp_path / "whole", 9, checkpoint_every=3)
    with pytest.raises(KeyboardInterrupt):
        _fit(tmp_path / "parts", 9, checkpoint_every=3, sample_every=5, on_sample=interrupt)
    assert checkpoints.steps(tmp_path / "parts") == [3]
    _same(_fit(tmp_path / "parts", 9, checkpoint_every=3), whole)


def test_batch_statistics_are_of_the_whole_batch_on_every_mesh(tmp_path):
    meshes = {n: sharding.make_mesh(devices=jax.devices()[:n]) for n in (1, 8)}
    sgd = optax.sgd(0.05)  # not Adam: a bias before a normalisation has no gradient but rounding
    one, eight = (
        toy_training.fit(tmp_path / str(n), _normalised(), sgd, 6, mesh=mesh) for n, mesh in meshes.items()
    )
    for name in ("params", "extra", "ema"):
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        jax.tree.map(close, getattr(one, name), getattr(eight, name))


def test_sampling_sees_the_averaged_statistics(tmp_path):
    seen = []

    def on_sample(step, variables):
        seen.append(jax.device_get((variables.params, variables.extra)))

    state = _fit(tmp_path, 3, sample_every=3, on_sample=on_sample)
    average = jax.device_get(state.ema["ema"])
    ((params, extra),) = seen
    _same(params, {"network": average["network"]})
    _same(extra, {"network_state": average["network_state"]})


def test_the_first_batch_reaches_init_and_comes_again(tmp_path):
    def init(key, batch, frozen):
        return {"w": batch["x"].mean(0) + frozen["scale"]}, {}

    def gradients(variables, key, batch, step):
        return {"w": jnp.zeros(toy_training.FEATURES)}, variables.extra, {"loss": batch["x"].sum()}

    own = toy_training.lone({"w": jnp.zeros(1)}, gradients)._replace(init=init)
    batches, frozen = toy_training.Batches(), {"scale": np.float32(2)}
    options = {"batches": batches, "frozen": frozen, "log_every": 1}
    state = toy_training.fit(tmp_path, own, optax.sgd(0.1), 3, **options)
    rows = [next(toy)["x"] for toy in [toy_training.Batches()] for _ in range(3)]
    np.testing.assert_allclose(state.params["w"], rows[0].mean(0) + 2, rtol=1e-5, atol=1e-6)
    losses = [row["loss"] for row in metrics.read(tmp_path)]
    np.testing.assert_allclose(losses, [each.sum() for each in rows], rtol=1e-4)
    assert batches.position == 3
    again = toy_training.Batches()  # a run that goes on is not initialised, and reads on
    toy_training.fit(tmp_path, own, optax.sgd(0.1), 5, **options | {"batches": again})
    assert again.position == 5 and [row["step"] for row in metrics.read(tmp_path)] == [1, 2, 3, 4, 5]


def test_prepare_is_asked_for_what_is_frozen(tmp_path):
    asked = []

    def prepare(folder, source=None):
        asked.append(folder)
        return {"scale": np.full(1, 0.25, np.float32)}, source

    own = toy_training.system()._replace(prepare=prepare)
    toy_training.fit(tmp_path / "asked", own, toy_training.adam(), 2, frozen=None, log_every=1)
    assert asked == [tmp_path / "asked"]
    given = own.prepare(None)[0]
    toy_training.fit(tmp_path / "given", own, toy_training.adam(), 2, frozen=given, log_every=1)
    losses = [[row["loss"] for row in metrics.read(tmp_path / name)] for name in ("asked", "given")]
    assert losses[0] == losses[1] and len(asked) == 2


def test_several_averages_each_by_its_name(tmp_path):
    decays = {"ema": 0.5, "long": ema.warmed_up(0.9), "a": 0.0}
    seen = []
    on_sample = lambda step, variables: seen.append(jax.device_get(variables.params))
    state = toy_training.run(tmp_path, 6, 6, 6, ema_decay=decays, sample_every=6, on_sample=on_sample)
    assert set(state.ema) == set(decays)
    for name in decays:
        _same(checkpoints.restore_params(tmp_path, ema=name), state.ema[name])
    _same(checkpoints.restore_params(tmp_path, ema=True), state.ema["ema"])
    _same(checkpoints.restore_params(tmp_path, ema=False), state.params)
    _same(state.ema["a"], state.params)  # decay 0 follows at once
    _same(seen, [state.ema["ema"]])
    alone = list(toy_training.by_hand(6, decay=0.5))[-1]
    _same(alone.ema["ema"], state.ema["ema"])
    with pytest.raises(ValueError, match="ema='short' must be a bool or one of a, ema, long"):
        checkpoints.restore_params(tmp_path, ema="short")
    names = ("dense",)
    _same(checkpoints.restore_served(tmp_path, names, ema="long")[0], {"dense": state.ema["long"]["dense"]})


def test_an_only_average_may_have_any_name(tmp_path):
    state = toy_training.run(tmp_path, 2, 2, 2, ema_decay={"slow": 0.9})
    _same(checkpoints.restore_params(tmp_path), state.ema["slow"])
    with pytest.raises(
        ValueError, match=r"one of several averages must be 'ema', .*; got \['fast', 'slow'\]"
    ):
        toy_training.run(tmp_path / "two", 2, 2, 2, ema_decay={"slow": 0.9, "fast": 0.5})


def test_what_is_served_and_not_there_is_named(tmp_path):
    toy_training.run(tmp_path, 2, 2, 2)
    for average in (True, False):
        with pytest.raises(ValueError, match=r"step 2 in workdir .* has no 'decoder', but "):
            checkpoints.restore_served(tmp_path, ("dense", "decoder"), ema=average)
    served, _ = checkpoints.restore_served(tmp_path, ("dense", "history"), ema=False)
    assert set(served) == {"dense", "history"}  # of params and extra, and no more


def test_served_variables_go_where_they_were():
    toy = toy_training.system()._replace(serves=("dense", "history"))
    own = training.Variables({"dense": 1, "critic": 2}, {"history": 3, "key": 4}, {"scale": 5})
    assert system.served(toy, own) == {"dense": 1, "history": 3}
    there = system.with_served(own, {"dense": 10, "history": 30})
    assert there == ({"dense": 10, "critic": 2}, {"history": 30, "key": 4}, {"scale": 5})


def test_numbers_of_samples_are_logged_and_may_choose_the_best(tmp_path):
    distances = {2: 3.0, 4: 1.0, 6: 2.0, 8: 4.0}

    def on_sample(step, variables):
        return {"distance": distances[step], "even": step % 4}

    options = {"sample_every": 2, "on_sample": on_sample, "best_metric": "sample/distance", "keep": 1}
    toy_training.run(tmp_path, 8, 2, 3, **options)
    rows = {row["step"]: row for row in metrics.read(tmp_path)}
    # the latest since the row before
    assert {n: row["sample/distance"] for n, row in rows.items()} == {3: 3.0, 6: 2.0, 8: 4.0}
    assert rows[6]["sample/even"] == 2
    assert checkpoints.steps(tmp_path) == [4, 8] and checkpoints.best_step(tmp_path, "sample/distance") == 4
    with pytest.raises(ValueError, match="has no checkpoint with the metric 'fid': there is no best"):
        checkpoints.best_step(tmp_path, "fid")


def test_numbers_of_samples_are_not_forgotten_by_a_run_that_goes_on(tmp_path):
    on_sample = lambda step, variables: {"distance": 1.0 / step}
    options = {"sample_every": 4, "on_sample": on_sample, "best_metric": "sample/distance"}
    toy_training.run(tmp_path / "whole", 9, 3, 6, keep=9, **options)
    asked = []
    wish = lambda: asked.append(0) or len(asked) == 5 + 1  # after step 5, which follows the sample of step 4
    toy_training.run(tmp_path / "parts", 9, 3, 6, keep=9, should_stop=wish, **options)
    assert checkpoints.steps(tmp_path / "parts") == [3, 5]
    toy_training.run(tmp_path / "parts", 9, 3, 6, keep=9, **options)
    clocks = dict.fromkeys(watching.CLOCKS, 0)
    logs = [[row | clocks for row in metrics.read(tmp_path / name)] for name in ("parts", "whole")]
    assert logs[0] == logs[1] and "sample/distance" in logs[0][0]
    scores = [
        (tmp_path / name / f"checkpoints/{step}/metrics/metrics").read_text()
        for name in ("parts", "whole")
        for step in (6, 9)
    ]
    assert scores[:2] == scores[2:]


@pytest.mark.parametrize("numbers, message", [
    ({"distance": "far"}, r"on_sample must return numbers by name or None; got {'distance': 'far'}"),
    (3.0, "on_sample must return numbers by name or None; got 3.0"),
])  # fmt: skip
def test_samples_that_give_no_numbers_are_named(tmp_path, numbers, message):
    with pytest.raises(ValueError, match=message):
        toy_training.run(tmp_path, 2, 2, 2, sample_every=1, on_sample=lambda step, variables: numbers)


def test_nothing_in_extra_is_fine(tmp_path):
    gradients = lambda variables, key, batch, step: (variables.params, {}, {"loss": jnp.float32(1)})
    own = toy_training.lone({"w": jnp.ones(2)}, gradients)
    first = toy_training.fit(tmp_path, own, optax.sgd(0.1), 2)
    assert first.extra == {} and checkpoints.restore_served(tmp_path, ("w",), ema=False)[1] == 2
    state = toy_training.fit(tmp_path, own, optax.sgd(0.1), 4)
    assert state.extra == {} and int(state.step) == 4
    np.testing.assert_allclose(state.params["w"], 0.9**4, rtol=1e-6)


def _older(root, step, params, average):
    """Write a checkpoint as it was before parameters had names: extra in `train`, no item of its own."""
    items = ("params", "ema", "train", "data", "meta")
    options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False)
    with ocp.CheckpointManager(root, options=options, item_names=items) as manager:
        save, json = ocp.args.StandardSave, ocp.args.JsonSave
        train = {"step": jnp.int32(step), "opt_state": (jnp.zeros(3),), "extra": {"calls": jnp.int32(step)}}
        items = {"params": save(params), "ema": save(average), "train": save(train)}
        args = ocp.args.Composite(**items, data=json({"next_index": step}), meta=json({}))
        manager.save(step, args=args, metrics={"loss": 1.0})


def test_checkpoints_of_the_older_layout_are_read_and_not_trained_on(tmp_path):
    params, average = ({"params": {"w": np.full(3, value, np.float32)}} for value in (1, 2))
    for step in (10, 20):
        _older(tmp_path / "checkpoints", step, params, average)
    for own, expected in ((True, average), (False, params)):
        values, step = checkpoints.restore_served(tmp_path, ("network",), ema=own)
        assert step == 20
        _same(values, expected)
        _same(checkpoints.restore_params(tmp_path, ema=own, step=10), expected)
    assert checkpoints.steps(tmp_path) == [10, 20]
    (tmp_path / "checkpoints/20/ema/manifest.ocdbt").write_bytes(b"damaged")
    with pytest.raises(
        ValueError, match="of an older layout: they can be sampled and evaluated, not trained on"
    ):
        toy_training.run(tmp_path, 30, 10, 10)
    assert checkpoints.restore_served(tmp_path, ("network",))[1] == 10
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"10", "20"}


def test_a_checkpoint_that_lost_its_extra_is_damaged_and_of_no_older_layout(tmp_path):
    toy_training.run(tmp_path, 4, 2, 2)
    shutil.rmtree(tmp_path / "checkpoints/4/extra")
    assert checkpoints.steps(tmp_path) == [2]
    assert checkpoints.restore_params_and_step(tmp_path)[1] == 2
    assert int(toy_training.run(tmp_path, 4, 2, 2).step) == 4
    assert (tmp_path / "checkpoints/4.damaged").is_dir()

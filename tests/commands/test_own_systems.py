"""Systems of one's own under train and evaluate, in-process: what they lack or say wrongly is one line."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from diffjax import commands, evaluate, systems, train
from diffjax.training import checkpoints
from diffjax.training.system import Pass, System, Update, from_loss

SHAPE = (2,)


def _loss(v, key, batch, step):
    return ((batch["x"] - v.params["mean"]) ** 2).mean(), (v.extra, {})


def _mean(**changes):
    """A system that learns the mean of its data, and samples it."""
    update = Update("mean", ("mean",), from_loss(_loss, ("mean",)))
    own = System(
        example={"x": jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32)},
        init=lambda key, batch, frozen: ({"mean": jnp.zeros(SHAPE)}, {}),
        updates=(update,), serves=("mean",), gives="points",
        passes=(Pass("repeat", lambda v, keys, asked, made: jnp.tile(v.params["mean"], (len(keys), 1)), {}),),
        measures={"error": lambda v, key, batch: {"square": ((batch["x"] - v.params["mean"]) ** 2).mean(1)}},
    )  # fmt: skip
    return own._replace(**changes)


@pytest.fixture
def named(monkeypatch):
    """Let a config name a system for the time of a test."""
    known = dict(systems._REGISTERED)
    monkeypatch.setattr(systems, "_REGISTERED", known)

    def name(system):
        own = types.SimpleNamespace(from_config=lambda config, folder=None: system, SECTIONS=("data",),
                                    IDENTITY=("data",))  # fmt: skip
        systems.register("own", own)
        return ConfigDict({
            "system": "own", "data": {"name": "ring8", "shape": SHAPE, "num_examples": 64},
            "optimizer": {"name": "sgd", "learning_rate": 0.1, "b1": 0.0},
            "training": {"num_steps": 3, "batch_size": 8, "seed": 0, "log_every": 1, "checkpoint_every": 1,
                         "sample_every": 2, "ema": {"name": "constant", "decay": 0.5}},
        })  # fmt: skip

    return name


def _train(config, folder):
    return train.train(config, folder, progress=False)


def test_a_system_that_samples_nothing_is_trained_and_measured(named, tmp_path):
    config = named(_mean(passes=(), gives=None))
    _train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "samples").exists()
    found = evaluate.evaluate(tmp_path / "run", progress=False)
    assert found["samples"] == [] and "error" in str(found["measures"])
    system, variables, step = commands.load(tmp_path / "run")
    assert step == 3
    with pytest.raises(ValueError, match="this system samples nothing: it has no passes"):
        system.sample(variables, jax.random.key(0), {}, 3)


_UPDATE = _mean().updates[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"updates": ()}, "this system is not trained: it has no updates"),
        ({"updates": (_UPDATE, _UPDATE)}, r"updates of a system must have names of their own, got"),
        ({"updates": (_UPDATE._replace(repeats=0),)}, "repeats of update 'mean' must be at least 1, got 0"),
        ({"updates": (_UPDATE._replace(moves=("mean", "mean")),)}, "must move names of params, each once"),
        ({"updates": (_UPDATE._replace(moves=("men",)),)}, r"move names of params.*; got \['men'\]"),
        ({"serves": ("network",)}, r"serves names of params, \['mean'\].*got \['network'\]"),
        ({"example": {"x": jax.ShapeDtypeStruct((1, 2), jnp.float32),
                      "text": jax.ShapeDtypeStruct((1, 3), jnp.int32)}}, "system needs 'text' in a batch"),
    ],
)  # fmt: skip
def test_a_system_that_does_not_fit_is_refused(named, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        _train(named(_mean(**changes)), tmp_path / "run")


def test_extra_keeps_its_dtypes(named, tmp_path):
    def loss(v, key, batch, step):
        return _loss(v, key, batch, step)[0], ({"seen": v.extra["seen"] + 0.5}, {})

    own = _mean(
        init=lambda key, batch, frozen: ({"mean": jnp.zeros(SHAPE)}, {"seen": jnp.int32(0)}),
        updates=(_UPDATE._replace(gradients=from_loss(loss, ("mean",))),),
    )
    with pytest.raises(ValueError, match=r"'mean' must keep extra\['seen'\] int32\[\], got float32\[\]"):
        _train(named(own), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_prepare_adds_is_known_before_by_its_shape(named, tmp_path):
    def prepare(folder, source=None):
        return {}, source and source.add(weight=np.ones(len(source), np.float32))

    def loss(v, key, batch, step):
        return _loss(v, key, batch, step)[0] * batch["weight"].mean(), (v.extra, {})

    example = {**_mean().example, "weight": jax.ShapeDtypeStruct((1,), jnp.float32)}
    own = _mean(
        prepare=prepare, example=example, updates=(_UPDATE._replace(gradients=from_loss(loss, ("mean",))),)
    )
    assert int(_train(named(own), tmp_path / "run").step) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training.ema": 0.9}, r"config\.training\.ema must be a section, a dict; got 0\.9"),
        ({"training.ema": {}}, r"config\.training\.ema\.name is missing"),
        ({"training.ema": {"fast": {"name": "constant", "decay": 0.9}, "slow": {"name": "constant"}}},
         r"training\.ema\.slow"),
        ({"training.ema": {each: {"name": "constant", "decay": 0.9} for each in ("fast", "slow")}},
         r"training\.ema: one of several averages must be 'ema', to sample with; got \['fast', 'slow'\]"),
        ({"training.best_metric": "los"}, "best_metric='los' is not one of grad_norm, learning_rate, loss, "),
        ({"training.best_metric": "sample/fid"}, "best_metric='sample/fid' is not one of grad_norm"),
        ({"training.accumulate": 3}, "accumulate=3 must divide the rows that are split, got 8 of them"),
        ({"training.writers": ("csv",)}, r"training\.writers: writers must be among tensorboard, wandb;"),
        ({"training.mesh": "all"}, r"config\.training\.mesh must be a section, a dict; got 'all'"),
        ({"phases": "many"}, "config.phases must be a list of dicts, each with a name; got 'many'"),
        ({"phases": [{"name": "a"}, {"name": "b", "trainings.num_steps": 1}]}, "no section 'trainings'"),
        ({"phases": [{"name": "a"}, {"name": "b", "training.num_step": 1}]}, "has no key 'num_step'"),
    ],
)  # fmt: skip
def test_what_can_be_refused_is_refused_before_a_folder_is_made(named, tmp_path, changes, message):
    config = commands.overridden(named(_mean()), changes)
    with pytest.raises(ValueError, match=message):
        _train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_several_averages_are_read_by_name(named, tmp_path):
    rules = {"ema": {"name": "constant", "decay": 0.5}, "still": {"name": "constant", "decay": 1.0}}
    config = commands.overridden(named(_mean()), {"training.ema": rules})
    _train(config, tmp_path / "run")
    read = lambda ema: np.asarray(commands.load(tmp_path / "run", ema=ema).variables.params["mean"])
    np.testing.assert_array_equal(read("still"), np.zeros(2))
    np.testing.assert_array_equal(read(True), read("ema"))
    assert (read(True) != read("still")).any() and (read(True) != read(False)).any()
    with pytest.raises(ValueError, match="ema='slow' must be a bool or one of ema, still"):
        read("slow")


def test_phases_go_on_where_one_was_told_to_stop(named, tmp_path):
    config = commands.overridden(
        named(_mean()),
        {"phases": [{"name": "a"}, {"name": "b", "training.num_steps": 5, "training.seed": 1}]},
    )
    asked = iter(
        [False] * 5 + [True] * 9
    )  # once before and once after each step of the first; then it is told
    state = train.train(config, tmp_path, progress=False, should_stop=lambda: next(asked))
    assert int(state.step) == 1
    assert [checkpoints.latest_step(tmp_path / name) for name in "ab"] == [3, 1]
    runs = train.phases.of(config, tmp_path)
    assert "at step 1 of 5" in train._last_words(runs, None)
    assert int(_train(config, tmp_path).step) == 5
    assert train._last_words(runs, None).startswith(f"done: {tmp_path / 'b'}/README.md")


def test_an_update_may_be_called_as_an_option_of_optimizers_is(named, tmp_path):
    config = named(_mean(updates=(_UPDATE._replace(name="schedule"),)))
    config.optimizer.schedule = "constant"
    assert int(_train(config, tmp_path / "run").step) == 3

"""Pipelines of trained systems: what is handed on, what is prepared, where a killed one goes on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems.tools import trained

from diffjax import commands
from diffjax.data import Source
from diffjax.systems import stages
from diffjax.systems.pipeline import pipeline
from diffjax.training.system import Conditioning, Part, Variables


@pytest.fixture(scope="module")
def run():
    return trained()


def _pipeline(run, batch_size=None):
    def lower(keys, made, request):
        assert set(made) == {"base/walk"}
        return request | {"start": made["base/walk"]}

    base, up = (stages.stage({"workdir": str(run)}, None, name) for name in ("base", "up"))
    walk = up.system.passes[0]

    def add(v, keys, asked, made):
        return walk.run(v, keys, {}, made) + 100 * asked["start"]

    up = up._replace(system=up.system._replace(passes=(walk._replace(run=add, batch_size=batch_size),)))
    return pipeline({"base": base, "up": up}, {"up": lower})


def test_a_pipeline_hands_on_what_was_made(run):
    system = _pipeline(run)
    variables = Variables(frozen=system.prepare(None)[0])
    assert [each.name for each in system.passes] == ["base/walk", "up/walk"] and system.gives == "points"
    assert system.passes[1].calls == {"up/network": 3}
    x = system.sample(variables, jax.random.key(0), system.request.default(4), 4)
    with pytest.raises(ValueError, match="takes no request; got 'text'"):
        system.request.of_user({"text": ["a"]}, 4)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), jnp.arange(4))
    alone = system.sample(variables, keys[2:], system.request.default(2), 2)
    np.testing.assert_allclose(alone, x[2:], rtol=1e-4, atol=1e-4)


def test_what_a_stage_prepares_of_data_reaches_it_alone(run):
    """Each tokenizes the one raw input; asked for nothing, each has its default."""

    def tokenized(stage, base):
        def prepare(folder, source=None):
            frozen, source = stage.system.prepare(folder, source)
            tokens = source and np.char.str_len(source["text"]).astype(np.int32) + base
            return frozen, source and source.add(tokens=tokens)

        request = Conditioning(
            parts={"text": Part()}, of_batch=lambda v, key, batch: {"text": batch["tokens"]},
            of_user=lambda given, n: {"text": np.full(n, len(given["text"][0]) + base)},
            default=lambda n: {"text": np.full(n, base)},
        )  # fmt: skip
        return stage._replace(system=stage.system._replace(prepare=prepare, request=request))

    of = lambda name: stages.stage({"workdir": str(run)}, None, name)
    system = pipeline({"a": tokenized(of("a"), 10), "b": tokenized(of("b"), 20), "c": of("c")}, {})
    source = Source(np.zeros((2, 2), np.float32), None, None, "said", {"text": np.array(["x", "xyz"])})
    frozen, source = system.prepare(None, source)
    asked = system.request.of_batch(Variables(frozen=frozen), None, source.gather(np.arange(2)))
    wanted = {"a": {"text": [11, 13]}, "b": {"text": [21, 23]}, "c": {}}
    assert jax.tree.map(list, asked, is_leaf=lambda leaf: isinstance(leaf, np.ndarray)) == wanted
    assert system.request.of_user({"text": ["xyz"]}, 1)["b"]["text"] == [23]
    assert system.request.of_user({}, 1)["a"]["text"] == [10]


def test_passes_go_on_where_they_were_killed(run, tmp_path):
    """Each at its own batch size; what was made before stays, and another request makes it anew."""
    system = _pipeline(run, batch_size=2)
    variables, shelf = Variables(frozen=system.prepare(None)[0]), tmp_path / "passes"

    def draw(system, seed=0):
        return commands.sample_in_batches(
            system, variables, key=jax.random.key(seed), num=5, batch_size=3, keep=shelf, progress=None
        ).x

    def killed(*_):
        raise KeyboardInterrupt

    first, second = system.passes
    broken = system._replace(passes=(first, second._replace(run=killed)))
    with pytest.raises(KeyboardInterrupt):
        draw(broken)
    (kept,) = shelf.glob("*/base.walk.npz")
    kept = np.load(kept)["x"]
    assert kept.shape == (5, 2)
    resumed = system._replace(passes=(first._replace(run=killed), second))  # the first is not run again
    x = draw(resumed)
    commands.forget(shelf)
    np.testing.assert_allclose(x, draw(system), rtol=1e-4, atol=1e-4)
    commands.forget(shelf)
    with pytest.raises(KeyboardInterrupt):
        draw(broken)
    with pytest.raises(KeyboardInterrupt):  # another seed: the first has to be run
        draw(resumed, seed=1)

"""A pipeline from a config alone under sample and evaluate, and under train, which it is not for."""

import pathlib
import shutil

import jax
import numpy as np
import pytest
from forked import run as command
from systems.tools import tiny

from diffjax import commands, evaluate, train
from diffjax.training import sharding

FILE = pathlib.Path(__file__).with_name("chain_of_two.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipelines")
    for seed, name in enumerate(("first", "second")):
        train.train(tiny("toys/ddpm", **{"training.seed": seed}), folder / name, progress=False)
    return folder


@pytest.fixture
def argument(runs):
    return f"{runs / 'first'},{runs / 'second'}"


@pytest.fixture
def config(argument):
    return commands.config_module(FILE).get_config(argument)


def test_it_is_sampled_by_its_config(argument, config, tmp_path):
    code, _, err = command("sample", f"--config={FILE}:{argument}", f"--out={tmp_path}", "--num=5")
    assert code == 0, err
    told = np.load(tmp_path / "samples.npz")["points"]
    assert not (tmp_path / ".passes").exists()
    system, variables, step = commands.load(config)
    assert step is None and [each.name for each in system.passes] == ["first/walk", "second/walk"]
    assert [each.calls for each in system.passes] == [{"first/network": 3}, {"second/network": 2}]
    x = commands.sample_in_batches(
        system, variables, key=jax.random.key(0), num=5, batch_size=2, progress=None
    ).x
    np.testing.assert_allclose(told, x, rtol=1e-4, atol=1e-4)


def test_it_is_evaluated_by_its_config(config, tmp_path):
    found = evaluate.evaluate(config=config, out=tmp_path, progress=False)
    assert found["step"] is None and found["samples"][0]["network_calls"] == 5
    assert (tmp_path / "evaluation.md").is_file()
    with pytest.raises(ValueError, match=r"give --workdir=.* --out=.* of a pipeline"):
        evaluate.evaluate(config=config)


@pytest.mark.parametrize(
    ("how", "message"), [({"step": 3}, "each stage of a pipeline has its own"), ({"ema": False}, "got False")]
)
def test_a_checkpoint_is_its_stages(config, how, message):
    with pytest.raises(ValueError, match=message):
        commands.load(config, **how)


def test_the_config_of_what_is_trained_is_no_pipeline():
    with pytest.raises(ValueError, match="system 'ddpm' is trained: give its run's folder"):
        commands.load(tiny("toys/ddpm"))


def test_it_is_not_trained(config, tmp_path):
    config.training, config.optimizer = tiny("toys/ddpm").training, tiny("toys/ddpm").optimizer
    with pytest.raises(ValueError, match="this system is not trained: it has no updates"):
        train.train(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_stages_that_are_not_there_are_named(config, runs, tmp_path):
    shutil.copytree(runs / "second", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    config.stages.second.workdir = str(tmp_path / "run")
    with pytest.raises(ValueError, match=f"workdir {tmp_path / 'run'} has no complete checkpoint"):
        commands.load(config)
    config.stages.second.workdir = str(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"config\.second\.workdir must be the folder of a run"):
        commands.load(config)


def test_it_is_laid_out_on_a_mesh(config):
    mesh = sharding.make_mesh()
    _, variables, _ = commands.load(config, mesh=mesh)
    assert all(leaf.sharding.mesh == mesh for leaf in jax.tree.leaves(variables))

"""Trained systems that others stand on: read, copied, refused; phases; runs of before."""

import json
import pathlib
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from ml_collections import ConfigDict
from systems.tools import tiny, trained

from diffjax import commands, systems, train
from diffjax.commands import phases
from diffjax.systems import older, stages
from diffjax.training import checkpoints
from diffjax.training.system import System

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def run():
    return trained()


def _same(one, two):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(one), jax.device_get(two))


def test_a_stage_is_the_run_it_names(run):
    stage = stages.stage({"workdir": str(run)}, None, "teacher")
    variables = stage.read(None)
    _same(variables.params, checkpoints.restore_params(run))
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, stage.shapes())
    raw = stages.stage({"workdir": str(run), "ema": False}, None, "teacher").read(None)
    _same(raw.params, checkpoints.restore_params(run, ema=False))
    faster = stages.stage({"workdir": str(run), "sampler": {"steps": 2}}, None, "teacher").system
    assert faster.passes[0].calls == {"network": 2} != stage.system.passes[0].calls


def test_a_copy_needs_its_origin_no_more(run, tmp_path):
    origin, user = tmp_path / "origin", tmp_path / "user"
    shutil.copytree(run, origin)
    given = {"workdir": str(origin)}
    before = stages.stage(given, user, "teacher").read(user)
    shutil.rmtree(origin)
    shutil.move(user, tmp_path / "moved")
    after = stages.stage(given, tmp_path / "moved", "teacher").read(tmp_path / "moved")
    _same(before, after)
    about = json.loads((tmp_path / "moved/stages/teacher/stage.json").read_text())
    assert about["checksum"] == stages.checksum({**before.params, **before.extra})


def test_folders_may_be_relative(run, tmp_path, monkeypatch):
    """As on the command line, where a run is `runs/digits`; both what is copied and the copy are read."""
    shutil.copytree(run, tmp_path / "origin")
    monkeypatch.chdir(tmp_path)
    found = []
    for _ in range(2):
        monkeypatch.setattr(stages, "_read", {})
        found.append(
            stages.stage({"workdir": "origin"}, pathlib.Path("user"), "teacher").read(pathlib.Path("user"))
        )
    _same(*found)
    _same(found[0].params, checkpoints.restore_params("origin"))


def test_equal_stages_are_read_once(run, tmp_path):
    given = {"workdir": str(run)}
    read = lambda name: stages.stage(given, tmp_path, name).read(tmp_path)
    assert read("clip") is read("other")
    where_it_is = lambda: stages.stage(given, None, "teacher").read(None)
    assert where_it_is() is where_it_is()


def test_a_changed_copy_is_refused(run, tmp_path):
    given = {"workdir": str(run)}
    stages.stage(given, tmp_path, "teacher").read(tmp_path)
    copy = tmp_path / "stages/teacher"
    values = jax.tree.map(lambda a: a + 1, checkpoints.read_tree(copy / "variables"))
    shutil.rmtree(copy / "variables")
    checkpoints.write_tree(copy / "variables", values)
    stages._read.clear()
    with pytest.raises(ValueError, match="variables is not what was written: its checksum is another one"):
        stages.stage(given, tmp_path, "teacher").read(tmp_path)


def test_a_damaged_copy_is_named(run, tmp_path):
    given = {"workdir": str(run)}
    read = lambda: stages.stage(given, tmp_path, "teacher").read(tmp_path)
    read()
    about, copy = tmp_path / "stages/teacher/stage.json", tmp_path / "stages/teacher"
    whole = about.read_text()
    for damage in ("", whole[:40], "[1]", "{}", whole.replace("step", "steep")):
        about.write_text(damage)
        with pytest.raises(ValueError, match=r"stages/teacher/stage\.json .*; without .* it is copied again"):
            read()
    about.write_text(whole)
    for file in (copy / "variables").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:-3])
    stages._read.clear()
    with pytest.raises(ValueError, match=r"stages/teacher/variables cannot be read: .* it is copied again"):
        read()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "config.teacher must have one of workdir and pretrained"),
        ({"workdir": "nowhere"}, "config.teacher.workdir must be the folder of a run"),
        ({"pretrained": "x.npz"}, "config.teacher.architecture is missing"),
        (
            "runs/teacher",
            "config.teacher must be a dict with one of workdir and pretrained; got 'runs/teacher'",
        ),
        (None, "config.teacher must be a dict with one of workdir and pretrained; got None"),
        ({"workdir": "gs://bucket/run"}, "workdir must be a folder of this machine"),
    ],
)
def test_what_is_no_stage_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        stages.stage(given, None, "teacher")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": {"width": 9}}, r"config.teacher may change .*sampler.* of its run; got 'model'"),
        ({"system": "vdm"}, "of its run; got 'system'"),
        ({"smapler": {"steps": 2}}, "of its run; got 'smapler'"),
        ({"sampler": "ddim"}, "config.teacher.sampler must be a dict; got 'ddim'"),
        ({"sampler": {"solver": "dimm"}}, "sampler.solver must be one of"),
    ],
)
def test_what_was_trained_stays(run, given, message):
    with pytest.raises(ValueError, match=message):
        stages.stage({"workdir": str(run), **given}, None, "teacher")


def test_another_solver_begins_without_the_options_of_the_old_one(run, tmp_path):
    own = tmp_path / "run"
    shutil.copytree(run, own)
    config = json.loads((own / "config.json").read_text())
    config["sampler"] |= {"solver": "ddim", "eta": 0.5}
    (own / "config.json").write_text(json.dumps(config))
    given = {"workdir": str(own), "sampler": {"solver": "dpm_solver_pp", "steps": 2}}
    assert stages.stage(given, None, "teacher").system.passes[0].calls == {"network": 2}


def test_the_copy_is_of_what_the_config_names(run, tmp_path):
    """A path alone does not matter: moved and unchanged it is the same; another run is not."""
    given, other = {"workdir": str(run)}, tmp_path / "other"
    read = lambda changes: stages.stage({**given, **changes}, tmp_path, "teacher").read(tmp_path)
    first = read({"step": "best"})
    assert read({}) is first and read({"step": 3}) is first and read({"workdir": "gone"}) is first
    for changes, message in [
        ({"step": 2}, "config.teacher.step is 2, but the copy in .* is of 3"),
        ({"ema": False}, "config.teacher.ema is False, but the copy in .* is of True"),
    ]:
        with pytest.raises(ValueError, match=message):
            read(changes)
    shutil.copytree(run, other)
    assert read({"workdir": str(other)}) is first
    train.train(tiny("toys/ddpm", **{"training.seed": 1}), tmp_path / "third", progress=False)
    with pytest.raises(ValueError, match=r"config.teacher.workdir is .*third, whose variables are not those"):
        read({"workdir": str(tmp_path / "third")})


def test_equal_students_of_different_teachers_are_two(run, tmp_path, monkeypatch):
    """What a stage stands on belongs to its identity."""

    def from_config(config, folder=None):
        teacher = stages.stage(config.teacher, folder, "teacher")
        return System(
            example={}, init=lambda key, batch, frozen: ({"scale": jnp.ones(2)}, {}), updates=(),
            serves=("scale",), frozen={"teacher": teacher.shapes()},
            prepare=stages.prepare({"teacher": teacher}),
        )  # fmt: skip

    monkeypatch.setattr(systems, "_REGISTERED", dict(systems._REGISTERED))
    own = types.SimpleNamespace(from_config=from_config, SECTIONS=("teacher",), IDENTITY=())
    systems.register("student", own)
    read = {}
    for name, ema in (("one", True), ("two", False)):
        config = ConfigDict({"system": "student", "teacher": {"workdir": str(run), "ema": ema}})
        copy, scale = tmp_path / "stages" / name, {"scale": jnp.ones(2)}
        copy.mkdir(parents=True)
        (copy / "config.json").write_text(config.to_json())
        checkpoints.write_tree(copy / "variables", scale)
        about = {"from": "gone", "ema": True, "step": 1, "checksum": stages.checksum(scale)}
        (copy / "stage.json").write_text(json.dumps(about))
        systems.build(config, copy).prepare(copy)  # its own stage lies within
        read[name] = stages.stage({"workdir": "gone"}, tmp_path, name).read(tmp_path)
    _same(read["one"].params, read["two"].params)
    _same(read["one"].frozen["teacher"].params, checkpoints.restore_params(run))
    _same(read["two"].frozen["teacher"].params, checkpoints.restore_params(run, ema=False))


def test_another_shape_is_refused_by_name(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    config = json.loads((other / "config.json").read_text())
    config["model"]["width"] = 7
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"another model in .*\(config.teacher\).*\['network'\].*has shape"):
        stages.stage({"workdir": str(other)}, None, "teacher").read(None)


def test_phases_are_runs_one_after_another(tmp_path):
    config = tiny("toys/ddpm")
    config.phases = [{"name": "first"}, {"name": "second", "training.num_steps": 5, "training.seed": 1}]
    state = train.train(config, tmp_path, progress=False)
    assert int(state.step) == 5
    assert (
        checkpoints.latest_step(tmp_path / "first") == 3 and checkpoints.latest_step(tmp_path / "second") == 5
    )
    assert int(train.train(config, tmp_path, progress=False).step) == 5  # nothing is left to do
    with pytest.raises(ValueError, match=r"is several runs: name one, .*/first or .*/second"):
        commands.load(tmp_path)


def test_the_phase_before_is_the_teacher(tmp_path):
    config = ConfigDict({"teacher": {"workdir": "given"}, "steps": 8})
    config.phases = [{"name": "a"}, {"name": "b", "steps": 4, "teacher.workdir": "previous"}]
    (first, here), (second, there) = phases.of(config, tmp_path)
    assert first.teacher.workdir == "given" and first.steps == 8 and here == tmp_path / "a"
    assert second.teacher.workdir == str(here) and second.steps == 4 and there == tmp_path / "b"
    for bad, message in [
        ([{"steps": 1}], "each of config.phases must be a dict with a name"),
        ([{"name": ".."}], "each of config.phases must be a dict with a name"),
        ([{"name": "a"}, {"name": "a"}], "config.phases must have names of their own"),
        ([{"name": "a", "teacher.workdir": "previous"}], "the first of config.phases has no phase before it"),
    ]:
        config.phases = bad
        with pytest.raises(ValueError, match=message):
            list(phases.of(config, tmp_path))


def test_runs_of_before_are_sampled(run, tmp_path):
    """Parameters without names, as they were saved; the label table within the network."""
    new = checkpoints.restore_params(run)
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(run / "config.json", old / "config.json")
    params = {"params": new["network"]}
    items = {name: ocp.args.StandardSave(params) for name in ("params", "ema")}
    items |= {"train": ocp.args.StandardSave({"step": np.int32(3)})}
    items |= {name: ocp.args.JsonSave({}) for name in ("data", "meta")}
    with ocp.CheckpointManager(old / "checkpoints", item_names=tuple(items)) as manager:
        manager.save(3, args=ocp.args.Composite(**items))
    _, variables, step = commands.load(old)
    assert step == 3
    _same(variables.params, new)
    with pytest.raises(ValueError, match="are of an older layout: they can be sampled"):
        train.train(tiny("toys/ddpm"), old, progress=False)


def test_the_label_table_of_before_stands_beside_the_network():
    table, dense = np.ones((3, 4)), {"kernel": np.zeros(2)}
    old = {"params": {"embed": {"time_0": dense, "label": {"embedding": table}}, "out": dense}}
    new = older.named(old)
    assert new["conditions"]["embed"]["label"]["embedding"] is table
    assert new["network"] == {"embed": {"time_0": dense}, "out": dense}
    vdm = older.named({"network": {"params": {"out": dense}}, "schedule": {"w": table}})
    assert set(vdm) == {"network", "schedule"} and vdm["network"] == {"out": dense}
    assert older.named(new) is new


@pytest.mark.slow
def test_a_published_network_is_a_stage():
    """The recorded output of guided-diffusion's own network, through a stage."""
    recorded = np.load(GOLDEN / "gd_unet_plain.npz")
    hyper = json.loads(str(recorded["_hyper_json"]))["config"]
    given = {
        "pretrained": str(GOLDEN / "gd_unet_plain.safetensors"),
        "architecture": "guided_diffusion_unet",
        "config": hyper,
    }
    stage = stages.stage(given, None, "teacher")
    variables = stage.read(None)
    assert jax.tree.map(jnp.shape, stage.shapes()) == jax.tree.map(jnp.shape, variables)
    network = stage.system.features(variables)["network"]
    x, wanted = (np.moveaxis(recorded[name], 1, -1) for name in ("in__x", "out__y"))
    found = np.asarray(network(x, recorded["in__t"], None))
    np.testing.assert_allclose(found, wanted, atol=1e-4 * wanted.std())
    again = stages.stage(given, None, "first_stage").read(None)  # the file is read once, whoever stands on it
    assert all(one is two for one, two in zip(*map(jax.tree.leaves, (variables, again)), strict=True))


def test_a_published_file_is_copied_as_it_is(tmp_path):
    recorded = np.load(GOLDEN / "gd_unet_plain.npz")
    file = tmp_path / "unet.safetensors"
    shutil.copy(GOLDEN / "gd_unet_plain.safetensors", file)
    given = {"pretrained": str(file), "architecture": "guided_diffusion_unet",
             "config": json.loads(str(recorded["_hyper_json"]))["config"]}  # fmt: skip
    run = tmp_path / "run"
    before = stages.stage(given, run, "teacher").read(run)
    file.unlink()
    shutil.move(run, tmp_path / "moved")
    after = stages.stage(given, tmp_path / "moved", "teacher").read(tmp_path / "moved")
    _same(before, after)


def test_systems_are_registered_by_name():
    with pytest.raises(ValueError, match="system 'ddpm' is taken"):
        systems.register("ddpm", object())
    with pytest.raises(ValueError, match=r"system 'mine' must have from_config, .* it has no IDENTITY"):
        systems.register("mine", types.SimpleNamespace(from_config=None, SECTIONS=()))

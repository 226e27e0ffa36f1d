"""Progressive distillation as a run: it begins as its teacher, halves by one command, resumes bit for bit."""

import itertools
import shutil

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from systems import tools
from systems.tools import tiny

from diffjax import commands, systems, train
from diffjax.systems import stages
from diffjax.training import checkpoints


def _config(folder, /, **changes):
    changes = {"objective.steps": 4, "sampler.steps": 4, "phases": (), **changes}
    return commands.overridden(tiny("toys/progressive"), {"teacher.workdir": str(folder), **changes})


def _draw(system, variables, config=None):
    return commands.sample_in_batches(
        system, variables, key=jax.random.key(0), num=5, batch_size=5, progress=None
    ).x


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A teacher, and two phases of students of it, trained by one command."""
    folder = tmp_path_factory.mktemp("distill")
    shutil.copytree(tools.teacher(), folder / "teacher")
    config = tiny("toys/progressive", **{"teacher.workdir": str(folder / "teacher")})
    config.training.update({"num_steps": 2, "checkpoint_every": 1})
    config.phases = config.phases[-2:]
    assert config.phases[0].pop("teacher.workdir") == "previous"
    assert int(train.train(config, folder / "run", progress=False).step) == 2
    return folder, config


def test_a_student_begins_as_its_teacher():
    """With its steps: 4 of DDIM, where the teacher's own config says 3 of Heun."""
    student = systems.build(_config(tools.teacher()))
    v = tools.variables(student)
    given = {"workdir": str(tools.teacher()), "sampler": {"solver": "ddim", "steps": 4}}
    teacher = stages.stage(given, None, "teacher")
    assert student.passes[0].calls == {"network": 4}
    np.testing.assert_array_equal(_draw(student, v), _draw(teacher.system, teacher.read(None)))


def test_one_command_carries_out_all_phases(runs):
    folder, _ = runs
    for steps in (2, 1):
        system, variables, step = commands.load(folder / f"run/steps_{steps}")
        assert system.passes[0].calls == {"network": steps} and step == 2
        assert system.flow_map.how["times"] == np.linspace(1, 0, steps + 1).tolist()
        assert np.isfinite(_draw(system, variables)).all()
    taught = stages.stage({"workdir": str(folder / "run/steps_2")}, None, "teacher").read(None)
    jax.tree.map(np.testing.assert_array_equal, variables.frozen["teacher"].params, taught.params)


def test_one_step_is_the_flow_map(runs):
    folder, _ = runs
    system, v, _ = commands.load(folder / "run/steps_1")
    x, schedule = jax.random.normal(jax.random.key(1), (3, 2)), system.schedule(v)
    found = jax.jit(lambda x: system.flow_map(v)(x, schedule(1.0), schedule(0.0)))(x)
    np.testing.assert_allclose(found, system.denoiser(v)(x, schedule(1.0)).x0, atol=1e-5)


def test_a_run_that_was_stopped_goes_on_bit_for_bit_without_its_first_teacher(runs):
    folder, config = runs
    asked = itertools.count()
    again = folder / "again"
    train.train(config, again, progress=False, should_stop=lambda: next(asked) >= 3)
    assert (checkpoints.latest_step(again / "steps_1") or 0) < 2
    (folder / "teacher").rename(folder / "gone")
    train.train(config, again, progress=False)
    (folder / "gone").rename(folder / "teacher")
    for ema in (True, False):
        both = [checkpoints.restore_params(each / "steps_1", ema=ema) for each in (folder / "run", again)]
        jax.tree.map(np.testing.assert_array_equal, *both)


def test_what_cannot_be_distilled_is_refused(runs, tmp_path):
    folder, _ = runs
    student = str(folder / "run/steps_2")
    for changes, message in (
        (
            {"teacher.workdir": student},
            "objective.steps must be half of the steps of the teacher, 2, .* got 4",
        ),
        ({"objective.grid": "karras"}, "objective.grid must be one whose every other time is a grid of half"),
        ({"objective.grid": "kaaras"}, "objective.grid must be one of"),
        ({"objective.steps": 0}, "objective.steps must be an integer of at least 1"),
        ({"objective.weighting": "heavy"}, "objective.weighting must be one of"),
        ({"objective.kind": "v"}, "objective.kind is not an option of distill"),
        ({"data.shape": (3,)}, r"config.teacher is of examples \(2,\), and data.shape is \(3,\)"),
        ({"teacher": ConfigDict({})}, "config.teacher must have one of workdir and pretrained"),
    ):
        with pytest.raises(ValueError, match=message):
            systems.build(_config(folder / "teacher", **changes))


@pytest.mark.parametrize("schedule", ["vp_linear", "vp_cosine", "rectified_flow"])
def test_a_teacher_of_eps_may_teach_unless_its_grid_begins_where_alpha_is_0(schedule, tmp_path):
    """There eps says nothing of x_0; of a run that is begun and no more."""
    changes = {"schedule": {"name": schedule}, "objective.kind": "eps", "objective.times": "uniform"}
    teacher = tiny("toys/flow", **changes, sampler={"solver": "ddim", "steps": 2})
    (tmp_path / "config.json").write_text(teacher.to_json())
    if schedule == "vp_linear":
        student = systems.build(_config(tmp_path))
        start = student.schedule(None)(student.flow_map.how["times"][0])
        assert student.updates and 0 < start.alpha < 0.01
        return
    with pytest.raises(
        ValueError, match="the network says nothing of x_0 at alpha = 0, where the grid starts"
    ):
        systems.build(_config(tmp_path))


def test_a_student_of_a_chain_is_no_finer_than_it(tmp_path):
    train.train(tiny("toys/ddpm", **{"schedule.num_steps": 10}), tmp_path / "chain", progress=False)
    assert systems.build(_config(tmp_path / "chain", **{"objective.steps": 5})).passes
    with pytest.raises(
        ValueError, match=r"objective\.steps must be at most 10, the steps of the chain; got 12"
    ):
        systems.build(_config(tmp_path / "chain", **{"objective.steps": 6}))

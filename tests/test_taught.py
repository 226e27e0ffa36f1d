"""Arms of studies that learn from trained networks, and jumps beside the exact map."""

import types

import numpy as np
import pytest
from ml_collections import ConfigDict

from diffjax import exact
from diffjax.process import schedules
from diffjax.training.system import Variables
from experiments import costs, study, taught


def _small(file, **overrides):
    config = study.config_of(file, "ring8", optimizer={"warmup_steps": 1}, **overrides)
    config.data.num_examples = 64
    config.training.update({"num_steps": 2, "batch_size": 8, "checkpoint_every": 2, "log_every": 1})
    return config


@pytest.fixture
def teachers():
    """Return a chain of two, a network of v and a student of four steps."""
    v = _small(
        "toys/flow.py",
        schedule={"name": "vp_cosine"},
        model={"width": 4, "depth": 1},
        objective_={"kind": "v", "times": "uniform"},
    )
    student = _small("toys/progressive.py", objective={"steps": 4}, sampler={"steps": 4})
    del student["phases"]
    student.teacher.workdir = "v"
    return {"v": v, "steps_4": student}


@pytest.mark.slow
def test_a_chain_of_teachers_is_trained_once_a_seed(teachers, tmp_path, monkeypatch):
    trained, whole = [], taught.train.train
    monkeypatch.setattr(
        taught.train,
        "train",
        lambda config, folder, **how: trained.append(folder) or whole(config, folder, **how),
    )
    last = teachers["steps_4"].copy_and_resolve_references()
    last.update({"teacher": {"workdir": "steps_4"}})
    last.objective.steps = last.sampler.steps = 2
    config, variables = taught.trained(last, 1, tmp_path, teachers=teachers)
    assert [str(each.relative_to(tmp_path)) for each in trained] == ["teachers/v/1", "teachers/steps_4/1"]
    at = [
        path.stat().st_mtime_ns for each in trained for path in each.rglob("*") if "checkpoints" in path.parts
    ]
    taught.read("steps_4", teachers, 1, tmp_path)
    assert len(trained) == 2  # asked for again, and not looked at again
    monkeypatch.setattr(taught, "_done", set())  # another process finds them done
    own, _ = taught.read("steps_4", teachers, 1, tmp_path)
    assert own.teacher.workdir.endswith("teachers/v/1") and config.teacher.workdir.endswith("steps_4/1")
    assert at == [
        path.stat().st_mtime_ns
        for each in trained[:2]
        for path in each.rglob("*")
        if "checkpoints" in path.parts
    ]
    system = costs.system_of(taught.in_steps(config, 2))
    assert sum(sum(each.calls.values()) for each in system.passes) == 2
    assert np.isfinite(
        np.asarray(system.denoiser(variables)(np.zeros((3, 2), np.float32), schedules.edm()(1.0)).x0)
    ).all()


def test_the_error_of_a_jump_is_nothing_for_the_exact_map(monkeypatch):
    truth, noise = exact.gaussian_mixture([1.0], [[0.5, -1.0]], [[[0.2, 0.1], [0.1, 0.3]]]), schedules.edm()
    for shift in (0.0, 0.1):
        jump = lambda x, t, s, cond=None, shift=shift: truth.flow_map(x, t, s) + shift
        system = types.SimpleNamespace(schedule=lambda v: noise, flow_map=lambda v, jump=jump: jump)
        monkeypatch.setattr(taught.costs, "system_of", lambda config, system=system: system)
        error = taught.map_error(ConfigDict(), Variables({}, {}, {}), truth, (80.0, 0.0), 0)
        np.testing.assert_allclose(error, np.sqrt(2) * shift, rtol=1e-4, atol=1e-5)

"""sCM as a system: it begins as its teacher, learns its weight beside it, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import system_list, tools
from systems.tools import tiny

from diffjax import systems
from diffjax.systems import stages

NAME = "toys/continuous_consistency"
X = jax.random.normal(jax.random.key(5), (4, 2))


def test_it_begins_as_one_step_of_its_teacher():
    own, v = system_list.system(NAME), system_list.start(NAME)
    teacher = stages.stage({"workdir": str(tools.teacher())}, None, "teacher")
    taught, schedule = teacher.read(None), own.schedule(v)
    said = teacher.system.denoiser(taught)(X, schedule(0.9)).x0
    np.testing.assert_allclose(own.flow_map(v)(X, schedule(0.9), schedule(0.0)), said, atol=1e-6)
    assert set(own.serves) == {"network"} and "log_weight" in own.updates[0].moves
    assert own.passes[0].calls == {"network": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective.tangent": "theirs"}, r"objective\.tangent must be one of teacher, data"),
        ({"objective.warmup": -1}, r"objective\.warmup must be an integer of at least 0"),
        ({"objective.std": 0.0}, r"objective\.std must be positive"),
        ({"objective.adaptive": 1}, r"objective\.adaptive must be True or False"),
        ({"objective.levels": "fixed"}, r"objective\.levels is not an option"),
        ({"sampler.solver": "ddim"}, r"sampler\.solver is not an option"),
        ({"sampler.levels": (100.0,)}, r"sampler\.levels must be a number"),
        ({"schedule": {"name": "edm"}}, r"config\.schedule must be left out"),
    ],
)
def test_what_is_no_continuous_consistency_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        systems.build(tiny(NAME, **changes))


def test_it_learns_alone_too():
    """On a chain's own continuous time, say; a tangent of no teacher is refused."""
    config = tiny(NAME)
    del config.teacher
    config.schedule = {"name": "edm"}
    config.model = {"name": "mlp", "width": 8, "depth": 1}
    config.objective.preconditioning = {"name": "trigflow", "sigma_data": 0.7}
    system = systems.build(config)
    v = tools.variables(system)
    grads, _, metrics = tools.gradients(system, v, jax.random.key(1), {"x": X})
    assert np.isfinite(metrics["loss"]) and metrics["tangent"] > 0
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads))
    config.objective.tangent = "teacher"
    with pytest.raises(ValueError, match=r"objective\.tangent='teacher' needs config\.teacher"):
        systems.build(config)


def test_a_teacher_with_attention_that_forward_mode_does_not_pass_is_refused(tmp_path, monkeypatch):
    """It is named, as it is when a run is built on it: the error while tracing says nothing at all."""
    images, cosine = {"data.shape": (4, 4, 1)}, {"schedule.name": "vp_cosine", "objective.kind": "v"}
    teacher = tiny("toys/flow", **images, **cosine, **{"objective.times": "uniform"})
    teacher.model = {"name": "dit", "hidden_size": 8, "depth": 1, "num_heads": 2, "attention": "splash"}
    (tmp_path / "config.json").write_text(teacher.to_json())
    config = tiny(NAME, **images, **{"teacher.workdir": str(tmp_path)})
    with pytest.raises(
        ValueError, match=r"config\.teacher: its model\.attention must be 'xla' .* got 'splash'"
    ):
        systems.build(config)
    teacher.model.attention = "auto"
    (tmp_path / "config.json").write_text(teacher.to_json())
    assert systems.build(config).updates
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    with pytest.raises(ValueError, match="which 'splash' has not; got 'auto'"):
        systems.build(config)

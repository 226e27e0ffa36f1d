"""Guided distillation as a system: it begins as its teacher, is asked for a weight, and hands it on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import system_list, tools
from systems.tools import tiny

from diffjax import samplers, systems
from diffjax.systems import stages

NAME = "toys/distill_guidance"
X = jax.random.normal(jax.random.key(1), (3, 2))


def test_it_begins_as_its_teacher_whatever_the_weight():
    student, v = system_list.system(NAME), system_list.start(NAME)
    given = {"workdir": str(tools.teacher(True))}
    teacher = stages.stage(given, None, "teacher")
    taught, level = teacher.read(None), student.schedule(v)(0.5)
    asked = student.request.of_user({"label": [3], "guidance": ["0", "2.5", 4.0]}, 3)
    assert asked["guidance"].tolist() == [0.0, 2.5, 4.0]
    assert student.request.describe(asked) == ["3, w = 0", "3, w = 2.5", "3, w = 4"]
    own = student.denoiser(v)(X, level, student.request.encode(v, asked)).x0
    label = teacher.system.request.encode(taught, {"label": asked["label"]})
    np.testing.assert_array_equal(own, teacher.system.denoiser(taught)(X, level, label).x0)
    v.params["guidance"]["number_1"]["kernel"] += 0.1  # and then it tells weights apart
    apart = student.denoiser(v)(X[:1].repeat(3, 0), level, student.request.encode(v, asked)).x0
    assert jnp.abs(apart[0] - apart[1]).max() > 1e-3


def test_what_halves_its_steps_takes_the_weight_too():
    """Its stochastic sampler walks the half steps, which are trained as well."""
    own, v = system_list.system(NAME), system_list.start(NAME)
    teacher = stages.Stage(own, lambda folder: v, lambda: stages.shapes(own))
    student = systems.distill.distill(teacher, steps=2, between=True)
    v = tools.variables(student)
    assert set(student.request.parts) == {"label", "guidance"}
    grads, _, _ = tools.gradients(student, v, jax.random.key(0), {"x": X, "label": jnp.arange(3)})
    assert jnp.abs(grads["guidance"]["number_1"]["kernel"]).max() > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective.weights": (2.0, 1.0)}, r"objective\.weights must be a number"),
        ({"objective.weights": 3.0}, r"objective\.weights must be \(w_min, w_max\), got 3\.0"),
        ({"sampler.guidance_weight": 5.0}, r"sampler\.guidance_weight must be a number, in \[0, 4\]; got 5"),
        ({"sampler.guidance_scales": {"label": 1.0}}, r"sampler\.guidance_scales is not for system"),
    ],
)
def test_what_is_no_guided_distillation_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        systems.build(tiny(NAME, **changes))


def test_a_teacher_without_a_null_and_weights_outside_are_refused():
    config = tiny(NAME)
    config.teacher.workdir = str(tools.teacher())
    with pytest.raises(ValueError, match=r"config\.teacher must know a null"):
        systems.build(config)
    with pytest.raises(ValueError, match=r"guidance must be a weight in \[0, 4\], got much"):
        system_list.system(NAME).request.of_user({"guidance": ["much"]}, 2)
    with pytest.raises(ValueError, match="eta must be 0 where steps go 2 ahead"):
        samplers.ddim(0.5, ahead=2)

"""A mean flow as a system: a map and a denoiser of one network, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import tools
from systems.tools import tiny

from diffjax import systems

X = jax.random.normal(jax.random.key(5), (4, 2))


def test_map_and_denoiser_are_of_one_network():
    """Where s nears t the map moves along the velocity that the denoiser says."""
    system = systems.build(tiny("toys/mean_flow"))
    v = tools.variables(system)
    v = v._replace(params=jax.tree.map(lambda p: p + 0.1, v.params))  # or the second time would say nothing
    schedule = system.schedule(v)

    @jax.jit
    def both(x):
        said = system.denoiser(v)(x, schedule(0.5))
        near = system.flow_map(v)(x, schedule(0.5), schedule(0.5 - 1e-3))
        return said.eps - said.x0, (x - near) / 1e-3, system.flow_map(v)(x, schedule(0.5), schedule(0.5))

    velocity, slope, still = both(X)
    np.testing.assert_allclose(slope, velocity, rtol=0.05, atol=0.05)
    np.testing.assert_array_equal(still, X)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.times": 1}, "model.times must be 2, t and t - s; got 1"),
        ({"schedule": {"name": "cosine_beta", "num_steps": 10}}, r"schedule\.name must be of a continuous"),
        ({"sampler.steps": 0}, r"sampler\.steps must be an integer of at least 1"),
        ({"sampler.solver": "ddim"}, r"sampler\.solver is not an option of a mean flow"),
        ({"objective.share_equal": 2.0}, r"share_equal must be a number, in \[0, 1\]"),
        ({"objective.kind": "v"}, r"objective\.kind is not an option"),
        ({"objective.rule": "galilean"}, r"objective\.rule must be one of eulerian, lagrangian, semigroup"),
        (
            {"objective": {"rule": {"name": "semigroup", "finest": 6}}},
            r"finest must be a power of two, got 6",
        ),
        (
            {"objective": {"rule": "semigroup", "target": {"name": "constant", "rate": 2.0}}},
            r"rate must be a",
        ),
        ({"objective": {"rule": "semigroup", "times_s": "uniform"}}, r"objective\.times_s must be left out"),
        ({"objective.times": "low_snr"}, r"objective\.times must be one of"),
        ({"model": {"name": "refinenet", "times": 2}}, r"model\.times is not an option of RefineNet"),
        ({"model": {"name": "prior", "times": 2}}, r"model\.times is not an option of Prior"),
        (
            {"model": {"name": "mlp", "times": 2, "out_features": 3}},
            r"must be shaped like x_t, \[4, 2\]; got \[4, 3\]",
        ),
        *(
            ({"model": {"name": name, "times": 2, field: given}}, rf"config\.model\.{field} must be 'xla' or")
            for name, field, given in (
                ("dit", "attention", "splash"),
                ("unet", "attention_implementation", "cudnn"),
            )
        ),
    ],
)
def test_what_is_no_mean_flow_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        system = systems.build(tiny("toys/mean_flow", **changes))
        update = system.updates[0].gradients  # what an objective refuses, it refuses while it is traced
        jax.eval_shape(update, tools.variables(system), jax.random.key(0), {"x": X}, jnp.int32(0))


def test_a_rule_without_forward_mode_takes_any_attention():
    config = tiny("toys/mean_flow", **{"data.shape": (4, 4, 1), "objective": {"rule": "semigroup"}})
    config.model = {"name": "dit", "hidden_size": 8, "depth": 1, "num_heads": 2, "times": 2,
                    "attention": "splash"}  # fmt: skip
    assert systems.build(config).updates


def test_a_teacher_may_say_the_velocity():
    """By the Lagrangian rule, on the teacher's own schedule and on no other."""
    config = tiny("toys/mean_flow")
    config.teacher, config.objective = {"workdir": str(tools.teacher())}, {"rule": "lagrangian"}
    with pytest.raises(
        ValueError, match=r"config\.teacher must be a run on the schedule of config\.schedule"
    ):
        systems.build(config)
    config.schedule = {"name": "vp_cosine"}
    system = systems.build(config)
    v = tools.variables(system)
    _, _, metrics = tools.gradients(system, v, jax.random.key(0), {"x": X})
    assert np.isfinite(metrics["loss"]) and set(v.frozen) == set(system.stages) == {"teacher"}


@pytest.mark.slow
def test_forward_mode_is_the_same_on_eight_devices():
    """Through attention, of rows that are spread over all of them."""
    config = tiny("toys/mean_flow", **{"data.shape": (4, 4, 1)})
    config.model = {"name": "dit", "hidden_size": 8, "depth": 1, "num_heads": 2, "patch_size": 2, "times": 2}
    system = systems.build(config)
    v = tools.variables(system)
    v = v._replace(params=jax.tree.map(lambda p: p + 0.1, v.params))  # or the second time would say nothing
    x = jax.random.normal(jax.random.key(2), (8, 4, 4, 1))
    update = jax.jit(lambda v, x: system.updates[0].gradients(v, jax.random.key(1), {"x": x}, 0))
    one = update(v, x)
    split = tools.on_eight_devices(x, True)
    many = update(tools.on_eight_devices(v, False), split)
    assert len(jax.devices()) == 8 == len(split.sharding.device_set)
    largest = max(jnp.abs(g).max() for g in jax.tree.leaves(one[0]))  # a bias of the keys has none at all
    same = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * largest)
    jax.tree.map(same, one, many)

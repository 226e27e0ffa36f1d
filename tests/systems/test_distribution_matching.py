"""Distribution matching as a system: two players, of one step or several, with and without a critic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import system_list, tools
from systems.tools import tiny

from diffjax import systems

NAME = "toys/distribution_matching"
X = jax.random.normal(jax.random.key(5), (4, 2))
CRITIC = {"name": "mlp", "width": 8, "depth": 1, "out_features": 1, "whole": True}


def test_at_the_start_nothing_moves_the_generator():
    """Both scores are the teacher's; the score of the fakes has something to learn."""
    own, v = system_list.system(NAME), system_list.start(NAME)
    fake, generator = own.updates
    assert (fake.name, fake.repeats, generator.name) == ("fake", 5, "network")
    gradients = lambda v: jax.jit(generator.gradients)(v, jax.random.key(1), {"x": X}, 0)
    grads, _, metrics = gradients(v)
    assert metrics["gradient"] < 1e-4 and max(jnp.abs(g).max() for g in jax.tree.leaves(grads)) < 1e-4
    moved = jax.tree.map(lambda p: p + 0.1, v.params["fake_network"])
    grads, _, metrics = gradients(v._replace(params={**v.params, "fake_network": moved}))
    assert metrics["gradient"] > 1e-2 and max(jnp.abs(g).max() for g in jax.tree.leaves(grads)) > 1e-4
    assert set(own.serves) == set(grads) == {"network"}


@pytest.mark.slow
def test_of_two_steps_with_a_critic():
    config = tiny(NAME)
    config.objective.adversarial = {"name": "non_saturating", "weight": 0.1}
    config.critic, config.sampler = CRITIC, {"levels": (80.0, 1.0)}
    system = systems.build(config)
    v = tools.variables(system)
    assert system.passes[0].calls == {"network": 2} and "critic" in system.updates[0].moves
    for update in system.updates:
        grads, _, metrics = jax.jit(update.gradients)(v, jax.random.key(1), {"x": X}, 0)
        assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads)) and np.isfinite(metrics["loss"])
        assert any(jnp.abs(g).max() > 0 for g in jax.tree.leaves(grads[update.moves[-1]]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective.fake_updates": 0}, r"objective\.fake_updates must be a positive integer"),
        ({"objective.guidance_weight": 1.0}, r"guidance_weight needs a class-conditional model"),
        ({"objective.adversarial": "hinge"}, r"config\.critic is missing"),
        ({"critic": CRITIC}, r"config\.critic must be left out without objective\.adversarial"),
        ({"critic": CRITIC, "objective.adversarial": "chess"}, r"objective\.adversarial must be one of"),
        ({"objective.sigma_max": -1.0}, r"objective\.sigma_max must be a number"),
        ({"objective.kind": "v"}, r"objective\.kind is not an option"),
    ],
)
def test_what_is_no_distribution_matching_is_refused(changes, message):
    config = tiny(NAME)
    for name, value in changes.items():
        section, _, field = name.rpartition(".")
        (config[section] if section else config)[field] = value
    with pytest.raises(ValueError, match=message):
        systems.build(config)

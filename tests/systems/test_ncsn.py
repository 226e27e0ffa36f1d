"""The NCSN system: its loss, and that its sampler reaches the data through an exact score."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from systems import tools

from diffjax import commands, exact, samplers, systems, toys
from diffjax.process import prediction, schedules

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
LEVELS = schedules.geometric(8.0, 0.05, 12)
MODES = exact.gaussian_mixture(*toys.two_modes(distance=2.0, sd=0.3))


class Exact:
    """A stand-in module with the score, or minus the scaled score, of a mixture; `bend` is its parameter."""

    def __init__(self, mixture, kind):
        self.mixture, self.kind = mixture, kind

    def init(self, key, x, t, cond=None):
        return {"params": {"bend": jnp.zeros(())}}

    def apply(self, params, x, t, cond=None, train=False, rngs=None):
        level = LEVELS(t)
        score = self.mixture.score(x, level) + params["params"]["bend"]
        return score if self.kind == "score" else -score * level.sigma[:, None]


def _system(kind, mixture=MODES, steps=60):
    solver = samplers.annealed_langevin(step_size=0.2 * 0.05**2, steps=steps)
    times = np.arange(LEVELS.num_steps, -1, -1)
    return systems.ncsn.ncsn(
        Exact(mixture, kind), LEVELS, tools.sampler(LEVELS, solver, times), shape=(2,), gives="points",
        reading=prediction.reading(kind),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["score", "eps"])
def test_loss_is_half_sigma_squared_times_the_error_of_the_score(kind):
    """Data at one point: s = -x / sigma^2 is met exactly, and a bend b costs b^2 E[sigma^2] / 2."""
    point = exact.gaussian_mixture([1.0], [[0.0, 0.0]], [0.0])
    system, n = _system(kind, point), 4000
    v = lambda bend: tools.variables(system, network={"bend": jnp.asarray(bend)})
    batch = {"x": jnp.zeros((n, 2))}
    loss = lambda bend: tools.gradients(system, v(bend), jax.random.key(1), batch)[2]["loss"]
    np.testing.assert_allclose(loss(0.0), 0, atol=1e-10)
    squares = LEVELS.sigma[1:] ** 2  # levels are drawn uniformly
    error = squares.std() / np.sqrt(n)
    assert abs(loss(0.3) - 0.3**2 * squares.mean() / 2) < 4 * 0.3**2 / 2 * error


def test_kinds_sample_alike_and_find_the_modes():
    n = 1500

    def draw(kind):
        system = _system(kind)
        return tools.sample(system, tools.variables(system), jax.random.key(2), n)

    x = draw("score")
    np.testing.assert_allclose(draw("eps"), x, atol=2e-3)
    small = np.mean(np.asarray(x[:, 0]) < 0)
    assert abs(small - 0.2) < 0.05  # plain Langevin dynamics has 0.5
    right = np.asarray(x)[np.asarray(x[:, 0]) > 0]
    np.testing.assert_allclose(right.mean(0), [2.0, 0.0], atol=0.05)
    np.testing.assert_allclose(right.std(0), 0.3, atol=0.03)


@pytest.mark.parametrize("file", ["toys/ncsn", "toys/ncsnv2", "digits/ncsn", "digits/ncsnv2"])
def test_configs_build_and_count_their_calls(file):
    config = commands.config_module(CONFIGS / f"{file}.py").get_config()
    sampler = config.sampler
    calls = systems.build(config).passes[0].calls
    assert calls == {"network": sampler.steps * sampler.steps_per_level + 1}


def test_guidance_is_refused():
    config = commands.config_module(CONFIGS / "toys/ncsn.py").get_config()
    with config.unlocked():
        config.sampler.guidance_weight = 0.5
    with pytest.raises(ValueError, match=r"sampler\.guidance_weight and sampler\.threshold are not for"):
        systems.build(config)

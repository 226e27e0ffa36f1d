"""Walking a flow map: the exact one stands in for a network, so every end is known."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax import flow_maps, samplers
from diffjax.process import schedules

EDM, FLOW, KEY = schedules.edm(), schedules.rectified_flow(), jax.random.key(0)
CHAIN = schedules.cosine_beta(1000)
GAUSSIAN = flow_maps.exact_gaussian(0.5, 0.25)
GRIDS = {
    "edm": (EDM, [80.0, 10.0, 0.5, 0.0]),
    "flow": (FLOW, [1.0, 0.7, 0.2, 0.0]),
    "chain": (CHAIN, [1000, 600, 100, 0]),
    "part": (schedules.vp_linear(), [1.0, 0.7, 0.2, 1e-3]),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_any_grid_ends_where_one_jump_does(grid):
    schedule, times = GRIDS[grid]
    x = schedule.prior_std * np.random.default_rng(0).normal(size=(4, 3, 2))
    with jax.enable_x64(True):
        found, path = samplers.sample(
            KEY, GAUSSIAN, schedule, samplers.jump(), times, x_init=x, trajectory=True
        )
        for end, t in zip(path, times[1:]):
            np.testing.assert_allclose(end, GAUSSIAN(x, schedule(times[0]), schedule(t)), atol=1e-9)
        back = samplers.encode(GAUSSIAN, schedule, samplers.jump(), times, found)
    np.testing.assert_allclose(back, x, rtol=1e-7)


@pytest.mark.parametrize("grid", GRIDS)
def test_renoised_samples_have_the_marginals(grid):
    """x stays linear in what is drawn, so its variance is a sum over unit vectors, without chance."""
    schedule, times = GRIDS[grid]
    steps, levels = len(times) - 1, schedule(np.array(times, float))
    rows = 1 + steps
    x = np.zeros((rows, 1))
    x[0] = np.hypot(0.5 * levels.alpha[0], levels.sigma[0])
    noise = np.zeros((steps, rows))
    noise[:, 1:] = np.eye(steps)
    f = flow_maps.exact_gaussian(0.0, 0.25)
    with jax.enable_x64(True):
        _, path = samplers.sample(
            KEY, f, schedule, samplers.jump(renoise=True), times, x_init=x, trajectory=True,
            noise=noise.reshape(steps, 1, rows, 1),
        )  # fmt: skip
    variance = (np.asarray(path) ** 2).sum((1, 2))
    np.testing.assert_allclose(variance, 0.25 * levels.alpha[1:] ** 2 + levels.sigma[1:] ** 2, rtol=1e-9)


def test_multistep_sampling_asks_for_the_last_level_alone():
    """Song et al. 2023, Alg. 1: x + sqrt(t_n^2 - e^2) z, and at the end no noise."""
    times, asked = [80.0, 5.0, 0.002], []

    def f(x, level_t, level_s, cond=None):
        jax.debug.callback(lambda t, s: asked.append((float(t), float(s))), level_t.t, level_s.t)
        return jnp.full_like(x, 0.25)

    x, z = jnp.ones((2, 1)), np.random.default_rng(0).normal(size=(2, 1, 2, 1)).astype(np.float32)
    end, path = samplers.sample(KEY, f, EDM, samplers.jump(True), times, x_init=x, noise=z, trajectory=True)
    jax.effects_barrier()
    np.testing.assert_allclose(asked, [(80.0, 0.002), (5.0, 0.002)], rtol=1e-6)
    np.testing.assert_allclose(path[0], 0.25 + np.sqrt(25 - 0.002**2) * z[0, 0], rtol=1e-5)
    np.testing.assert_allclose(end, 0.25)


def test_a_sample_depends_on_its_own_key_alone():
    times, solver = [80.0, 3.0, 0.5, 0.0], samplers.jump(renoise=True)
    keys = jax.random.split(KEY, 4)
    draw = lambda keys: samplers.sample(keys, GAUSSIAN, EDM, solver, times, shape=(len(keys), 2))
    whole = draw(keys)
    np.testing.assert_allclose(jnp.concatenate([draw(keys[:1]), draw(keys[1:])]), whole, atol=2e-5)
    assert samplers.network_calls(solver, samplers.plan(EDM, solver, times)) == 3
    one = samplers.plan(EDM, samplers.jump(), [80.0, 0.0])
    assert samplers.network_calls(samplers.jump(), one) == 1


@pytest.mark.parametrize(
    ("walked", "solver", "times", "message"),
    [
        (mixtures.tilted().denoiser(), samplers.jump(), [80.0, 0.0], "flow_map must be a FlowMap of 4"),
        (lambda x, t, s, c: x[:1], samplers.jump(), [80.0, 0.0], "flow_map's x_s must be shaped like x"),
        (GAUSSIAN, samplers.jump(), [80.0, 2.0, 2.0, 0.0], "times must be strictly monotone"),
        (GAUSSIAN, samplers.jump(), [1.0, 80.0], "times must decrease"),
        (GAUSSIAN, samplers.jump(), [5.0, 0.0], "times must start near the noisy end"),
    ],
)
def test_what_cannot_be_walked_is_refused(walked, solver, times, message):
    with pytest.raises(ValueError, match=message):
        samplers.sample(KEY, walked, EDM, solver, times, shape=(2, 2))

"""Schedules and solvers under jit and pmap: what the host gives, and one trace for all times and grids."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import solver_list
from absl.testing import parameterized
from schedule_list import SCHEDULES, times
from systems.tools import tiny

from diffjax import samplers, train
from diffjax.process import schedules
from diffjax.training import step


@pytest.mark.slow  # inside the ends it is daily, in test_every_schedule
class EverySchedule(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    @parameterized.named_parameters(*((name, name) for name in SCHEDULES))
    def test_levels_on_device_are_the_host_s(self, name):
        schedule, t = SCHEDULES[name].schedule, times(name)[4:-1]
        ours, theirs = self.variant(schedule)(jnp.asarray(t, jnp.float32)), schedule(t)
        chex.assert_trees_all_equal_structs(ours, theirs)
        chex.assert_trees_all_equal_shapes(ours, theirs)
        chex.assert_tree_all_finite(ours)
        # a time has 6e-8 of its own, which log SNR and the rates stretch
        worst = lambda a, b: np.max(np.abs(np.asarray(a) - b)) / (np.max(np.abs(b)) + 1e-3)
        assert max(jax.tree.leaves(jax.tree.map(worst, ours, theirs))) < 2e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_one_trace_serves_all_times(name):
    chex.clear_trace_counter()
    level = jax.jit(chex.assert_max_traces(SCHEDULES[name].schedule.__call__, n=1))
    for t in (times(name), times(name)[::-1]):
        level.lower(jnp.asarray(t, jnp.float32))


@pytest.mark.parametrize("name", solver_list.SOLVERS)
def test_one_trace_serves_all_grids_of_a_length(name):
    """Rows and keys are arguments: another grid, another key, another schedule compile nothing."""
    solver = solver_list.SOLVERS[name]
    chex.clear_trace_counter()

    def walk(key, rows, x):
        return samplers.walk(key, solver_list.denoise, solver, rows, x)

    walk = jax.jit(chex.assert_max_traces(walk, n=1))
    for seed, schedule in enumerate((schedules.edm(), schedules.ve(0.01, 60.0), schedules.edm(0.01, 60.0))):
        grid = schedule.inv_sigma(samplers.grids.karras(8, 0.02 + 0.01 * seed, 50.0))
        walk.lower(jax.random.key(seed), samplers.plan(schedule, solver, grid), jnp.ones((4, 2)))


def test_a_run_traces_its_step_once(tmp_path, monkeypatch):
    """What is traced to refuse a config before anything is written is what is compiled."""
    traces, make = [], step.make

    def counting(*args):
        made = make(*args)
        return lambda *inputs: traces.append(1) or made(*inputs)

    monkeypatch.setattr(step, "make", counting)
    train.train(tiny("toys/ddpm"), tmp_path / "run", progress=False)
    assert len(traces) == 1

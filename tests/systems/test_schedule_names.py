"""Every schedule that a config can name, with every grid it can be sampled on."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from diffjax import samplers
from diffjax.systems import read

OPTIONS = {
    "linear_beta": {"num_steps": 100},
    "cosine_beta": {"num_steps": 100},
    "scaled_linear": {"num_steps": 100},
    "sigmoid_beta": {"num_steps": 100},
    "geometric": {"sigma_max": 10.0, "sigma_min": 0.01, "num_levels": 100},
    "vp_cosine": {"log_snr_min": -15.0, "log_snr_max": 15.0},
    "vp_linear": {"beta_min": 0.0, "beta_max": 20.0, "offset": 1e-4},
}


@pytest.mark.parametrize("name", read._SCHEDULES)
def test_schedule_and_its_grids(name):
    schedule = read.schedule(ConfigDict({"schedule": {"name": name, **OPTIONS.get(name, {})}}))
    for grid in ("uniform", "quadratic", "karras", "log_snr"):
        if grid == "log_snr" and not np.isfinite(schedule(schedule.t_max).log_snr):
            continue
        times = samplers.grids.make(schedule, 12, grid)
        assert (np.diff(times) < 0).all() and times[-1] == 0
        assert len(times) == 13 or schedule.num_steps is not None  # a chain merges equal steps
        if schedule(times[0]).alpha > 0:
            rows = samplers.plan(schedule, samplers.ddim(), times)
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(rows))

"""Steps chosen as the walk goes, to a tolerance: functions beside `sample`, as their steps are no grid's.

`sample_ode` and `sample_sde` are diffrax's (`pip install diffjax[adaptive]`; nothing else here needs it).
There one step size serves the whole batch, as in score_sde: a sample depends on its companions, by about the
tolerance. `samplers.dpm_adaptive` needs no other package.
"""

import importlib
from typing import Any

from diffjax.samplers.adaptive.flow import sample_ode as sample_ode
from diffjax.samplers.adaptive.noisy import sample_sde as sample_sde


def __getattr__(name: str) -> Any:
    if name == "integrator":  # of likelihoods, which stand above the samplers
        return importlib.import_module("diffjax.likelihoods.integrators").adaptive
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

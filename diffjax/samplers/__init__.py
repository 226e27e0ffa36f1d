"""Solvers, time grids, and the one loop. Every solver of `samplers.listing` is public here."""

import importlib
import typing

from diffjax.samplers import adaptive as adaptive
from diffjax.samplers import grids as grids
from diffjax.samplers import listing as listing
from diffjax.samplers.adaptive.dpm_adaptive import dpm_adaptive as dpm_adaptive
from diffjax.samplers.calls import network_calls as network_calls
from diffjax.samplers.listing import *  # noqa: F403
from diffjax.samplers.mcmc.short_run import short_run as short_run
from diffjax.samplers.sde.predictor_corrector import predictor_corrector as predictor_corrector
from diffjax.samplers.slerp import slerp as slerp
from diffjax.samplers.solver import Rows as Rows
from diffjax.samplers.solver import Solver as Solver
from diffjax.samplers.solver import plan as plan
from diffjax.samplers.starts import start as start
from diffjax.samplers.starts import start_from as start_from
from diffjax.samplers.starts import times_from as times_from
from diffjax.samplers.transitions.repaint import repaint as repaint
from diffjax.samplers.walk import encode as encode
from diffjax.samplers.walk import sample as sample
from diffjax.samplers.walk import sample_segments as sample_segments
from diffjax.samplers.walk import walk as walk

# what has a room of its own now, above this one
_LIKELIHOODS = ("log_likelihood", "likelihood_grid", "log_likelihood_mmse", "dequantisation", "integrators")


def __getattr__(name: str) -> typing.Any:
    if name in _LIKELIHOODS:
        return getattr(importlib.import_module("diffjax.likelihoods"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

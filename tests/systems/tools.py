"""What the tests of systems share: variables, gradients and samples of a system at hand."""

import jax
import numpy as np

from diffjax import samplers
from diffjax.systems import read
from diffjax.training.system import Variables


def sampler(schedule, solver, times, **options):
    """Return a read.Sampler without guidance or threshold."""
    options = {"guidance_weight": 0.0, "threshold": None} | options
    times = np.asarray(times)
    calls = 0 if schedule is None else samplers.network_calls(solver, samplers.plan(schedule, solver, times))
    return read.Sampler(solver, times, calls=calls, **options)


def variables(system, key=0, **params):
    """Return the variables at initialisation, with the "network" replaced where it is given."""
    params_, extra = system.init(jax.random.key(key), system.example, {})
    return Variables({**params_, **params}, extra)


def gradients(system, v, key, batch):
    """Return the gradients of a lone update, extra and metrics."""
    return jax.jit(system.updates[0].gradients)(v, key, batch, 0)


def sample(system, v, key, n, request=None):
    return np.asarray(jax.jit(system.sample, static_argnums=3)(v, key, request or {}, n))

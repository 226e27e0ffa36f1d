"""Every system as a config that ships, made small: a new config of the ring is a new case by itself."""

import functools

import jax
from systems.tools import CONFIGS, tiny, variables

from diffjax import systems

_SHARED = ("__init__", "common")
RING = sorted(f"toys/{p.stem}" for p in (CONFIGS / "toys").glob("*.py") if p.stem not in _SHARED)
CASES = (*RING, "digits/ddpm", "digits/vdm")
MADE_OF_RUNS = (  # of trained runs or of two players' own kind: tests of their own
    *("guided", "noise_aware", "semantic", "cascade", "imagen", "prior", "unclip"),
    *("autoencoder", "latent"),
)


@functools.cache
def system(name):
    """Return the System of a case."""
    config = tiny(name, phases=())
    if name.startswith("digits"):
        rows = config.model.num_classes
        config.model = {"name": "mlp", "width": 8, "depth": 1, "num_classes": rows}
    return systems.build(config)


@functools.cache
def start(name):
    """Return its variables at initialisation."""
    return variables(system(name))


@functools.cache
def jitted(name):
    """Return its sampling and the gradients of its updates by name, each compiled once for all tests."""
    own = system(name)
    return jax.jit(own.sample, static_argnums=3), {each.name: jax.jit(each.gradients) for each in own.updates}

"""Every system as a config that ships, made small: a new config of the ring is a new case by itself."""

import functools

import jax
from systems.tools import CONFIGS, tiny, variables

from diffjax import commands, systems

_SHARED = ("__init__", "common")
RING = sorted(f"toys/{p.stem}" for p in (CONFIGS / "toys").glob("*.py") if p.stem not in _SHARED)
_MLP = {"name": "mlp", "width": 8, "depth": 1}
_CODE = {"channels": (4, 4), "num_groups": 2, "middle_attention": False}
SMALL = {  # of images: what takes the place of the config's networks
    "digits/ddpm": lambda config: {"model": {**_MLP, "num_classes": config.model.num_classes}},
    "digits/vdm": lambda config: {"model": {**_MLP, "num_classes": config.model.num_classes}},
    "digits/kl_f2": lambda config: {
        "model": {**config.model.to_dict(), **_CODE},
        "objective.discriminator.features": 4,
    },
}
CASES = (*RING, *SMALL)
MADE_OF_RUNS = (  # of trained runs: tests of their own
    *("guided", "noise_aware", "semantic", "cascade", "imagen", "prior", "unclip"),
    "latent",
)


@functools.cache
def system(name):
    """Return the System of a case."""
    config = tiny(name, phases=())
    return systems.build(commands.overridden(config, SMALL[name](config)) if name in SMALL else config)


@functools.cache
def start(name):
    """Return its variables at initialisation."""
    return variables(system(name))


@functools.cache
def jitted(name):
    """Return its sampling and the gradients of its updates by name, each compiled once for all tests."""
    own = system(name)
    return jax.jit(own.sample, static_argnums=3), {each.name: jax.jit(each.gradients) for each in own.updates}

"""Samples of a model and what they cost: network calls, samples a second, memory, parameters."""

import functools
import json
import time
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from diffjax import systems
from diffjax.systems.options import of_json
from diffjax.training.system import System, Variables, served


def system_of(config: ConfigDict) -> System:
    """Return a config's system, one for all seeds."""
    return _system(config.to_json())


def sample(
    config: ConfigDict, variables: Variables, seed: int, num: int, batch: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """Draw num samples, a batch at a time.

    Returns:
      The samples [num, ...], and what a batch takes of one core once it is compiled.
    """
    system = system_of(config)
    request, program = system.request.default(batch), _program(config.to_json(), batch, _Once(variables))
    parts, seconds = [], []
    for i in range(-(-num // batch)):
        begin, key = time.process_time(), jax.random.fold_in(jax.random.key(1000 + seed), i)
        parts.append(np.asarray(program(variables, key, request)))
        seconds.append(time.process_time() - begin)
    memory = program.memory_analysis()
    return np.concatenate(parts)[:num], {
        "calls": sum(sum(each.calls.values()) for each in system.passes),
        "samples/s": batch / min(seconds),
        "MiB": (memory.temp_size_in_bytes + memory.output_size_in_bytes) / 2**20,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(served(system, variables))),
    }


@functools.cache
def _system(plain):
    return systems.build(ConfigDict(of_json(json.loads(plain))))


class _Once:
    """Variables that a cache does not look at: those of one config are alike in shape."""

    def __init__(self, variables):
        self.variables = variables

    def __eq__(self, other):
        return isinstance(other, _Once)

    def __hash__(self):
        return 0


@functools.cache
def _program(plain, batch, once):
    """Return the compiled sampling of a batch."""
    system = _system(plain)
    run = jax.jit(system.sample, static_argnums=3)
    return run.lower(once.variables, jax.random.key(0), system.request.default(batch), batch).compile()

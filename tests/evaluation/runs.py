"""Run folders of networks that were not trained, to be measured."""

import json

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from diffjax import systems
from diffjax.training import TrainState, checkpoints
from diffjax.training.ema import TRACK
from diffjax.training.system import Variables, served


def config_of(data, model, **objective):
    return ConfigDict(
        {
            "system": "ddpm",
            "data": data,
            "schedule": {"name": "cosine_beta", "num_steps": 20},
            "model": model,
            "objective": {"kind": "v"} | objective,
            "sampler": {"solver": "edm_heun", "steps": 4},
            "evaluation": {"num_samples": 40, "batch_size": 16},
        }
    )


DIGITS = {"name": "digits", "shape": (8, 8, 1), "num_classes": 10}
MLP = {"name": "mlp", "width": 8, "depth": 1}
BITS = ("bits",)  # alone


def run_of(folder, config, change=lambda params: params):
    """Write the folder of a run whose network is as it was initialised, or changed."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    system = systems.build(config)
    frozen = system.prepare(folder)[0] if system.stages else {}
    params, extra = system.init(jax.random.key(0), system.example, frozen)
    params = change(params)
    ema = {TRACK: served(system, Variables(params, extra, frozen))}
    state = TrainState(step=jnp.int32(7), params=params, ema=ema, opt_state={}, extra=extra)
    with checkpoints.open_manager(folder) as manager:
        checkpoints.save(manager, 7, state, data={}, meta={}, metrics={"loss": 1.0})
    return folder


def silent(params):
    """The network says 0 whatever it is asked."""
    return params | {"network": jax.tree.map(jnp.zeros_like, params["network"])}

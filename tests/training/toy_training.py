"""A noisy linear regression with everything a system may have; as a script, the run that the kill test kills.

python toy_training.py WORKDIR NUM_STEPS CHECKPOINT_EVERY LOG_EVERY
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import training
from diffjax.training import ema, sharding, state, step, stopping

FEATURES = 16
BATCH = 8
ROW = {name: jax.ShapeDtypeStruct((1, n), jnp.float32) for name, n in (("x", FEATURES), ("y", 1))}


class Batches:
    """Batch i is drawn from seed i."""

    def __init__(self):
        self.position = 0

    def __next__(self):
        rng = np.random.default_rng(self.position)
        self.position += 1
        x = rng.standard_normal((BATCH, FEATURES)).astype(np.float32)
        return {"x": x, "y": x.sum(axis=1, keepdims=True)}

    def get_state(self):
        return {"next_index": self.position}

    def set_state(self, state):
        self.position = state["next_index"]


def _loss(variables, key, batch, step):
    params, extra, frozen = variables
    noise = 0.1 * jax.random.normal(key, batch["y"].shape)
    dense = params["dense"]
    residual = batch["x"] @ dense["kernel"] + dense["bias"] - frozen["scale"] * batch["y"] + noise
    loss = jnp.mean(residual**2)
    extra = {"history": 0.9 * extra["history"] + 0.1 * loss, "key": jax.random.fold_in(extra["key"], step)}
    return loss, (extra, {"bias": dense["bias"][0]})


def system(calls=None):
    """Make the regression; `calls` collects one entry each time the gradients are traced."""

    def init(key, batch, frozen):
        kernel = jax.random.normal(key, (FEATURES, 1))
        params = {"dense": {"kernel": kernel, "bias": jnp.zeros(1)}}
        return params, {"history": jnp.zeros(()), "key": jax.random.fold_in(key, 1)}

    def gradients(*arguments):
        if calls is not None:
            calls.append(None)
        return training.from_loss(_loss, ["dense"])(*arguments)

    def walk(variables, keys, request, made):
        x = jax.vmap(lambda key: jax.random.normal(key, (FEATURES,)))(keys)
        return x @ variables.params["dense"]["kernel"]

    return training.System(
        example=ROW,
        frozen={"scale": jax.ShapeDtypeStruct((1,), jnp.float32)},
        prepare=lambda folder, source=None: ({"scale": np.full(1, 0.5, np.float32)}, source),
        init=init,
        updates=(training.Update("regression", ("dense",), gradients),),
        serves=("dense",),
        passes=(training.Pass("walk", walk, {"dense": 1}),),
    )


def lone(params, gradients, extra=None, **rest):
    """Make a system of one update that moves all of its params; `params` may be a function of the key."""
    make = params if callable(params) else lambda key: params
    names = tuple(jax.eval_shape(make, jax.random.key(0)))
    return training.System(
        example={},
        init=lambda key, batch, frozen: (make(key), {} if extra is None else extra),
        updates=(training.Update("network", names, gradients),),
        serves=names,
        **rest,
    )


def adam():
    return training.optimizer.make("adam", 1e-2, schedule="cosine", num_steps=400, clip_norm=1.0)


def fit(workdir, toy, optimizer, num_steps, **options):
    """Train any toy; what is not said is not to be waited for."""
    options = {"progress": False, "ema_decay": 0.9, "batches": Batches(), **options}
    batches = options.pop("batches")
    return training.fit(toy, optimizer, batches, workdir=workdir, num_steps=num_steps, **options)


def run(workdir, num_steps, checkpoint_every, log_every, **options):
    every = {"checkpoint_every": checkpoint_every, "log_every": log_every}
    return fit(workdir, options.pop("system", system()), adam(), num_steps, **every, **options)


def by_hand(num_steps, decay=0.9, seed=0, toy=None):
    """Yield the state after each step of the regression, without the loop: bare steps from bare keys."""
    toy, mesh, batches, key = toy or system(), sharding.make_mesh(), Batches(), jax.random.key(seed)
    frozen = toy.prepare(None)[0]
    first = sharding.put_batch(mesh, next(Batches()))
    shapes = state.abstract(toy, adam(), first, frozen, mesh, sharding.replicated)
    now = state.create(toy, adam(), jax.random.fold_in(key, 2**32 - 1), first, frozen, shapes)
    run = step.compiled(step.make(toy, adam(), ema.constant(decay)), now)
    for _ in range(num_steps):
        now, _ = run(now, frozen, key, sharding.put_batch(mesh, next(batches)))
        yield now


if __name__ == "__main__":
    with stopping.on_signals() as received:
        run(sys.argv[1], *map(int, sys.argv[2:5]), should_stop=received)
    print("stopped by", received() and received().name)

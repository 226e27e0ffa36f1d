"""A noisy linear regression with everything a system may have; as a script, the run that the kill test kills.

python toy_training.py WORKDIR NUM_STEPS CHECKPOINT_EVERY LOG_EVERY
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import training
from diffjax.training import stopping

FEATURES = 16
BATCH = 8


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


def _loss(params, extra, frozen, key, batch, step):
    noise = 0.1 * jax.random.normal(key, batch["y"].shape)
    dense = params["dense"]
    residual = batch["x"] @ dense["kernel"] + dense["bias"] - frozen["scale"] * batch["y"] + noise
    loss = jnp.mean(residual**2)
    extra = {"history": 0.9 * extra["history"] + 0.1 * loss, "key": jax.random.fold_in(extra["key"], step)}
    return loss, (extra, {"bias": dense["bias"][0]})


def system(calls=None):
    """Makes the regression; `calls` collects one entry each time the gradients are traced."""

    def init(key):
        kernel = jax.random.normal(key, (FEATURES, 1))
        params = {"dense": {"kernel": kernel, "bias": jnp.zeros(1)}}
        extra = {"history": jnp.zeros(()), "key": jax.random.fold_in(key, 1)}
        return params, extra, {"scale": np.float32(0.5) * np.ones(1, np.float32)}

    def gradients(*arguments):
        if calls is not None:
            calls.append(None)
        return training.from_loss(_loss)(*arguments)

    def sample(params, extra, frozen, key, cond, n):
        return jax.random.normal(key, (n, FEATURES)) @ params["dense"]["kernel"]

    return training.System(init, gradients, sample)


def adam():
    return training.optimizer.make("adam", 1e-2, schedule="cosine", num_steps=400, clip_norm=1.0)


def run(workdir, num_steps, checkpoint_every, log_every, **options):
    options = {"progress": False, "ema_decay": 0.9, **options}
    return training.fit(
        options.pop("system", system()),
        adam(),
        options.pop("batches", Batches()),
        workdir=workdir,
        num_steps=num_steps,
        checkpoint_every=checkpoint_every,
        log_every=log_every,
        **options,
    )


if __name__ == "__main__":
    with stopping.on_signals() as received:
        run(sys.argv[1], *map(int, sys.argv[2:5]), should_stop=received)
    print("stopped by", received() and received().name)

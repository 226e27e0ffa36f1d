"""What the training loop costs: `training.fit` on digits beside its own steps, bare.

    python -m benchmarks.overhead 650

`fit` runs the digits config. Every 50 steps, between two of its steps, the device is drained and the same
compiled step goes over 50 batches that are on the device already; that time is not counted as the loop's.
Prints a line of JSON.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import jax

from benchmarks.networks import THREADS
from diffjax import commands, data, systems
from diffjax.training import fit, sharding
from diffjax.training import state as states
from diffjax.training import step as steps

CONFIG = Path(__file__).parents[1] / "configs" / "digits" / "ddpm.py"
SEGMENT = 50
OFFSET = 25  # segments begin midway between logging steps: what is written in the background is the loop's


def measure(num_steps):
    """Measure the run of `num_steps`.

    Args:
      num_steps: of the run; segments begin at 25, 75, ...

    Returns:
      dict: seconds of the loop's segments and of the bare ones before, between and after them; seconds of the
      loop's last steps with the last checkpoint and the loss curve, and how many steps that was.
    """
    config = commands.config_module(CONFIG).get_config()
    config.training.num_steps = num_steps
    settings = config.training
    system, decays = systems.build(config), systems.make_ema(config)
    optimizers = systems.make_optimizer(config, system)

    def batches():
        return data.batches(systems.load_data(config, "train"), settings.batch_size, seed=settings.seed)

    bare = _bare(system, optimizers, decays, batches(), settings.seed)
    looped, stripped, calls, since = [], [], -1, None

    def between():
        nonlocal calls, since
        calls += 1  # the first call is before the first step
        if calls % SEGMENT == OFFSET:
            jax.block_until_ready(jax.live_arrays())  # the loop is ahead of the device
            if since is not None:
                looped.append(time.perf_counter() - since)
            stripped.append(bare())
            since = time.perf_counter()
        return False

    with tempfile.TemporaryDirectory() as folder:
        fit(
            system, optimizers, batches(), workdir=folder, ema_decay=decays, num_steps=num_steps,
            seed=settings.seed, log_every=settings.log_every, checkpoint_every=settings.checkpoint_every,
            keep=settings.keep, should_stop=between,
        )  # fmt: skip
        end = time.perf_counter() - since
    return {
        "loop": looped,
        "bare": stripped,
        "end": end,
        "end_steps": num_steps - OFFSET - SEGMENT * len(looped),
        "segment": SEGMENT,
        "log_every": settings.log_every,
        "checkpoint_every": settings.checkpoint_every,
    }


def _bare(system, optimizers, decays, batches, seed):
    """Return a function that goes over a segment of batches and returns the seconds it took."""
    mesh = sharding.make_mesh()
    rule, key = sharding.fsdp(mesh), jax.random.key(seed)
    ready = [sharding.put_batch(mesh, next(batches)) for _ in range(SEGMENT)]
    frozen = system.prepare(None)[0]
    places = states.abstract(system, optimizers, ready[0], frozen, mesh, rule, tuple(decays))
    state = states.create(system, optimizers, key, ready[0], frozen, places)
    step = steps.compiled(steps.make(system, optimizers, decays), state)
    step = step.lower(state, frozen, key, ready[0]).compile()

    def segment():
        nonlocal state
        begin = time.perf_counter()
        for batch in ready:
            state, metrics = step(state, frozen, key, batch)
        jax.block_until_ready((state, metrics))
        return time.perf_counter() - begin

    segment()
    return segment


if __name__ == "__main__":
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    print(json.dumps(measure(int(sys.argv[1]))), file=replies, flush=True)

"""Train the system that a config names: `python -m diffjax.train --config=configs/... --workdir=runs/...`.

The same command again goes on from the latest checkpoint. Every number of the config can be set on the
command line, e.g. `--config.training.num_steps=4000`.
"""

import inspect
import signal
import sys
from pathlib import Path

import jax
import numpy as np
from absl import flags
from ml_collections import config_flags

from diffjax import commands, data, systems
from diffjax.evaluation import pictures
from diffjax.systems import evaluation_settings
from diffjax.systems.options import call, require, section
from diffjax.training import fit, metrics, sharding, workdir
from diffjax.training.stopping import on_signals

_SECTIONS = [
    "system",
    "data",
    "schedule",
    "model",
    "objective",
    "sampler",
    "optimizer",
    "training",
    "evaluation",
]
_LOOP = ["num_steps", "seed", "log_every", "checkpoint_every", "sample_every", "keep"]
_TRAINING = [*_LOOP, "batch_size", "ema", "mesh", "writers"]
_REQUIRED = ["num_steps", "seed", "log_every", "checkpoint_every", "batch_size", "ema.name"]
_WRITERS = {"tensorboard": metrics.tensorboard, "wandb": metrics.wandb}


def train(config, folder, about="A training run.", progress=True, should_stop=lambda: False):
    """Train, or go on training, until `config.training.num_steps`.

    Everything that can be refused is refused before anything is compiled or written.

    Args:
      config: ConfigDict, see `configs/`.
      folder: the run's folder.
      about: what the run is, for its README.
      progress: show a progress bar.
      should_stop: asked between steps, see `training.fit`.

    Returns:
      The final TrainState; its `step` is less than `num_steps` if it was told to stop.

    Raises:
      ValueError: naming the field of the config that does not fit.
    """
    _check_keys("config", config, _SECTIONS)
    _check_keys("config.training", section(config, "training"), _TRAINING)
    require(config, *(f"training.{name}" for name in _REQUIRED))
    evaluation_settings.read(config)
    settings = config.training
    system, optimizer, decay = systems.build(config), systems.make_optimizer(config), systems.make_ema(config)
    writers = [_writer(name) for name in settings.get("writers", ())]
    mesh = call("training.mesh", sharding.make_mesh, dict(settings.get("mesh", {})))
    source = systems.load_data(config, "train")
    batches = data.batches(
        source, settings.batch_size, seed=settings.seed, flip=config.data.get("flip", False),
        shard_index=jax.process_index(), shard_count=jax.process_count(),
    )  # fmt: skip
    _trace(system, source, settings)
    folder = workdir.prepare(folder, config.to_dict(), about=about, commands=_next_commands(folder))
    loop = {key: settings[key] for key in _LOOP if key in settings}
    with workdir.lock(folder):
        return fit(
            system, optimizer, batches, workdir=folder, ema_decay=decay, mesh=mesh, writers=writers,
            on_sample=_sampler(system, config, source, folder), should_stop=should_stop, progress=progress,
            **loop,
        )  # fmt: skip


def _trace(system, source, settings):
    """Raise what the system itself refuses, by tracing it: nothing is compiled or written."""
    for name in ("log_every", "checkpoint_every", "num_steps"):
        if not isinstance(settings[name], int) or settings[name] < 1:
            raise ValueError(f"training.{name} must be an integer of at least 1, got {settings[name]!r}")
    key = jax.random.key(0)
    state = jax.eval_shape(system.init, key)
    batch = source.gather(np.zeros(settings.batch_size, int))
    jax.eval_shape(system.gradients, *state, key, batch, 0)


def _sampler(system, config, source, folder):
    """Return on_sample: a picture of samples of the moving average in `samples/step_<n>.png`."""
    image = len(config.data.shape) == 3
    num_classes = config.data.num_classes if config.model.get("num_classes") else None
    n = 10 * num_classes if image and num_classes else 100 if image else 2000
    labels = np.arange(n) * num_classes // n if num_classes else None
    sample = jax.jit(system.sample, static_argnums=5)
    key = jax.random.key(config.training.seed)

    def on_sample(step, state, frozen):
        x = np.asarray(sample(state.ema, state.extra, frozen, key, labels, n))
        if jax.process_index():
            return
        path = Path(folder) / "samples" / f"step_{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        if not np.isfinite(x).all():
            print(
                f"warning: {np.sum(~np.isfinite(x))} of {x.size} values in {path} are not finite",
                file=sys.stderr,
            )
        if image:
            pictures.grid(path, data.to_uint8(x), labels, columns=10)
        else:
            pictures.scatter(path, x, source.x[:n])

    return on_sample


def _next_commands(folder):
    return {
        "To sample": f"python -m diffjax.sample --workdir={folder} --num=64",
        "To evaluate": f"python -m diffjax.evaluate --workdir={folder}",
    }


def _writer(name):
    if name not in _WRITERS:
        raise ValueError(f"training.writers must be among {', '.join(_WRITERS)}; got {name!r}")
    return _WRITERS[name]


def _check_keys(where, entries, known):
    for key in entries:
        if key not in known:
            raise ValueError(f"{where} has no key {key!r}{systems.nearest(key, known)}")


def _main(argv):
    del argv
    options = flags.FLAGS
    if options.config is None or not options.workdir:
        raise ValueError("give --config=configs/<dataset>/<system>.py and --workdir=runs/<name>")
    if options.cpu_devices is not None:
        jax.config.update("jax_num_cpu_devices", options.cpu_devices)
    if options.distributed:
        jax.distributed.initialize()
    file = config_flags.get_config_filename(options["config"]).partition(":")[0]
    about = inspect.getdoc(commands.config_module(file)) or "A training run."
    with on_signals() as received:
        state = train(options.config, options.workdir, about, should_stop=received)
    if jax.process_index() == 0:
        print(_last_words(options.workdir, int(state.step), options.config.training.num_steps, received()))
    if received() is signal.SIGINT:
        sys.exit(130)  # what a shell expects of a command ended by Ctrl-C


def _last_words(folder, step, num_steps, received):
    if step == num_steps:
        return f"done: {folder}/README.md says what is in the folder and how to go on"
    why = f"stopped by {received.name if received else 'another process'}"
    if step == 0:
        return f"{why} before the first step, no checkpoint was saved: the same command starts again"
    return f"{why} at step {step} of {num_steps}, with a checkpoint: the same command goes on from there"


def cli():
    """Entry point of `diffjax-train`."""
    commands.define_run_flags()
    flags.DEFINE_bool("distributed", False, "Join the other hosts (jax.distributed) before anything else.")
    flags.DEFINE_integer(
        "cpu_devices", None, "Split each batch over so many devices of one CPU: use its cores better.",
        lower_bound=1,
    )  # fmt: skip
    commands.run(_main)


if __name__ == "__main__":
    cli()

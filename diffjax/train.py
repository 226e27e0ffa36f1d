"""Train the system that a config names: `python -m diffjax.train --config=configs/... --workdir=runs/...`.

The same command again goes on from the latest checkpoint. Every number of the config can be set on the
command line, e.g. `--config.training.num_steps=4000`. A config with `phases` is several runs, one after
another, each in a folder of its own.
"""

import inspect
import json
import shlex
import signal
import sys
from pathlib import Path

import jax
import numpy as np
from absl import flags
from ml_collections import config_flags

from diffjax import checks, commands, data, files, systems
from diffjax.commands import beginning, devices, evaluation_settings, phases, previews, processes, validation
from diffjax.systems.options import call, require, section
from diffjax.training import checkpoints, fit, loop, metrics, rescue, sharding, tracing, watching, workdir
from diffjax.training import step as steps
from diffjax.training.stopping import on_signals

_COMMON = ("system", "optimizer", "training", "evaluation", "phases")
_LOOP = (
    "num_steps",
    "seed",
    "log_every",
    "checkpoint_every",
    "sample_every",
    "keep",
    "accumulate",
    "best_metric",
    "snapshot_every",
)
_TRAINING = (*_LOOP, "batch_size", "ema", "mesh", "writers", "watch", "not_finite", "validation")
_REQUIRED = ("num_steps", "seed", "log_every", "checkpoint_every", "batch_size", "ema")
_IDENTITY = ("system", "training.seed")
_COUNTS = {  # of config.training, and the least they may be
    "num_steps": 1, "batch_size": 1, "log_every": 1, "checkpoint_every": 1, "accumulate": 1, "keep": 1,
    "sample_every": 0, "seed": 0, "snapshot_every": 0,
}  # fmt: skip
_PLACES = ("path", "data_dir")  # of data, whose content counts


def train(
    config, folder, about="A training run.", progress=True, should_stop=lambda: False, init_from=None,
    profile=None,
):  # fmt: skip
    """Train, or go on training, until `config.training.num_steps`.

    Everything that can be refused is refused before anything is compiled or written.

    Args:
      config: ConfigDict, see `configs/`.
      folder: the run's folder.
      about: what the run is, for its README.
      progress: show a progress bar.
      should_stop: asked between steps, see `training.fit`.
      init_from: run's folder, or file, whose parameters the run begins with where they match, see
        `training.warm_start`; of the first phase, if the config has any.
      profile: (first, last), steps of which a trace is written.

    Returns:
      The final TrainState (of the last phase, if the config has any); its `step` is less than `num_steps` if
      it was told to stop.

    Raises:
      ValueError: naming the field of the config that does not fit.
    """
    checks.compiling("training")
    processes.require_same(workdir.flat(config.to_dict()))
    state, runs = None, phases.of(config, workdir.local(folder))
    for own, _ in runs:
        _check(own)
    for own, place in runs:
        state = _train(own, place, about, progress, should_stop, init_from, profile)
        init_from = None
        if int(state.step) < own.training.num_steps:
            break
    return state


def _check(config):
    """Raise for what is wrong in a config by itself, before its data are read."""
    _check_keys("config", config, [*_COMMON, *systems.module(config).SECTIONS])
    _check_keys("config.training", section(config, "training"), _TRAINING)
    require(config, *(f"training.{name}" for name in _REQUIRED))
    for name, least in _COUNTS.items():
        if name in config.training:
            _check_count(f"training.{name}", config.training[name], least)
    if not isinstance(config.training.get("best_metric", "loss"), str):
        raise ValueError(f"training.best_metric must be a metric's name, got {config.training.best_metric!r}")
    systems.make_ema(config)
    evaluation_settings.read(config)


def _train(config, folder, about, progress, should_stop, init_from, profile):
    source = systems.load_data(config, "train")
    config = _with_names(config, source)
    run = _Run(config, folder, source, profile)
    begin = None if init_from is None else beginning.read(init_from)
    draw = previews.drawn(run.system, run.config.training)
    traced = _trace(run, draw)
    with workdir.lock(folder):
        _check_averages(folder, run.decays)
        workdir.prepare(
            folder,
            config.to_dict(),
            identity=_identity(config),
            about=about,
            commands=_next_commands(folder, run.system),
        )
        _check_data(folder, source)
        frozen, run.source = run.system.prepare(folder, source)
        _check_names(run.system, run.source)
        return fit(
            run.system, run.optimizers, _batches(config, run.source, run.rows), workdir=folder, frozen=frozen,
            ema_decay=run.decays, mesh=run.mesh, writers=run.writers,
            on_sample=draw and previews.report(run.system, run.source, draw, folder), should_stop=should_stop,
            progress=progress, traced=traced, watch=run.watch, not_finite=run.not_finite,
            on_validate=run.on_validate(folder), validate_every=run.validate_every, init_from=begin,
            **{key: config.training[key] for key in _LOOP if key in config.training},
        )  # fmt: skip


class _Run:
    """What a config makes, each part refused by its name before anything is compiled or written."""

    def __init__(self, config, folder, source, profile=None):
        settings = config.training
        self.config, self.source = config, source
        self.system = systems.build(config, folder)
        self.optimizers = systems.make_optimizer(config, self.system)
        self.decays = systems.make_ema(config)
        given = lambda name: section(config, f"training.{name}") if settings.get(name) is not None else None
        self.watch = call("training.watch", watching.watch, given("watch") or {}, profile=profile)
        rescued = given("not_finite")
        self.not_finite = None if rescued is None else call("training.not_finite", rescue.roll_back, rescued)
        self.validation, self.held_out = given("validation") or {}, None
        self.validate_every = self.validation.pop("every", 0)
        if self.validation or self.validate_every:
            _check_count("training.validation.every", self.validate_every, 1)
            self.held_out = systems.load_data(config, "test")
            self._validation(self.held_out)
        names = settings.get("writers", ())
        names = [names] if isinstance(names, str) else names
        self.writers = [call("training.writers", metrics.writer, {"name": name}) for name in names]
        self.rows = settings.batch_size * steps.rows_a_step(self.system)
        mesh = given("mesh") or _all_devices(self.rows)
        self.mesh = call("training.mesh", sharding.make_mesh, mesh)

    def _validation(self, source):
        seed = {"seed": self.config.training.seed}
        return call("training.validation", validation.held_out, self.validation, self.system, source, **seed)

    def on_validate(self, folder):
        """Return what measures held-out data, prepared as those are that it trains on; or None."""
        if self.held_out is None:
            return None
        return self._validation(self.system.prepare(folder, self.held_out)[1])


def _all_devices(rows):
    """Return the mesh of one process's CPU devices that a batch divides over; all devices elsewhere."""
    if jax.default_backend() != "cpu" or jax.process_count() > 1:
        return {}
    some = devices.that_divide(rows, jax.device_count())
    return {"devices": jax.devices()[:some]}


def _batches(config, source, rows):
    return data.batches(
        source, rows, seed=config.training.seed, flip=config.data.get("flip", False),
        shard_index=jax.process_index(), shard_count=jax.process_count(),
    )  # fmt: skip


def _with_names(config, source):
    """Return the config with the names of the data's classes, so that a run can be asked by them."""
    if source.class_names is None or not config.data.get("num_classes"):
        return config
    names = tuple(source.class_names)
    if len(names) != config.data.num_classes:
        return config
    return commands.overridden(config, {"data.class_names": names})


def _identity(config):
    """Return what a resumed run must have as it was: its system, network and data, and the order of these."""
    own = [key for key in systems.module(config).IDENTITY if key != "data"]
    kept = [f"data.{key}" for key in config.data if key not in _PLACES]
    return (*_IDENTITY, *own, *kept)


def _check_averages(folder, decays):
    """Raise for other averages than those that a run follows; their decays may change."""
    if not workdir.has_checkpoint(folder) or not (Path(folder) / "config.json").is_file():
        return
    own = systems.make_ema(commands.load_config(folder))
    if set(own) != set(decays):
        names = [", ".join(sorted(each)) for each in (own, decays)]
        raise ValueError(
            f"training.ema must have the averages of the run in {folder}, {names[0]}; got {names[1]}"
        )


def _check_data(folder, source):
    """Keep what the data are, or raise if they are not those that the run began with."""
    path, now = Path(folder) / "data.json", {"name": source.name, "num_examples": len(source)}
    now["fingerprint"] = source.fingerprint()
    if not path.is_file():
        if jax.process_index() == 0:
            files.write(path, json.dumps(now, indent=2) + "\n")
        return
    told = f": without it the data of {folder} are taken as they are now"
    before = files.read_json(path, "fingerprint", "num_examples", otherwise=told)
    if before["fingerprint"] != now["fingerprint"] or before["num_examples"] != now["num_examples"]:
        if not workdir.has_checkpoint(folder):
            path.unlink()
            return _check_data(folder, source)
        raise ValueError(
            f"the data are not those that the run in {folder} began with (it had {before['num_examples']} "
            f"examples, here are {now['num_examples']}; their content differs): put those back, or begin a "
            "new workdir"
        )
    return None


def _trace(run, draw):
    """Trace the step, which raises what the system itself refuses: nothing is compiled or written."""
    settings, system = run.config.training, run.system
    _batches(run.config, run.source, run.rows).close()
    # what `prepare` will add is known by its shape alone, and so is what it will read
    row = {**system.example, **run.source.gather(np.zeros(1, int))}
    rows = lambda n: jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((n, *leaf.shape[1:]), leaf.dtype), row)
    batch = rows(run.rows)
    traced = tracing.trace(
        system, run.optimizers, batch, system.frozen, mesh=run.mesh, ema_decay=run.decays,
        accumulate=settings.get("accumulate", 1),
    )  # fmt: skip
    measured = dict(traced.measured)
    if draw is not None:
        measured |= {f"sample/{name}": None for name in previews.MEASURED}
        some = previews.rows_shown(system, rows(previews.NUM[system.gives]))
        jax.eval_shape(draw, loop.averaged(traced.state, system.frozen), some)
    reports = ["held_out"] if run.validate_every else []
    loop.check_metric(settings.get("best_metric", "loss"), measured, reports)
    return traced


def _check_names(system, source):
    """Raise for a batch that lacks what the system says of one."""
    names = source.gather(np.zeros(1, int))
    for name in system.example:
        if name not in names:
            raise ValueError(f"system needs {name!r} in a batch, but {source.name} has {', '.join(names)}")


def _next_commands(folder, system):
    where = shlex.quote(f"--workdir={folder}")  # to be pasted into a shell, whatever the path holds
    sample = {"To sample": f"python -m diffjax.sample {where} --num=64"} if system.passes else {}
    return {**sample, "To evaluate": f"python -m diffjax.evaluate {where}"}


def _check_count(name, value, least):
    most = 2**32 - 1 if name.endswith(".seed") else 2**31 - 1
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        limit = f"in {least}..{most}" if least == 0 else f"of at least {least}"
        raise ValueError(f"{name} must be an integer {limit}, got {value!r}")


def _check_keys(where, entries, known):
    for key in entries:
        if key not in known:
            raise ValueError(f"{where} has no key {key!r}{systems.nearest(key, known)}")


def _main(argv):
    del argv
    options = flags.FLAGS
    if options.config is None or not options.workdir:
        raise ValueError("give --config=configs/<dataset>/<system>.py and --workdir=runs/<name>")
    commands.use_every_core(options.cpu_devices)
    processes.join(options)
    profile = _window(options.profile)
    about = _about(config_flags.get_config_filename(options["config"]), options.config)
    folder = workdir.local(options.workdir)
    with on_signals() as received:
        train(
            options.config, folder, about, should_stop=received, init_from=options.init_from, profile=profile
        )
    if jax.process_index() == 0:
        print(_last_words(phases.of(options.config, folder), received()))
    if received() is signal.SIGINT:
        sys.exit(130)  # what a shell expects of a command ended by Ctrl-C


def _window(text):
    """Return the two steps of --profile."""
    if text is None:
        return None
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal()):
        raise ValueError(f"--profile must be first:last, such as 10:15; got {text!r}")
    return int(first), int(last)


def _about(file, config):
    """Return what a run is, for its README: what its config's file says of itself, and what was changed."""
    path, _, argument = file.partition(":")
    module = commands.config_module(path)
    own = module.get_config(argument) if argument else module.get_config()
    given, there = workdir.flat(config.to_dict()), workdir.flat(own.to_dict())
    changed = {key: value for key, value in given.items() if value != there.get(key, there)}
    told = "".join(f"\n    {key} = {value!r}" for key, value in changed.items())
    if changed.keys() & {"system", "data.name", "data.path"}:  # what the file says is of other data
        return f"System {config.system!r} on data {config.data.name!r}: {file} with{told}"
    about = inspect.getdoc(module) or "A training run."
    return f"{about}\n\nChanged here:\n{told}" if changed else about


def _last_words(runs, received):
    for config, folder in runs:
        step, num_steps = checkpoints.latest_step(folder) or 0, config.training.num_steps
        if step < num_steps:
            break
    else:
        return f"done: {folder}/README.md says what is in the folder and how to go on"
    why = f"stopped by {received.name if received else 'another process'}"
    if step == 0:
        return f"{why} before the first step, no checkpoint was saved: the same command starts again"
    return f"{why} at step {step} of {num_steps}, with a checkpoint: the same command goes on from there"


def cli():
    """Entry point of `diffjax-train`."""
    commands.define_run_flags()
    processes.define_flags()
    flags.DEFINE_string("init_from", None, "Run or file whose parameters it begins with, where they match.")
    flags.DEFINE_string("profile", None, "first:last, the steps of which a trace goes to <workdir>/profile.")
    flags.DEFINE_integer(
        "cpu_devices", None, "Devices that one CPU is seen as; default: one a core.", lower_bound=1
    )
    commands.run(_main)


if __name__ == "__main__":
    cli()

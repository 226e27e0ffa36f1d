"""Sample from a trained run: `python -m diffjax.sample --workdir=runs/... --num=64 --solver=ddim --steps=50`.

Writes `samples.npz` and, beside it, a picture `samples.png`. Without an option, the run's own config decides
(or the one of `--config`). A pipeline has no run: `--config=... --out=...` is enough.
"""

from pathlib import Path

import jax
import numpy as np
from absl import flags

from diffjax import commands, files
from diffjax.commands import output, processes, values
from diffjax.evaluation import pictures
from diffjax.systems import measurements, read
from diffjax.systems.options import require
from diffjax.training.system import label_of, require_passes


def with_sampler(config, solver=None, options=(), steps=None, grid=None, guidance_weight=None, edit=None):
    """Return the config with another sampler; None keeps what it says.

    Args:
      config: ConfigDict of the run.
      solver: name of the solver. Another one than the config's starts without the config's solver options.
      options: "name=value" strings, options of the solver.
      steps: of the time grid.
      grid: its kind.
      guidance_weight: w.
      edit: section `config.sampler.edit`, of a picture that is edited.

    Raises:
      ValueError: for an option that is not name=value, or a solver where the system has none.
    """
    changed = {"steps": values.value(steps), "grid": grid, "guidance_weight": guidance_weight, "edit": edit}
    changed = {key: value for key, value in changed.items() if value is not None}
    if solver is None and not changed and not options:
        return config
    require(config, "sampler")
    old = config.sampler.to_dict()
    if solver is not None and "solver" not in old:
        raise ValueError(
            f"solver must be left out: system {config.system!r} has none (sampler.solver); got {solver!r}"
        )
    new = read.resampled(old, changed if solver is None else {"solver": solver, **changed})
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise ValueError(f"option must be name=value, e.g. eta=0.5; got {option!r}")
        new[name] = values.value(value)
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.sampler = new
    return config


def request_for(system, num, asked=(), label=None, more=None):
    """Return what a system is asked, `[num, ...]` for each part.

    Args:
      system: System.
      num: of samples.
      asked: "part=value" strings; a part that is named several times is asked in turn.
      label: the classes asked for in turn; None where nothing is asked.
      more: {part: what is asked for in turn} of other parts.

    Raises:
      ValueError: for a part or a value that the system does not take.
    """
    given = {} if label is None else {"label": list(label)}
    given |= {part: list(values) for part, values in (more or {}).items() if values}
    for each in asked:
        part, equals, value = each.partition("=")
        if not equals:
            raise ValueError(f"ask must be part=value, e.g. label=3; got {each!r}")
        given.setdefault(part, []).append(value)
    return system.request.of_user(given, num) if given else system.request.default(num)


def save(out: Path, system, samples, request) -> None:
    """Write `samples.npz`, whole or not at all: the samples by what they are, and what was asked for.

    "images", "points" or "embeddings"; "request/<part>" as arrays ("request/<stage>/<part>" of a pipeline),
    "said" in words where there are any, and "labels" for classes.
    """
    arrays = {system.gives: samples.x}
    for path, leaf in jax.tree_util.tree_leaves_with_path(dict(request)):
        arrays[f"request/{'/'.join(str(each.key) for each in path)}"] = np.asarray(leaf)
    if label_of(request) is not None:
        arrays["labels"] = label_of(request)
    said = system.request.describe(request)
    if said is not None:
        arrays["said"] = np.asarray(said, str)
    with files.whole(out / "samples.npz") as file:
        np.savez_compressed(file, **arrays)


def edit_of(config, images=(), masks=(), strength=None, resamplings=None, jump_length=None):
    """Return the section `sampler.edit` of a command, None where it edits no picture or the config says how.

    Args:
      config: ConfigDict of the run.
      images, masks: what `--init_image` and `--mask` name.
      strength: in (0, 1], or None.
      resamplings, jump_length: of RePaint, or None.

    Raises:
      ValueError: for flags that do not go together, or a system without noise levels.
    """
    if (config.get("latents") or {}).get("inpaint"):  # by what the network sees: no edit of the walk
        masks = ()
        images = images if strength or resamplings or jump_length else ()
    given = {"strength": strength, "mask": bool(masks) or None}
    given |= {"resamplings": resamplings, "jump_length": jump_length}
    given = {name: value for name, value in given.items() if value is not None}
    if not images:
        if given:
            raise ValueError(f"{next(iter(given))} needs init_image, the picture that is edited")
        return None
    if config.get("schedule") is None and config.get("denoiser") is None:
        told = f"system {config.get('system')!r} has no schedule of its own"
        raise ValueError(f"init_image must be left out: {told}")
    if not given and not (config.get("sampler") or {}).get("edit"):
        raise ValueError("give strength in (0, 1] with init_image, or mask, the part of it that is kept")
    return given or None


_PARTS = {  # of requests, that have flags of their own
    "text": 'What the picture should show, e.g. --text="a red apple"',
    "image": "File of the picture that a model is asked with: small, or blurred",
    "map": "File of a map: a grey PNG, or one with a palette, whose pixels are classes, or .npy",
    "init_image": "File or folder of pictures that are edited: begun from, or kept where a mask is white",
    "measured": "File or folder of pictures that sampler.measurement measured, small or blurred: restored",
    "mask": "File of a mask of init_image or measured, as large: white is known and kept, black is made up",
}


class _Average(flags.BooleanParser):
    """Reads --ema, --noema, --ema=<name> of a run that follows several averages, or --ema=<width>."""

    def parse(self, argument):
        try:
            return super().parse(argument)
        except ValueError:
            return values.value(argument)


def _loaded(options):
    """Return what is sampled, and its config."""

    def sampled(config):
        how = options.solver, options.option, options.steps, options.grid, options.guidance_weight
        flags_of_edit = "init_image", "mask", "strength", "resamplings", "jump_length"
        given = {name: options[name].value for name in flags_of_edit}
        if options.measured and not given["init_image"]:
            given["mask"] = None  # it is of what was measured
        changed = with_sampler(config, *how, edit=edit_of(config, *given.values()))
        measurements.require_said(changed, options.measured)
        return changed

    step = values.checkpoint(options.checkpoint)
    if options.workdir is None and options.config is not None:
        config = sampled(options.config)
        if options.out is None:
            raise ValueError("give --out=<folder>: a pipeline has no run folder to write to")
        return commands.load(config, options.ema, step), config
    if options.workdir is None:
        raise ValueError(
            "give --workdir=runs/<name>, the folder of a trained run, or --config=... --out=... of a pipeline"
        )
    config = sampled(commands.load_config(options.workdir, options.config))
    return commands.load(options.workdir, ema=options.ema, step=step, config=config), config


def _main(argv):
    del argv
    options = flags.FLAGS
    commands.use_every_core()
    processes.join(options)
    processes.require_same_command(options)
    (system, variables, _), config = _loaded(options)
    require_passes(system)
    more = {part: options[part].value for part in _PARTS}
    request = request_for(system, options.num, options.ask, options.label, more)
    out = output.writable(options.out or options.workdir)
    keep = out / ".passes"
    samples = commands.sample_in_batches(
        system, variables, key=jax.random.key(options.seed), num=options.num, batch_size=options.batch_size,
        request=request, keep=keep, identity=config.to_json(),
    )  # fmt: skip
    if jax.process_index():  # the first of several processes writes
        return
    said = system.request.describe(request)
    with output.together(out, "samples.npz", "samples.png") as scratch:
        save(scratch, system, samples, request)
        shown = pictures.of_samples(
            scratch / "samples.png", str(system.gives), samples.x, said,
            conditions=system.request.pictures(request),
        )  # fmt: skip
    commands.forget(keep)
    written = [str(out / "samples.npz")] + ([str(out / shown.name)] if shown else [])
    print(f"{options.num} samples in {samples.seconds:.1f} s: {' and '.join(written)}")


def cli():
    """Entry point of `diffjax-sample`."""
    commands.define_run_flags()
    processes.define_flags()
    flags.DEFINE_integer("num", 64, "Number of samples.", lower_bound=1)
    flags.DEFINE_string("solver", None, "Solver, e.g. ddim, ancestral, dpm_solver_pp, edm_heun.")
    flags.DEFINE_multi_string("option", [], "Option of the solver, e.g. --option=eta=0.5 (repeatable).")
    flags.DEFINE_string(
        "steps", None, "Steps of the grid; with --grid=spaced also sections such as 10,15,20."
    )
    flags.DEFINE_string("grid", None, "Time grid: uniform, quadratic, karras, log_snr, spaced.")
    flags.DEFINE_float("guidance_weight", None, "w of classifier-free guidance; 0 is none.")
    flags.DEFINE_list(
        "label", None,
        "Class or classes by number or name, in turn; 'none' samples without a class where the model was "
        "trained with dropped labels; a name with a comma in double quotes. Default: all classes in turn.",
    )  # fmt: skip
    for part, about in _PARTS.items():
        flags.DEFINE_multi_string(part, None, f"{about} (repeatable, in turn); short for --ask={part}=...")
    flags.DEFINE_float(
        "strength", None, "How much of init_image is made anew, in (0, 1]: the part of the steps (SDEdit)."
    )
    flags.DEFINE_integer(
        "resamplings", None, "Of RePaint with mask: how often each stretch of steps is walked; 1 is none."
    )
    flags.DEFINE_integer("jump_length", None, "Of RePaint: steps of a stretch; default 10.")
    flags.DEFINE_multi_string("ask", [], "Part of the request, e.g. --ask=label=3 (repeatable, in turn).")
    flags.DEFINE_integer(
        "seed", 0, "Sample i depends on the seed and on i alone.", lower_bound=0, upper_bound=2**32 - 1
    )
    flags.DEFINE_integer(
        "batch_size", 256, "Samples at a time; changes memory and speed only.", lower_bound=1
    )
    about = "Use the moving average of the parameters; --ema=<name> of several, --ema=<width> of snapshots."
    flags.DEFINE_flag(flags.Flag(_Average(), None, "ema", True, about, boolean=True))
    flags.DEFINE_string("checkpoint", None, "Step of the checkpoint, or 'best'; default: the latest.")
    flags.DEFINE_string("out", None, "Folder of the output; default: the run's.")
    commands.run(_main)


if __name__ == "__main__":
    cli()

"""Sample from a trained run: `python -m diffjax.sample --workdir=runs/... --num=64 --solver=ddim --steps=50`.

Writes `samples.npz` and, beside it, a picture `samples.png`. Without an option, the run's own config decides
(or the one of `--config`).
"""

import ast
import zipfile
from pathlib import Path

import jax
import numpy as np
from absl import flags

from diffjax import commands, systems
from diffjax.evaluation import pictures
from diffjax.systems.options import require


def with_sampler(config, solver=None, options=(), steps=None, grid=None, guidance_weight=None):
    """Return the config with another sampler; None keeps what it says.

    Args:
      config: ConfigDict of the run.
      solver: name of the solver. Another one than the config's starts without the config's solver options.
      options: "name=value" strings, options of the solver.
      steps: of the time grid.
      grid: its kind.
      guidance_weight: w.

    Raises:
      ValueError: for an option that is not name=value, or a solver where the system has none.
    """
    require(config, "sampler")
    old = config.sampler.to_dict()
    if solver is not None and "solver" not in old:
        raise ValueError(
            f"solver must be left out: system {config.system!r} has none (sampler.solver); got {solver!r}"
        )
    if solver is not None and solver != old["solver"]:
        shared = ("steps", "grid", "guidance_weight", "threshold")
        old = {key: value for key, value in old.items() if key in shared} | {"solver": solver}
    changed = {"steps": _value(steps), "grid": grid, "guidance_weight": guidance_weight}
    new = old | {key: value for key, value in changed.items() if value is not None}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise ValueError(f"option must be name=value, e.g. eta=0.5; got {option!r}")
        new[name] = _value(value)
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.sampler = new
    return config


def labels_for(config, num, label=None):
    """Return `[num]` int32 labels, the classes asked for in turn, or None for an unconditional model.

    Raises:
      ValueError: for a label outside the model's classes, or any label for an unconditional model.
    """
    num_classes = config.data.get("num_classes") if config.model.get("num_classes") else None
    if num_classes is None:
        if label is not None:
            raise ValueError(f"label must be left out: the model is unconditional; got {','.join(label)}")
        return None
    classes = range(num_classes) if label is None else [_value(each) for each in label]
    for each in classes:
        if each not in range(num_classes):
            raise ValueError(f"label must be in 0..{num_classes - 1}, got {each}")
    return np.resize(np.array(classes, np.int32), num)


def _value(text):
    """Read a number, or True, False, None or a tuple of them; anything else is text."""
    text = text.capitalize() if text in ("true", "false") else text
    for read in (int, float, ast.literal_eval):
        try:
            return read(text)
        except (TypeError, ValueError, SyntaxError):
            continue
    return text


def _main(argv):
    del argv
    options = flags.FLAGS
    workdir, num = options.workdir, options.num
    if workdir is None:
        raise ValueError("give --workdir=runs/<name>, the folder of a trained run")
    config = with_sampler(
        commands.load_config(workdir, options.config),
        options.solver, options.option, options.steps, options.grid, options.guidance_weight,
    )  # fmt: skip
    labels = labels_for(config, num, options.label)
    system = systems.build(config)
    params, _ = commands.load_params(workdir, config, ema=options.ema, step=options.checkpoint)
    key = jax.random.key(options.seed)
    x, seconds = commands.sample_in_batches(
        system, params, key=key, num=num, batch_size=options.batch_size, labels=labels
    )
    out = Path(options.out or workdir)
    out.mkdir(parents=True, exist_ok=True)
    arrays = {"images" if x.ndim == 4 else "points": x} | ({} if labels is None else {"labels": labels})
    _save(out / "samples.npz", arrays)
    if x.ndim == 4:
        pictures.grid(out / "samples.png", x, labels)
    elif x.shape[1] == 2:
        pictures.scatter(out / "samples.png", x)
    print(f"{num} samples in {seconds:.1f} s: {out / 'samples.npz'} and {out / 'samples.png'}")


def _save(path, arrays):
    """Write an .npz file that is either whole or not there."""
    scratch = path.with_suffix(".tmp")
    with scratch.open("wb") as file:
        np.savez_compressed(file, **arrays)
    if not zipfile.is_zipfile(scratch):
        raise OSError(f"could not write {path}")
    scratch.replace(path)


def cli():
    """Entry point of `diffjax-sample`."""
    commands.define_run_flags()
    flags.DEFINE_integer("num", 64, "Number of samples.", lower_bound=1)
    flags.DEFINE_string("solver", None, "Solver, e.g. ddim, ancestral, dpm_solver_pp, edm_heun.")
    flags.DEFINE_multi_string("option", [], "Option of the solver, e.g. --option=eta=0.5 (repeatable).")
    flags.DEFINE_string(
        "steps", None, "Steps of the grid; with --grid=spaced also sections such as 10,15,20."
    )
    flags.DEFINE_string("grid", None, "Time grid: uniform, quadratic, karras, log_snr, spaced.")
    flags.DEFINE_float("guidance_weight", None, "w of classifier-free guidance; 0 is none.")
    flags.DEFINE_list("label", None, "Class or classes, in turn; default: all classes in turn.")
    flags.DEFINE_integer("seed", 0, "Sample i depends on the seed and on i alone.", lower_bound=0)
    flags.DEFINE_integer(
        "batch_size", 256, "Samples at a time; changes memory and speed only.", lower_bound=1
    )
    flags.DEFINE_bool("ema", True, "Use the moving average of the parameters.")
    flags.DEFINE_integer("checkpoint", None, "Step of the checkpoint; default: the latest.")
    flags.DEFINE_string("out", None, "Folder of the output; default: the run's.")
    commands.run(_main)


if __name__ == "__main__":
    cli()

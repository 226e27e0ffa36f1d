"""Train the judge of a data set once: `python -m diffjax.classifier --config=... --out=judge.npz`.

`python -m diffjax.evaluate --features=classifier:judge.npz` then measures any number of runs by it.
"""

from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from diffjax import commands, systems
from diffjax.commands import output
from diffjax.evaluation import classifier
from diffjax.evaluation.classifier import Classifier
from diffjax.training import workdir


def train(config: ConfigDict, out: str | Path, *, seed: int = 0, num_steps: int = 600) -> Classifier:
    """Train a small classifier on the labelled images that `config.data` names, and write it whole.

    The same data, seed and machine give the same file, byte for byte.

    Args:
      config: of a run; only its `data` is read.
      out: the `.npz` file.
      seed: of parameters, batches and shifts.
      num_steps: updates; a minute or less for small grey images on a CPU.

    Returns:
      The Classifier, with its accuracy on the test split.

    Raises:
      ValueError: if `out` is no `.npz` file, its folder cannot be made or written, or the data have no labels
        or are no images.
      OSError: naming the file, if it could not be written.
    """
    out = workdir.local(out)
    if out.suffix != ".npz":
        raise ValueError(f"out must be an .npz file, got {str(out)!r}")
    output.writable(out.parent)
    source, held_out = (systems.load_data(config, split) for split in ("train", "test"))
    fitted = classifier.fit(source, held_out, seed=seed, num_steps=num_steps)
    classifier.save(fitted, out)
    return fitted


def cli() -> None:
    """Entry point of `diffjax-classifier`."""
    commands.define_config_flag()
    flags.DEFINE_string("out", None, "The file that is written, .npz.")
    about = "Of parameters, batches and shifts."
    flags.DEFINE_integer("seed", 0, about, lower_bound=0, upper_bound=2**32 - 1)
    flags.DEFINE_integer("num_steps", 600, "Updates.", lower_bound=1)

    def main(argv):
        del argv
        options = flags.FLAGS
        if options.config is None or options.out is None:
            raise ValueError("give --config=configs/<dataset>/<system>.py and --out=<judge>.npz")
        commands.use_every_core()
        fitted = train(options.config, options.out, seed=options.seed, num_steps=options.num_steps)
        print(f"{fitted.accuracy:.2%} right on held-out images; written to {options.out}")

    commands.run(main)


if __name__ == "__main__":
    cli()

"""Trains what `experiments.text_to_emoji` samples, each stage as a run below `runs/text_to_emoji`.

    python -m experiments.text_to_emoji.stages --only=text_64,latent_text

What is done is left as it is, and what was stopped goes on.
"""

import argparse

from ml_collections import ConfigDict

from diffjax import train
from experiments import study

FOLDER = "runs/text_to_emoji"
STEPS = {  # run, of the config of this name -> how long it is trained
    "text_64": 1500,
    "latent_text": 1500,
    "text_16": 1300,
    "cascade_up32": 400,
    "cascade_up64": 400,
    "imagen_base": 700,
    "imagen_up64": 400,
    "decoder": 600,
    "prior": 600,
}
PIPELINES = {  # way -> stage -> run
    "cascade": {"base": "text_16", "up32": "cascade_up32", "up64": "cascade_up64"},
    "unCLIP": {"prior": "prior", "decoder": "decoder", "up": "imagen_up64"},
    "Imagen": {"base": "imagen_base", "up": "imagen_up64"},
}


def config_of(name: str) -> ConfigDict:
    """Return the config of a run."""
    return study.config_of(f"emoji/{name}.py", training={"num_steps": STEPS[name], "sample_every": 0})


def main() -> None:
    """Train all of them, or some."""
    parser = argparse.ArgumentParser(prog="experiments.text_to_emoji.stages")
    parser.add_argument("--only", help="names of runs, with commas between; default all")
    options = parser.parse_args()
    for name in study.named(options.only, STEPS) if options.only else STEPS:
        train.train(config_of(name), f"{FOLDER}/{name}")


if __name__ == "__main__":
    main()

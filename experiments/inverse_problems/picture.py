"""Draw pictures, what was measured of them, and what each method restores, with its scores above it.

    python -m experiments.inverse_problems.picture --out=docs/gallery/inverse_digits.png
    python -m experiments.inverse_problems.picture --out=docs/gallery/inverse_emoji.png \\
        --workdir=runs/emoji_text --num=8 --steps=25

Without a run it trains the network of the study's first seed. A run may be of any system with a denoiser of
pictures; it is asked for nothing.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from diffjax import commands, systems
from experiments import study
from experiments.inverse_problems import run
from experiments.inverse_problems.bench import Bench

_TITLES = {"hole": "a hole", "blur": "blurred", "x2": "shrunk twice", "x4": "shrunk four times"}


def main() -> None:
    """Read the command line, restore, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the PNG")
    parser.add_argument("--workdir", type=Path, help="a run's folder")
    parser.add_argument("--num", type=int, default=run.NUM, help=f"pictures, default {run.NUM}")
    parser.add_argument("--steps", type=int, default=run.STEPS, help=f"of each walk, default {run.STEPS}")
    parser.add_argument("--rows", type=int, default=6, help="pictures that are drawn, default 6")
    options = parser.parse_args()
    if options.workdir is None:
        bench, variables = run.digits_bench(), study.train(run.CONFIG, 0, progress="MLP")
    else:
        system, variables, _ = commands.load(options.workdir)
        config = commands.load_config(options.workdir)
        train, test = (systems.load_data(config, split) for split in ("train", "test"))
        bench = Bench(system, train, test, options.num, options.steps)
    draw(options.out, bench, variables, options.rows)


def draw(path: Path, bench: Bench, variables, rows: int) -> None:
    """Restore by every method and write the picture; print the scores."""
    height = 0.31 * rows + 0.6
    figure = Figure(figsize=(8, height * len(bench.tasks)), layout="constrained")
    parts = np.ravel(np.asarray(figure.subfigures(len(bench.tasks), 1)))
    for part, (name, task) in zip(parts, bench.tasks.items()):
        methods = (*task.plain, *task.methods)
        axes = part.subplots(1, 2 + len(methods))
        for axis, method in zip(axes[2:], methods):
            y, x = bench.restored(f"{name}: {method}", variables, 0)
            scores = bench.scores(name, y, x)
            print(f"{name}: {method}: {scores['PSNR']:.1f} dB, residual {scores['residual']:.2f}", flush=True)
            _draw(axis, f"{method}\n{scores['PSNR']:.1f} dB, {scores['residual']:.1f}", x[:rows])
        seen = y if task.unknown is None else np.where(task.unknown, 0, y)
        _draw(axes[0], "truth\n", bench.truth[:rows])
        _draw(axes[1], "measured\n", seen[:rows])
        part.suptitle(f"{_TITLES[name]}; PSNR and residual over the noise", fontsize=8)
    figure.savefig(path, dpi=100)


def _draw(axis, title, x):
    """Show pictures in two columns, with a grey line between them."""
    x = (np.clip(np.asarray(x), -1, 1) + 1) / 2
    gap = max(1, x.shape[1] // 16)
    x = np.pad(x, ((0, len(x) % 2), (0, gap), (0, gap), (0, 0)), constant_values=0.6)
    rows = [np.concatenate(pair, 1) for pair in zip(x[::2], x[1::2])]
    shown = np.concatenate(rows)[:-gap, :-gap]
    axis.imshow(shown if shown.shape[-1] == 3 else shown[..., 0], cmap="gray", vmin=0, vmax=1)
    axis.set_title(title, fontsize=7)
    axis.axis("off")


if __name__ == "__main__":
    main()

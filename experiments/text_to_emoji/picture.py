"""Draw what each way makes of held-out captions, beside the real picture: a row a caption, a column a way.

    python -m experiments.text_to_emoji.picture --out=docs/gallery/text_to_emoji.png

The runs are those of `experiments/text_to_emoji/run.py`, and are asked as there. Captions are spread over the
alphabet; none is chosen by what comes out.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from diffjax.pixels import to_uint8
from experiments import emoji
from experiments.text_to_emoji import run

_HEIGHT = 0.72  # of a row, in inches
_LINE = 22  # letters of a caption


def main() -> None:
    """Read the command line, sample, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the PNG")
    parser.add_argument("--rows", type=int, default=12, help="captions, default 12")
    parser.add_argument("--seed", type=int, default=0, help="of the noise, default 0")
    options = parser.parse_args()
    captions, real = emoji.held_out(options.rows, run.FILE)
    columns = {"real": to_uint8(real)}
    for way in run.WAYS:
        columns[way] = np.asarray(run.sampled(way, captions, options.seed)[0].x)
    draw(options.out, captions, columns)


def draw(path: Path, captions: list[str], columns: dict[str, np.ndarray]) -> None:
    """Write pictures uint8 [N, H, W, 3] of N captions by the names of their columns."""
    size = 1.9 + _HEIGHT * len(columns), _HEIGHT * len(captions) + 0.3
    drawn = Figure(figsize=size, layout="constrained")
    axes = drawn.subplots(len(captions), len(columns), squeeze=False)
    for row, caption in enumerate(captions):
        for axis, (name, pictures) in zip(axes[row], columns.items()):
            axis.imshow(pictures[row])
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if row == 0:
                axis.set_title(name, fontsize=8)
        told = caption if len(caption) <= _LINE else caption[: _LINE - 1] + "…"
        axes[row, 0].set_ylabel(told, fontsize=8, rotation=0, ha="right", va="center")
    drawn.savefig(path, dpi=110)


if __name__ == "__main__":
    main()

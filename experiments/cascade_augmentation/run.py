"""How much noise a cascade wants in what it hands on

Ho et al. 2022 (arXiv:2106.15282), sections 4.1 and 4.2, tables 4 to 6: the pictures that a super-resolution
model is handed are noised, sqrt(1 - s^2) x + s eps at a level s that it is told, since those that a model
made have faults that real ones have not. Truncated, the model before stops where its own x has this noise in
it; otherwise noise is added to what it made.

Emoji of one vendor in three stages, 16 -> 32 -> 64: the runs of `configs/emoji/cascade.py`, each trained
once, the last two for all levels up to 0.6; seeds are of the noise. The base is trained for 500 steps
("whole"), or for 60 ("few": mismatched, its pictures are far from real ones). "real" hands on real pictures
of 16x16, what super-resolution does alone. Both hand-ons have the same s; DDIM takes 20, 16 and 12 steps.

"32" and "64" are the kernel distance of 80 pictures of this size to the 1,433 training pictures in the
features of the CLIP of `configs/emoji/clip.py`, which sees 32x32, times 100. "grain" is how much more pixels
side by side differ than in real pictures, at 64x64, root mean square, in %; "colour" how far the mean of a
colour channel is from that of the training pictures, the mean over the three, in grey levels of 255.

It needs the runs `runs/emoji_clip`, those that `configs/emoji/cascade_base.py` names, and

    python -m diffjax.train --config=configs/emoji/cascade_base.py --workdir=runs/emoji_16_few \\
        --config.training.num_steps=60 --config.optimizer.warmup_steps=20
"""

import functools
import sys
from typing import NamedTuple

import jax
import numpy as np

from diffjax import commands, systems
from diffjax.keys import fold_each, per_sample
from diffjax.pixels import to_model, to_uint8
from diffjax.systems import cascade
from experiments import drawing, emoji, study

NUM, BATCH = 80, 40
_LEVELS = (0.0, 0.1, 0.25, 0.5)
_WHOLE, _FEW, _REAL = "whole", "few", "real"
_STEPS = {_WHOLE: 20, _FEW: 20, "up32": 16, "up64": 12}


_RUNS = {_WHOLE: "emoji_16", _FEW: "emoji_16_few", "up32": "emoji_16_32", "up64": "emoji_32_64"}
_SIZES = {16: "cascade_base", 32: "cascade_up32", 64: "cascade_up64"}  # configs of the data


class _Row(NamedTuple):
    """What the first pictures are of, and the noise in what is handed on."""

    base: str
    level: float = 0.0
    truncated: bool = False


def _named(base, level, truncated=False):
    return f"{base}, s = {level:g}" + (", truncated" if truncated else "")


ROWS = {_named(base, s): _Row(base, s) for base in (_FEW, _WHOLE, _REAL) for s in _LEVELS}
ROWS |= {_named(_FEW, s, True): _Row(_FEW, s, True) for s in _LEVELS[1:]}
_FLOOR = "real pictures"
ARMS = dict.fromkeys([*ROWS, _FLOOR])


def _claim(text, paper, metric, less, more):
    return study.Claim(text, paper, (_named(*less), metric), (_named(*more), metric))


CLAIMS = [
    _claim("few: s = 0.25 is nearer than 0", "FID falls with s", "64", (_FEW, 0.25), (_FEW, 0.0)),
    _claim("few: s = 0.1 is nearer than 0", "FID falls with s", "64", (_FEW, 0.1), (_FEW, 0.0)),
    _claim("few: s = 0.25 is nearer than 0.5", "too much loses the picture", "64", (_FEW, 0.25), (_FEW, 0.5)),
    _claim("whole: s = 0.1 is nearer than 0", "FID falls with s", "64", (_WHOLE, 0.1), (_WHOLE, 0.0)),
    _claim("whole: s = 0.1 is nearer than 0.5", "too much", "64", (_WHOLE, 0.1), (_WHOLE, 0.5)),
    _claim("real: 0 is nearer than 0.25", "alone it gets worse", "64", (_REAL, 0.0), (_REAL, 0.25)),
    _claim("real: 0 is nearer than 0.5", "alone it gets worse", "64", (_REAL, 0.0), (_REAL, 0.5)),
    *(
        _claim(f"few, s = {s}: truncated is nearer", "about the same", "64", (_FEW, s, True), (_FEW, s))
        for s in _LEVELS[1:]
    ),
]  # fmt: skip
REMARKS = """
- Super-resolution alone gets worse with noise in what it is handed, as the paper has it: hardly up to 0.25,
  clearly at 0.5.
- That a cascade gets better does not show at any level, with neither base: no U. The faults of these bases
  are wrong shapes, at 16x16, which no noise of this size hides; what it hides are faults of fine detail, and
  a picture of 16x16 has none. Networks of 400 steps add grain of their own, the more the more noise they are
  told of.
- Truncated and not are not told apart at 64x64. At 32x32 what is truncated still has the noise in it that is
  handed on: that column is no picture there.
"""
REMARKS_OF = "8df828e6eb65"
CAPTION = """
How far pictures of 64x64 are from real ones by the noise in what each stage hands on to the next. To look at:
where each curve is lowest, a base that made faults beside one that made fewer and beside real pictures.
"""


@functools.cache
def _loaded(name, stop=0.0):
    """Return the system of a run that is sampled until some noise is left, and its variables."""
    run = f"runs/{_RUNS[name]}"
    config = commands.load_config(run)
    config.sampler.update({"steps": _STEPS[name], "stop_at": stop} if stop else {"steps": _STEPS[name]})
    return commands.load(run, config=config)


@functools.cache
def _sampler(name, stop=0.0):
    system, variables, _ = _loaded(name, stop)
    sample = jax.jit(lambda variables, keys, asked: system.sample(variables, keys, asked, BATCH))
    return lambda keys, asked: sample(variables, keys, asked)


@functools.cache
def _training(size):
    """Return the training pictures of a size [N, size, size, 3] in [-1, 1]."""
    config = study.config_of(f"emoji/{_SIZES[size]}.py")
    return to_model(np.asarray(systems.load_data(config, "train").x))


@functools.cache
def _seen(size):
    return emoji.judge().image(to_uint8(_training(size)))


def measure(name, config, variables, seed):
    del config, variables
    if name == _FLOOR:
        chosen = np.random.default_rng(seed).permutation(len(_training(64)))[:NUM]
        return _found({size: _training(size)[chosen] for size in (32, 64)})
    parts = []
    for i in range(NUM // BATCH):
        keys = per_sample(jax.random.fold_in(jax.random.key(1000 + seed), i), BATCH)
        parts.append(_grown(ROWS[name], keys, np.random.default_rng((seed, i))))
    return _found({size: np.concatenate([each[size] for each in parts]) for size in (32, 64)})


def _grown(row, keys, rng):
    """Return pictures of 32x32 and of 64x64."""
    stop = row.level if row.truncated else 0.0
    if row.base == _REAL:
        x, before = _training(16)[rng.choice(len(_training(16)), BATCH, replace=False)], _loaded(_WHOLE)
    else:
        x, before = _sampler(row.base, stop)(fold_each(keys, 0), {}), _loaded(row.base, stop)
    smaller = _asked("up32", before.system, x, fold_each(keys, 1), row)
    x32 = _sampler("up32", stop)(fold_each(keys, 2), smaller)
    larger = _asked("up64", _loaded("up32", stop).system, x32, fold_each(keys, 3), row)
    x64 = _sampler("up64")(fold_each(keys, 4), larger)
    return {32: np.clip(x32, -1, 1), 64: np.clip(x64, -1, 1)}


def _asked(name, before, x, keys, row):
    """Return what a stage is asked of the pictures that the one before it made."""
    noise = cascade.Augmentation(row.level, row.truncated)
    hand_on = cascade.hand_on(name, _loaded(name).system, "before", before, noise)
    return hand_on(keys, {f"before/{before.passes[-1].name}": x}, {})


def _found(x):
    real = {size: _training(size) for size in x}
    colour = x[64].mean((0, 1, 2)) - real[64].mean((0, 1, 2))
    return {
        **{
            str(size): emoji.distance(emoji.judge().image(to_uint8(each)), _seen(size))
            for size, each in x.items()
        },
        "grain": 100 * (emoji.grain(x[64]) / emoji.grain(real[64]) - 1),
        "colour": float(127.5 * np.abs(colour).mean()),
    }


def figure(path, results):
    drawn, axes = drawing.panels(1, 3, 13, 4)
    titles = {
        "64": "kernel distance by CLIP, × 100, 64×64",
        "grain": "grain over real pictures', %",
        "colour": "error of a channel's mean, grey levels",
    }
    bases = {
        _FEW: ("base of 60 steps", "C3"),
        _WHOLE: ("base of 500 steps", "C0"),
        _REAL: ("real small pictures", "C2"),
    }
    for axis, (metric, title) in zip(axes[0], titles.items()):
        for base, (label, color) in bases.items():
            y = drawing.values(results, [_named(base, s) for s in _LEVELS], [metric])
            drawing.curve(axis, _LEVELS, y, label, color)
            if base == _FEW:
                y = drawing.values(results, [_named(base, s, True) for s in _LEVELS[1:]], [metric])
                style = {"linestyle": "--", "marker": "s", "markerfacecolor": "w"}
                drawing.curve(axis, _LEVELS[1:], y, f"{label}, truncated", color, **style)
        drawing.level(axis, drawing.values(results, [_FLOOR], [metric]), _FLOOR)
        axis.set(title=title, xlabel="s: noise in what is handed on")
    drawing.save(drawn, path, 5, drawing.SPREAD)


if __name__ == "__main__":
    study.main(sys.modules[__name__])

"""From a caption to a picture, five ways

Emoji of 64x64 of captions: one stage in pixels (`configs/emoji/text_64.py`), diffusion in latents (Rombach et
al. 2022, `latent_text.py`), a cascade 16 -> 32 -> 64 whose first stage reads the caption (Ho et al. 2022,
`cascade_text.py`), unCLIP's prior and decoder and a step up (Ramesh et al. 2022, `unclip.py`), and Imagen's
two stages (Saharia et al. 2022, `imagen.py`). Each had 11 to 16 minutes of processor time to train in, all
its stages together, on busy cores, fewer steps than some configs say, and was trained once; seeds are of the
noise. Not counted are the CLIP that judges, which unCLIP stands on (4 minutes), and the autoencoder of the
latents (8), which is of the pictures of all vendors.

    python -m diffjax.train --config=configs/emoji/clip.py --workdir=runs/emoji_clip
    python -m diffjax.train --config=configs/emoji/kl_f4.py --workdir=runs/emoji_kl_f4
    python -m experiments.text_to_emoji.stages

One picture of each of 40 held-out captions, the same for all. The stage that reads the caption takes 25 steps
of DDIM at guidance weight 2 (unCLIP's decoder at 1), what makes pictures larger 16 (Imagen's at weight 1).

"R@1" and "R@10" say how many percent of the pictures are told their caption among the 40, by that CLIP, which
sees them at 32x32; chance is 2.5 and 25. "distance" is the kernel distance to the 1,433 training pictures
in its features, times 100. "grain" is how much more pixels side by side differ than in real pictures, in %.
"calls" are network calls for a picture, "seconds" what it takes of one core, by the clock, in batches of 20.
"""

import functools
import sys

import jax

from diffjax import commands
from diffjax.pixels import to_model
from experiments import drawing, emoji, study
from experiments.text_to_emoji import stages

NUM, BATCH = 40, 20
FILE = "emoji/text_64.py"
_READS = {"steps": 25, "guidance_weight": 2.0}
WAYS = {
    "one stage": "text_64",
    "latents": "latent_text",
    "cascade": "cascade_text",
    "unCLIP": "unclip",
    "Imagen": "imagen",
}
_REAL = "real pictures"
ARMS = dict.fromkeys([*WAYS, _REAL])


def _claim(text, paper, metric, less, more):
    return study.Claim(text, paper, (less, metric), (more, metric))


CLAIMS = [
    _claim("latents: fewer seconds than one stage", "2.7 times, sec. 4.5", "seconds", "latents", "one stage"),
    _claim("latents are no farther than pixels", "FID better, figure 6", "distance", "latents", "one stage"),
    _claim("a cascade is nearer than one stage", "FID 4.88 < 12.3", "distance", "cascade", "one stage"),
    _claim("Imagen tells captions better than unCLIP", "CLIP score better", "R@10", "unCLIP", "Imagen"),
    _claim("Imagen is nearer than latents", "FID 7.27 < 12.63", "distance", "Imagen", "latents"),
    _claim("Imagen is nearer than unCLIP", "FID 7.27 < 10.39", "distance", "Imagen", "unCLIP"),
]  # fmt: skip
REMARKS = """
- After a quarter of an hour whatever does most of its work on few places tells captions best: latents of
  16x16, a base of 16x16, a decoder of 32x32. One stage of 64x64 learned least, and spreads most.
- Among ten, real pictures are told less often than those of four ways: theirs are plainer, and the judge
  reads captions by the text model that they read. At first sight (R@1) real ones beat one stage and Imagen.
- Latents take as long a picture as one stage: the efficient U-Net has no block at 64x64, 16 channels at 32x32
  and 32 at 16x16, where the network of the latents has 48: 0.25 billion operations a call and 0.31, as XLA
  counts them (`python -m experiments.text_to_emoji.operations`). On the pixels themselves the network of the
  latents would take 6.85, 22 times as many: that is what the paper compares with.
- What comes out of the autoencoder has less grain than real pictures, what was made larger by a stage of 400
  steps more: a longer training takes that away.
- Imagen is behind unCLIP by this judge, which is the CLIP whose embeddings unCLIP's decoder is told. It takes
  the longest, as it is guided in both stages.
"""
REMARKS_OF = "05ea72596431"
CAPTION = """
How often a picture is told its caption, how far pictures are from real ones, and what a picture takes. To
look at: what is highest on the left and least on the right, beside real pictures.
"""


def measure(name, config, variables, seed):
    del config, variables
    captions, x = emoji.held_out(NUM, FILE)
    if name == _REAL:
        return _found(x)
    made, calls = sampled(name, captions, seed)
    return _found(to_model(made.x)) | {"calls": calls, "seconds": made.seconds / NUM}


def sampled(name, captions, seed):
    """Return what a way makes of captions, and its network calls for a picture."""
    system, variables = loaded(name)
    made = commands.sample_in_batches(
        system,
        variables,
        key=jax.random.key(1000 + seed),
        num=len(captions),
        batch_size=BATCH,
        request=emoji.asked(system, captions),
        progress=f"{name}, seed {seed}",
    )
    return made, sum(sum(each.calls.values()) for each in system.passes)


@functools.cache
def loaded(name):
    """Return the system of a way, all of whose passes have batches of one size, and its variables."""
    run = f"{stages.FOLDER}/{WAYS[name]}"
    if name in stages.PIPELINES:
        config = study.config_of(f"emoji/{WAYS[name]}.py")
        for part, own in stages.PIPELINES[name].items():
            config.stages[part].workdir = f"{stages.FOLDER}/{own}"
        system, variables, _ = commands.load(config)
    else:
        config = commands.load_config(run)
        config.sampler.update(_READS)
        system, variables, _ = commands.load(run, config=config)
    return system._replace(passes=tuple(each._replace(batch_size=None) for each in system.passes)), variables


def _found(x):
    real = emoji.held_out(NUM, FILE)[1]
    return {**emoji.of_pictures(x, FILE), "grain": 100 * (emoji.grain(x) / emoji.grain(real) - 1)}


def figure(path, results):
    drawn, axes = drawing.panels(1, 3, 13, 3.6, sharey=True)
    titles = {
        "R@10": f"caption among the nearest 10 of {NUM}, %",
        "distance": "kernel distance by CLIP, × 100",
        "seconds": "seconds a picture, one core",
    }
    for axis, (metric, title) in zip(axes[0], titles.items()):
        arms = [name for name in ARMS if metric in results[name][0]]
        drawing.dots(axis, range(len(arms)), drawing.values(results, arms, [metric]), "_", "C0")
        axis.set(title=title)
    drawing.titled_rows(axes[0], list(ARMS))
    drawing.save(drawn, path, 1, drawing.SEEDS)


if __name__ == "__main__":
    study.main(sys.modules[__name__])

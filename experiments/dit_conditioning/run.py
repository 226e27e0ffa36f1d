"""Diffusion transformers (DiT, figures 5 and 6; JiT)

Peebles & Xie 2023 (arXiv:2212.09748) on the 8x8 digits instead of latents of ImageNet: four blocks of 64
features, told time and class by adaLN-Zero, adaLN, cross-attention or in-context tokens, all with patches of
2; and adaLN-Zero with patches of 2, 4 and 8, which is the whole picture. Cosine betas, T = 1000, prediction
of eps, 400 steps of 16 images: a look at the beginning, which the paper has at 400,000 steps of 256.

Li & He 2025 (arXiv:2511.13720, JiT) predict x_0 where patches are large: a patch of noise has as many
dimensions as pixels, a patch of a picture far fewer. The arms "x_0" do so with patches of 4 and 8; the latter
have 64 pixels, as many as the network has features. Each network trains on the squared error of what it
predicts.

"eps error" and "x_0 error" are mean squared errors on the 360 held-out images at five times each; the first
is the loss that the paper trains. "fd" is the Frechet distance of 300 samples, 30 a class, of 10 DDIM steps
without guidance to the training set, in the features of a small classifier; "asked" is the share that it
takes for the class asked for. The arm "images" is of 300 training images.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import data, guidance, samplers, systems
from diffjax.pixels import to_model, to_uint8
from diffjax.process import forward
from diffjax.systems import read
from experiments import digits, drawing, study

SEEDS = 5
_FORMS = ("adaln_zero", "adaln", "cross_attention", "in_context")
_PATCH, _PATCHES, _X0_PATCHES = 2, (2, 4, 8), (4, 8)
_TIMES, _A_CLASS, _STEPS = 5, 30, 10


def _arm(form="adaln_zero", patch=_PATCH, kind="eps"):
    return study.config_of(
        "digits/ddpm.py",
        model_={
            "name": "dit", "patch_size": patch, "hidden_size": 64, "depth": 4, "num_heads": 4,
            "num_classes": 11, "conditioning": form,
        },
        objective={"kind": kind},
        sampler={"steps": _STEPS},
        optimizer={"learning_rate": 2e-3, "warmup_steps": 40},
        training={"num_steps": 400, "batch_size": 16},
    )  # fmt: skip


ARMS = {form: _arm(form) for form in _FORMS}
ARMS |= {f"patch {patch}": _arm(patch=patch) for patch in _PATCHES if patch != _PATCH}
ARMS |= {f"patch {patch}, x_0": _arm(patch=patch, kind="x0") for patch in _X0_PATCHES}
ARMS |= {"images": None}


def _of_patch(patch):
    return "adaln_zero" if patch == _PATCH else f"patch {patch}"


_FORM_CLAIMS = (
    ("adaln_zero", "adaln", "19.5 < 25.2"),
    ("adaln", "cross_attention", "25.2 < 26.1"),
    ("cross_attention", "in_context", "26.1 < 35.2"),
    ("adaln_zero", "in_context", "19.5 < 35.2"),
)
_PATCH_CLAIMS = (
    (2, 4, "FID of S: 68.4 < 100.4"),
    (4, 8, "FID of S: 100.4 < 153.6"),
)
_CLAIMS = [
    (f"{less} beats {more}", f"FID of XL/2: {paper}", less, more) for less, more, paper in _FORM_CLAIMS
]
_CLAIMS += [
    (f"patches of {less} beat {more}", paper, _of_patch(less), _of_patch(more))
    for less, more, paper in _PATCH_CLAIMS
]
_X0_PAPER = "noise \u201ccan fail catastrophically\u201d at patches of 16 and 32"
CLAIMS = [
    study.Claim(f"{text}: {metric}", paper, (less, metric), (more, metric))
    for text, paper, less, more in _CLAIMS
    for metric in ("eps error", "fd")
]
CLAIMS += [
    study.Claim(
        f"patches of {patch}: x_0 beats eps: {metric}", _X0_PAPER,
        (f"patch {patch}, x_0", metric), (_of_patch(patch), metric),
    )
    for patch in _X0_PATCHES
    for metric in ("x_0 error", "fd")
]  # fmt: skip
REMARKS = """
- adaLN-Zero learns fastest: its loss is below that of the other three on every seed, by several times the
  spread. Those three do not differ so early, and samples of all four are still far from the data (12 to 14,
  where real images are at 0.25), too far to tell them apart.
- Patches of 4 beat 8, as in the paper, and 2, against it. Sixteen patches of 2x2 have to find out from few
  pictures what belongs together, which a larger patch is given; the paper's order is that of long training.
- x_0 wants to be predicted where patches are large. A patch of 8 has as many dimensions of noise as the
  network has features, and its samples of eps are 9.6 from the data; those of x_0 are 1.3, with 97 % of the
  class asked for. As a prediction of eps it is worse all the same, where there is little noise.
"""
REMARKS_OF = "eaa56f7a923b"
CAPTION = """
Left: the four ways to tell the network of time and class. Middle: the loss by the size of a patch. Right: the
distance of samples by the size of a patch, for networks that predict eps and x_0; dotted, training images. To
look at: adaLN-Zero alone on the left, and how far apart the colours are on the right.
"""


def _judged(images, labels):
    judge = digits.reference()[0]
    return {"fd": digits.distance(images), "asked": float(np.mean(judge.predict(images) == labels))}


def measure(name, config, variables, seed):
    labels = np.repeat(np.arange(10), _A_CLASS)
    if config is None:
        train = data.load("digits", "train")
        chosen = np.random.default_rng(seed).permutation(len(train))
        of = np.asarray(train.label)[chosen]
        rows = [chosen[of == label][:_A_CLASS] for label in range(10)]
        return _judged(train.x[np.concatenate(rows)], labels)
    errors, walk = _programs(name)
    test = data.load("digits", "test")
    key, x0, found = jax.random.key(1000 + seed), to_model(test.x), []
    for i in range(_TIMES):
        t = np.full(len(test), (i + 0.5) * read.schedule(config).t_max // _TIMES, np.int32)
        found.append(errors(variables, jax.random.fold_in(key, i), x0, t, test.label))
    eps, x = np.mean(found, axis=0)
    images = to_uint8(np.asarray(walk(variables, jax.random.fold_in(key, _TIMES), labels)))
    return {"eps error": float(eps), "x_0 error": float(x), **_judged(images, labels)}


@functools.cache
def _programs(arm):
    """Return the errors of eps and of x_0 at a time, and the sampler, compiled once for all seeds."""
    system, noise = systems.build(ARMS[arm]), read.schedule(ARMS[arm])
    sampler = read.sampler(ARMS[arm], noise)
    rows, shape = samplers.plan(noise, sampler.solver, sampler.times), system.example["x"].shape[1:]

    def told(variables, labels):
        return system.request.encode(variables, {"label": jnp.asarray(labels, jnp.int32)})

    @jax.jit
    def errors(variables, key, x0, t, labels):
        eps, level = jax.random.normal(key, x0.shape), noise(t)
        found = system.denoiser(variables)(forward.perturb(x0, eps, level), level, told(variables, labels))
        return jnp.mean((found.eps - eps) ** 2), jnp.mean((found.x0 - x0) ** 2)

    @jax.jit
    def walk(variables, key, labels):
        start = noise.prior_std * jax.random.normal(key, (len(labels), *shape))
        denoise = guidance.clip()(system.denoiser(variables))
        cond = told(variables, labels)
        return samplers.walk(jax.random.fold_in(key, 1), denoise, sampler.solver, rows, start, cond=cond)

    return errors, walk


def figure(path, results):
    drawn, (axes,) = drawing.panels(1, 3, 12.5, 3.8)
    drawing.dots(axes[0], range(4), drawing.values(results, _FORMS, ["eps error"]), "_", "C0")
    drawing.titled_rows(axes[:1], [form.replace("_", "-") for form in _FORMS])
    axes[0].set(xlabel="mean squared error of eps", title="told time and class by")
    titles = {"eps error": "mean squared error of eps", "fd": "Fréchet distance of samples"}
    for axis, (metric, title) in zip(axes[1:], titles.items()):
        for kind, patches, color in (("eps", _PATCHES, "C0"), ("x_0", _X0_PATCHES, "C1")):
            arms = [_of_patch(p) if kind == "eps" else f"patch {p}, x_0" for p in patches]
            y = drawing.values(results, arms, [metric])
            drawing.curve(axis, patches, y, f"predicts {kind}", color, marker="os"[kind == "x_0"])
        axis.set(xlabel="side of a patch, pixels", title=title)
    drawing.log(axes[1], x=_PATCHES)
    drawing.log(axes[2], x=_PATCHES, y=(1, 3, 10, 30))
    drawing.level(axes[2], drawing.values(results, ["images"], ["fd"]), "300 training images")
    drawing.save(drawn, path, 4, f"{drawing.SPREAD}. {drawing.SEEDS}")


if __name__ == "__main__":
    study.main(sys.modules[__name__])

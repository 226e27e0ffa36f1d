"""Diffusion transformers (DiT, figures 5 and 6; JiT)

Peebles & Xie 2023 (arXiv:2212.09748) on MNIST, 28x28, instead of latents of ImageNet: two blocks of 64
features, told time and class by adaLN-Zero, adaLN, cross-attention or in-context tokens, all with patches of
4; and adaLN-Zero with patches of 2, 4, 7 and 14, of which there are 196, 49, 16 and 4. Cosine betas,
T = 1000, prediction of eps, 1,000 steps of 8 images: a look at the beginning, which the paper has at 400,000
steps of 256. `mnist.npz` lies in the working directory.

Li & He 2025 (arXiv:2511.13720, JiT) predict x_0 where patches are large: a patch of noise has as many
dimensions as pixels, a patch of a picture far fewer. The arms "x_0" do so with patches of 7 and 14; the
latter have 196 pixels, three times as many as the network has features. Each network trains on the squared
error of what it predicts.

"eps error" and "x_0 error" are mean squared errors on 250 held-out images at five times each; the first is
the loss that the paper trains. "fd" is the Frechet distance of 300 samples, 30 a class, of 10 DDIM steps
without guidance to 10,000 training images, in the features of a small classifier, over its floor, the
distance between halves of them; "asked" is the share that it takes for the class asked for. The arm "images"
is of 300 held-out images. The classifier's own training, some three minutes, is not counted below.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import guidance, samplers, systems
from diffjax.commands import references
from diffjax.evaluation import classes, frechet
from diffjax.evaluation.evaluator import Bench, Task
from diffjax.pixels import to_model, to_uint8
from diffjax.process import forward
from diffjax.rows import spread
from diffjax.systems import read
from experiments import drawing, study

SEEDS = 5
_FORMS = ("adaln_zero", "adaln", "cross_attention", "in_context")
_PATCH, _PATCHES, _X0_PATCHES = 4, (2, 4, 7, 14), (7, 14)
_HELD_OUT, _TIMES, _A_CLASS, _STEPS = 250, 5, 30, 10


def _arm(form="adaln_zero", patch=_PATCH, kind="eps"):
    return study.config_of(
        "mnist/ddpm.py",
        model_={
            "name": "dit", "patch_size": patch, "hidden_size": 64, "depth": 2, "num_heads": 2,
            "num_classes": 11, "conditioning": form,
        },
        objective={"kind": kind},
        sampler={"steps": _STEPS},
        optimizer={"learning_rate": 5e-3, "warmup_steps": 100},
        training={"num_steps": 1000, "batch_size": 8},
    )  # fmt: skip


ARMS = {form: _arm(form) for form in _FORMS}
ARMS |= {f"patch {patch}": _arm(patch=patch) for patch in _PATCHES if patch != _PATCH}
ARMS |= {f"patch {patch}, x_0": _arm(patch=patch, kind="x0") for patch in _X0_PATCHES}
ARMS |= {"images": None}


def _of_patch(patch):
    return "adaln_zero" if patch == _PATCH else f"patch {patch}"


_FORM_CLAIMS = (
    ("adaln_zero", "adaln", "19.5 < 25.2"),
    ("adaln_zero", "cross_attention", "19.5 < 26.1"),
    ("adaln_zero", "in_context", "19.5 < 35.2"),
    ("adaln", "cross_attention", "25.2 < 26.1"),
    ("cross_attention", "in_context", "26.1 < 35.2"),
)
_PATCH_CLAIMS = (
    (2, 4, "FID of S: 68.4 < 100.4"),
    (4, 7, "FID of S/4 and S/8: 100.4 < 153.6"),
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
- adaLN-Zero learns fastest: its loss is below that of the other three on every seed, by four times the spread
  of the difference and more. Those three hardly differ so early; in-context is a little below
  cross-attention, against the paper.
- By the loss the paper's order of patches shows, 2 below 4 below 7. At 14 eps is all but lost: the last layer
  is linear in 64 features, which hold no more than 64/196 of white noise, so that 0.67 is left, and 0.73 is.
- x_0 wants to be predicted where patches are large: at 7 its error is half of that by way of eps, at 14 a
  fiftieth. As a prediction of eps it is worse at 7 all the same, where there is little noise; at 14 it is
  better there too.
- Samples are another matter. Those of every network of eps are of the class asked for hardly more often than
  by chance, 0.10 to 0.12, and at 770 floors and more, where held-out images are at 10: a thousand steps of 8
  images are too few to sample by, and which of such samples are the farthest, by patches of 2 farther than by
  4, says little. Those of x_0 are the first to have something of the class, 0.24 and 0.22.
"""
REMARKS_OF = "b45b57576bfe"
CAPTION = """
Left: the four ways to tell the network of time and class. Middle: the loss by the size of a patch. Right: the
distance of samples by the size of a patch, for networks that predict eps and x_0; dotted, held-out images. To
look at: adaLN-Zero alone on the left, and how far apart the colours are on the right.
"""


def measure(name, config, variables, seed):
    bench, held_out = _bench()
    labels = np.repeat(np.arange(10), _A_CLASS)
    if config is None:
        chosen = np.random.default_rng(seed).permutation(len(held_out))
        of = held_out.label[chosen]
        rows = [chosen[of == label][:_A_CLASS] for label in range(10)]
        return _judged(bench, held_out.x[np.concatenate(rows)], labels)
    errors, walk = _programs(name)
    test = held_out.take(spread(_HELD_OUT, len(held_out)))
    key, x0, found = jax.random.key(1000 + seed), to_model(test.x), []
    for i in range(_TIMES):
        t = np.full(len(test), (i + 0.5) * read.schedule(config).t_max // _TIMES, np.int32)
        found.append(errors(variables, jax.random.fold_in(key, i), x0, t, test.label))
    eps, x = np.mean(found, axis=0)
    images = to_uint8(np.asarray(walk(variables, jax.random.fold_in(key, _TIMES), labels)))
    return {"eps error": float(eps), "x_0 error": float(x), **_judged(bench, images, labels)}


def _judged(bench, images, labels):
    found = bench.measure(images, {"label": labels}, "samples").metrics
    return {"fd": found["frechet_ratio"], "asked": found["class_accuracy"]}


@functools.cache
def _bench():
    """Return what judges images, and the held-out ones."""
    config = ARMS[_FORMS[0]]
    train, held_out = (systems.load_data(config, split) for split in ("train", "test"))
    evaluators = classes.ACCURACY, frechet.EVALUATOR
    task = Task(systems.build(config), None, {"reference": 10_000}, train, held_out)
    return Bench(evaluators, references.make(task, config, evaluators, None, True)), held_out


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
    axes[0].locator_params(axis="x", nbins=5)
    titles = {"eps error": "mean squared error of eps", "fd": "Fréchet distance of samples, over its floor"}
    for axis, (metric, title) in zip(axes[1:], titles.items()):
        for kind, patches, color in (("eps", _PATCHES, "C0"), ("x_0", _X0_PATCHES, "C1")):
            arms = [_of_patch(p) if kind == "eps" else f"patch {p}, x_0" for p in patches]
            y = drawing.values(results, arms, [metric])
            drawing.curve(axis, patches, y, f"predicts {kind}", color, marker="os"[kind == "x_0"])
        axis.set(xlabel="side of a patch, pixels", title=title)
    drawing.log(axes[1], x=_PATCHES, y=(0.1, 0.2, 0.5))
    drawing.log(axes[2], x=_PATCHES, y=(10, 30, 100, 300, 1000))
    drawing.level(axes[2], drawing.values(results, ["images"], ["fd"]), "300 held-out images")
    drawing.save(drawn, path, 4, f"{drawing.SPREAD}. {drawing.SEEDS}")


if __name__ == "__main__":
    study.main(sys.modules[__name__])

"""How much noise a cascade's pictures need when they are handed on

Ho et al. 2022 (arXiv:2106.15282), section 4 and table 4a: super-resolution that is handed what another model
made meets faults that it never saw in training. Gaussian noise in its small pictures, at a level drawn for
each and told to the network, hides them: alone on real inputs it gets a little worse, in the cascade better,
too much is worse again, and stopping the base early ("truncated") is as good as noising what it made.

Emoji of one vendor, 16 -> 32 -> 64. The base of 16x16 is stopped after 300 steps on purpose, as faults are
what this is about. One network for each step up, which knows levels up to 0.6; the level is chosen when
sampling, the same for both. v-prediction, 16 DDIM steps a stage, x_0 cut to [-1, 1]; 256 pictures an arm.

"distance 32" and "distance 64" are sliced Wasserstein distances of 7x7 patches to those of as many real
pictures, the mean over the picture's two finest bands and what is left of it (Karras et al. 2018, section 5,
a Laplacian pyramid), in grey values of [-1, 1], times 100. "colour" is how far a channel's mean goes, in a
step up of 16 to 32, from that of the small picture before its noise, root mean square, times 100.

"real" arms are handed real pictures of 16x16, the first rows of the training set; the last arm is real
pictures beside others: the floor.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import systems
from diffjax.evaluation.wasserstein import sliced_wasserstein
from diffjax.keys import per_sample
from diffjax.models.encoders import resized
from diffjax.systems import cascade
from diffjax.systems.cascade import Augmentation
from diffjax.training import checkpoints
from diffjax.training.system import Variables
from experiments import drawing, study

NUM, STEPS = 256, 16
_BATCH = {"base": 256, "up32": 128, "up64": 32}  # pictures at a time
_LEVELS = (0.0, 0.1, 0.2, 0.35, 0.5)
_TRUNCATED = (0.2, 0.5)
_FLOOR = "real pictures beside others"


def _config(name, num_steps, batch_size, **model):
    return study.config_of(
        f"emoji/cascade_{name}.py",
        model={"model_channels": 32, **model},
        sampler={"steps": STEPS},
        optimizer={"learning_rate": 2e-3, "warmup_steps": 50},
        training={"num_steps": num_steps, "batch_size": batch_size,
                  "ema": ConfigDict({"name": "warmed_up", "decay": 0.98})},
    )  # fmt: skip


CONFIGS = {
    "base": _config("base", 300, 32, channel_mult=(1.0, 1.5), attention_resolutions=(2,)),
    "up32": _config("up32", 500, 16, channel_mult=(0.5, 1.0, 1.5), attention_resolutions=()),
    "up64": _config("up64", 400, 8, channel_mult=(0.25, 0.5, 1.0), attention_resolutions=()),
}


def _named(kind, level):
    return f"{kind}, s = {level:g}"


_KINDS = {"real": _LEVELS, "cascade": _LEVELS, "truncated": _TRUNCATED}
ARMS = {_named(kind, level): CONFIGS["up32"] for kind, levels in _KINDS.items() for level in levels}
ARMS |= {_FLOOR: None}


def _claim(text, paper, less, more, metric="distance 32"):
    return study.Claim(text, paper, (_named(*less), metric), (_named(*more), metric))


CLAIMS = [
    _claim("in the cascade s = 0.2 is nearer than none", "s = 0 clearly worst",
           ("cascade", 0.2), ("cascade", 0.0)),
    _claim("and s = 0.5 is farther than 0.2", "a U over s", ("cascade", 0.2), ("cascade", 0.5)),
    _claim("on real inputs s = 0.2 is worse than none", "alone, it gets worse",
           ("real", 0.0), ("real", 0.2)),
    _claim("at 64 too: s = 0.2 is nearer than none", "s = 0 clearly worst",
           ("cascade", 0.2), ("cascade", 0.0), "distance 64"),
    _claim("truncated beside noised, s = 0.2", "about equal", ("truncated", 0.2), ("cascade", 0.2)),
]  # fmt: skip
REMARKS = ""
REMARKS_OF = None
CAPTION = """
Distance of patches over the level of the noise, at 32x32 and 64x64, and how far colours go. To look at:
where the cascade's curve is lowest beside that of real inputs, and whether the stars are on the line.
"""


def trained(config, seed, out):
    """Return the variables of the three networks of a seed, trained once and kept."""
    del config
    made = {}
    for name, own in CONFIGS.items():
        place = out / "networks" / f"{name}_{seed}"
        system = _system(name)
        if not place.exists():
            found = study.train(own, seed, progress=f"{name}, seed {seed}")
            checkpoints.write_tree(place, {each: found.params[each] for each in system.serves})
        made[name] = Variables(checkpoints.read_tree(place))
    return made


@functools.cache
def _system(name, stop=None):
    config = CONFIGS[name].copy_and_resolve_references()
    if stop:
        config.sampler = {**config.sampler.to_dict(), "stop_at": stop}
    return systems.build(config)


@functools.cache
def _run(name, stop=None):
    return jax.jit(_system(name, stop).passes[0].run)


def _sampled(name, variables, keys, request, stop=None):
    """Return pictures of one stage, some at a time."""
    parts, size = [], _BATCH[name]
    for start in range(0, len(keys), size):
        own = jax.tree.map(lambda leaf: leaf[start : start + size], request)  # noqa: B023
        parts.append(np.asarray(_run(name, stop)(variables, keys[start : start + size], own, {})))
    return np.concatenate(parts)


def _up(name, before, variables, keys, x, augmentation):
    """Return what a step up makes of pictures x."""
    hand = cascade.hand_on(name, _system(name), before, _system(before), augmentation)
    blank = dict.fromkeys(_system(name).request.parts)
    return _sampled(
        name, variables[name], keys, {**blank, **hand(keys, {f"{before}/walk": jnp.asarray(x)}, {})}
    )


@functools.cache
def _real(size):
    config = CONFIGS["up64"].copy_and_resolve_references()
    x = systems.load_data(config, "train").gather(np.arange(2 * NUM))["x"]
    return np.asarray(resized(jnp.asarray(x), (size, size)))


def measure(name, config, variables, seed):
    del config
    if name == _FLOOR:
        return {f"distance {size}": _distance(_real(size)[NUM:], size, seed) for size in (32, 64)}
    kind, _, number = name.partition(", s = ")
    level = float(number)
    keys = per_sample(jax.random.key(1000 + seed), NUM)
    augmentation = Augmentation(level, kind == "truncated")
    if kind == "real":
        small = _real(16)[:NUM]
    else:
        stop = level if kind == "truncated" else None
        small = _sampled("base", variables["base"], keys, {}, stop)
    x = _up("up32", "base", variables, jax.vmap(jax.random.fold_in, (0, None))(keys, 1), small, augmentation)
    found = {"distance 32": _distance(x, 32, seed)}
    if kind != "truncated":  # which hands on noise
        found["colour"] = _colour(x, np.clip(small, -1, 1))
    if kind == "cascade":
        again = Augmentation(level)
        large = _up("up64", "up32", variables, jax.vmap(jax.random.fold_in, (0, None))(keys, 2), x, again)
        found["distance 64"] = _distance(large, 64, seed)
    return found


def _colour(x, small):
    return float(100 * np.sqrt(np.mean((x.mean((1, 2)) - small.mean((1, 2))) ** 2)))


def _distance(x, size, seed):
    """Return the distance of pictures to as many real ones: patches of three bands."""
    bands = zip(_pyramid(np.clip(x, -1, 1)), _pyramid(_real(size)[:NUM]))
    rng = np.random.default_rng(seed)
    return float(100 * np.mean([sliced_wasserstein(*_patches(*each, rng), rng) for each in bands]))


def _pyramid(x):
    """Return the two finest bands of pictures, and what is left."""
    bands, x = [], jnp.asarray(x)
    for _ in range(2):
        half = resized(x, (x.shape[1] // 2, x.shape[2] // 2))
        bands.append(np.asarray(x - resized(half, x.shape[1:3])))
        x = half
    return [*bands, np.asarray(x)]


def _patches(a, b, rng, count=32, side=7):
    """Return 7x7 patches at places of two sets of pictures, the same places in both: [N, 147] each."""
    top, left = rng.integers(0, a.shape[1] - side + 1, (2, len(a), count))
    rows = np.arange(len(a))[:, None, None, None]
    at = lambda start: start[:, :, None] + np.arange(side)
    cut = lambda x: x[rows, at(top)[..., :, None], at(left)[..., None, :]].reshape(len(a) * count, -1)
    return cut(a), cut(b)


def figure(path, results):
    drawn, axes = drawing.panels(1, 3, 13, 4)
    titles = {
        "distance 32": "distance at 32x32",
        "distance 64": "distance at 64x64",
        "colour": "colour error",
    }
    looks = {"real": ("handed real pictures", "C0", "s"), "cascade": ("in the cascade", "C3", "o")}
    for axis, (metric, title) in zip(axes[0], titles.items()):
        for kind, (label, colour, marker) in looks.items():
            arms = [_named(kind, level) for level in _LEVELS]
            if metric in results[arms[0]][0]:
                drawing.curve(
                    axis, _LEVELS, drawing.values(results, arms, [metric]), label, colour, marker=marker
                )
        if metric == "distance 32":
            arms = [_named("truncated", level) for level in _TRUNCATED]
            y = drawing.values(results, arms, [metric])
            drawing.curve(axis, _TRUNCATED, y, "truncated", "k", marker="*", linestyle="none")
        if metric in results[_FLOOR][0]:
            drawing.level(axis, drawing.values(results, [_FLOOR], [metric]), "floor: real pictures")
        axis.set(title=title, xlabel="level s of the noise")
    drawing.save(drawn, path, 4, drawing.SPREAD)


if __name__ == "__main__":
    study.main(sys.modules[__name__])

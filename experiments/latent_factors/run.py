"""Latents of which size, and held how (latent diffusion, figure 6 and table 8)

Rombach et al. 2022 (arXiv:2112.10752) on the 8x8 digits instead of ImageNet: diffusion in the latents of
autoencoders that make a digit f = 2, 4 or 8 times smaller, 4x4x2, 2x2x4 or 1x1x8, with a KL of weight 1e-6 or
a table of 256 vectors that follows averages, and in the pixels themselves (f = 1). At f = 2 the KL weighs
1e-3 and 1e-1, too. Each autoencoder is trained for 300 steps of 64 images, on the error of pixels alone; each
diffusion model, an MLP of 3 x 256 units on cosine betas that predicts v, for 1,500 steps of 128, whatever f:
"ms" is the processor time of one, so that these are budgets of equal time.

"rFD" is the Frechet distance between the 360 held-out digits and what the autoencoder gives back of them,
"gFD" that of 1,437 samples of 50 DDIM steps to the training set, both in the features of a small classifier;
"unscaled" is gFD where latents are not divided by their standard deviation over the training set, "std".
"codes" is the share of a table that the training set uses.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import data, systems
from diffjax.data import Source
from diffjax.evaluation import frechet, similarity
from diffjax.pixels import to_model, to_uint8
from experiments import digits, drawing, study

_FACTORS, _TABLES = (2, 4, 8), (2, 4, 8)  # of codes with a KL, and with a table
_WEIGHTS = ("1e-3", "1e-1")  # of the KL at f = 2, beside 1e-6
_CODES, _PIXELS = 256, (8, 8, 1)
_TICKS = (1, 2, 5, 10, 20, 50)  # of the figure's distances
_STEPS, _DIFFUSION_STEPS = 300, 1500


def _autoencoder(factor, name="kl", **objective):
    levels = factor.bit_length()
    table = {"codes": _CODES, "averaged": True} if name == "vq" else {}
    config = study.config_of("digits/kl_f2.py", training={"num_steps": _STEPS})
    config.model.update({"name": name, "channels": (8, 16, 16, 16)[:levels], "middle_attention": False})
    config.model.update({"latent_channels": factor, **table})
    config.objective = {"discriminator": None, **objective}
    del config.optimizer["discriminator"]
    return config


def _kl(factor, weight=1e-6):
    return _autoencoder(factor, kl=weight)


def _vq(factor):
    return _autoencoder(factor, "vq", commitment=0.25, restart=0.1, decay=0.9)


ARMS = {"pixels": None}
ARMS |= {f"KL, f {f}": _kl(f) for f in _FACTORS}
ARMS |= {f"VQ, f {f}": _vq(f) for f in _TABLES}
_UNSCALED = [name for name in ARMS if name != "pixels"]
_WEIGHED = {weight: f"KL of {weight}, f 2" for weight in _WEIGHTS}
ARMS |= {name: _kl(2, float(weight)) for weight, name in _WEIGHED.items()}


CLAIMS = [
    study.Claim(
        "KL: f = 2 gives back better than 4", "rFID 0.086 < 0.27", ("KL, f 2", "rFD"), ("KL, f 4", "rFD")
    ),
    study.Claim(
        "KL: f = 4 gives back better than 8", "rFID 0.27 < 0.90", ("KL, f 4", "rFD"), ("KL, f 8", "rFD")
    ),
    study.Claim(
        "f = 2: KL gives back better than VQ", "rFID 0.086 < 0.16", ("KL, f 2", "rFD"), ("VQ, f 2", "rFD")
    ),
    study.Claim("f = 2: VQ samples beat KL's", "slightly", ("VQ, f 2", "gFD"), ("KL, f 2", "gFD")),
    study.Claim("KL: samples at f = 4 beat f = 8", "U-shaped in f", ("KL, f 4", "gFD"), ("KL, f 8", "gFD")),
    study.Claim("VQ: samples at f = 2 beat f = 4", "U-shaped in f", ("VQ, f 2", "gFD"), ("VQ, f 4", "gFD")),
    study.Claim(
        "f = 2: a KL of 1e-1 gives back worse",
        "only a slight KL",
        ("KL, f 2", "rFD"),
        (_WEIGHED["1e-1"], "rFD"),
    ),
]
CLAIMS += [
    study.Claim(f"{name}: latents beat pixels", "f = 8: FID lower by 38", (name, "gFD"), ("pixels", "gFD"))
    for name in _UNSCALED
]
CLAIMS += [
    study.Claim(f"{name}: scaled beat unscaled", "section D.1", (name, "gFD"), (name, "unscaled"))
    for name in _UNSCALED
]
REMARKS = """
- A step takes as long whatever f is, 4.5 to 5.3 ms: equal steps are equal time. With a table samples are
  U-shaped in f: 4.5 of pixels, 2.5, 4.2 and 38 at f = 2, 4 and 8, and f = 2 beats pixels beyond the spread.
  With a KL the right arm is plain, 3.6, 5.9 and 57; that f = 2 beats pixels is within the spread.
- What autoencoders give back is worse the larger f is, and caps what is sampled: at f = 4 samples are as far
  as what is given back. So little training leaves no room for the paper's gain over pixels at f = 4.
- At f = 8 the KL's autoencoder gives back the mean digit, and its code, of deviation 1, is the KL's noise
  alone; of the table an eighth is used. Of 8x8 pixels one place is left there, and a GroupNorm over two
  channels of one place keeps hardly more than their order. A limit of so small pictures; emoji of 64x64 at
  f = 8 are given back at 18.4 dB (`emoji/kl_f8.py`).
- A KL of 1e-3 changes nothing. One of 1e-1 costs 0.6 dB, and makes latents whose deviation is 1 as they are.
- A table of 256 vectors, all of them used at f = 2 and 4, costs nothing here against a KL, within the spread.
- That latents must be divided by their standard deviation does not show. A KL's at f = 2, 1.4 to 3.4 times
  too large, made the better samples as they are, with every seed, short of the rule: larger latents under
  the same noise are a schedule with less of it, which an MLP on cosine betas does not suffer from. A table's,
  0.6 as large as they should be, made the worse ones as they are (2.9 and not 2.5), short of the rule too.
"""
REMARKS_OF = "8322041b7bae"
CAPTION = """
Left: distances by the factor, of samples (solid) and of what autoencoders give back (dashed), with a KL and
with a table. Right: distances of samples in latents as they are and divided by their standard deviation,
and with a KL of other weights.
"""


@functools.cache
def _diffusion(shape):
    """Return the config of diffusion in what has a shape, and its sampling. Latents have no bounds."""
    threshold = "static" if shape == _PIXELS else None
    config = digits.config(
        _DIFFUSION_STEPS,
        data={"shape": shape},
        schedule={"name": "cosine_beta"},
        objective_={"kind": "v", "weighting": "none"},
        sampler_={"solver": "ddim", "steps": 50, "threshold": threshold},
    )
    config.training.ema.decay = 0.995
    system = systems.build(config)
    return config, jax.jit(lambda variables, key: system.sample(variables, key, {}, digits.NUM))


def _distance(z, decode, seed):
    """Train on latents [N, h, w, C], and return the distance of as many new digits."""
    config, sample = _diffusion(z.shape[1:])
    variables = study.train(config, seed, source=Source(z))
    made = decode(sample(variables, jax.random.key(1000 + seed)))
    return digits.distance(to_uint8(np.clip(made, -1, 1)))


def _cost(z, seed):
    """Return the milliseconds of a step of diffusion."""
    return 1000 * study.seconds_a_step(_diffusion(z.shape[1:])[0], seed, Source(z))


def trained(config, seed, out):
    return study.train(config, seed, progress=f"autoencoder, seed {seed}", looped=False)


def measure(name, config, variables, seed):
    train, held_out = (data.load("digits", split) for split in ("train", "test"))
    x = to_model(train.x)
    if config is None:
        return {"gFD": _distance(x, np.asarray, seed), "ms": _cost(x, seed)}
    system = systems.build(config)
    decode = jax.jit(lambda z: system.codec(variables).decode(z))
    z = np.asarray(jax.jit(system.codec(variables).encode)(jax.random.key(seed), x))
    std = float(z.std())
    found = _given_back(system, variables, to_model(held_out.x))
    found |= {"std": std, "gFD": _distance(z / std, lambda z: decode(z * std), seed), "ms": _cost(z, seed)}
    if name in _UNSCALED:
        found["unscaled"] = _distance(z, decode, seed)
    if system.measures["reconstruction"].how["codes"]:
        codes = _reconstruction(system, variables, x)["codes"]
        found["codes"] = len(np.unique(codes)) / _CODES
    return found


def _reconstruction(system, variables, x):
    return jax.jit(system.measures["reconstruction"])(variables, jax.random.key(0), {"x": x})


def _given_back(system, variables, x):
    """Return how held-out digits are given back."""
    y, judge = _reconstruction(system, variables, x)["y"], digits.reference()[0]
    features = [judge.features(to_uint8(np.asarray(each))) for each in (x, y)]
    return {
        "PSNR": float(similarity.psnr(jnp.asarray(x), y).mean()),
        "rFD": frechet.frechet_distance(*features),
    }


def figure(path, results):
    drawn, ((left, right),) = drawing.panels(1, 2, 10, 4)
    pixels = drawing.values(results, ["pixels"], ["gFD"])
    for i, (name, factors) in enumerate((("KL", _FACTORS), ("VQ", _TABLES))):
        of = [f"{name}, f {f}" for f in factors]
        samples = np.concatenate([pixels, drawing.values(results, of, ["gFD"])])
        drawing.curve(left, (1, *factors), samples, f"samples, {name}", f"C{i}", marker="os"[i])
        style = {"linestyle": "--", "marker": "os"[i], "markerfacecolor": "w"}
        back = drawing.values(results, of, ["rFD"])
        drawing.curve(left, factors, back, f"given back, {name}", f"C{i}", **style)
    drawing.log(left, x=(1, *_FACTORS), y=_TICKS)
    left.set(xlabel="f: pixels to a place, each way (1: no autoencoder)", ylabel="Fréchet distance")
    of = [*_UNSCALED, *_WEIGHED.values()]
    divided = drawing.values(results, of, ["gFD"])
    drawing.dots(right, range(len(of)), divided, "latents divided by their std", "C2", "o")
    unscaled = drawing.values(results, _UNSCALED, ["unscaled"])
    drawing.dots(right, range(len(_UNSCALED)), unscaled, "latents as they are", "C3", "X")
    drawing.titled_rows([right], of)
    drawing.log(right, x=_TICKS)
    right.set(xlabel="Fréchet distance of samples")
    drawing.save(drawn, path, 3, f"{drawing.SPREAD}. {drawing.SEEDS}")


if __name__ == "__main__":
    study.main(sys.modules[__name__])

"""Variational autoencoders: a Gaussian code in one level or several, and a likelihood of x given the lowest.

Kingma & Welling 2013; the weight beta of the rate (Higgins et al. 2017), which may warm up (Bowman et al.
2015), and free bits (Kingma et al. 2016) against a code that is not used; measured by the bound and by the
tighter one of many draws (Burda et al. 2015).
"""

import math
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from diffjax.border import checked
from diffjax.keys import per_sample
from diffjax.likelihoods import latents, observed
from diffjax.models.ladder import Ladder
from diffjax.process import checks
from diffjax.process.gaussian import Gaussian
from diffjax.process.level import sum_of_each
from diffjax.systems import networks, read
from diffjax.systems.options import call, chosen, fill, number, optional_section, pick, require, section
from diffjax.training.system import Codec, Pass, System, Update, from_loss

NEEDED = ("data", "model", "objective")
SECTIONS = (*NEEDED, "sampler")
IDENTITY = ("data", "model")
_NETWORKS = {"ladder": checked(Ladder)}


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`, of which it needs `NEEDED`.

    `objective.likelihood` names one of `likelihoods.observed`; `sampler.noise` says whether samples are drawn
    from the likelihood, or are its mean.
    """
    del folder
    require(config, *NEEDED, "model.name", "objective.likelihood")
    read.require_no_schedule(config)
    options, shape, gives = section(config, "objective"), read.shape(config), read.gives(config)
    law = chosen("objective.likelihood", options.pop("likelihood"), observed.LIKELIHOODS)
    if law.counts and gives != "images":
        raise ValueError(
            f"objective.likelihood must be 'gaussian' for {gives}: the others are of pixels in [-1, 1]; got "
            f"{config.objective.likelihood!r}"
        )
    read.require_unconditional(config)
    made = section(config, "model", "name", "num_classes")
    make = pick("model.name", config.model.name, _NETWORKS)
    module = call("model", make, made, shape=shape, outputs=law.outputs)
    call("model", _check, {}, module)
    noise = call("sampler", _noise, optional_section(config, "sampler"))
    return fill("objective", vae, options, module, law, gives=gives, noise=noise)


def _check(module):
    """Raise what the network refuses, by its sizes or by its trace."""
    for value in module.latents:
        checks.count("latents", value)
    checks.count("features", module.features)
    checks.count("depth", module.depth, least=0)
    if not module.latents:
        raise ValueError("latents must name the channels of one level at least, got ()")
    x, z = jnp.zeros((1, *module.shape)), [jnp.zeros((1, *each)) for each in module.latent_shapes]
    jax.eval_shape(module.init, jax.random.key(0), x, z)


def _noise(noise: bool = False):
    if not isinstance(noise, bool):
        raise ValueError(f"noise must be True or False, got {noise!r}")
    return noise


def vae(
    module: Ladder,
    law: observed.Observed,
    *,
    gives: str = "images",
    noise: bool = False,
    beta: float = 1.0,
    warmup: int = 0,
    free_bits: float = 0.0,
    importance_samples: int = 64,
) -> System:
    """Make the system.

    Args:
      module: `models.Ladder`, with as many outputs as the likelihood takes.
      law: the likelihood, of `likelihoods.observed`.
      gives: "images", "points" or "embeddings".
      noise: samples are drawn from p(x | z), else its mean.
      beta: weight of the rate in training, at least 0; 1 is the bound.
      warmup: steps in which it grows from 0, linearly.
      free_bits: nats of each channel of each level that training does not pay less than, see
        `latents.free_bits`.
      importance_samples: K of the measure "importance_weighted".

    Returns:
      A System. The loss is -log p(x | z) + beta * rate in nats a dimension; metrics hold both, in nats of a
      whole x. Measures are "bound" and "importance_weighted", in bits a dimension where the likelihood is of
      a probability or x are points, in nats of images' density else. Of one level it is a codec, too.

    Raises:
      ValueError: for a number out of its range, or a network with other outputs.
    """
    beta, free = number("objective.beta", beta, 0), number("objective.free_bits", free_bits, 0)
    warmup = checks.count("objective.warmup", warmup, least=0)
    draws = checks.count("objective.importance_samples", importance_samples)
    if module.outputs != law.outputs:
        raise ValueError(
            f"module.outputs must be {law.outputs}, as the likelihood takes; got {module.outputs}"
        )
    shape, dims = tuple(module.shape), math.prod(module.shape)
    unit = math.log(2) * dims
    example = jax.ShapeDtypeStruct((1, *shape), jnp.float32)

    def drawn(v, key, x):
        """log p(x | z) `[B]` and the levels, of one draw of z."""
        key_z, key_x = jax.random.split(key)
        target = law.target(key_x, x)
        keys = jax.random.split(key_z, len(module.latents))
        z = [jax.random.normal(k, (len(x), *each), x.dtype) for k, each in zip(keys, module.latent_shapes)]
        numbers, levels = networks.evaluating(module, v)(x, z)
        levels = [latents.Level(Gaussian(*q), Gaussian(*p), z) for q, p, z in levels]
        return sum_of_each(law.log_prob(numbers, target)), levels

    def init(key, batch, frozen):
        del batch, frozen
        z = [jnp.zeros((1, *each)) for each in module.latent_shapes]
        return networks.init(module, key, jnp.zeros(example.shape), z)

    def total(v, key, batch, step):
        log_likelihood, levels = drawn(v, key, batch["x"])
        distortion, rate = -log_likelihood.mean(), latents.rate(levels).mean()
        paid = latents.free_bits(levels, free) if free else rate
        weight = beta * jnp.minimum(1.0, (step + 1) / (warmup + 1))
        return (distortion + weight * paid) / dims, (v.extra, {"distortion": distortion, "rate": rate})

    named = "bits_per_dim" if law.counts or gives == "points" else "nats"
    scaled = lambda nats: -nats / unit if named == "bits_per_dim" else -nats

    def bound(v, key, batch):
        """One draw of the bound, and its two parts in nats, `[B]` each."""
        log_likelihood, levels = drawn(v, key, batch["x"])
        parts = {"distortion": -log_likelihood, "rate": latents.rate(levels)}
        return {named: scaled(latents.elbo(log_likelihood, levels)), **parts}

    def importance_weighted(v, key, batch):
        weights = lambda k: latents.log_weight(*drawn(v, k, batch["x"]))
        found = jax.lax.map(weights, jax.random.split(key, draws))
        return {named: scaled(latents.importance_weighted(found))}

    bound.how, importance_weighted.how = {"draws": 1}, {"draws": draws}

    def decode(v, keys, asked, made):
        del asked, made

        def one(key):
            keys = jax.random.split(key, len(module.latents) + 1)
            return [jax.random.normal(k, each) for k, each in zip(keys, module.latent_shapes)], keys[-1]

        z, last = jax.vmap(one)(per_sample(keys, len(keys)))
        numbers = networks.evaluating(module, v)(z, method="decode")
        return jax.vmap(law.sample)(last, numbers) if noise else law.mean(numbers)

    return System(
        example={"x": example},
        init=init,
        # what is free is of means over the batch, and no mean over rows
        updates=(Update("network", ("network",), from_loss(total, ("network",)), rowwise=not free),),
        serves=("network",),
        passes=(Pass("decode", decode, {"network": 1}),),
        gives=gives,
        measures={"bound": bound, "importance_weighted": importance_weighted},
        codec=partial(_codec, module, law) if len(module.latents) == 1 else None,
    )


def _codec(module, law, v) -> Codec:
    apply = networks.evaluating(module, v)
    (shape,) = module.latent_shapes

    def encode(key: Any, x):
        z = [jax.random.normal(key, (len(x), *shape), x.dtype)]
        return apply(x, z)[1][0][2]

    return Codec(encode, lambda z: law.mean(apply([z], method="decode")), shape)

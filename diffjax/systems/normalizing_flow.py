"""Normalizing flows: an invertible network whose density is exact, x = f^-1(z) with z standard normal.

log p(x) = log N(f(x); 0, I) + log |det df/dx| (Dinh et al. 2017, eq. 2). Pixels become real numbers by noise
within their bins, uniform (Theis et al. 2016) or of a network that is trained along (Ho et al. 2019, Flow++,
section 3.1, where it is itself a flow): what is then exact is the density, and the code length is a bound.
"""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from diffjax.border import checked
from diffjax.evaluation.dequantiser import ENDS, draw
from diffjax.likelihoods import dequantisation as noise
from diffjax.models.dequantiser import ConvDequantiser
from diffjax.models.flow import Flow
from diffjax.pixels import to_uint8
from diffjax.process import checks, gaussian
from diffjax.process.level import sum_of_each
from diffjax.systems import networks, read
from diffjax.systems.options import call, fill, optional_section, pick, require, section
from diffjax.training.system import Pass, System, Update, from_loss

NEEDED = ("data", "model")
SECTIONS = (*NEEDED, "objective", "sampler")
IDENTITY = ("data", "model")
_NETWORKS = {"flow": checked(Flow)}
_LAWS = {"uniform": None, "variational": ConvDequantiser()}


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`, of which it needs `NEEDED`.

    `objective.dequantisation` is "uniform" or "variational"; `sampler.temperature` widens or narrows z.
    """
    del folder
    require(config, *NEEDED, "model.name")
    read.require_no_schedule(config)
    shape, gives, made = (
        read.shape(config),
        read.gives(config),
        section(config, "model", "name", "num_classes"),
    )
    read.require_unconditional(config)
    ends = (ENDS["low"], ENDS["high"]) if gives == "images" else None
    for name in ("shape", "ends"):
        if name in made:
            raise ValueError(f"model.{name} must be left out: the data say it")
    make = pick("model.name", config.model.name, _NETWORKS)
    module = call("model", make, made, shape=shape, ends=ends)
    call("model", _check, {}, module)
    options = optional_section(config, "objective")
    temperature = call("sampler", _temperature, optional_section(config, "sampler"))
    return fill("objective", normalizing_flow, options, module, gives=gives, temperature=temperature)


def _check(module):
    """Raise what the network refuses, by its sizes or by its trace."""
    for name in ("steps", "scales", "features", "components"):
        checks.count(name, getattr(module, name))
    checks.count("depth", module.depth, least=0)
    if not 0 < module.margin < 0.5:
        raise ValueError(f"margin must be in (0, 0.5), got {module.margin}")
    if module.attention and not module.images:
        raise ValueError("attention must be False for points: it is of the places of an image")
    jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *module.shape)))


def _temperature(temperature: float = 1.0):
    checks.positive("temperature", temperature)
    return temperature


def normalizing_flow(
    module: Flow, *, gives: str = "images", dequantisation: str = "uniform", temperature: float = 1.0
) -> System:
    """Make the system.

    Args:
      module: `models.flow.Flow`, of logits of the interval of pixels where data are images.
      gives: "images", "points" or "embeddings".
      dequantisation: of images, "uniform" or "variational".
      temperature: samples are of z ~ N(0, temperature^2); 1 is the model's own law.

    Returns:
      A System. The loss and the measure "likelihood" are in bits a dimension: a bound for pixels, with one
      draw of the noise within their bins, else exact. The first batch sets the scales of the network.

    Raises:
      ValueError: for another dequantisation, or one of data that are no images.
    """
    law, pixels = pick("objective.dequantisation", dequantisation, _LAWS), gives == "images"
    if law is not None and not pixels:
        raise ValueError(f"objective.dequantisation must be 'uniform' for {gives}, which have no bins")
    shape, dims = tuple(module.shape), math.prod(module.shape)
    example = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    names = ("network",) if law is None else ("network", "dequantiser")

    def continuous(params, key, x):
        """x as real numbers, and log q of the noise that makes them."""
        if not pixels:
            return x, jnp.zeros(len(x))
        codes = to_uint8(x)
        if law is None:
            return noise.uniform(key, codes, **ENDS), jnp.zeros(len(x))
        return draw(law, {"params": params["dequantiser"]}, key, codes)

    def log_prob(v, x):
        z, log_det = networks.evaluating(module, v)(x)
        nats = [sum_of_each(gaussian.log_prob(gaussian.STANDARD, each)) for each in z]
        return sum(nats) + log_det

    def bits(v, key, x):
        x, log_q = continuous(v.params, key, x)
        log_p = log_prob(v, x)
        return noise.bits_per_dim(log_p, dims, log_q, **ENDS) if pixels else -log_p / (dims * math.log(2))

    def init(key, batch, frozen):
        del frozen
        key_network, key_law, key_x = jax.random.split(key, 3)
        x = networks.zeros(batch["x"]) if isinstance(batch["x"], jax.ShapeDtypeStruct) else batch["x"]
        made = {}
        if law is not None:
            made, _ = networks.init(law, key_law, x, name="dequantiser")
        seen, _ = continuous(made, key_x, x)
        return {**networks.init(module, key_network, seen)[0], **made}, {}

    def total(v, key, batch, step):
        del step
        return bits(v, key, batch["x"]).mean(), (v.extra, {})

    def likelihood(v, key, batch):
        """Bits per dimension `[B]`, one draw of the noise within the bins."""
        return {"bits_per_dim": bits(v, key, batch["x"])}

    def walk(v, keys, asked, made):
        del asked, made

        def one(key):
            return [
                temperature * jax.random.normal(k, each)
                for k, each in zip(jax.random.split(key, len(module.noise_shapes)), module.noise_shapes)
            ]

        x = networks.evaluating(module, v)(jax.vmap(one)(keys), method="inverse")
        return jnp.clip(x, -1, 1) if pixels else x

    return System(
        example={"x": example},
        init=init,
        updates=(Update("network", names, from_loss(total, names)),),
        serves=names,
        passes=(Pass("flow", walk, {"network": 1}),),
        gives=gives,
        measures={"likelihood": likelihood},
    )

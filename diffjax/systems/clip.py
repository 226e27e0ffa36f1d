"""Pictures and texts in one space: two towers, told apart from all others of a batch (Radford et al. 2021).

    config.model = {"name": "half_unet", "out_features": 64, ...}  # the tower of pictures, and that of texts:
    config.conditions = {"text": {"encoder": "tokens", "length": 16, "vocab_size": 2000}}

The tower of texts is whatever `systems.conditions` can read: a transformer over the ids of a tokenizer that
is trained along, the embedding of a frozen text model, projected, or an array of classes, of which each is a
text of one word. Its vector has the size that the pictures' tower gives, and several parts add.

Several pictures of a batch may have one caption, as several vendors draw one emoji. They are then neither
right nor wrong for each other's text, and left out of the sum: see `objectives.info_nce`.

Nothing is sampled. `System.features` is what retrieval scores and system "noise_aware" ask, and, of one that
knows noise, semantic guidance.
"""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from diffjax.process.level import unit_of_each
from diffjax.systems import conditions, networks, read, requests, towers
from diffjax.systems.options import fill, optional_section, require
from diffjax.training.system import System, Update, Variables, from_loss

SECTIONS = ("data", "model", "conditions", "objective")
IDENTITY = ("data", "model", "conditions")


class Space(nn.Module):
    """Stand for a network that is told vectors of this size: the space of texts and pictures."""

    vector_features: int


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`; `objective` may be missing."""
    require(config, "model", "conditions")
    options = optional_section(config, "objective")
    module, shape = read.network(config), read.shape(config)
    space = Space(towers.width(module, networks.inputs(shape)))
    asked, drops = conditions.parts(config, space, shape, False, folder)
    for name, drop in drops.items():
        if drop:
            raise ValueError(f"conditions.{name}.drop must be 0 for system 'clip', got {drop}")
    return fill("objective", clip, options, module, requests.of_parts(asked), shape=shape)


def clip(module: nn.Module, texts: requests.Requests, *, shape: tuple[int, ...]) -> System:
    """Make the system.

    Args:
      module: tower of pictures, `(x, t, None) -> [B, D]`; it is told t = 0.
      texts: `requests.Requests` whose Condition is a vector `[B, D]` alone.
      shape: of one example, e.g. (H, W, C).

    Returns:
      A System without passes, with the `features` of `systems.towers`; a level that they are given is not
      heeded. Its measure "embeddings" has "image" and "text" `[B, D]`, and what was asked as "asked/<part>".

    Raises:
      ValueError: if the text's vector is not of the size of the picture's.
    """
    inputs = networks.inputs(shape)
    _require_vector(texts, towers.width(module, inputs))

    def init(key, batch, frozen):
        del batch, frozen
        key_image, key_text = jax.random.split(key)
        params, extra = networks.init(module, key_image, *networks.zeros(inputs))
        return {**params, **texts.init(key_text), **towers.start()}, extra

    def of_text(v, request):
        return unit_of_each(texts.conditioning.encode(v, request).vector)

    def total(v, key, batch, step):
        del step
        key_text, key_network = jax.random.split(key)
        request = texts.conditioning.of_batch(v, key_text, batch)
        network, state = networks.training(module, v, key_network)
        image = network(batch["x"], _clean(batch["x"]), None)
        loss, metrics = towers.contrast(v.params, image, of_text(v, request), request)
        return loss.mean(), ({**v.extra, **state()}, metrics)

    def features(v):
        network = networks.evaluating(module, v)
        return {
            "image": lambda x, level=None: unit_of_each(network(x, _clean(x), None)),
            "maps": lambda x, level=None: towers.maps(module, v, x, _clean(x)),
            "text": lambda request: of_text(v, request),
        }

    def embeddings(v, key, batch):
        request, own = texts.conditioning.of_batch(v, key, batch), features(v)
        asked = {f"asked/{part}": value for part, value in request.items()}
        return {"image": own["image"](batch["x"]), "text": own["text"](request), **asked}

    served = networks.served(module, *inputs)
    learned = texts.learned()
    moves = (served[0], *learned, towers.TEMPERATURE)
    return System(
        example={"x": inputs[0], **texts.example},
        init=init,
        updates=(Update("network", moves, towers.held_back(from_loss(total, moves)), rowwise=False),),
        serves=(*served, *learned),
        prepare=requests.prepared(texts),
        request=texts.conditioning,
        measures={"embeddings": embeddings},
        features=features,
    )


def _clean(x):
    return jnp.zeros(len(x), x.dtype)


def _require_vector(texts: requests.Requests, size: int) -> None:
    """Raise a ValueError unless what is asked is told as a vector of this size, and nothing else."""
    variables = Variables(jax.eval_shape(texts.init, jax.random.key(0)))
    request = jax.eval_shape(lambda: texts.conditioning.default(1))
    cond = jax.eval_shape(texts.conditioning.encode, variables, request)
    if cond.vector is None or cond.tokens is not None or cond.map is not None:
        raise ValueError("conditions must each be a text, an embedding or a class, told as a vector")
    if cond.vector.shape != (1, size):
        raise ValueError(f"texts must have vectors [B, {size}] as pictures, got {list(cond.vector.shape)}")

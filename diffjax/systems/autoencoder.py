"""Autoencoders for diffusion in latents: pictures to a small code and back, so that one sees no difference.

Rombach et al. 2022, sections 3.1 and G.1, after Esser et al. 2021 (VQGAN). What is minimised is

    |x - y| + w_p perceptual(x, y) + w_g w_adapt(-D(y)) + regulariser,    y = decode(code of x)

with a discriminator D of patches, trained beside it by a hinge, and w_adapt that pulls the last layer as
hard as the error does (`objectives.reconstruction.adaptive_weight`). The regulariser is a small weight on the
KL of a Gaussian code from N(0, 1), or vector quantisation.

As published, the error of a Gaussian code is a sum over a picture's values and that of a table's a mean; the
KL is a sum. The discriminator, which is not averaged, sees the autoencoder that has just moved. Unlike there
it learns from the first step on; what it says counts from `discriminator.start`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from diffjax import checks
from diffjax.border import checked
from diffjax.models import quantiser
from diffjax.models.autoencoder import Autoencoder, KLAutoencoder, VQAutoencoder
from diffjax.models.patches import PatchDiscriminator
from diffjax.models.quantiser import Table
from diffjax.objectives import adversarial
from diffjax.objectives.reconstruction import adaptive_weight
from diffjax.process import gaussian
from diffjax.process.gaussian import Gaussian
from diffjax.process.level import mean_of_each, sum_of_each
from diffjax.systems import codecs, networks, perceptual, read
from diffjax.systems.options import call, fill, is_section, number, pick, require, section
from diffjax.systems.stages import prepare
from diffjax.training.system import System, Update, Variables, from_loss

NEEDED = ("data", "model", "objective")
SECTIONS = (*NEEDED, perceptual.NAME)
IDENTITY = ("data", "model")

DISCRIMINATOR = "discriminator"
_NETWORKS = {"kl": KLAutoencoder, "vq": VQAutoencoder}
_LAST = ("decoder", "out_conv", "kernel")  # of the parameters: the last layer


class Game(NamedTuple):
    """The other player.

    Attributes:
      module: discriminator of patches.
      start: step from which what it says counts.
      weight: of what it says, beside the adaptive one.
    """

    module: PatchDiscriminator
    start: int = 0
    weight: float = 0.5


class Regulariser(NamedTuple):
    """What keeps the code in bounds.

    Attributes:
      kl: weight of the KL of a Gaussian code, a sum over a picture's code.
      commitment: beta of `quantiser.commitment`.
      order: of that.
      codebook: weight of that.
      decay: of the averages that a table which is no parameter follows, and of how often vectors are taken.
      restart: least average count of its vectors, in vectors a batch, below which one begins anew; 0: never.
    """

    kl: float = 1e-6
    commitment: float = 0.25
    order: quantiser.Order = "paper"
    codebook: float = 1.0
    decay: float = 0.99
    restart: float = 0.0


_DEFAULT = Regulariser()


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`, of which it needs `NEEDED`.

    `model.name` is "kl" or "vq", the other options are the network's. `objective` has the fields of the
    regulariser, `perceptual_weight`, and the section `discriminator`, None for none: the fields of
    `PatchDiscriminator` and of `Game`.
    """
    require(config, *NEEDED, "model.name")
    read.require_no_schedule(config)
    read.require_unconditional(config)
    shape = read.shape(config)
    if read.gives(config) != "images":
        raise ValueError(f"data.shape must be of images for system 'autoencoder'; got {shape}")
    options = section(config, "objective")
    given = options.pop(DISCRIMINATOR, None)
    game = None if given is None else _game(given, shape)
    return fill(
        "objective", autoencoder, {"perceptual_weight": options.pop("perceptual_weight", 1.0)},
        _network(config, shape), shape=shape, game=game, regulariser=_regulariser(config, options),
        look=perceptual.of_config(config, folder, shape),
    )  # fmt: skip


def _network(config, shape) -> Autoencoder:
    make = pick("model.name", config.model.name, _NETWORKS)
    options = section(config, "model", "name", "num_classes")
    channels = {"image_channels": shape[-1]} if "image_channels" not in options else {}
    module = call("model", checked(make), options, **channels)
    if module.image_channels != shape[-1] or module.out_channels not in (None, shape[-1]):
        raise ValueError(f"model.image_channels must be {shape[-1]}, those of data.shape; got {options}")
    for name in ("latent_channels", "num_res_blocks", "num_groups"):
        checks.count(f"model.{name}", getattr(module, name))
    for each in module.channels:
        checks.count("model.channels", each)
    number("model.dropout", module.dropout, 0, 1)
    call("model", _traced, {}, module, shape)
    return module


def _traced(module, shape):
    module.latent_shape(shape)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    return jax.eval_shape(module.init, jax.random.key(0), x)


def _game(given, shape):
    if not is_section(given):
        raise ValueError(f"objective.discriminator must be a dict, or None for none; got {given!r}")
    given = dict(given)
    own = {name: given.pop(name) for name in ("start", "weight") if name in given}
    module = call("objective.discriminator", checked(PatchDiscriminator), given)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    call("objective.discriminator", jax.eval_shape, {}, module.init, jax.random.key(0), x)
    checks.count("objective.discriminator.start", own.get("start", 0), least=0)
    number("objective.discriminator.weight", own.get("weight", 0.5), 0)
    return Game(module, **own)


def _regulariser(config, options) -> Regulariser:
    codes = config.model.name == "vq"
    averaged = bool(config.model.get("averaged", False))
    known = ("commitment", "restart", "decay") + (() if averaged else ("order", "codebook"))
    known = known if codes else ("kl",)
    for name in options:
        if name not in known:
            of = f"model.name={config.model.name!r}" + (f" with averaged={averaged}" if codes else "")
            raise ValueError(f"objective.{name} is not for {of}: it has {', '.join(known)}")
    found = Regulariser(**options)
    for name in ("kl", "commitment", "codebook", "restart"):
        number(f"objective.{name}", getattr(found, name), 0)
    number("objective.decay", found.decay, 0, 1)
    pick("objective.order", found.order, dict.fromkeys(("paper", "legacy")))
    return found


def autoencoder(
    module: Autoencoder,
    *,
    shape: tuple[int, ...],
    game: Game | None = None,
    regulariser: Regulariser = _DEFAULT,
    look: perceptual.Perceptual | None = None,
    perceptual_weight: float = 1.0,
) -> System:
    """Make the system.

    Args:
      module: `KLAutoencoder` or `VQAutoencoder`.
      shape: of a picture, (H, W, C).
      game: discriminator, or None for none.
      regulariser: see `Regulariser`.
      look: perceptual distance, or None for none.
      perceptual_weight: its weight beside the error of pixels.

    Returns:
      A System without passes, with a `codec`; its measure "reconstruction" gives pictures "x" and "y", and
      the numbers "codes" where there is a table.
    """
    number("objective.perceptual_weight", perceptual_weight, 0)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    codes = isinstance(module, VQAutoencoder)
    averaged = codes and module.averaged
    counted = codes and not averaged and regulariser.restart > 0
    if counted:
        module = module.clone(restarts=True)
    codec = codecs.of_module(module)
    summed = 1 if codes else x.size  # the error, over a picture's values

    def init(key, batch, frozen):
        del batch, frozen
        of_network, of_critic = jax.random.split(key)
        params, extra = networks.init(module, of_network, jnp.zeros(x.shape))
        if game is None:
            return params, extra
        critic, state = networks.init(game.module, of_critic, jnp.zeros(x.shape), name=DISCRIMINATOR)
        return params | critic, extra | state

    def error(v, x, y):
        """What the eye sees, `[B]`, in units of one value, and its parts."""
        parts = {"l1": mean_of_each(jnp.abs(x - y))}
        if look is not None:
            parts[look.name] = look.distance(v.frozen[perceptual.NAME], x, y)
        return parts["l1"] + perceptual_weight * sum(list(parts.values())[1:]), parts

    def generate(v, key, batch, step):
        x = batch["x"]
        key_code, key_dropout, key_critic, key_restart = jax.random.split(key, 4)
        state = v.extra.get(networks.state_name(), {})
        rngs = {"dropout": key_dropout}

        def apply(params, given, method, **how):
            return module.apply({"params": params, **state}, given, method=method, rngs=rngs, **how)

        def forward(params):
            code, paid = _code(apply, regulariser, params, x, key_code)
            y = apply(params, code.z, "decode", train=True)
            return (y, code.cost), (code, paid)

        params = v.params[networks.NETWORK]
        (y, _), pull, (code, paid) = jax.vjp(forward, params, has_aux=True)

        def seen(y):
            each, parts = error(v, x, y)
            return summed * each.mean(), parts

        (loss, parts), by_error = jax.value_and_grad(seen, has_aux=True)(y)
        metrics = {name: each.mean() for name, each in {**parts, **paid}.items()}
        by_y = by_error
        if game is not None:
            said, by_game = jax.value_and_grad(_opinion(game, v, key_critic))(y)
            # of the pull on the last layer the compiler keeps that layer's gradient alone
            last = lambda by_y: _of_last(pull((by_y, jnp.zeros(())))[0])
            adapt = adaptive_weight(last(by_error), last(by_game))
            weight = game.weight * adapt * (step >= game.start)
            by_y = by_error + weight * by_game
            metrics |= {"adversarial": said, "adaptive_weight": adapt}
            loss = loss + weight * said
        grads = pull((by_y, jnp.ones(())))[0]
        extra = v.extra
        if averaged or counted:
            extra = (_moved_codes if averaged else _begun_codes)(regulariser, v, key_restart, code)
        return {networks.NETWORK: grads}, extra, {**metrics, "loss": loss + code.cost}

    def judge(v, key, batch, step):
        del step
        key_code, key_critic = jax.random.split(key)
        own = codec(v)
        y = jax.lax.stop_gradient(own.decode(own.encode(key_code, batch["x"])))
        network, state = networks.training(game.module, v, key_critic, name=DISCRIMINATOR)
        real = network(batch["x"])
        fake = network(y)  # each with the statistics of its own batch
        metrics = {"real": real.mean(), "fake": fake.mean()}
        return adversarial.hinge(real, fake).mean(), ({**v.extra, **state()}, metrics)

    def reconstruction(v, key, batch):
        own = codec(v)
        z = own.encode(None, batch["x"])
        found = {"x": batch["x"], "y": jnp.clip(own.decode(z), -1, 1)}
        if codes:
            found["codes"] = networks.evaluating(module, v)(z, method="quantise")[1]
        return found

    reconstruction.how = {"codes": module.codes if codes else None, "values": _size(module, shape)}
    rowwise = game is None and not averaged and not counted
    updates = (Update(networks.NETWORK, (networks.NETWORK,), generate, rowwise=rowwise),)
    if game is not None:
        rowwise = game.module.norm == "none"
        gradients = from_loss(judge, (DISCRIMINATOR,))
        updates += (Update(DISCRIMINATOR, (DISCRIMINATOR,), gradients, rowwise=rowwise),)
    stages = {} if look is None else {perceptual.NAME: look.stage}
    return System(
        example={"x": x},
        init=init,
        updates=updates,
        serves=networks.served(module, x),
        frozen={name: each.shapes() for name, each in stages.items()},
        prepare=prepare(stages),
        measures={"reconstruction": reconstruction},
        codec=lambda v: codec(v)._replace(shape=module.latent_shape(shape)),
        stages=stages,
    )


class _Code(NamedTuple):
    z: Any  # that is decoded
    cost: Any  # of the regulariser, a scalar
    before: Any = None  # rounding
    codes: Any = None


def _code(apply, regulariser, params, x, key) -> tuple[_Code, dict[str, Any]]:
    """Return the code of pictures in training, and what is told of its cost."""
    found = apply(params, x, "encode", train=True)
    if isinstance(found, tuple):
        law = Gaussian(*found)
        kl = sum_of_each(gaussian.kl(law, Gaussian(jnp.zeros_like(law.mean), jnp.zeros(()))))
        return _Code(gaussian.sample(key, law), regulariser.kl * kl.mean()), {"kl": kl}
    rounded, codes = apply(params, found, "quantise")
    cost = quantiser.commitment(found, rounded, regulariser.commitment, regulariser.order)
    return _Code(found, regulariser.codebook * cost.mean(), found, codes), {"commitment": cost}


def _opinion(game, v, key):
    """Return y -> what the discriminator says against it, a mean; its statistics stay as they are."""
    network, _ = networks.training(game.module, v, key, name=DISCRIMINATOR)
    return lambda y: adversarial.critic_value(network(y)).mean()


def _of_last(tree: Mapping[str, Any]):
    for name in _LAST:
        tree = tree[name]
    return tree


def _moved_codes(regulariser, v: Variables, key, code: _Code) -> dict[str, Any]:
    """Return extra with the table moved by the batch, and what hardly any vector takes begun anew."""
    name = networks.state_name()
    state = v.extra[name]
    ((path, held),) = state[quantiser.STATE].items()
    z, codes = jax.lax.stop_gradient((code.before, code.codes))
    table = quantiser.averaged(Table(**held), z, codes, regulariser.decay)
    if regulariser.restart:
        table = quantiser.restarted(key, table, z, regulariser.restart)
    return {**v.extra, name: {**state, quantiser.STATE: {path: table._asdict()}}}


def _begun_codes(regulariser, v: Variables, key, code: _Code) -> dict[str, Any]:
    """Return extra where what hardly any vector takes of a table that gradients move begins anew."""
    name = networks.state_name()
    state = v.extra[name]
    ((path, held),) = state[quantiser.STATE].items()
    z, codes = jax.lax.stop_gradient((code.before, code.codes))
    embedding = v.params[networks.NETWORK][path]["embedding"] + held["moved"]
    count = quantiser.counted(held["count"], codes, regulariser.decay)
    new = quantiser.restarted(key, Table(embedding, count, embedding), z, regulariser.restart)
    held = {"moved": held["moved"] + new.embedding - embedding, "count": new.count}
    return {**v.extra, name: {**state, quantiser.STATE: {path: held}}}


def _size(module, shape):
    """Return the numbers of the code of one picture."""
    height, width, channels = module.latent_shape(shape)
    return height * width * channels

"""Generative adversarial networks: a generator makes samples, a discriminator tells them from data.

Goodfellow et al. 2014, with the losses and penalties of `objectives.adversarial`. Each player has an
optimizer of its own; the discriminator may move several times a step. The moving average follows the
generator alone, and with it alone samples are made, in one call. There is no likelihood: what can be said
of a run is what its samples are like, and which modes of the data they miss.
"""

from collections.abc import Callable
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from diffjax.border import checked
from diffjax.models import adversaries
from diffjax.objectives import adversarial
from diffjax.process import checks
from diffjax.systems import networks, read, requests
from diffjax.systems.options import call, fill, optional, pick, require, section
from diffjax.training.system import Pass, System, Update, Variables, from_loss
from diffjax.types import Array

NEEDED = ("data", "model", "discriminator", "objective")
SECTIONS = (*NEEDED, "conditions")
IDENTITY = ("data", "model", "discriminator", "conditions")
GENERATOR, DISCRIMINATOR = "generator", "discriminator"
Penalty = Callable[[Array, adversarial.Critic, Array, Array], Array]  # (key, D, x, x_model) -> `[B]`

_GENERATORS = {"mlp": checked(adversaries.MLPGenerator), "conv": checked(adversaries.ConvGenerator)}
_DISCRIMINATORS = {
    "mlp": checked(adversaries.MLPDiscriminator),
    "conv": checked(adversaries.ConvDiscriminator),
}


def r1(weight: float = 10.0) -> Penalty:
    """Penalise the discriminator's slope at data, see `adversarial.r1`."""
    checks.not_negative("weight", weight)
    return lambda key, critic, x, x_model: adversarial.r1(critic, x, weight)


def gradient_penalty(weight: float = 10.0) -> Penalty:
    """Ask the critic for slope 1 between data and samples, see `adversarial.gradient_penalty`."""
    checks.not_negative("weight", weight)

    def penalty(key, critic, x, x_model):
        mix = jax.random.uniform(key, x.shape[:1], x.dtype)
        return adversarial.gradient_penalty(critic, x, x_model, mix, weight)

    return penalty


_PENALTIES = {"r1": checked(r1), "gradient_penalty": checked(gradient_penalty)}


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`, of which it needs `NEEDED`.

    `model` is the generator, `discriminator` the other network; `objective.loss` is a name of
    `adversarial.GAMES`, `objective.penalty` "r1" or "gradient_penalty".
    """
    read.require_no_schedule(config)
    require(config, *NEEDED, "model.name", "discriminator.name", "objective.loss")
    for field in read.DROPS:
        if config.objective.get(field):
            raise ValueError(f"objective.{field} is not for system {config.system!r}: nothing is guided")
    options, shape, gives = section(config, "objective", *read.DROPS), read.shape(config), read.gives(config)
    game = pick("objective.loss", options.pop("loss"), adversarial.GAMES)
    penalty = optional("objective.penalty", options.pop("penalty", None), _PENALTIES)
    make = pick("model.name", config.model.name, _GENERATORS)
    made = section(config, "model", "name", "num_classes")
    generator = call("model", make, made, shape=shape, bounded=gives == "images")
    make = pick("discriminator.name", config.discriminator.name, _DISCRIMINATORS)
    discriminator = call("discriminator", make, section(config, "discriminator", "name"))
    z, x = _inputs(generator)
    call("model", networks.served, {}, generator, z)
    call("discriminator", networks.served, {}, discriminator, x)
    asked = [read.request(config, each, folder) for each in (generator, discriminator)]
    return fill("objective", gan, options, generator, discriminator, game, penalty, *asked, gives=gives)


def _inputs(generator):
    """Return the shapes of one z and one x."""
    floats = lambda *dims: jax.ShapeDtypeStruct((1, *dims), jnp.float32)
    return floats(generator.latent), floats(*generator.shape)


def gan(
    generator: nn.Module,
    discriminator: nn.Module,
    game: adversarial.Game,
    penalty: Penalty | None = None,
    asked: requests.Requests | None = None,
    judged: requests.Requests | None = None,
    *,
    gives: str = "images",
    discriminator_steps: int = 1,
) -> System:
    """Make the system.

    Args:
      generator: (z `[B, latent]`, Condition | None, train=) -> x; it has `latent` and `shape`.
      discriminator: (x, Condition | None, train=) -> `[B, ...]`, each row by itself.
      game: the losses, `adversarial.GAMES`.
      penalty: of the discriminator's loss, or None.
      asked: what the generator is asked, see `read.request`.
      judged: the same for the discriminator, whose encoders are its own.
      gives: "images", "points" or "embeddings".
      discriminator_steps: moves of the discriminator in a step, each on fresh rows, before the generator's.

    Returns:
      A System. Its `serves` are the generator's alone. Metrics of the discriminator are "real" and "fake",
      its mean answers, and "penalty".

    Raises:
      ValueError: for a number out of its range.
    """
    steps = checks.count("objective.discriminator_steps", discriminator_steps)
    asked, judged = asked or requests.Requests(), judged or requests.Requests()
    z, example = _inputs(generator)

    def init(key, batch, frozen):
        del batch, frozen
        params, extra = {}, {}
        players = (GENERATOR, generator, z, asked), (DISCRIMINATOR, discriminator, example, judged)
        for i, (name, module, shape, told) in enumerate(players):
            key_network, key_told = jax.random.split(jax.random.fold_in(key, i))
            made = told.init(key_told)
            cond = _encoded(told, Variables(_named(name, made)), name, told.conditioning.default(1))
            own, state = networks.init(module, key_network, networks.zeros(shape), cond, name=name)
            params |= own | _named(name, made)
            extra |= state
        return params, extra

    def fakes(v, key, batch):
        """Return x~ as many as the batch has rows, the generator's state after them, and the request."""
        key_z, key_asked, key_network = jax.random.split(key, 3)
        request = asked.conditioning.of_batch(v, key_asked, batch)
        noise = jax.random.normal(key_z, (len(batch["x"]), generator.latent), batch["x"].dtype)
        network, state = networks.training(generator, v, key_network, GENERATOR)
        return network(noise, _encoded(asked, v, GENERATOR, request)), state

    def judge(v, key, batch, step):
        del step
        x, (key_fake, key_told, key_network, key_penalty) = batch["x"], jax.random.split(key, 4)
        fake = jax.lax.stop_gradient(fakes(v, key_fake, batch)[0])
        cond = _encoded(judged, v, DISCRIMINATOR, judged.conditioning.of_batch(v, key_told, batch))
        network, state = networks.training(discriminator, v, key_network, DISCRIMINATOR)
        both = network(jnp.concatenate([x, fake]), jax.tree.map(lambda a: jnp.concatenate([a, a]), cond))
        real, made = jnp.split(both, 2)
        loss, metrics = game.discriminator(real, made).mean(), {"real": real.mean(), "fake": made.mean()}
        if penalty is not None:
            critic = lambda x: networks.evaluating(discriminator, v, DISCRIMINATOR)(x, cond)
            metrics["penalty"] = penalty(key_penalty, critic, x, fake).mean()
            loss += metrics["penalty"]
        return loss, ({**v.extra, **state()}, metrics)

    def generate(v, key, batch, step):
        del step
        key_fake, key_told = jax.random.split(key)
        fake, state = fakes(v, key_fake, batch)
        cond = _encoded(judged, v, DISCRIMINATOR, judged.conditioning.of_batch(v, key_told, batch))
        answer = networks.evaluating(discriminator, v, DISCRIMINATOR)(fake, cond)
        return game.generator(answer).mean(), ({**v.extra, **state()}, {})

    def walk(v, keys, request, made):
        del made
        noise = jax.vmap(lambda key: jax.random.normal(key, (generator.latent,)))(keys)
        network = networks.evaluating(generator, v, GENERATOR)
        return network(noise, _encoded(asked, v, GENERATOR, request))

    served = networks.served(generator, z, name=GENERATOR)
    moves = lambda name, told: (name, *_named(name, dict.fromkeys(told.learned())))
    first, second = moves(DISCRIMINATOR, judged), moves(GENERATOR, asked)
    rowwise = len(served) == 1  # the state of a generator (batch statistics) is no mean over rows
    return System(
        example={"x": example, **asked.example},
        init=init,
        prepare=requests.prepared(asked),
        updates=(
            Update(DISCRIMINATOR, first, from_loss(judge, first), repeats=steps, rowwise=rowwise),
            Update(GENERATOR, second, from_loss(generate, second), rowwise=rowwise),
        ),
        serves=(*second, *served[1:]),
        request=asked.conditioning._replace(
            encode=lambda v, request, keep=None: _encoded(asked, v, GENERATOR, request)
        ),
        passes=(Pass("generate", walk, {"generator": 1}),),
        gives=gives,
    )


def _name(player):
    return f"{player}_{requests.CONDITIONS}"


def _named(player, made):
    """Return the encoders' parameters under a name of the player's own."""
    return {_name(player): made[requests.CONDITIONS]} if made else {}


def _encoded(told, v, player, request):
    """Return the Condition that a player is told, by its own encoders; None where it is asked nothing."""
    if not told.conditioning.parts:
        return None
    own = v.params.get(_name(player), {})
    return told.conditioning.encode(v._replace(params={requests.CONDITIONS: own}), request)

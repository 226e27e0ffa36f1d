"""A noisy classifier: p(y | x_t) at every noise level, whose gradient steers a denoiser.

Dhariwal & Nichol 2021, section 4: a classifier is trained on noised data, fresh noise in every step, and
`guidance.classifier` shifts a denoiser's eps by its gradient. Nothing is sampled; the bridge to another run
is `System.log_prob`, and system "guided" makes one of a trained classifier and a trained denoiser.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from diffjax import exact, objectives, toys
from diffjax.process import forward, prediction
from diffjax.process.level import NoiseLevel
from diffjax.process.schedules import Schedule
from diffjax.systems import learned_times, networks, read, requests, towers
from diffjax.systems import levels as levels_of
from diffjax.systems.options import fill, require, section
from diffjax.training.system import System, Update, from_loss
from diffjax.types import Array

SECTIONS = ("data", "schedule", "model", "objective", "levels")
IDENTITY = ("data", "schedule", "model")

_LAWS = {each.__name__: each for each in (toys.ring8, toys.two_modes, toys.grid25)}


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`.

    `levels` is optional, {"steps": 12, "grid": "karras"}: the time grid on which the classifier is measured.
    """
    del folder
    require(config, "data.num_classes", "schedule", "model", "objective")
    if config.model.get("num_classes"):
        raise ValueError("model.num_classes is not for system 'classifier': classes are what it is asked for")
    noise, law = read.schedule(config), _LAWS.get(config.data.name)
    return fill(
        "objective", classifier, section(config, "objective", "preconditioning", "times"),
        read.network(config), noise,
        shape=read.shape(config), num_classes=config.data.num_classes, ask=read.reading(config, noise).ask,
        names=config.data.get("class_names"), times=read.times(config, noise),
        levels=levels_of.times(config, noise),
        truth=None if law is None else exact.gaussian_mixture(*law()).class_log_prob,
    )  # fmt: skip


def classifier(
    module: nn.Module,
    schedule: Schedule,
    *,
    shape: tuple[int, ...],
    num_classes: int,
    ask: Callable[[NoiseLevel, Array], tuple[Array, Array]] | None = None,
    names: Sequence[str] | None = None,
    times: objectives.TimeSampler | None = None,
    levels: Sequence[float] | np.ndarray = (),
    truth: Callable[[Array, NoiseLevel], Array] | None = None,
) -> System:
    """Make the system.

    Args:
      module: network `(x, t, None) -> logits [B, num_classes]`.
      schedule: any schedule; a denoiser that it steers has the same.
      shape: of one example, e.g. (H, W, C).
      num_classes: K.
      ask: (level, x_t) -> what the network is given as x and t, `prediction.Reading.ask`; default x_t and t.
      names: of the classes, or None.
      times: `objectives.TimeSampler` of the loss; default uniform.
      levels: times `[L]` at which it is measured.
      truth: (x_t, level) -> log p(y | x_t) `[B, K]` where it is known, the Bayes limit.

    Returns:
      A System without passes. Its request is the label; `log_prob` takes `request.encode` of it, classes
      [B], where one outside 0..K-1 is no class and has log probability 0, so that it steers nothing.

    Raises:
      ValueError: if the network does not give a number for each class.
    """
    times = times or objectives.stateless(objectives.uniform(schedule))
    ask = ask or prediction.reading("eps").ask
    inputs = networks.inputs(shape)
    _require_logits(module, inputs, num_classes)

    def init(key, batch, frozen):
        del batch, frozen
        params, extra = networks.init(module, key, *networks.zeros(inputs))
        return params, extra | learned_times.init(times)

    def total(v, key, batch, step):
        del step
        key_t, key_eps, key_network = jax.random.split(key, 3)
        x0, label = batch["x"], batch["label"]
        t, weights = learned_times.draw(times, v, key_t, len(x0))
        level = schedule(t)
        x_t = forward.noised(key_eps, x0, level)
        network, state = networks.training(module, v, key_network)
        logits = network(*ask(level, x_t), None)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
        extra = learned_times.updated(times, {**v.extra, **state()}, t, losses)
        accuracy = (logits.argmax(-1) == label).mean(dtype=losses.dtype)
        return (weights * losses).mean(), (extra, {"accuracy": accuracy})

    def log_probs(v, x_t, level):
        return jax.nn.log_softmax(networks.evaluating(module, v)(*ask(level, x_t), None))

    def log_prob(v):
        def of_class(x_t, level, label):
            label = jnp.broadcast_to(label, x_t.shape[:1])
            known = (label >= 0) & (label < num_classes)
            chosen = jnp.where(known, label, 0)[:, None]
            return jnp.where(known, jnp.take_along_axis(log_probs(v, x_t, level), chosen, 1)[:, 0], 0)

        return of_class

    def features(v):
        """What the blocks make of a picture, see `towers`; without a level of the least noise."""
        least = schedule(jnp.float32(schedule.t_min if schedule.num_steps is None else 1))
        return {"maps": lambda x, level=least: towers.maps(module, v, *ask(level, x))}

    def by_level(v, key, batch):
        """One draw of noise a level: log p(y | x_t) `[B, L, K]`, the label, and the truth if it is known."""

        def at(x_t, level):
            found = {"log_prob": log_probs(v, x_t, level)}
            return found if truth is None else {**found, "bayes": truth(x_t, level)}

        return {"label": batch["label"], **levels_of.at_each(at, key, batch["x"], schedule, levels)}

    by_level.how = levels_of.how(schedule, levels)
    served = networks.served(module, *inputs)
    label = jax.ShapeDtypeStruct((1,), jnp.int32)
    return System(
        example={"x": inputs[0], "label": label},
        init=init,
        # the state of a network (batch statistics) is no mean over rows
        updates=(Update("network", served[:1], from_loss(total, served[:1]), rowwise=len(served) == 1),),
        serves=served,
        request=_request(num_classes, names),
        measures={"by_level": by_level} if len(levels) else {},
        schedule=lambda v: schedule,
        log_prob=log_prob,
        features=features,
    )


def _request(num_classes, names):
    """Return the conditioning of labels, read as a class-conditional model's, and told as they are."""

    def encode(variables, request, keep=None):
        del variables
        label, told = request["label"], None if keep is None else keep.get("label")
        return label if told is None else jnp.where(told, label, num_classes)

    return requests.labels(num_classes, 1, names=names).conditioning._replace(encode=encode)


def _require_logits(module, inputs, num_classes):
    found = networks.given(module, inputs)
    if found != (1, num_classes):
        raise ValueError(
            f"model must give logits [B, {num_classes}], one a class (model.out_features of a half_unet, or "
            f"of an mlp with whole=True); got shape {networks.shown(found)}"
        )

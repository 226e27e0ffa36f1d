"""A noise-aware encoder of pictures, taught by a clean one without labels (Liu et al. 2021, section 3.3).

    config.clean = {"workdir": "runs/digits_clip"}      # any system whose `features` have "image"

What it sees in a noised picture is to be what the frozen clean encoder sees in the picture itself, told apart
from all other pictures of the batch by `objectives.info_nce`. No label or text is read. Semantic guidance
asks it, and the clean one's texts:

    system, variables, _ = commands.load("runs/digits_noise_aware")
    features = system.features(variables)
    seven = features["text"](system.request.of_user({"text": ["seven"]}, 1))
    text = guidance.resembles_text(features["image"], seven)
    image = guidance.resembles_image(features["image"], reference, key=key)
    style = guidance.resembles_style(features["maps"], reference, key=key)
    denoise = guidance.semantic([(100.0, text)])(denoise)
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import objectives
from diffjax.process import forward, prediction
from diffjax.process.level import NoiseLevel, unit_of_each
from diffjax.process.schedules import Schedule
from diffjax.systems import learned_times, networks, read, towers
from diffjax.systems import levels as levels_of
from diffjax.systems import stages as staged
from diffjax.systems.options import fill, require, section
from diffjax.systems.stages import Stage
from diffjax.training.system import Conditioning, System, Update, from_loss
from diffjax.types import Array

SECTIONS = ("data", "clean", "schedule", "model", "objective", "levels")
IDENTITY = ("data", "schedule", "model")

CLEAN = "clean"


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`.

    `objective` has `times`, `preconditioning` and `warm_start`; it and `levels`, the time grid on which the
    encoder is measured, may be missing.
    """
    require(config, CLEAN, "schedule", "model")
    config = ConfigDict({"objective": {}, **config})
    clean, noise = staged.stage(section(config, CLEAN), folder, CLEAN), read.schedule(config)
    return fill(
        "objective", noise_aware, section(config, "objective", "preconditioning", "times"),
        read.network(config), clean, noise,
        shape=read.shape(config), ask=read.reading(config, noise).ask, times=read.times(config, noise),
        levels=levels_of.times(config, noise),
    )  # fmt: skip


def noise_aware(
    module: nn.Module,
    clean: Stage,
    schedule: Schedule,
    *,
    shape: tuple[int, ...],
    ask: Callable[[NoiseLevel, Array], tuple[Array, Array]] | None = None,
    times: objectives.TimeSampler | None = None,
    levels: Sequence[float] | np.ndarray = (),
    warm_start: bool = False,
) -> System:
    """Make the system.

    Args:
      module: network `(x, t, None) -> [B, D]`, D as of the clean encoder.
      clean: a system with `features`, "image" among them: (x, level=None) -> `[B, D]`.
      schedule: any schedule; a denoiser that it steers has the same.
      shape: of one example, e.g. (H, W, C).
      ask: (level, x_t) -> what the network is given as x and t, `prediction.Reading.ask`; default x_t and t.
      times: `objectives.TimeSampler` of the loss; default uniform.
      levels: times `[L]` at which it is measured.
      warm_start: begin with the parameters of the clean encoder, which is then a tower like `module`, as Liu
        et al. do.

    Returns:
      A System without passes, with the `features` of `systems.towers` (their level is needed); "text" is the
      clean one's, and so is the request. Its measure "features_by_level" has "noised" and, of the clean
      encoder on the same noised pictures, "unaware", `[B, L, D]` both, and "clean" `[B, D]`.

    Raises:
      ValueError: if the clean one is no encoder of pictures, or features or a warm start do not fit.
    """
    times = times or objectives.stateless(objectives.uniform(schedule))
    ask = ask or prediction.reading("eps").ask
    inputs, shapes = networks.inputs(shape), clean.shapes()
    _require_like(clean, shapes, inputs[0], towers.width(module, inputs))
    if warm_start:
        _require_same_tower(module, inputs, shapes)

    def init(key, batch, frozen):
        del batch
        params, extra = networks.init(module, key, *networks.zeros(inputs))
        if warm_start:
            params = {networks.NETWORK: jax.tree.map(jnp.copy, frozen[CLEAN].params[networks.NETWORK])}
        return {**params, **towers.start()}, extra | learned_times.init(times)

    def target(v):
        return lambda x, level=None: unit_of_each(clean.system.features(v.frozen[CLEAN])["image"](x, level))

    def total(v, key, batch, step):
        del step
        key_t, key_eps, key_network = jax.random.split(key, 3)
        x0 = batch["x"]
        t, weights = learned_times.draw(times, v, key_t, len(x0))
        level = schedule(t)
        network, state = networks.training(module, v, key_network)
        seen = network(*ask(level, forward.noised(key_eps, x0, level)), None)
        wanted = jax.lax.stop_gradient(target(v)(x0))
        loss, metrics = towers.contrast(v.params, seen, wanted, {"x": x0})
        extra = learned_times.updated(times, {**v.extra, **state()}, t, loss)
        return (weights * loss).mean(), (extra, metrics)

    def features(v):
        network = networks.evaluating(module, v)
        teacher = clean.system.features(v.frozen[CLEAN])
        own = {
            "image": lambda x, level: unit_of_each(network(*ask(level, x), None)),
            "maps": lambda x, level: towers.maps(module, v, *ask(level, x)),
        }
        return own | {name: teacher[name] for name in ("text",) if name in teacher}

    def by_level(v, key, batch):
        """One draw of noise a level; the clean encoder is asked with it and without."""
        x0, own = batch["x"], features(v)["image"]

        def at(x_t, level):
            return {"noised": own(x_t, level), "unaware": target(v)(x_t, level)}

        return {"clean": target(v)(x0), **levels_of.at_each(at, key, x0, schedule, levels)}

    by_level.how = levels_of.how(schedule, levels)
    served = networks.served(module, *inputs)
    moves = (served[0], towers.TEMPERATURE)
    return System(
        example={"x": inputs[0]},
        init=init,
        updates=(Update("network", moves, towers.held_back(from_loss(total, moves)), rowwise=False),),
        serves=served,
        frozen={CLEAN: shapes},
        prepare=staged.prepare({CLEAN: clean}),
        request=_request(clean.system.request),
        measures={"features_by_level": by_level} if len(levels) else {},
        schedule=lambda v: schedule,
        features=features,
        stages={CLEAN: clean},
    )


def _request(own: Conditioning) -> Conditioning:
    """Return the conditioning of the clean encoder, as asked of variables in which it is frozen."""
    return own._replace(
        of_batch=lambda v, key, batch: own.of_batch(v.frozen[CLEAN], key, batch),
        encode=lambda v, request, keep=None: own.encode(v.frozen[CLEAN], request, keep),
    )


def _require_like(clean: Stage, shapes, x: jax.ShapeDtypeStruct, width: int) -> None:
    """Raise a ValueError unless the clean encoder makes features of this size of such pictures."""
    if clean.system.features is None:
        raise ValueError("config.clean must be a run of a system with features, such as 'clip'")
    own = clean.system.example["x"].shape[1:]
    if own != x.shape[1:]:
        raise ValueError(f"config.clean is of examples {tuple(own)}, and the data of {x.shape[1:]}")
    found = jax.eval_shape(lambda v, x: clean.system.features(v)["image"](x), shapes, x).shape
    if found != (1, width):
        raise ValueError(f"model.out_features must be {found[-1]}, as config.clean gives; got {width}")


def _require_same_tower(module: nn.Module, inputs, shapes) -> None:
    own, _ = jax.eval_shape(
        lambda key: networks.init(module, key, *networks.zeros(inputs)), jax.random.key(0)
    )
    about = lambda tree: jax.tree.map(lambda leaf: leaf.shape, tree)
    if about(own[networks.NETWORK]) != about(shapes.params.get(networks.NETWORK)):
        raise ValueError("objective.warm_start needs the model of config.clean, and this one is another")

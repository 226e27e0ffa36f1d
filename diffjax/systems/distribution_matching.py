"""Distribution matching distillation: a generator, and the score of what it makes (DMD2, Yin et al. 2024).

    config.teacher = {"workdir": "runs/digits_v"}
    config.objective = {"fake_updates": 5, "weighting": "snr_plus_one"}
    config.sampler = {"steps": 1}
    config.optimizer = {"fake": {...}, "network": {...}}  # one section a player

Generator and score of the fakes begin as the teacher. In a step the score learns what the generator makes,
`fake_updates` times on fresh noise, and then the generator is moved by the difference of the two scores. With
`objective.adversarial` a critic of noised pictures, the network of `config.critic`, adds its loss to both. Of
several steps the generator is asked at each of `sampler.levels`, of noised samples of its own as it will see
them (backward simulation).
"""

from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import checks, flow_maps, guidance, objectives, samplers
from diffjax.objectives import adversarial as games
from diffjax.objectives.guided_distillation import x0_error
from diffjax.objectives.weightings import Weighting
from diffjax.process import forward
from diffjax.process.level import expand
from diffjax.process.schedules import Schedule
from diffjax.samplers import starts
from diffjax.systems import networks, null_guidance, read
from diffjax.systems.consistency_rules import Ends, to_data
from diffjax.systems.options import fill, named, number, pick, require, section
from diffjax.systems.requests import nothing
from diffjax.systems.stages import Stage
from diffjax.systems.students import TEACHER, few_steps, levels_at, own_of, required_teacher, stateless
from diffjax.training.system import System, Update, from_loss

NEEDED = ("data", "teacher", "objective", "sampler")
SECTIONS = (*NEEDED, "critic")
IDENTITY = ("data", "critic")
FAKE, CRITIC = "fake", "critic"  # names of params: fake_network, ...; and of the first update


class Critic(NamedTuple):
    """An opponent of noised pictures.

    Attributes:
      module: network `(x, t, None) -> logits [B, ...]`.
      game: losses of both.
      weight: of the generator's loss.
    """

    module: Any
    game: games.Game
    weight: float


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`, of which it needs `NEEDED`."""
    require(config, *NEEDED)
    teacher = required_teacher(config, folder)
    noise = teacher.system.schedule(None)
    options = section(config, "objective", "times", "sigma_max")
    options["weighting"] = read.weighting(options.get("weighting", "snr_plus_one"))
    options["critic"] = _critic(config, options.pop("adversarial", None))
    ends = Ends(sigma_max=number("objective.sigma_max", config.objective.get("sigma_max", 80.0), 1e-6))
    times = stateless(read.times(config, noise))
    walk = to_data(config, ends, noise)
    return fill("objective", distribution_matching, options, teacher, noise, walk, times=times)


def distribution_matching(
    teacher: Stage,
    schedule: Schedule,
    walked_times: np.ndarray,
    *,
    times: objectives.TimeSampler,
    fake_updates: int = 5,
    weighting: Weighting | None = None,
    guidance_weight: float = 0.0,
    critic: Critic | None = None,
) -> System:
    """Make the system.

    Args:
      teacher: a system with a denoiser.
      schedule: the teacher's.
      walked_times: that samples are walked along, from noise to data; all but the last are the generator's.
      times: `objectives.TimeSampler` without a state, of the noise that both scores are compared under.
      fake_updates: of the score of the fakes, for each of the generator.
      weighting: level -> weight of the error of x_0 of that score; None is 1.
      guidance_weight: w of the teacher's score, of a model with a null.
      critic: Critic, or None.

    Raises:
      ValueError: for a number out of its range.
    """
    base = teacher.system
    checks.count("objective.fake_updates", fake_updates)
    null_guidance.require_null({}, number("objective.guidance_weight", guidance_weight), base.request)
    own, shape = own_of(base, teacher), base.example["x"].shape[1:]
    begin = schedule(walked_times[:-1])
    fakes = tuple(f"{FAKE}_{name}" for name in base.serves)
    solver = samplers.jump(renoise=True)
    rows = samplers.plan(schedule, solver, walked_times).steps
    hops = [samplers.Rows(jax.tree.map(itemgetter(slice(i, i + 1)), rows)) for i in range(len(begin.t) - 1)]

    def flow_map(v, key=None):
        return flow_maps.of_denoiser(base.denoiser(own(v), key))

    def init(key, batch, frozen):
        params, copied = dict(frozen[TEACHER].params), frozen[TEACHER].params
        params |= {f"{FAKE}_{name}": jax.tree.map(jnp.copy, copied[name]) for name in base.serves}
        if critic is not None:
            inputs = networks.zeros(networks.inputs(shape, critic.module))
            params |= networks.init(critic.module, key, *inputs, name=CRITIC)[0]
        return params, {}

    def of_fakes(v):
        return own(v, {name: v.params[f"{FAKE}_{name}"] for name in base.serves})

    def made(v, key, batch):
        """Return what the generator makes of noise `[B, ...]`, what was asked, and a key for the rest."""
        key_walk, key_which, key_asked, key_network, key_rest = jax.random.split(key, 5)
        n = len(batch["x"])
        asked = base.request.of_batch(own(v), key_asked, batch)
        cond, keys = base.request.encode(own(v), asked), jax.random.split(key_walk, n)
        seen = [starts.start_of(keys, schedule, (n, *shape), walked_times)]
        for row, own_keys in zip(hops, _split(keys, len(hops))):  # as it will be walked
            seen.append(samplers.walk(own_keys, flow_map(v), solver, row, seen[-1], cond=cond))
        which = jax.random.randint(key_which, (n,), 0, len(begin.t))
        x = jnp.stack(seen)[which, jnp.arange(n)]
        x = base.denoiser(own(v), key_network)(jax.lax.stop_gradient(x), levels_at(begin, which), cond).x0
        return x, asked, key_rest

    def noised(key, x):
        key_t, key_eps = jax.random.split(key)
        level = schedule(times.draw(key_t, (), len(x))[0])
        return jax.random.normal(key_eps, x.shape, x.dtype), level

    def says(v, x_t, level):
        """Return the critic's numbers of noised pictures, which it sees at unit scale."""
        scale = 1 / jnp.hypot(level.alpha, level.sigma)
        told = jnp.broadcast_to(-0.125 * level.log_snr, x_t.shape[:1])
        network = networks.evaluating(critic.module, v, CRITIC)
        return network(expand(scale, x_t) * x_t, told, None)

    def learn_fakes(v, key, batch, step):
        del step
        x, asked, key = made(v, key, batch)
        x = jax.lax.stop_gradient(x)
        key, key_network = jax.random.split(key)
        eps, level = noised(key, x)
        x_t = forward.perturb(x, eps, level)
        told = base.request.encode(of_fakes(v), asked)
        loss = x0_error(
            base.denoiser(of_fakes(v), key_network)(x_t, level, told).x0, x, level, weighting
        ).mean()
        if critic is None:
            return loss, (v.extra, {})
        real = forward.perturb(batch["x"], eps, level)
        against = critic.game.discriminator(says(v, real, level), says(v, x_t, level)).mean()
        return loss + against, (v.extra, {"critic": against})

    def learn(v, key, batch, step):
        del step
        x, asked, key = made(v, key, batch)
        eps, level = noised(key, x)
        taught = v.frozen[TEACHER]
        real = base.denoiser(taught)
        if guidance_weight:
            null = nothing(base.request, taught, asked, len(x))
            real = guidance.classifier_free(weight=guidance_weight, null=null)(real)
        losses, aux = objectives.distribution_matching(
            x, eps, level, real, base.denoiser(of_fakes(v)), real_cond=base.request.encode(taught, asked),
            fake_cond=base.request.encode(of_fakes(v), asked),
        )  # fmt: skip
        gradient = {"gradient": jnp.sqrt((aux["gradient"] ** 2).mean())}
        if critic is None:
            return losses.mean(), (v.extra, gradient)
        against = critic.game.generator(says(v, forward.perturb(x, eps, level), level)).mean()
        return losses.mean() + critic.weight * against, (v.extra, {**gradient, "fooled": against})

    moved = fakes if critic is None else (*fakes, CRITIC)
    updates = (
        Update(FAKE, moved, from_loss(learn_fakes, moved), repeats=fake_updates),
        Update("network", base.serves, from_loss(learn, base.serves)),
    )
    return few_steps(base, teacher, schedule, walked_times, flow_map=flow_map, init=init, updates=updates)


def _split(keys, n):
    """Return n keys of each key `[B]`, `[n, B]`."""
    return jnp.swapaxes(jax.vmap(lambda key: jax.random.split(key, n))(keys), 0, 1) if n else []


def _critic(config: ConfigDict, value: Any) -> Critic | None:
    """Read `objective.adversarial`, {"name": a game, "weight": ...}, and the network of `config.critic`."""
    name, options = named(value, "objective.adversarial")
    if name is None:
        if config.get("critic") is not None:
            raise ValueError("config.critic must be left out without objective.adversarial")
        return None
    require(config, "critic")
    game = pick("objective.adversarial", name, games.GAMES)
    weight = number("objective.adversarial.weight", options.pop("weight", 1e-3), 0)
    if options:
        raise ValueError(f"objective.adversarial.{next(iter(options))} is not an option: weight is")
    module = read.network(ConfigDict({"model": config.critic, "data": config.data}))
    networks.require_params_alone(module, *networks.inputs(read.shape(config), module))
    return Critic(module, game, weight)

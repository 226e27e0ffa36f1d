"""Energy-based models: one energy of clean data, no noise levels.

`ebm` trains it by contrastive divergence (Hinton 2002; Du & Mordatch 2019). The model's samples come from
short Langevin chains, and a `Starts` says where they begin: in a replay buffer (`persistent`), at the data
(`at_data`, CD-k), or in noise (`afresh`: chains that never mix, whose energy is then no density, Nijkamp et
al. 2019). `score_matched` trains the same network without chains: its score -grad E is matched to the data's.
"""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import objectives, samplers
from diffjax.objectives import replay, score_matching, weightings
from diffjax.process import checks, schedules
from diffjax.process import energy as energies
from diffjax.samplers.mcmc.short_run import check
from diffjax.systems import networks, read
from diffjax.systems.options import call, chosen, fill, require, section
from diffjax.training.system import Pass, System, Update, Variables, from_loss
from diffjax.types import Array

Chain = Callable[..., Array]  # (key or keys, network of the score, x `[B, ...]`) -> x
Matching = Callable[[Array, Callable, Array], Array]  # (key, network of the score, x) -> losses `[B]`

SECTIONS = ("data", "model", "objective", "sampler")
IDENTITY = ("data", "model")


def from_config(config: ConfigDict, folder: str | Path | None = None) -> System:
    """Build the system of a config with sections `SECTIONS`.

    `objective.loss` is "contrastive_divergence" or the name of a score matching.
    """
    del folder
    read.require_no_schedule(config)
    require(config, *SECTIONS)
    options, walk = section(config, "objective"), section(config, "sampler")
    if walk.pop("guidance_weight", 0.0):
        raise ValueError("sampler.guidance_weight is not for system 'ebm'")
    read.require_unconditional(config)
    sampler = Sampler(call("sampler", langevin, walk), config.sampler.steps)
    common = {"shape": read.shape(config), "gives": read.gives(config)}
    module, losses = read.network(config), _MATCHINGS | {"contrastive_divergence": _contrastive_divergence}
    matching = chosen("objective.loss", options.pop("loss", "contrastive_divergence"), losses)
    if matching is not None:
        return fill("objective", score_matched, options, module, matching, sampler, **common)
    starts = chosen("objective.starts", options.pop("starts", "persistent"), _STARTS)
    own = [key for key in inspect.signature(langevin).parameters if key in options]
    chain = call("objective", langevin, {key: options.pop(key) for key in own})
    return fill("objective", ebm, options, module, starts, chain, sampler, **common)


def _contrastive_divergence():
    """Return no matching: training is by chains."""


class Sampler(NamedTuple):
    """The chain of `sample`, (keys, network, x) -> x, and how many steps it makes."""

    chain: Chain
    steps: int


class Starts(NamedTuple):
    """Where the chains of training begin, as pure functions.

    Attributes:
      init: (key, uniform) -> buffer, or None for none, with uniform: (key, n) -> `[n, ...]` noise.
      draw: (key, buffer, x, fresh) -> starts and a token; x is data and fresh is noise, all `[B, ...]`.
      put: (buffer, token, x_model) -> buffer.
    """

    init: Callable
    draw: Callable
    put: Callable


def persistent(size: int = 10_000, share: float = 0.95) -> Starts:
    """Go on from a replay buffer of `size` chains with probability `share`, see `objectives.replay`.

    Raises:
      ValueError: if size is not a positive integer, or share is outside [0, 1].
    """
    size = checks.count("size", size)
    if not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ValueError(f"share must be a number in [0, 1], got {share!r}")
    return Starts(
        lambda key, uniform: uniform(key, size),
        lambda key, buffer, x, fresh: replay.draw(key, buffer, fresh, share),
        replay.put,
    )


def at_data() -> Starts:
    """Begin at the data of the batch: CD-k of Hinton 2002."""
    return Starts(
        lambda key, uniform: None, lambda key, buffer, x, fresh: (x, None), lambda buffer, *_: buffer
    )


def afresh() -> Starts:
    """Begin in new noise at every step of training."""
    return Starts(
        lambda key, uniform: None, lambda key, buffer, x, fresh: (fresh, None), lambda buffer, *_: buffer
    )


def langevin(
    steps: int,
    step_size: float,
    noise_std: float | None = None,
    max_score: float | None = None,
    box: tuple[float, float] | None = None,
) -> Chain:
    """Return the chain (key, network, x) -> x of `samplers.short_run`, `steps` long.

    Raises:
      ValueError: if steps is not a positive integer, or another option is out of range.
    """
    steps = checks.count("steps", steps)
    check(step_size, noise_std, max_score, box)
    return partial(
        samplers.short_run, num_steps=steps, step_size=step_size, noise_std=noise_std, max_score=max_score,
        box=box,
    )  # fmt: skip


def energy(module: nn.Module) -> Callable[[Variables], Callable]:
    """Return variables -> energy (x, t, cond) -> `[B]`, of a network with one output for each sample."""

    def of(variables):
        network = networks.evaluating(module, variables)

        def e(x, t, cond=None):
            out = network(x, t, cond)
            return out[:, 0] if out.ndim == 2 and out.shape[1] == 1 else out

        return e

    return of


def ebm(
    module: nn.Module,
    starts: Starts,
    chain: Chain,
    sampler: Sampler,
    *,
    shape: tuple[int, ...],
    gives: str = "images",
    start: tuple[float, float] = (-1.0, 1.0),
    regularization: float = 0.0,
    data_noise: float = 0.0,
) -> System:
    """Make the system.

    Args:
      module: network `(x, t, cond) -> [B]` or `[B, 1]`; t is 0.
      starts: Starts of the training's chains.
      chain: (key, network, x) -> x, the chain of training, see `langevin`.
      sampler: Sampler, usually longer.
      shape: of one example, e.g. (H, W, C).
      gives: "images" or "points".
      start: (lo, hi) of the uniform noise where fresh chains begin.
      regularization: of the energies' squares, see `objectives.contrastive_divergence`.
      data_noise: standard deviation of noise added to the data.

    Returns:
      A System; its `extra["buffer"]` is the replay buffer `[N, ...]`, if there is one. Sampling begins in
      noise.

    Raises:
      ValueError: for an option out of range; when traced, if the network does not give one number for each
        sample.
    """
    checks.not_negative("regularization", regularization)
    checks.not_negative("data_noise", data_noise)
    uniform = _uniform(start, shape)

    def init(key, batch, frozen):
        del batch, frozen
        key_params, key_extra = jax.random.split(key)
        params, extra = _network(module, key_params, shape)
        buffer = starts.init(key_extra, uniform)
        return params, extra | ({} if buffer is None else {"buffer": buffer})

    def total(v, key, batch, step):
        del step
        key_noise, key_fresh, key_draw, key_chain = jax.random.split(key, 4)
        x = _noisy(key_noise, batch["x"], data_noise)
        fresh = uniform(key_fresh, len(x)).astype(x.dtype)
        begin, token = starts.draw(key_draw, v.extra.get("buffer"), x, fresh)
        fixed = energy(module)(v._replace(params=jax.lax.stop_gradient(v.params)))
        x_model = chain(key_chain, energies.score(fixed), begin)
        losses, aux = objectives.contrastive_divergence(
            energy(module)(v), x, x_model, regularization=regularization
        )
        kept = {"buffer": starts.put(v.extra["buffer"], token, x_model)} if "buffer" in v.extra else {}
        return losses.mean(), ({**v.extra, **kept}, {name: each.mean() for name, each in aux.items()})

    return _system(module, init, total, sampler, uniform, shape, gives)


def denoising(sigma: float) -> Matching:
    """Match the score at the one noise level sigma: denoising score matching, weighted by sigma^2.

    The energy is that of the data with that much noise (Vincent 2011).

    Raises:
      ValueError: unless sigma is positive and finite.
    """
    checks.positive("sigma", sigma)
    level = schedules.edm()(np.float64(sigma))._replace(t=0.0)  # one level: the energy needs no time

    def loss(key, network, x):
        eps = jax.random.normal(key, x.shape, x.dtype)
        return score_matching.denoising(network, x, eps, level, weighting=weightings.snr())[0]

    return loss


def implicit() -> Matching:
    """Match the score by Hyvarinen's loss with the exact Laplacian: D derivatives, for small D."""
    return lambda key, network, x: score_matching.implicit(network, x)[0]


def sliced(reduced_variance: bool = True) -> Matching:
    """Match the score along one random direction of signs (Song et al. 2019)."""
    form = score_matching.sliced_vr if reduced_variance else score_matching.sliced
    return lambda key, network, x: form(network, x, jax.random.rademacher(key, x.shape, x.dtype))[0]


def score_matched(
    module: nn.Module,
    matching: Matching,
    sampler: Sampler,
    *,
    shape: tuple[int, ...],
    gives: str = "images",
    start: tuple[float, float] = (-1.0, 1.0),
    data_noise: float = 0.0,
) -> System:
    """Make the system.

    Args:
      matching: (key, network of the score, x) -> losses `[B]`: `denoising(sigma)`, `implicit()` or
        `sliced()`. The last two match a density, so that discrete data need data_noise.
      module, sampler, shape, gives, start, data_noise: see `ebm`. The network's activations must be smooth,
        as the loss is differentiated once more.

    Returns:
      A System without a buffer.

    Raises:
      ValueError: for an option out of range; when traced, if the network does not give one number for each
        sample.
    """
    checks.not_negative("data_noise", data_noise)
    uniform = _uniform(start, shape)

    def init(key, batch, frozen):
        del batch, frozen
        return _network(module, jax.random.split(key)[0], shape)  # that of `ebm` from the same key

    def total(v, key, batch, step):
        del step
        key_noise, key_loss = jax.random.split(key)
        x = _noisy(key_noise, batch["x"], data_noise)
        return matching(key_loss, energies.score(energy(module)(v)), x).mean(), (v.extra, {})

    return _system(module, init, total, sampler, uniform, shape, gives)


_MATCHINGS = {"denoising": denoising, "implicit": implicit, "sliced": sliced}
_STARTS = {"persistent": persistent, "data": at_data, "afresh": afresh}


def _uniform(start, shape):
    checks.interval("start", start)
    lo, hi = start
    return lambda key, n: jax.random.uniform(key, (n, *shape), minval=lo, maxval=hi)


def _noisy(key, x, std):
    return x + std * jax.random.normal(key, x.shape, x.dtype)


def _network(module, key, shape):
    return networks.init(module, key, jnp.zeros((1, *shape)), jnp.zeros(1))


def _system(module, init, total, sampler, uniform, shape, gives):
    def walk(v, keys, asked, made):
        del asked, made
        # 0 is a fold of its own: the chain's steps are 1, 2, ...
        begin = jax.vmap(lambda k: uniform(jax.random.fold_in(k, 0), 1)[0])(keys)
        return sampler.chain(keys, energies.score(energy(module)(v)), begin)

    inputs = networks.inputs(shape)
    networks.require_params_alone(module, *inputs)
    return System(
        example={"x": inputs[0]},
        init=init,
        updates=(Update("network", ("network",), from_loss(total, ("network",))),),
        serves=("network",),
        passes=(Pass("chain", walk, {"energy gradients": sampler.steps}),),
        gives=gives,
    )

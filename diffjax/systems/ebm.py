"""Energy-based models by contrastive divergence (Hinton 2002; Du & Mordatch 2019).

One energy of clean data, no noise levels. The model's samples come from short Langevin chains, and a `Starts`
says where they begin: in a replay buffer (`persistent`), at the data (`at_data`, CD-k), or in noise
(`afresh`: chains that never mix, whose energy is then no density, Nijkamp et al. 2019).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffjax import objectives, samplers
from diffjax.objectives import replay
from diffjax.process import energy as energies
from diffjax.samplers.walk import per_sample
from diffjax.training.system import System, from_loss


class Starts(NamedTuple):
    """Where the chains of training begin, as pure functions.

    Attributes:
      init: (key, uniform) -> extra, with uniform: (key, n) -> `[n, ...]` noise.
      draw: (key, extra, x, fresh) -> starts and a token; x is data and fresh is noise, all `[B, ...]`.
      put: (extra, token, x_model) -> extra.
    """

    init: Callable
    draw: Callable
    put: Callable


def persistent(size=10_000, share=0.95):
    """Go on from a replay buffer of `size` chains with probability `share`, see `objectives.replay`."""
    return Starts(
        lambda key, uniform: uniform(key, size),
        lambda key, buffer, x, fresh: replay.draw(key, buffer, fresh, share),
        replay.put,
    )


def at_data():
    """Begin at the data of the batch: CD-k of Hinton 2002."""
    return Starts(lambda key, uniform: (), lambda key, extra, x, fresh: (x, None), lambda extra, *_: extra)


def afresh():
    """Begin in new noise at every step of training."""
    return Starts(
        lambda key, uniform: (), lambda key, extra, x, fresh: (fresh, None), lambda extra, *_: extra
    )


def langevin(steps, step_size, noise_std=None, max_score=None, box=None):
    """Return the chain (key, network, x) -> x of `samplers.short_run`, `steps` long.

    Raises:
      ValueError: if there are no steps, or step_size is not positive.
    """
    if steps < 1 or step_size <= 0:
        raise ValueError(f"steps must be >= 1 and step_size > 0, got {steps} and {step_size:g}")
    return partial(
        samplers.short_run, num_steps=steps, step_size=step_size, noise_std=noise_std, max_score=max_score,
        box=box,
    )  # fmt: skip


def energy(module):
    """Return params -> energy (x, t, cond) -> `[B]`, of a network with one output for each sample."""

    def of(params):
        def e(x, t, cond=None):
            out = module.apply(params, x, t, cond)
            return out[:, 0] if out.ndim == 2 and out.shape[1] == 1 else out

        return e

    return of


def ebm(module, starts, chain, sampler, *, shape, start=(-1.0, 1.0), regularization=0.0, data_noise=0.0):
    """Make the system.

    Args:
      module: network `(x, t, cond) -> [B]` or `[B, 1]`; t is 0.
      starts: Starts of the training's chains.
      chain: (key, network, x) -> x, the chain of training, see `langevin`.
      sampler: the chain of `sample`, usually longer.
      shape: of one example, e.g. (H, W, C).
      start: (lo, hi) of the uniform noise where fresh chains begin.
      regularization: of the energies' squares, see `objectives.contrastive_divergence`.
      data_noise: standard deviation of noise added to the data.

    Returns:
      A System; its `extra` is the replay buffer `[N, ...]`, or `()`. `sample` begins in noise.

    Raises:
      ValueError: when traced, if the network does not give one number for each sample.
    """
    lo, hi = start
    uniform = lambda key, n: jax.random.uniform(key, (n, *shape), minval=lo, maxval=hi)

    def init(key):
        key_params, key_extra = jax.random.split(key)
        params = module.init(key_params, jnp.zeros((1, *shape)), jnp.zeros(1))
        return params, starts.init(key_extra, uniform), ()

    def total(params, extra, frozen, key, batch, step):
        key_noise, key_fresh, key_draw, key_chain = jax.random.split(key, 4)
        x = batch["x"] + data_noise * jax.random.normal(key_noise, batch["x"].shape, batch["x"].dtype)
        begin, token = starts.draw(key_draw, extra, x, uniform(key_fresh, len(x)).astype(x.dtype))
        fixed = energy(module)(jax.lax.stop_gradient(params))
        x_model = chain(key_chain, energies.score(fixed), begin)
        losses, aux = objectives.contrastive_divergence(
            energy(module)(params), x, x_model, regularization=regularization
        )
        metrics = {name: each.mean() for name, each in aux.items()}
        return losses.mean(), (starts.put(extra, token, x_model), metrics)

    def sample(params, extra, frozen, key, cond, n):
        keys = per_sample(key, n)
        # 0 is a fold of its own: the chain's steps are 1, 2, ...
        begin = jax.vmap(lambda k: uniform(jax.random.fold_in(k, 0), 1)[0])(keys)
        return sampler(keys, energies.score(energy(module)(params)), begin)

    return System(init, from_loss(total), sample)

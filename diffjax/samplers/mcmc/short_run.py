"""Langevin dynamics of one energy: no noise level changes, so no schedule and no plan."""

from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.keys import per_sample
from diffjax.process import checks, prediction
from diffjax.process.prediction import Network
from diffjax.samplers.starts import carried
from diffjax.types import Array, Float, Key


@checked
def short_run(
    key: Key[Array, "..."],
    network: Network,
    x: Float[Array, "batch *shape"],
    *,
    num_steps: int,
    step_size: float,
    noise_std: float | None = None,
    max_score: float | None = None,
    box: tuple[float, float] | None = None,
    t: float | Float[Array, " batch"] = 0.0,
    cond: Any = None,
) -> Float[Array, "batch *shape"]:
    """Walk x <- x + step_size s(x) + noise_std z for a few steps (Nijkamp et al. 2019).

    With noise_std = sqrt(2 step_size) this is the unadjusted Langevin algorithm, of whose stationary law the
    step's size is the only error: on N(0, 1) the variance is 1 / (1 - step_size / 2). With less noise the
    samples are those of a colder energy, step_size 2 / noise_std^2 times E: images are sampled so.

    Args:
      key: one key, or `[B]` keys, one a chain.
      network: (x `[B, ...]`, t `[B]`, cond) -> score `[B, ...]`, e.g. `process.energy.score(E)`.
      x: `[B, ...]` starts.
      num_steps: K, as many network calls.
      step_size: half of Du & Mordatch's lambda.
      noise_std: of each step; None for sqrt(2 step_size).
      max_score: each entry of the score is clipped to [-max_score, max_score]; None for no clipping.
      box: (lo, hi) to which x is clipped after each step; None for no box.
      t: scalar or `[B]`, handed to the network.
      cond: condition handed to the network.

    Returns:
      x `[B, ...]`.

    Raises:
      ValueError: for an option out of range, or a score that is not shaped like x.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from diffjax import samplers
      >>> score, x = lambda x, t, cond: -x, jnp.zeros((4, 2))
      >>> samplers.short_run(jax.random.key(0), score, x, num_steps=3, step_size=0.1).shape
      (4, 2)
    """
    num_steps = checks.count("num_steps", num_steps)
    check(step_size, noise_std, max_score, box)
    std = (2 * step_size) ** 0.5 if noise_std is None else noise_std
    x, keys = carried(x), per_sample(key, len(x))
    t = prediction.times(t, x)

    def one(x, i):
        z = jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, i), x.shape[1:], x.dtype))(keys)
        s = checks.same_shape("the network's score", network(x, t, cond), x).astype(x.dtype)
        s = s if max_score is None else jnp.clip(s, -max_score, max_score)
        x = x + step_size * s + std * z
        return (x if box is None else jnp.clip(x, *box)), None

    return jax.lax.scan(one, x, jnp.arange(1, num_steps + 1))[0]


def check(
    step_size: float,
    noise_std: float | None = None,
    max_score: float | None = None,
    box: tuple[float, float] | None = None,
) -> None:
    """Raise ValueError for an option of `short_run` that is out of range."""
    checks.positive("step_size", step_size)
    if noise_std is not None:
        checks.not_negative("noise_std", noise_std)
    if max_score is not None and not max_score > 0:
        raise ValueError(f"max_score must be positive, or None for no clipping; got {max_score!r}")
    if box is not None:
        checks.interval("box", box)

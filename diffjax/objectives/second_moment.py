"""Importance sampling of a chain's times by the second moment of their loss.

Nichol & Dhariwal 2021, sec. 3.3: p_n proportional to sqrt(E[L_n^2]) from the last losses of each time,
uniform until every time has a full history. Loss values are weighted by 1 / (T p_n), which keeps the
expectation that of uniform times.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.objectives.times import TimeSampler
from diffjax.process import checks
from diffjax.process.schedules import Chain
from diffjax.types import Array, Float, Int, Key


class History(NamedTuple):
    """The last losses of each time.

    Attributes:
      losses: `[T, H]`, oldest first; row n - 1 belongs to time n.
      counts: `[T]`, how many of them are filled.
    """

    losses: Float[Array, "steps length"]
    counts: Int[Array, "steps"]


@checked
def sampler(schedule: Chain, length: int = 10, uniform_share: float = 0.001) -> TimeSampler:
    """Return the TimeSampler of a chain that draws by these probabilities; its state is a History.

    Args:
      schedule: a chain.
      length, uniform_share: see `init` and `probabilities`.

    Raises:
      ValueError: for a continuous schedule.

    Example:
      >>> import jax
      >>> from diffjax.objectives import second_moment
      >>> from diffjax.process import schedules
      >>> times = second_moment.sampler(schedules.linear_beta(10))
      >>> t, weights = times.draw(jax.random.key(0), times.init(), 3)
      >>> weights.tolist()
      [1.0, 1.0, 1.0]
    """
    return TimeSampler(
        init=lambda: init(schedule.num_steps, length),
        draw=lambda key, history, n: draw(key, history, n, uniform_share),
        update=lambda history, times, losses: update(history, times, jax.lax.stop_gradient(losses)),
    )


@checked
def init(num_steps: int, length: int = 10) -> History:
    """Return an empty history of `length` losses for each of the times 1..num_steps, both at least 1."""
    checks.count("num_steps", num_steps)
    checks.count("length", length)
    return History(jnp.zeros((num_steps, length)), jnp.zeros(num_steps, int))


@checked
def probabilities(history: History, uniform_share: float = 0.001) -> Float[Array, "steps"]:
    """Return p_n, `[T]`, summing to 1.

    Args:
      history: History.
      uniform_share: probability mass spread evenly, so that no time is forgotten, in [0, 1].
    """
    checks.within("uniform_share", uniform_share, 0, 1)
    num_steps, length = history.losses.shape
    root = jnp.sqrt(jnp.mean(history.losses**2, axis=1))
    total = jnp.sum(root)
    some = total > 0  # where all losses are 0, all times are alike
    p = (1 - uniform_share) * root / jnp.where(some, total, 1) + uniform_share / num_steps
    return jnp.where(some & (history.counts == length).all(), p, 1 / num_steps)


@checked
def draw(
    key: Key[Array, ""], history: History, n: int, uniform_share: float = 0.001
) -> tuple[Int[Array, "n"], Float[Array, "n"]]:
    """Return n times in 1..T and their importance weights 1 / (T p), both `[n]`."""
    p = probabilities(history, uniform_share)
    times = 1 + jax.random.categorical(key, jnp.log(p), shape=(n,))
    return times, importance(history, times, uniform_share)


@checked
def importance(history: History, times: Int[Array, "n"], uniform_share: float = 0.001) -> Float[Array, "n"]:
    """Return the importance weights 1 / (T p) of times `[n]`."""
    checks.within("times", times, 1, len(history.counts))
    p = probabilities(history, uniform_share)
    return 1 / (len(p) * p[times - 1])


@checked
def update(history: History, times: Int[Array, "n"], losses: Float[Array, "n"]) -> History:
    """Return the history with a batch of losses, entered one after another.

    Args:
      history: History.
      times: `[B]` in 1..T; one may occur several times.
      losses: `[B]`, unweighted.
    """
    checks.within("times", times, 1, len(history.counts))
    length = history.losses.shape[1]

    def enter(history, pair):
        time, loss = pair
        row, count = history.losses[time - 1], history.counts[time - 1]
        full = jnp.concatenate([row[1:], loss[None]])
        row = jnp.where(count == length, full, row.at[jnp.minimum(count, length - 1)].set(loss))
        counts = history.counts.at[time - 1].set(jnp.minimum(count + 1, length))
        return History(history.losses.at[time - 1].set(row), counts), None

    losses = jnp.asarray(losses, history.losses.dtype)
    return jax.lax.scan(enter, history, (jnp.asarray(times), losses))[0]

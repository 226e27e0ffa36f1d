"""The losses of two players: a generator G makes x~ = G(z), a discriminator D tells it from data x.

D answers with one number, the logit of "data" (for Wasserstein's distance a value on any scale):

    V(D, G) = E log sigmoid D(x) + E log(1 - sigmoid D(x~)),   max over D, min over G                  (1)

(Goodfellow et al. 2014, eq. 1). Against the best D, which is log p(x) / q(x), it is -log 4 + 2 JSD(p, q):
what D says tells G where data are. How D is kept from saying it too sharply is the penalties' matter.

A D of patches gives several numbers a sample, `[B, ...]`; a loss is `[B]`, the mean over them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.level import mean_of_each, sum_of_each
from diffjax.types import Array, Float

Critic = Callable[[Array], Any]  # x `[B, ...]` -> `[B, ...]`; a sample's numbers depend on that sample alone


@checked
def cross_entropy(
    real: Float[Array, "batch *places"], fake: Float[Array, "batch *places"]
) -> Float[Array, " batch"]:
    """Return the discriminator's loss of (1), -V: softplus(-D(x)) + softplus(D(x~)).

    Args:
      real: `[B, ...]`, D at data.
      fake: `[B, ...]`, D at what the generator made.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import adversarial
      >>> undecided = adversarial.cross_entropy(jnp.zeros(1), jnp.zeros(1))
      >>> round(float(undecided[0]), 4)  # log 4
      1.3863
    """
    return mean_of_each(jax.nn.softplus(-real) + jax.nn.softplus(fake))


@checked
def saturating(fake: Float[Array, "batch *places"]) -> Float[Array, " batch"]:
    """Return the generator's loss of (1), log(1 - sigmoid D(x~)) = -softplus(D(x~)).

    Its slope in D is -sigmoid D: it vanishes where D is sure of a fake, as it is when training begins.

    Args:
      fake: `[B, ...]`, D at what the generator made.

    Example:
      >>> import jax
      >>> from diffjax.objectives import adversarial
      >>> slope = jax.grad(lambda d: adversarial.saturating(d[None])[0])
      >>> round(float(slope(-5.0)), 4)
      -0.0067
    """
    return mean_of_each(-jax.nn.softplus(fake))


@checked
def non_saturating(fake: Float[Array, "batch *places"]) -> Float[Array, " batch"]:
    """Return the generator's other loss, -log sigmoid D(x~) = softplus(-D(x~)) (Goodfellow 2014, sec. 3).

    Its slope in D is sigmoid D - 1, which is `saturating`'s times exp(-D): the same direction, and 1 in size
    where D is sure of a fake.

    Args:
      fake: `[B, ...]`, D at what the generator made.

    Example:
      >>> import jax
      >>> from diffjax.objectives import adversarial
      >>> slope = jax.grad(lambda d: adversarial.non_saturating(d[None])[0])
      >>> round(float(slope(-5.0)), 4)
      -0.9933
    """
    return mean_of_each(jax.nn.softplus(-fake))


@checked
def hinge(real: Float[Array, "batch *places"], fake: Float[Array, "batch *places"]) -> Float[Array, " batch"]:
    """Return the discriminator's hinge, max(0, 1 - D(x)) + max(0, 1 + D(x~)) (Lim & Ye 2017, eq. 12).

    What is right by a margin of 1 moves nothing; the generator's part is `critic_value`.

    Args:
      real: `[B, ...]`, D at data.
      fake: `[B, ...]`, D at what the generator made.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import adversarial
      >>> adversarial.hinge(jnp.array([2.0, 0.5]), jnp.array([-1.0, -1.0])).tolist()
      [0.0, 0.5]
    """
    return mean_of_each(jax.nn.relu(1 - real) + jax.nn.relu(1 + fake))


@checked
def wasserstein(
    real: Float[Array, "batch *places"], fake: Float[Array, "batch *places"]
) -> Float[Array, " batch"]:
    """Return the critic's loss D(x~) - D(x), whose infimum over 1-Lipschitz D is -W_1 (Arjovsky 2017, eq. 2).

    That D is 1-Lipschitz is not its own doing: `gradient_penalty`, or a network with spectral norm.

    Args:
      real: `[B, ...]`, D at data.
      fake: `[B, ...]`, D at what the generator made.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import adversarial
      >>> adversarial.wasserstein(jnp.array([3.0]), jnp.array([1.0])).tolist()
      [-2.0]
    """
    return mean_of_each(fake - real)


@checked
def critic_value(fake: Float[Array, "batch *places"]) -> Float[Array, " batch"]:
    """Return the generator's loss -D(x~) against a hinge or Wasserstein's critic.

    Args:
      fake: `[B, ...]`, D at what the generator made.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import adversarial
      >>> adversarial.critic_value(jnp.array([3.0])).tolist()
      [-3.0]
    """
    return mean_of_each(-fake)


class Game(NamedTuple):
    """The losses of both players.

    Attributes:
      discriminator: (D(x), D(x~)) -> `[B]`.
      generator: D(x~) -> `[B]`.
    """

    discriminator: Callable[[Array, Array], Array]
    generator: Callable[[Array], Array]


GAMES = {
    "non_saturating": Game(cross_entropy, non_saturating),
    "saturating": Game(cross_entropy, saturating),
    "hinge": Game(hinge, critic_value),
    "wasserstein": Game(wasserstein, critic_value),
}


@checked
def r1(critic: Critic, x: Float[Array, "batch *shape"], weight: float = 10.0) -> Float[Array, " batch"]:
    """Return R1, weight / 2 |grad D(x)|^2 at data (Mescheder et al. 2018, eq. 9).

    Where G has the law of data a D with a slope pushes it away again; R1 takes that slope, and the game
    converges near there.

    Args:
      critic: D, x `[B, ...]` -> `[B, ...]`, at its parameters.
      x: `[B, ...]`, data alone.
      weight: gamma, at least 0.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import adversarial
      >>> plane = lambda x: x @ jnp.array([3.0, 4.0])
      >>> adversarial.r1(plane, jnp.zeros((1, 2)), weight=1.0).tolist()
      [12.5]
    """
    checks.not_negative("weight", weight)
    return 0.5 * weight * sum_of_each(_slope(critic, x) ** 2)


@checked
def gradient_penalty(
    critic: Critic,
    x: Float[Array, "batch *shape"],
    x_model: Float[Array, "batch *shape"],
    mix: Float[Array, " batch"],
    weight: float = 10.0,
) -> Float[Array, " batch"]:
    """Return weight (|grad D(y)| - 1)^2 at y between data and fakes (Gulrajani et al. 2017, eq. 3).

    The best critic of Wasserstein's distance has slope 1 along the lines from fakes to data.

    Args:
      critic: D, x `[B, ...]` -> `[B, ...]`, at its parameters.
      x: `[B, ...]` data.
      x_model: `[B, ...]` fakes; no gradient passes through them.
      mix: `[B]`, uniform in [0, 1]: y = mix x + (1 - mix) x_model.
      weight: lambda, at least 0.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.objectives import adversarial
      >>> plane, x = lambda x: x @ jnp.array([3.0, 4.0]), jnp.zeros((1, 2))
      >>> adversarial.gradient_penalty(plane, x, x, jnp.zeros(1)).tolist()  # 10 (5 - 1)^2
      [160.0]
    """
    checks.not_negative("weight", weight)
    checks.within("mix", mix, 0.0, 1.0)
    mix = mix.reshape(-1, *(1,) * (x.ndim - 1))
    between = mix * x + (1 - mix) * jax.lax.stop_gradient(x_model)
    squared = sum_of_each(_slope(critic, between) ** 2)
    moves = squared > 0  # the root has no derivative where D is flat
    norm = jnp.where(moves, jnp.sqrt(jnp.where(moves, squared, 1.0)), 0.0)
    return weight * (norm - 1) ** 2


def _slope(critic, x):
    """Return grad D at each x `[B, ...]`, of its mean over places where it has several."""

    def total(x):
        found = critic(x)
        if jnp.shape(found)[:1] != x.shape[:1]:
            given = list(jnp.shape(found))
            raise ValueError(f"critic must give [B, ...], numbers of each of {len(x)} samples; got {given}")
        return mean_of_each(found).sum()

    return jax.grad(total)(x)

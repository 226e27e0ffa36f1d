"""Vectors rounded to the nearest of a table: vector quantisation, and how a table is kept in use.

With e the vector of the table that is nearest to z and sg the identity without a gradient:

    what goes on          z + sg(e - z)                                   (straight-through)
    what moves the table  |sg(z) - e|^2, or averages of the z that took e
    what holds z to it    |z - sg(e)|^2, the commitment

van den Oord et al. 2017, section 3.2 and appendix A.1; Razavi et al. 2019.
"""

from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.types import Array, Float, Int, Key

Order = Literal["paper", "legacy"]
STATE = "codes"  # the collection of a table that is no parameter, and of what is counted of one


class Codebook(nn.Module):
    """A table of vectors.

    Attributes:
      size: number K of vectors.
      features: of each.
      averaged: the table is in the collection "codes", beside what `averaged` follows, and no parameter.
      restarts: of a table that is one, the collection has how often each vector is taken, "count", and by how
        much those that began anew were "moved", which gradients do not: the table is their sum.
    """

    size: int
    features: int
    averaged: bool = False
    restarts: bool = False

    @nn.compact
    def __call__(
        self, z: Float[Array, "*batch features"]
    ) -> tuple[Float[Array, "*batch features"], Int[Array, "*batch"]]:
        """Return the nearest vectors of the table, and their numbers in it."""
        shape = (self.size, self.features)

        def start(key):
            return jax.random.uniform(key, shape, minval=-1 / self.size, maxval=1 / self.size)

        if self.averaged:
            table = self.variable(STATE, "embedding", lambda: start(self.make_rng("params"))).value
            self.variable(STATE, "count", jnp.ones, (self.size,))
            self.variable(STATE, "total", lambda: table)
        else:
            table = self.param("embedding", start)
            if self.restarts:
                table = table + self.variable(STATE, "moved", jnp.zeros, shape).value
                self.variable(STATE, "count", jnp.ones, (self.size,))
        codes = nearest_codes(z, table)
        return table[codes], codes


@checked
def nearest_codes(
    z: Float[Array, "*batch features"], table: Float[Array, "codes features"]
) -> Int[Array, "*batch"]:
    """Return the numbers of the vectors of a table [K, D] that are nearest to those of z [..., D]."""
    products = jnp.einsum("...d,kd->...k", z, table, precision="highest")
    return jnp.argmin(jnp.sum(table**2, -1) - 2 * products, axis=-1)


@checked
def straight_through(z: Float[Array, "*shape"], e: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return e with the gradient of z."""
    return z + jax.lax.stop_gradient(e - z)


@checked
def commitment(
    z: Float[Array, "batch *shape"],
    e: Float[Array, "batch *shape"],
    beta: float = 0.25,
    order: Order = "paper",
) -> Float[Array, " batch"]:
    """Return what a table and an encoder pay for their distance, a mean over each row's numbers.

    Args:
      z: before rounding.
      e: after it.
      beta: weight of one of the two terms.
      order: "paper": `|sg(z) - e|^2 + beta |z - sg(e)|^2`, of the encoder's. "legacy": `beta |sg(z) - e|^2 +
        |z - sg(e)|^2`, of the table's, as taming-transformers had it first, which latent diffusion and
        diffusers keep (`legacy=True`). Their values are equal.

    Reference: van den Oord et al. 2017, equation (3).
    """
    stop = jax.lax.stop_gradient
    table, encoder = _mean_square(stop(z) - e), _mean_square(z - stop(e))
    return table + beta * encoder if order == "paper" else beta * table + encoder


def _mean_square(x):
    return jnp.mean(x.reshape(len(x), -1) ** 2, axis=1)


class Table(NamedTuple):
    """A table that follows averages, as the collection "codes" has it.

    Attributes:
      embedding: [K, D].
      count: [K], the average number of vectors of a batch that took each.
      total: [K, D], the average of their sum.
    """

    embedding: Float[Array, "codes features"]
    count: Float[Array, " codes"]
    total: Float[Array, "codes features"]


@checked
def averaged(
    table: Table,
    z: Float[Array, "*batch features"],
    codes: Int[Array, "*batch"],
    decay: float = 0.99,
    epsilon: float = 1e-5,
) -> Table:
    """Move a table towards the vectors that took each of its own.

    Args:
      table: before.
      z: vectors before rounding, [..., D].
      codes: which each took, [...].
      decay: of the averages.
      epsilon: added to every count, so that none is zero.

    Reference: van den Oord et al. 2017, appendix A.1.
    """
    z, taken = z.reshape(-1, z.shape[-1]), jax.nn.one_hot(codes.reshape(-1), len(table.count))
    count, total = counted(table.count, codes, decay), _follow(table.total, taken.T @ z, decay)
    whole = count.sum()
    weight = (count + epsilon) / (whole + len(count) * epsilon) * whole
    return Table(total / weight[:, None], count, total)


@checked
def counted(
    count: Float[Array, " codes"], codes: Int[Array, "*batch"], decay: float = 0.99
) -> Float[Array, " codes"]:
    """Return the average number of vectors of a batch that took each of a table, moved by one batch.

    Args:
      count: [K], before.
      codes: which each vector took, [...].
      decay: of the average.
    """
    return _follow(count, jnp.bincount(codes.reshape(-1), length=len(count)), decay)


def _follow(average, value, decay):
    return decay * average + (1 - decay) * value


@checked
def restarted(
    key: Key[Array, ""], table: Table, z: Float[Array, "*batch features"], least: float = 1.0
) -> Table:
    """Put vectors of z in the place of those in a table that hardly any vector takes.

    Args:
      key: of which vectors.
      table: whose counts fell below `least`, vectors a batch.
      z: vectors [..., D] before rounding.
      least: count of a vector that stays, and that of a new one.

    Reference: Dhariwal et al. 2020 (Jukebox), section 3 ("random restart").
    """
    z = z.reshape(-1, z.shape[-1])
    # as many different vectors as there are, and some of them twice where the table is larger
    order = jax.random.permutation(key, len(z))
    new = z[order[jnp.arange(len(table.count)) % len(z)]]
    dead = table.count < least
    return Table(
        jnp.where(dead[:, None], new, table.embedding),
        jnp.where(dead, least, table.count),
        jnp.where(dead[:, None], least * new, table.total),
    )


@checked
def perplexity(counts: Float[Array, " codes"] | Int[Array, " codes"]) -> Float[Array, ""]:
    """Return the exponential of the entropy of how often the codes are taken: K where all are alike."""
    share = counts / jnp.sum(counts)
    return jnp.exp(-jnp.sum(jax.scipy.special.xlogy(share, share)))

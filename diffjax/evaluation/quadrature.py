"""Partition functions of energies on the line and in the plane, by quadrature: exact likelihoods."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.types import Array, Float

Energy = Callable[[Any], jax.Array]  # x [N, D] -> [N]


class Partition(NamedTuple):
    """What `partition` returns.

    Attributes:
      log_z: log of the integral of exp(-E) over the box.
      edge: share of that mass in the outermost cells; not small means that the box is too small.
    """

    log_z: Float[Array, ""]
    edge: Float[Array, ""]


def partition(
    energy: Energy, box: Sequence[Sequence[float]] | Array, points: int = 400, batch: int = 40_000
) -> Partition:
    """Integrate exp(-E) over a box by the midpoint rule, whose error for smooth tails falls exponentially.

    Args:
      energy: x `[N, D]` -> `[N]`, D = 1 or 2.
      box: `[D, 2]`, the least and the largest of each coordinate.
      points: of each coordinate; a cell must be smaller than the finest feature of the density.
      batch: points at a time, about.

    Returns:
      Partition, which can be differentiated for the energy's parameters.

    Raises:
      ValueError: for another D, an empty box, or an energy that is not one number for each point.
    """
    box = np.asarray(box, np.float64)
    if box.ndim != 2 or box.shape[0] not in (1, 2) or box.shape[1] != 2:
        raise ValueError(f"box must be [D, 2] for D = 1 or 2, got shape {list(box.shape)}")
    if not (box[:, 0] < box[:, 1]).all():
        raise ValueError(f"box must have least < largest in each coordinate, got {box.tolist()}")
    unit = (np.arange(points) + 0.5) / points
    ticks = [lo + (hi - lo) * unit for lo, hi in box]
    grid = np.stack(np.meshgrid(*ticks, indexing="ij"), -1).reshape(-1, len(box))
    outer = np.meshgrid(*[np.isin(np.arange(points), [0, points - 1])] * len(box), indexing="ij")
    on_edge = np.any(np.stack(outer), 0).ravel()
    chunks = jnp.array_split(jnp.asarray(grid, jnp.result_type(float)), -(-len(grid) // batch))
    values = jnp.concatenate([_checked(energy(chunk), chunk) for chunk in chunks])
    cell = np.log(np.prod((box[:, 1] - box[:, 0]) / points))
    total = jax.nn.logsumexp(-values)
    return Partition(total + cell, jnp.exp(jax.nn.logsumexp(-values[on_edge]) - total))


def nll(energy: Energy, x: Float[Array, "n d"], partition: Partition) -> Float[Array, " n"]:
    """Return -log p(x) = E(x) + log Z in nats, `[N]`.

    Args:
      energy: x `[N, D]` -> `[N]`.
      x: `[N, D]`.
      partition: Partition of this energy.
    """
    return _checked(energy(x), x) + partition.log_z


def _checked(values, x):
    if jnp.shape(values) != (len(x),):
        raise ValueError(
            f"an energy must give one number for each point, shape [{len(x)}]; got {list(jnp.shape(values))}"
        )
    return values

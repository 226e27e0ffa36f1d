"""What training changes from step to step, and how it begins."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from diffjax.training import ema, sharding
from diffjax.training.system import System


class TrainState(NamedTuple):
    """Everything a training step reads and replaces.

    Attributes:
        step: int32 scalar, updates made so far.
        params: what the optimizer updates.
        opt_state: the optimizer's state.
        ema: moving average of `params`, float32 or wider.
        extra: what the system carries from step to step besides.
    """

    step: jax.Array
    params: Any
    opt_state: optax.OptState
    ema: Any
    extra: Any


def initial(system: System, optimizer: optax.GradientTransformation, key: jax.Array) -> TrainState:
    """Computes the state before the first step; pure, to be traced.

    Args:
        system: what is trained.
        optimizer: the optimizer.
        key: key of the initialisation.

    Returns:
        The state with step 0.
    """
    params, extra, _ = system.init(key)
    return TrainState(jnp.int32(0), params, optimizer.init(params), ema.init(params), extra)


def abstract(
    system: System, optimizer: optax.GradientTransformation, key: jax.Array, mesh: Mesh, rule: sharding.Rule
) -> TrainState:
    """Describes the state without computing it.

    Args:
        system: what is trained.
        optimizer: the optimizer.
        key: any key.
        mesh: mesh the state will live on.
        rule: how it is laid out there.

    Returns:
        The state with a `jax.ShapeDtypeStruct` (shape, dtype, sharding) in place of each array.
    """
    shapes = jax.eval_shape(lambda key: initial(system, optimizer, key), key)
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        shapes,
        sharding.shardings(mesh, shapes, rule),
    )


def create(
    system: System, optimizer: optax.GradientTransformation, key: jax.Array, mesh: Mesh, rule: sharding.Rule
) -> TrainState:
    """Computes the state before the first step, each device its own part.

    Args:
        system: what is trained.
        optimizer: the optimizer.
        key: key of the initialisation.
        mesh: mesh the state lives on.
        rule: how it is laid out there.

    Returns:
        The state with step 0.
    """
    places = jax.tree.map(lambda leaf: leaf.sharding, abstract(system, optimizer, key, mesh, rule))
    return jax.jit(lambda key: initial(system, optimizer, key), out_shardings=places)(key)


def frozen(system: System, key: jax.Array, mesh: Mesh, rule: sharding.Rule) -> Any:
    """Places what the system never updates.

    Arrays that `system.init` hands on as they are go straight to the devices; only if some are computed from
    the key is anything compiled.

    Args:
        system: what is trained.
        key: key of the initialisation, the one given to `create`.
        mesh: mesh the arrays live on.
        rule: how they are laid out there.

    Returns:
        The third value of `system.init(key)`, on the mesh.
    """
    seen = []

    def trace(key):
        seen.append(system.init(key)[2])

    jax.eval_shape(trace, key)
    tree = seen[0]
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree)):
        tree = jax.jit(lambda key: system.init(key)[2])(key)
    return jax.device_put(tree, sharding.shardings(mesh, tree, rule))

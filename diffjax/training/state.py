"""What training changes from step to step, and how it begins."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from diffjax.training import ema, sharding
from diffjax.training.system import System, Variables, require_updates, served

Optimizers = optax.GradientTransformation | Mapping[str, optax.GradientTransformation]


class TrainState(NamedTuple):
    """Everything a training step reads and replaces.

    Attributes:
      step: int32 scalar, steps made so far.
      params: {name: tree}, what optimizers move.
      opt_state: {update: state of its optimizer}.
      ema: {track: {name: tree}}, moving averages of what the system serves, float32 or wider.
      extra: {name: tree}, what the system carries from step to step besides.
    """

    step: jax.Array
    params: Mapping[str, Any]
    opt_state: Mapping[str, optax.OptState]
    ema: Mapping[str, Any]
    extra: Mapping[str, Any]


def named_optimizers(system: System, optimizers: Optimizers) -> Mapping[str, optax.GradientTransformation]:
    """Return {update: optimizer}; a bare optimizer is that of a lone update.

    Raises:
      ValueError: unless each update has an optimizer.
    """
    require_updates(system)
    names = [update.name for update in system.updates]
    if not isinstance(optimizers, Mapping):
        optimizers = {names[0]: optimizers} if len(names) == 1 else {}
    if set(optimizers) != set(names):
        raise ValueError(f"optimizers must be given for each update, {names}; got {sorted(optimizers)}")
    return optimizers


def initial(
    system: System,
    optimizers: Optimizers,
    key: jax.Array,
    batch: Any,
    frozen: Any,
    tracks: tuple[str, ...] = (ema.TRACK,),
) -> TrainState:
    """Compute the state before the first step; pure, to be traced.

    Args:
      system: what is trained.
      optimizers: one for each update by its name, or the optimizer of a lone update.
      key: of the initialisation.
      batch: the first batch.
      frozen: of the system.
      tracks: of the moving average.
    """
    optimizers = named_optimizers(system, optimizers)
    params, extra = system.init(key, batch, frozen)
    _check_names(system, params, extra)
    opt_state = {
        update.name: optimizers[update.name].init({name: params[name] for name in update.moves})
        for update in system.updates
    }
    followed = served(system, Variables(params, extra, frozen))
    return TrainState(jnp.int32(0), params, opt_state, {each: ema.init(followed) for each in tracks}, extra)


def _check_names(system, params, extra):
    for update in system.updates:
        if len(set(update.moves)) != len(update.moves) or not set(update.moves) <= set(params):
            raise ValueError(
                f"update {update.name!r} must move names of params, each once, of {sorted(params)}; got "
                f"{list(update.moves)}"
            )
    twice, unknown = set(params) & set(extra), set(system.serves) - set(params) - set(extra)
    if twice or unknown:
        raise ValueError(
            f"a system serves names of params, {sorted(params)}, or else of extra, {sorted(extra)}; got "
            f"{sorted(twice or unknown)}"
        )


def abstract(
    system: System,
    optimizers: Optimizers,
    batch: Any,
    frozen: Any,
    mesh: Mesh,
    rule: sharding.Rule,
    tracks: tuple[str, ...] = (ema.TRACK,),
) -> TrainState:
    """Describe the state without computing it.

    Args:
      system, optimizers, batch, frozen, tracks: see `initial`; shapes are enough.
      mesh: mesh the state will live on.
      rule: how it is laid out there.

    Returns:
      The state with a `jax.ShapeDtypeStruct` (shape, dtype, sharding) in place of each array.
    """
    shapes = jax.eval_shape(
        lambda key, batch, frozen: initial(system, optimizers, key, batch, frozen, tracks),
        jax.random.key(0), batch, frozen,
    )  # fmt: skip
    return sharding.described(mesh, shapes, rule)


def create(
    system: System, optimizers: Optimizers, key: jax.Array, batch: Any, frozen: Any, places: TrainState
) -> TrainState:
    """Compute the state before the first step, each device its own part.

    Args:
      system, optimizers, key: see `initial`.
      batch, frozen: on the mesh; arguments of the compiled program, never constants in it.
      places: of `abstract`.
    """
    tracks, shardings = tuple(places.ema), jax.tree.map(lambda leaf: leaf.sharding, places)
    begin = lambda key, batch, frozen: initial(system, optimizers, key, batch, frozen, tracks)
    begin = jax.jit(sharding.told(shardings.step.mesh, begin), out_shardings=shardings)
    return begin(key, batch, frozen)

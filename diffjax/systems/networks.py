"""Flax modules as the functions that systems are made of: parameters by name, the rest in `extra`."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from diffjax.models.conditions import Condition
from diffjax.training.system import Variables

NETWORK = "network"


def state_name(name: str = NETWORK) -> str:
    """Return the name in `extra` of what a module changes besides its parameters."""
    return f"{name}_state"


def init(module, key: jax.Array, *inputs, name: str = NETWORK) -> tuple[dict[str, Any], dict[str, Any]]:
    """Initialise a module.

    Args:
      module: Flax module.
      key: of its parameters.
      *inputs: of its call.
      name: of its parameters.

    Returns:
      ({name: params}, {"<name>_state": other collections}), the second empty where the module has none.
    """
    made = dict(_init(module)(key, *inputs))
    params = {name: made.pop("params")}
    return params, {state_name(name): made} if made else {}


def served(module, *inputs, name: str = NETWORK) -> tuple[str, ...]:
    """Return the names that sampling with a module reads: of its parameters, and of its state if it has one.

    Args:
      module, name: see `init`.
      *inputs: shapes of its call, `jax.ShapeDtypeStruct` or None.
    """
    return (name, state_name(name)) if _has_state(module, inputs) else (name,)


def require_params_alone(module, *inputs) -> None:
    """Raise a ValueError for a module with a state, e.g. batch statistics, where a loss does not keep it.

    Args:
      module, *inputs: see `served`.
    """
    if _has_state(module, inputs):
        raise ValueError(
            f"module must have no state besides its parameters here; {type(module).__name__} has"
        )


@lru_cache(maxsize=64)
def _has_state(module, inputs):
    made = jax.eval_shape(_init(module), jax.random.key(0), *inputs)
    return any(collection != "params" for collection in made)


@lru_cache(maxsize=64)
def _init(module):
    return jax.jit(module.init)  # which keeps its trace: a network is traced once to learn what it is made of


def evaluating(module, variables: Variables, name: str = NETWORK) -> Callable:
    """Return (x, t, cond) -> output of a module that is not trained."""
    state = variables.extra.get(state_name(name), {})
    return partial(module.apply, {"params": variables.params[name], **state})


def training(
    module, variables: Variables, key: jax.Array, name: str = NETWORK
) -> tuple[Callable, Callable[[], dict[str, Any]]]:
    """Return (x, t, cond) -> output in training mode, and what it left of the module's state.

    Args:
      module, variables, name: see `evaluating`.
      key: of dropout.

    Returns:
      The network, and a function that gives {"<name>_state": collections} after its last call, `{}` where the
      module has none. Both belong to one trace.
    """
    state = variables.extra.get(state_name(name))
    apply = partial(module.apply, train=True, rngs={"dropout": key})
    if state is None:
        return partial(apply, {"params": variables.params[name]}), dict
    left = [state]

    def network(*inputs):
        out, left[0] = apply({"params": variables.params[name], **left[0]}, *inputs, mutable=list(state))
        return out

    return network, lambda: {state_name(name): jax.tree.map(jax.lax.stop_gradient, dict(left[0]))}


def of(module, variables: Variables, key: jax.Array | None = None) -> Callable:
    """Return (x, t, cond) -> output of a module, in training mode where a key is given."""
    return evaluating(module, variables) if key is None else training(module, variables, key)[0]


def inputs(shape: tuple[int, ...], module=None) -> tuple[Any, ...]:
    """Return shapes of a network's x, t and condition, for one example of this shape.

    The condition is what the module cannot do without, by its `map_channels` and `token_features`.
    """
    floats = lambda *dims: jax.ShapeDtypeStruct(dims, jnp.float32)
    channels, width = getattr(module, "map_channels", 0), getattr(module, "token_features", None)
    cond = Condition(
        tokens=floats(1, 1, width) if width else None,
        map=floats(1, *shape[:-1], channels) if channels else None,
    )
    times = getattr(module, "times", 1)
    t = floats(1) if times == 1 else floats(1, times)
    return floats(1, *shape), t, cond if jax.tree.leaves(cond) else None


def given(module, inputs: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the shape of what a module gives for inputs of these shapes, see `inputs`."""
    x = zeros(inputs)
    return jax.eval_shape(lambda key: module.apply(module.init(key, *x), *x), jax.random.key(0)).shape


def shown(shape: tuple[int, ...]) -> str:
    """Return the shape of one example's output, such as (1, 3), as that of a batch: "[B, 3]"."""
    return f"[B{''.join(f', {size}' for size in shape[1:])}]"


def zeros(shapes: Any) -> Any:
    """Return zeros of the shapes of a tree: what a module is initialised with, whatever the batch holds."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

"""What the training loop runs: three pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class System(NamedTuple):
    """A method of the literature as three pure functions; the loop knows nothing else about it.

    A batch is a dict of arrays with a common leading axis `[B]`. `cond` is a pytree or None.

    Attributes:
        init: `init(key) -> (params, extra, frozen)`.
            `params` is what the optimizer updates and the moving average follows. `extra` is what the method
            carries from step to step besides (target network, replay buffer, loss history); `()` where there
            is nothing. Both are checkpointed and sharded. `frozen` is never updated and never checkpointed
            (teacher, first stage, text encoder); `()` where there is nothing. `init` is traced: leaves of
            `frozen` that are arrays already (read from a file) are handed on as they are, without a copy
            inside the compiled program.
        gradients: `gradients(params, extra, frozen, key, batch, step) -> (grads, extra, metrics)`.
            `key` belongs to this step alone, `step` is the int32 number of updates made so far. `grads` has
            the structure of `params`, `extra` keeps structure, shapes and dtypes, and `metrics` is a dict of
            scalars with at least "loss". Two players return both gradients in one tree and
            `optax.multi_transform` gives each its rate.
        sample: `sample(params, extra, frozen, key, cond, n) -> images`, `[n, ...]`; `n` is a Python int.
    """

    init: Callable[[jax.Array], tuple[Any, Any, Any]]
    gradients: Callable[..., tuple[Any, Any, dict[str, jax.Array]]]
    sample: Callable[..., jax.Array]


def from_loss(loss: Callable[..., tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]]) -> Callable:
    """Turns a scalar loss into the `gradients` of a `System`.

    Args:
        loss: `loss(params, extra, frozen, key, batch, step) -> (scalar, (extra, metrics))`.

    Returns:
        `gradients(params, extra, frozen, key, batch, step) -> (grads, extra, metrics)`; the loss's own value
        is `metrics["loss"]`.
    """

    def gradients(params, extra, frozen, key, batch, step):
        value_and_grad = jax.value_and_grad(loss, has_aux=True)
        (value, (extra, metrics)), grads = value_and_grad(params, extra, frozen, key, batch, step)
        return grads, extra, {**metrics, "loss": value}

    return gradients

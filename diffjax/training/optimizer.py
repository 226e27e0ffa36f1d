"""Optimizers and learning-rate schedules, on optax."""

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from diffjax import checks
from diffjax.border import checked

_NAMES = ("adam", "adamw", "radam", "sgd")
_SCHEDULES = ("constant", "cosine", "linear")


@checked
def learning_rate_schedule(
    learning_rate: float, *, schedule: str = "constant", warmup_steps: int = 0, num_steps: int | None = None
) -> optax.Schedule:
    """Make the learning rate as a function of the number of updates made before this one.

    Rises linearly from 0 over `warmup_steps` updates, then stays ("constant") or falls to 0 at `num_steps`,
    along half a cosine ("cosine") or a line ("linear").

    Args:
      learning_rate: the highest rate.
      schedule: "constant", "cosine" or "linear".
      warmup_steps: updates of warm-up, 0 for none.
      num_steps: updates of the whole run, warm-up included; needed by "cosine" and "linear".

    Returns:
      `schedule(n) -> rate`, for n = 0, 1, ...

    Raises:
      ValueError: if `schedule` is unknown, a number is out of range, or `num_steps` does not exceed
        `warmup_steps` where it is needed.
    """
    checks.positive("learning_rate", learning_rate)
    checks.not_negative("warmup_steps", warmup_steps)
    if schedule not in _SCHEDULES:
        raise ValueError(f"schedule={schedule!r} is not one of {', '.join(_SCHEDULES)}")
    if schedule == "constant":
        after = optax.constant_schedule(learning_rate)
    else:
        if num_steps is None or num_steps <= warmup_steps:
            wanted = f"num_steps > warmup_steps={warmup_steps}"
            raise ValueError(f"optimizer schedule={schedule!r} needs {wanted}, got num_steps={num_steps}")
        decay_steps = num_steps - warmup_steps
        if schedule == "cosine":
            after = optax.cosine_decay_schedule(learning_rate, decay_steps)
        else:
            after = optax.linear_schedule(learning_rate, 0.0, decay_steps)
    if not warmup_steps:
        return after
    before = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    return optax.join_schedules([before, after], [warmup_steps])


@checked
def make(
    name: str,
    learning_rate: float,
    *,
    schedule: str = "constant",
    warmup_steps: int = 0,
    num_steps: int | None = None,
    clip_norm: float | None = None,
    weight_decay: float = 0.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    options: Mapping[str, Any] | None = None,
) -> optax.GradientTransformation:
    """Make an optimizer: clip by global norm, precondition, decay weights, scale by the learning rate.

    Args:
      name: "adam", "adamw", "radam" or "sgd"; or where to import another from, such as "optax.lion": a
        function of the learning rate that returns an optax transformation.
      learning_rate: the highest rate.
      schedule: "constant", "cosine" or "linear"; see `learning_rate_schedule`.
      warmup_steps: updates of linear warm-up from 0.
      num_steps: updates of the whole run; needed by "cosine" and "linear".
      clip_norm: gradients are scaled down to this global norm; None for no clipping.
      weight_decay: decoupled decay of every parameter, for "adamw" only.
      b1: decay of the first moment; the momentum of "sgd" (0 for plain gradient descent).
      b2: decay of the second moment; not used by "sgd".
      eps: added to the root of the second moment; not used by "sgd".
      options: further arguments of an imported one, in the place of the four above.

    Returns:
      The optimizer; its state holds the rate in force, which the training step reports as "learning_rate".

    Raises:
      ValueError: if a name is unknown or a number is out of range.
    """
    preconditioners = {
        "adam": lambda: optax.scale_by_adam(b1, b2, eps),
        "adamw": lambda: optax.scale_by_adam(b1, b2, eps),
        "radam": lambda: optax.scale_by_radam(b1, b2, eps),
        "sgd": lambda: optax.trace(b1),
    }
    clip = optax.identity() if clip_norm is None else optax.clip_by_global_norm(_positive_norm(clip_norm))
    rate = learning_rate_schedule(
        learning_rate, schedule=schedule, warmup_steps=warmup_steps, num_steps=num_steps
    )
    if "." in name:
        return optax.chain(clip, _imported(name, rate, dict(options or {})), _told(rate))
    if name not in preconditioners:
        raise ValueError(
            f"optimizer name={name!r} is not one of {', '.join(_NAMES)}, nor a path such as optax.lion"
        )
    if options:
        raise ValueError(f"options are of an imported optimizer, such as optax.lion; {name!r} has none")
    if weight_decay and name != "adamw":
        raise ValueError(f"weight_decay={weight_decay} is decoupled and needs name='adamw', got {name!r}")
    checks.not_negative("weight_decay", weight_decay)
    checks.positive("eps", eps)
    for moment, decay in (("b1", b1), ("b2", b2)):
        if not 0 <= decay < 1:
            raise ValueError(f"{moment} must be in [0, 1), got {decay}")
    return optax.chain(
        clip,
        preconditioners[name](),
        optax.add_decayed_weights(weight_decay) if weight_decay else optax.identity(),
        _descend(rate),
    )


def _positive_norm(clip_norm):
    if clip_norm <= 0:
        raise ValueError(f"clip_norm={clip_norm} must be positive, or None for no clipping")
    return clip_norm


def _imported(name, rate, options) -> optax.GradientTransformation:
    """Return the optimizer that a function makes which lives elsewhere."""
    module, _, function = name.rpartition(".")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"optimizer name={name!r} cannot be imported: {error}") from error
    try:
        made = make(rate, **options)
    except TypeError as error:
        raise ValueError(f"optimizer {name} does not take these options: {error}") from error
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise ValueError(f"optimizer {name} must return an optax transformation, got {type(made).__name__}")
    return made


def learning_rates(opt_state: optax.OptState) -> dict[str, jax.Array]:
    """Find the learning rates in the state of optimizers of `make`, wherever they are nested.

    Args:
      opt_state: state of an optimizer of `make`, alone or inside other transformations.

    Returns:
      The rates of the update last made: "learning_rate", or "learning_rate/<label>" inside
      `optax.multi_transform`; empty for other optimizers.
    """
    found = jax.tree_util.tree_leaves_with_path(opt_state, is_leaf=lambda node: isinstance(node, _Descent))
    rates = {}
    for path, node in found:
        if isinstance(node, _Descent):
            labels = [str(part.key) for part in path if isinstance(part, jax.tree_util.DictKey)]
            rates["/".join(["learning_rate", *labels])] = node.rate
    return rates


class _Descent(NamedTuple):
    """State of `_descend`: updates made, and the rate of the last one."""

    count: jax.Array
    rate: jax.Array


def _descend(schedule: optax.Schedule) -> optax.GradientTransformation:
    """Multiply updates by minus the rate, and remember the rate."""
    return _remembering(schedule, lambda rate, u: -rate.astype(u.dtype) * u)


def _told(schedule: optax.Schedule) -> optax.GradientTransformation:
    """Remember the rate that another optimizer goes by."""
    return _remembering(schedule, lambda rate, u: u)


def _remembering(schedule, change) -> optax.GradientTransformation:
    def rate(count):
        return jnp.asarray(schedule(count), jnp.result_type(float))

    def init(params):
        del params
        return _Descent(jnp.int32(0), rate(jnp.int32(0)))

    def update(updates, state, params=None):
        del params
        now = rate(state.count)
        return jax.tree.map(partial(change, now), updates), _Descent(state.count + 1, now)

    return optax.GradientTransformation(init, update)

"""Times of a loss that learn from the losses: their state is `extra["times"]`, where there is one."""

from typing import Any

import jax

from diffjax.objectives import TimeSampler
from diffjax.training.system import Variables

_NAME = "times"


def init(times: TimeSampler) -> dict[str, Any]:
    """Return {"times": state}, `{}` of times that learn nothing."""
    state = times.init()
    return {_NAME: state} if jax.tree.leaves(state) else {}


def draw(times: TimeSampler, variables: Variables, key: jax.Array, num: int) -> tuple[jax.Array, jax.Array]:
    """Return times [B] and weights [B], see `objectives.TimeSampler`."""
    return times.draw(key, variables.extra.get(_NAME, ()), num)


def updated(times: TimeSampler, extra: dict[str, Any], t: jax.Array, losses: jax.Array) -> dict[str, Any]:
    """Return `extra` after the losses [B] at times t [B] were seen."""
    if _NAME not in extra:
        return extra
    return {**extra, _NAME: times.update(extra[_NAME], t, jax.lax.stop_gradient(losses))}

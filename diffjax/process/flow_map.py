"""The second function type beside the denoiser: where the probability-flow ODE goes from t to s."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from diffjax.process import checks
from diffjax.process.level import NoiseLevel, expand
from diffjax.types import Array


@runtime_checkable
class FlowMap(Protocol):
    """(x_t `[B, ...]`, level_t, level_s, cond: a pytree or None) -> x_s `[B, ...]`."""

    def __call__(
        self, x_t: Array, level_t: NoiseLevel, level_s: NoiseLevel, cond: Any = None, /
    ) -> Array: ...


def average_of(
    average: Callable[[Array, Array, Array, Any], Array],
    x_t: Array,
    t: Array,
    s: Array,
    cond: Any,
    name: str = "average",
) -> Array:
    """Return the average velocity from t to s; ValueError unless it is shaped like x_t."""
    return checks.same_shape(f"{name}(x_t, t, s, cond)", average(x_t, t, s, cond), x_t, "x_t")


def hop(x_t: Array, t: Array, s: Array, velocity: Array) -> Array:
    """Return x_s = x_t - (t - s) u of the average velocity u from t to s (Geng et al. 2025, eq. 12)."""
    return x_t - expand(t - s, x_t) * velocity

"""The second function type beside the denoiser: where the probability-flow ODE goes from t to s."""

from typing import Any, Protocol, runtime_checkable

from diffjax.process.level import NoiseLevel, expand
from diffjax.types import Array


@runtime_checkable
class FlowMap(Protocol):
    """(x_t `[B, ...]`, level_t, level_s, cond: a pytree or None) -> x_s `[B, ...]`."""

    def __call__(
        self, x_t: Array, level_t: NoiseLevel, level_s: NoiseLevel, cond: Any = None, /
    ) -> Array: ...


def hop(x_t: Array, t: Array, s: Array, velocity: Array) -> Array:
    """Return x_s = x_t - (t - s) u of the average velocity u from t to s (Geng et al. 2025, eq. 12)."""
    return x_t - expand(t - s, x_t) * velocity

"""The second function type beside the denoiser: where the probability-flow ODE goes from t to s."""

from typing import Any, Protocol, runtime_checkable

from diffjax.process.level import NoiseLevel
from diffjax.types import Array


@runtime_checkable
class FlowMap(Protocol):
    """(x_t `[B, ...]`, level_t, level_s, cond: a pytree or None) -> x_s `[B, ...]`."""

    def __call__(
        self, x_t: Array, level_t: NoiseLevel, level_s: NoiseLevel, cond: Any = None, /
    ) -> Array: ...

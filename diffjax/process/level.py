"""The one value every method shares: `x_t = alpha x_0 + sigma eps`, `eps ~ N(0, I)`."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from diffjax.types import Array as Array
from diffjax.types import ArrayLike, Float, Key


class NoiseLevel(NamedTuple):
    """The corruption at one time: scalars, or arrays `[B]` with one level for each sample.

    Attributes:
      t: time, always float. Chains: n in 0..T, 0 is clean data. EDM: t = sigma. Others: [0, 1].
      alpha: signal scale.
      sigma: noise standard deviation.
      log_snr: log(alpha^2 / sigma^2), +inf on clean data.
      d_alpha: d alpha / dt, None on chains.
      d_sigma: d sigma / dt, None on chains.
    """

    t: ArrayLike
    alpha: ArrayLike
    sigma: ArrayLike
    log_snr: ArrayLike
    d_alpha: ArrayLike | None = None
    d_sigma: ArrayLike | None = None


@runtime_checkable
class Schedule(Protocol):
    """t -> NoiseLevel, and what may be asked of it: every member of `schedules` is one, a chain or not.

    Attributes:
      t_min, t_max: where training and integration stay.
      prior_std: standard deviation of x at t_max when the data are forgotten.
      num_steps: T of a chain over n = 0..T, None in continuous time.
    """

    @property
    def t_min(self) -> float: ...

    @property
    def t_max(self) -> float: ...

    @property
    def prior_std(self) -> float: ...

    @property
    def num_steps(self) -> int | None: ...

    def __call__(self, t: ArrayLike | Sequence[float]) -> NoiseLevel:
        """Return the level at time(s) t; ValueError for host times outside the schedule."""
        ...

    def inv_sigma(self, ratio: ArrayLike) -> ArrayLike:
        """Return the time at which sigma / alpha equals `ratio`; of a chain a fractional one."""
        ...

    def inv_log_snr(self, log_snr: ArrayLike) -> ArrayLike:
        """Return the time of this log SNR."""
        ...

    def at_ratio(self, ratio: ArrayLike) -> NoiseLevel:
        """Return the level of this sigma / alpha, also one beyond t_max; a chain's nearest step."""
        ...

    def continuous(self) -> "Schedule":
        """Return the same process on real times, with rates."""
        ...

    def step_before(self, level: NoiseLevel) -> NoiseLevel:
        """Return a chain's level one step below; ValueError in continuous time, where there is none."""
        ...

    def draw(self, key: Key[Array, ""], n: int) -> Array:
        """Return n uniform times `[n]`: a chain's 1..T, or in [t_min, t_max]."""
        ...

    def spread(self, u: Float[Array, " n"]) -> Array:
        """Return the times of uniform numbers u in [0, 1): t_min + (t_max - t_min) u, a chain's ceil(T u)."""
        ...


def namespace(*values: ArrayLike | None) -> ModuleType:
    """Return `jnp` if any value lives on (or is traced for) a device, else `numpy` (float64 on the host)."""
    return jnp if any(isinstance(value, jax.Array) for value in values) else np


def host_times(t: ArrayLike | Sequence[float], lowest: float, highest: float) -> ArrayLike:
    """Return times, a sequence as float64; ValueError for one outside [lowest, highest] that the host knows.

    What rounding alone put outside, as a schedule's inverse may at its own ends, is taken as the end: this is
    the one place where ends are compared, and it compares with a tolerance.
    """
    if isinstance(t, Tracer):
        return t
    try:
        values = np.asarray(t, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"t must be a number or an array of numbers, got {t!r}") from None
    t = values if isinstance(t, Sequence) else t
    single = getattr(t, "dtype", None) in (np.float32, np.float16, jnp.bfloat16)
    slack = (1e-6 if single else 1e-12) * (highest if np.isfinite(highest) else 1.0)
    bad = ~((values >= lowest - slack) & (values <= highest + slack))
    if bad.any():
        raise ValueError(f"t must be in [{lowest:g}, {highest:g}], got {values[bad].flat[0]:g}")
    if (values < lowest).any() or (values > highest).any():
        return namespace(t).clip(t, lowest, highest)
    return t


def at_least_float32(x: ArrayLike) -> np.dtype:
    """Return the dtype of times and coefficients for `x`: its own, but never half precision."""
    return jnp.promote_types(jnp.result_type(x), jnp.float32)


def expand(field: ArrayLike, x: ArrayLike) -> Array:
    """Reshape a level's field to broadcast against `x`, in the dtype of `x`.

    Args:
      field: scalar, `[B]`, or an array of the rank of `x`.
      x: `[B, ...]`, floating point.

    Returns:
      The field as scalar or `[B, 1, ...]`.

    Raises:
      ValueError: if the field is neither, or `x` is not floating point.
    """
    dtype = jnp.result_type(x)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"x must be floating point (images in [-1, 1]), got dtype {dtype}")
    shape, of_x = jnp.shape(field), jnp.shape(x)
    if len(shape) == 1 and shape == of_x[:1]:
        return jnp.asarray(field, dtype).reshape(shape + (1,) * (len(of_x) - 1))
    if shape == () or (len(shape) == len(of_x) and _broadcasts(shape, of_x)):
        return jnp.asarray(field, dtype)
    raise ValueError(
        f"a level's field must be a scalar or [B], one value for each sample of x {list(of_x)}, "
        f"got shape {list(shape)}"
    )


def _broadcasts(shape, onto):
    return all(a in (1, b) for a, b in zip(shape, onto, strict=True))


def mean_of_each(values: Float[Array, "batch *shape"]) -> Float[Array, " batch"]:
    """Return the mean of each sample, `[B]`, over all axes of values `[B, ...]` but the first."""
    return values.reshape(len(values), -1).mean(1)


def sum_of_each(values: Float[Array, "batch *shape"]) -> Float[Array, " batch"]:
    """Return the sum of each sample, `[B]`, over all axes of values `[B, ...]` but the first."""
    return values.reshape(len(values), -1).sum(1)


def unit_of_each(features: Float[Array, "batch features"]) -> Float[Array, "batch features"]:
    """Return features `[B, D]` of norm 1; zero ones stay zero, with a gradient that is finite."""
    square = (features**2).sum(-1, keepdims=True)
    return features * jnp.where(square > 0, 1 / jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def evenly(u: Array, n: int) -> Float[Array, " n"]:
    """Return (u + i / n) mod 1, i = 0..n - 1: n even offsets of one number (Kingma et al. 2021, I.1)."""
    return (u + jnp.arange(n) / n) % 1


def time_of_each(level: NoiseLevel, x: Array) -> Float[Array, " batch"]:
    """Return the time of each sample of x `[B, ...]`, in its dtype."""
    return jnp.broadcast_to(jnp.asarray(level.t, x.dtype), x.shape[:1])


def part(level: NoiseLevel, where: Any) -> NoiseLevel:
    """Return the levels at an index or slice of a grid of levels."""
    return NoiseLevel(*(None if field is None else field[where] for field in level))


def neighbours(levels: NoiseLevel) -> tuple[NoiseLevel, NoiseLevel]:
    """Return where the steps of a grid `[N + 1]` end and where they begin, `[N]` each."""
    return part(levels, slice(1, None)), part(levels, slice(-1))


def require_rates(level: NoiseLevel, what: str) -> None:
    """Raise ValueError if `level` carries no d_alpha, d_sigma (it came from a chain)."""
    if level.d_alpha is None or level.d_sigma is None:
        raise ValueError(
            f"{what} needs d alpha/dt and d sigma/dt of the level, and a discrete chain has none: "
            "use a continuous schedule, or the chain's .continuous()"
        )


def require_finite_rates(level: NoiseLevel, what: str) -> None:
    """Raise ValueError for a level without rates, or known infinite ones: a VP schedule's at t = 0."""
    require_rates(level, what)
    if isinstance(level.d_sigma, Tracer):
        return
    bad = ~np.isfinite(np.asarray([level.d_alpha, level.d_sigma])).all(0)
    if bad.any():
        raise ValueError(
            f"{what}: d sigma/dt is infinite at t = {np.asarray(level.t)[bad].flat[0]:g}; begin at the "
            "schedule's t_min"
        )


def log_snr_rate(level: NoiseLevel) -> ArrayLike:
    """Return d log SNR / dt = 2 (alpha' / alpha - sigma' / sigma), negative; needs a level with rates."""
    require_rates(level, "d log SNR / dt")
    return 2 * (level.d_alpha / level.alpha - level.d_sigma / level.sigma)

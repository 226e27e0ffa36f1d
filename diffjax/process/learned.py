"""Learned noise schedules (Kingma et al. 2021, app. H): a monotone gamma(t) = -log SNR with parameters.

    gamma(t) = b + |w| t                                                  "scalar": two numbers
    gamma(t) = b + |w| t + |w3| (2 sigmoid(|w2| (2 t - 1) + b2) - 1) / H   a network of H hidden units

A schedule is made of parameters inside the loss, before any scan: `learned(partial(monotone, params))`.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.continuous import Continuous, preserving
from diffjax.process.level import NoiseLevel, namespace
from diffjax.types import Array, Float, Key

Params = Mapping[str, Array]


@checked
def init(
    key: Key[Array, ""], log_snr_max: float = 13.3, log_snr_min: float = -5.0, width: int = 1024
) -> Params:
    """Return parameters of `monotone`, near the straight line between the two ends.

    Args:
      key: for the hidden units.
      log_snr_max, log_snr_min: at t = 0 and 1.
      width: H; 0 is the "scalar" form, the line alone.

    Raises:
      ValueError: unless log_snr_min < log_snr_max and width is at least 0.

    Example:
      >>> import jax
      >>> from diffjax.process import learned
      >>> line = learned.init(jax.random.key(0), 4.0, -4.0, width=0)
      >>> line["b"].tolist(), line["w"].tolist()
      ([-4.0], [8.0])
    """
    if not log_snr_min < log_snr_max:
        raise ValueError(f"log_snr_min must be below log_snr_max, got {log_snr_min:g} and {log_snr_max:g}")
    checks.count("width", width, least=0)
    ends = {"w": log_snr_max - log_snr_min, "b": -log_snr_max}
    line = {name: jnp.full(1, end, jnp.result_type(float)) for name, end in ends.items()}
    if width == 0:
        return line
    key_in, key_out = jax.random.split(key)
    return line | {
        "w2": 0.01 * jax.random.normal(key_in, (width,)),
        "b2": jnp.zeros(width),
        "w3": 0.01 * jax.random.normal(key_out, (width,)),
    }


@checked
def monotone(params: Params, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Return gamma(t), shaped like t; non-decreasing for any parameters.

    Args:
      params: {"w": `[1]`, "b": `[1]`} and, for the network, {"w2", "b2", "w3": `[H]`}.
      t: scalar or `[B]`, jax array.
    """
    gamma = params["b"][0] + jnp.abs(params["w"][0]) * t
    if "w2" not in params:
        return gamma
    hidden = jax.nn.sigmoid(jnp.abs(params["w2"]) * (2 * t[..., None] - 1) + params["b2"])
    return gamma + (2 * hidden - 1) @ jnp.abs(params["w3"]) / len(params["w3"])


@checked
def position(
    params: Params, t: Float[Array, "*batch"]
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """Return what lies between the ends, w(t) = (gamma(t) - gamma(0)) / (gamma(1) - gamma(0)), and w'(t).

    Args:
      params: of `monotone`.
      t: scalar or `[B]`, jax array.
    """
    gamma = lambda t: monotone(params, t)
    value, rate = jax.jvp(gamma, (t,), (jnp.ones_like(t),))
    first, last = gamma(jnp.zeros_like(t)), gamma(jnp.ones_like(t))
    return (value - first) / (last - first), rate / (last - first)


@checked
def anchored(
    ends: Float[Array, "2"], w: Float[Array, "*batch"], d_w: Float[Array, "*batch"], t: Float[Array, "*batch"]
) -> NoiseLevel:
    """Return the level with gamma = ends[0] + (ends[1] - ends[0]) w, ends and what is between them apart.

    The bound in continuous time depends on the ends alone; what is between them is free to reduce the
    variance of its estimate (Kingma et al. 2021, app. I.2, `objectives.reducing_variance`).

    Args:
      ends: `[2]`, gamma at t = 0 and 1.
      w, d_w: of `position`.
      t: scalar or `[B]`.
    """
    reach = ends[1] - ends[0]
    return preserving(t, -(ends[0] + reach * w), -reach * d_w)


@checked
def learned(gamma: Callable[[Array], Array]) -> Continuous:
    """Return the variance-preserving schedule with log SNR = -gamma(t), t in [0, 1].

    Rates are gamma's derivative, by automatic differentiation; the inverse is bisection down to the last
    digit, carrying no gradient. Traced parameters need jax times; with concrete ones host times give float64.

    Args:
      gamma: increasing function of a jax array t, shaped like t, elementwise.

    Raises:
      ValueError: at host times, where gamma does not increase.

    Example:
      >>> from diffjax.process import schedules
      >>> schedule = schedules.learned(lambda t: 20.0 * t - 10.0)
      >>> round(float(schedule(0.25).log_snr), 6), round(float(schedule.inv_log_snr(5.0)), 6)
      (5.0, 0.25)
    """

    def on_device(t):
        value, slope = jax.jvp(gamma, (t,), (jnp.ones_like(t),))
        return preserving(t, -value, -slope)

    def invert(ratio):
        wanted = 2 * jnp.log(ratio)

        def halve(_, ends):
            low, high = ends
            middle = 0.5 * (low + high)
            left = gamma(middle) < wanted
            return jnp.where(left, middle, low), jnp.where(left, high, middle)

        ends = jnp.zeros_like(wanted), jnp.ones_like(wanted)
        low, high = jax.lax.fori_loop(0, 60, halve, ends)
        return jax.lax.stop_gradient(0.5 * (low + high))

    def level(t):
        found = _either(on_device)(t)
        if namespace(found.sigma) is np:
            bad = ~(np.asarray(found.d_sigma) > 0)
            if bad.any():
                at = np.asarray(found.t)[bad].flat[0]
                raise ValueError(f"gamma must increase, and does not at t = {at:g}")
        return found

    return Continuous(level, _either(invert), t_min=0.0, t_max=1.0, prior_std=1.0)


def _either(function):
    """Let a function of jax arrays take host numbers too, in float64."""

    def call(value):
        if namespace(value) is jnp:
            return function(value)
        with jax.ensure_compile_time_eval(), jax.enable_x64(True):
            result = function(jnp.asarray(value, jnp.float64))
            return jax.tree.map(lambda a: np.asarray(a, np.float64), result)

    return call

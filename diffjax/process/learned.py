"""Learned noise schedules (Kingma et al. 2021, app. H): a monotone gamma(t) = -log SNR with parameters.

    gamma(t) = b + |w| t                                                  "scalar": two numbers
    gamma(t) = b + |w| t + |w3| (2 sigmoid(|w2| (2 t - 1) + b2) - 1) / H   a network of H hidden units

A schedule is made of parameters inside the loss, before any scan: `learned(partial(monotone, params))`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.process.continuous import Continuous, preserving
from diffjax.process.level import namespace


def init(key, log_snr_max=13.3, log_snr_min=-5.0, width=1024):
    """Return parameters of `monotone`, near the straight line between the two ends.

    Args:
      key: for the hidden units.
      log_snr_max, log_snr_min: at t = 0 and 1.
      width: H; 0 is the "scalar" form, the line alone.
    """
    line = {"w": jnp.full(1, log_snr_max - log_snr_min), "b": jnp.full(1, -log_snr_max)}
    if width == 0:
        return line
    key_in, key_out = jax.random.split(key)
    return line | {
        "w2": 0.01 * jax.random.normal(key_in, (width,)),
        "b2": jnp.zeros(width),
        "w3": 0.01 * jax.random.normal(key_out, (width,)),
    }


def monotone(params, t):
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


def learned(gamma):
    """Return the variance-preserving schedule with log SNR = -gamma(t), t in [0, 1].

    Rates are gamma's derivative, by automatic differentiation; the inverse is bisection down to the last
    digit, carrying no gradient. Traced parameters need jax times; with concrete ones host times give float64.

    Args:
      gamma: increasing function of a jax array t, shaped like t, elementwise.
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

    return Continuous(_either(on_device), _either(invert), t_min=0.0, t_max=1.0, prior_std=1.0)


def _either(function):
    """Let a function of jax arrays take host numbers too, in float64."""

    def call(value):
        if namespace(value) is jnp:
            return function(value)
        with jax.enable_x64(True):
            result = function(jnp.asarray(value, jnp.float64))
            return jax.tree.map(lambda a: np.asarray(a, np.float64), result)

    return call

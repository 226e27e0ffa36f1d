"""Monotone functions of one number with their slopes and inverses: what a flow's couplings are made of.

Each is elementwise in x `[...]`; the numbers that shape it have one more axis, or are `[...]` too. It returns
y and log dy/dx, its inverse x alone.
"""

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.types import Array, Float

_HALVINGS = 60  # of the interval that holds the root: more than the digits of float64


def affine(x: Array, log_scale: Array, shift: Array) -> tuple[Array, Array]:
    """Return exp(log_scale) x + shift (Dinh et al. 2017, eq. 7)."""
    return jnp.exp(log_scale) * x + shift, log_scale


def affine_inverse(y: Array, log_scale: Array, shift: Array) -> Array:
    """Return x of `affine`."""
    return (y - shift) * jnp.exp(-log_scale)


def _logistic_mixture(x, log_weights, means, log_scales):
    """Return log F, log (1 - F) and log f of a mixture of logistics at x."""
    z = (x[..., None] - means) * jnp.exp(-log_scales)
    below, above = jax.nn.log_sigmoid(z), jax.nn.log_sigmoid(-z)
    total = lambda logs: jax.nn.logsumexp(log_weights + logs, axis=-1)
    return total(below), total(above), total(below + above - log_scales)


@checked
def mixture_logit(
    x: Float[Array, "*shape"],
    logits: Float[Array, "*shape k"],
    means: Float[Array, "*shape k"],
    log_scales: Float[Array, "*shape k"],
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Return logit F(x), F the distribution of a mixture of K logistics (Ho et al. 2019, Flow++, eq. 15).

    Args:
      x: `[...]`.
      logits: of the weights, `[..., K]`.
      means, log_scales: of the logistics, `[..., K]`.

    Returns:
      y and log dy/dx, `[...]`. One logistic of mean m and scale s gives (x - m) / s.
    """
    log_f, log_rest, log_density = _logistic_mixture(x, jax.nn.log_softmax(logits), means, log_scales)
    return log_f - log_rest, log_density - log_f - log_rest


@checked
def mixture_logit_inverse(
    y: Float[Array, "*shape"],
    logits: Float[Array, "*shape k"],
    means: Float[Array, "*shape k"],
    log_scales: Float[Array, "*shape k"],
) -> Float[Array, "*shape"]:
    """Return x of `mixture_logit` by halving an interval that holds it, in the precision of y.

    The mixture's logit lies between those of its members, so that x does between the means m_k + s_k y: the
    search cannot fail, and its error is the rounding of x and y. In float64 (`jax.enable_x64`) that is 1e-13.
    """
    log_weights = jax.nn.log_softmax(logits)
    members = means + jnp.exp(log_scales) * y[..., None]

    def halve(_, ends):
        low, high = ends
        middle = 0.5 * (low + high)
        log_f, log_rest, _ = _logistic_mixture(middle, log_weights, means, log_scales)
        left = log_f - log_rest > y
        return jnp.where(left, low, middle), jnp.where(left, middle, high)

    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (members.min(-1), members.max(-1)))
    return 0.5 * (low + high)


def _knots(widths, heights, slopes, bound, least):
    """Return the knots' x and y `[..., K + 1]` in [-bound, bound] and the slopes there, 1 at both ends."""

    def ends(raw):
        share = least + (1 - least * raw.shape[-1]) * jax.nn.softmax(raw)
        inner = jnp.cumsum(share, -1)[..., :-1]
        edge = jnp.zeros((*raw.shape[:-1], 1), raw.dtype)
        return bound * (2 * jnp.concatenate([edge, inner, edge + 1], -1) - 1)

    one = jnp.ones((*slopes.shape[:-1], 1), slopes.dtype)
    rise = least + jax.nn.softplus(slopes + jnp.log(jnp.expm1(1 - least)))  # 1 where the network says 0
    return ends(widths), ends(heights), jnp.concatenate([one, rise, one], -1)


def _bin_of(value, knots, *others):
    """Return for each value the left and right entries of its bin, of the knots and of others."""
    i = (value[..., None] >= knots[..., 1:-1]).sum(-1, keepdims=True)
    at = lambda array, j: jnp.take_along_axis(array, j, -1)[..., 0]
    return [at(array, j) for array in (knots, *others) for j in (i, i + 1)]


@checked
def spline(
    x: Float[Array, "*shape"],
    widths: Float[Array, "*shape k"],
    heights: Float[Array, "*shape k"],
    slopes: Float[Array, "*shape inner"],
    bound: float = 3.0,
    least: float = 1e-3,
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Return the monotone rational-quadratic spline of Durkan et al. 2019, eq. 4 and 5; x outside its bound.

    Args:
      x: `[...]`.
      widths, heights: of K bins, before a softmax, `[..., K]`.
      slopes: at the K - 1 inner knots, before a softplus, `[..., K - 1]`; all zeros make the identity.
      bound: the spline maps [-bound, bound] onto itself, and is the identity outside.
      least: smallest slope, and share of a width and height; less than 1 / K.

    Returns:
      y and log dy/dx, `[...]`.
    """
    knots_x, knots_y, rises = _knots(widths, heights, slopes, bound, least)
    inside = jnp.clip(x, -bound, bound)
    x0, x1, y0, y1, d0, d1 = _bin_of(inside, knots_x, knots_y, rises)
    s, xi = (y1 - y0) / (x1 - x0), (inside - x0) / (x1 - x0)
    across, bend = xi * (1 - xi), d0 + d1 - 2 * s
    below = s + bend * across
    y = y0 + (y1 - y0) * (s * xi**2 + d0 * across) / below
    slope = s**2 * (d1 * xi**2 + 2 * s * across + d0 * (1 - xi) ** 2) / below**2
    out = jnp.abs(x) > bound
    return jnp.where(out, x, y), jnp.where(out, 0.0, jnp.log(slope))


@checked
def spline_inverse(
    y: Float[Array, "*shape"],
    widths: Float[Array, "*shape k"],
    heights: Float[Array, "*shape k"],
    slopes: Float[Array, "*shape inner"],
    bound: float = 3.0,
    least: float = 1e-3,
) -> Float[Array, "*shape"]:
    """Return x of `spline` in closed form (Durkan et al. 2019, eq. 6 to 8)."""
    knots_x, knots_y, rises = _knots(widths, heights, slopes, bound, least)
    inside = jnp.clip(y, -bound, bound)
    y0, y1, x0, x1, d0, d1 = _bin_of(inside, knots_y, knots_x, rises)
    s, up, bend = (y1 - y0) / (x1 - x0), inside - y0, d0 + d1 - 2 * (y1 - y0) / (x1 - x0)
    a, c = (y1 - y0) * (s - d0) + up * bend, -s * up
    b = (y1 - y0) * d0 - up * bend
    root = jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 0))
    x = x0 + (x1 - x0) * 2 * c / (-b - root)
    return jnp.where(jnp.abs(y) > bound, y, x)


def squeeze(x: Array) -> Array:
    """Turn 2x2 pixels into channels: `[B, H, W, C]` to `[B, H / 2, W / 2, 4 C]`."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 2, 4 * c)


def unsqueeze(x: Array) -> Array:
    """Undo `squeeze`."""
    b, h, w, c = x.shape
    return x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c // 4)


def squash(x: Array, low: float, high: float, margin: float) -> tuple[Array, Array]:
    """Return logit(margin + (1 - 2 margin) u), u = (x - low) / (high - low), and log of its slope.

    Dinh et al. 2017, section 4.1: numbers in an interval become numbers on the line.
    """
    slope = (1 - 2 * margin) / (high - low)
    share = margin + slope * (x - low)
    rest = 1 - share
    return jnp.log(share) - jnp.log(rest), jnp.log(slope) - jnp.log(share) - jnp.log(rest)


def unsquash(y: Array, low: float, high: float, margin: float) -> Array:
    """Undo `squash`; the result stays in the interval."""
    return jnp.clip(low + (jax.nn.sigmoid(y) - margin) * (high - low) / (1 - 2 * margin), low, high)

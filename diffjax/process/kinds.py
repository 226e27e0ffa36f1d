"""What a network may predict, and how each kind gives x_0 and eps.

Every kind is a row (p, q, r) of `r y = p x_0 + q eps`. With x_t = alpha x_0 + sigma eps and
d = alpha q - sigma p this solves to

    x_0 = (q x_t - sigma r y) / d,        eps = (alpha r y - p x_t) / d.

    kind        p                    q          r
    x0          1                    0          1
    eps         0                    1          1
    v           -sigma               alpha      1        Salimans & Ho 2022, app. D
    score       0                    -1         sigma    grad log p(x_t | x_0) = -eps / sigma
    velocity    alpha'               sigma'     1        flow matching, d x_t / dt
    mean        A alpha + B          A sigma    1        mean of q(x_s | x_t, x_0), Ho et al. 2020

(r only keeps the score row free of 1 / sigma.)
"""

from diffjax.border import checked
from diffjax.process import forward
from diffjax.process.level import NoiseLevel, namespace, require_rates
from diffjax.types import ArrayLike


def _mean_row(level, level_s):
    if level_s is None:
        raise ValueError("kind 'mean' belongs to a pair of levels: give level_s (or denoiser(previous=...))")
    both = forward.pair(level_s, level)
    return both.mean_xt * level.alpha + both.mean_x0, both.mean_xt * level.sigma, 1.0


def mean_coefficients(level_s, level):
    """Return 1 - A and B of a mean A x_t + B x_0, where A is near 1 and x_0 = (mean - A x_t) / B.

    1 - A keeps its own digits, which A does not have. Where sigma is near 1 its differences are lost in
    float32, but where variance is preserved they are those of alpha^2, which are not.
    """
    xp = namespace(level_s.alpha, level.alpha)
    alpha, alpha_s, sigma, sigma_s = map(xp.asarray, (level.alpha, level_s.alpha, level.sigma, level_s.sigma))
    preserved = xp.maximum(abs(alpha**2 + sigma**2 - 1), abs(alpha_s**2 + sigma_s**2 - 1))
    of_alpha, of_sigma = (alpha_s - alpha) * (alpha_s + alpha), (sigma - sigma_s) * (sigma + sigma_s)
    gained = xp.where(preserved < 4 * xp.finfo(alpha.dtype).eps, of_alpha, of_sigma) / sigma**2
    lost = (alpha_s - alpha) / alpha_s
    return lost + gained * (1 - lost), forward.pair(level_s, level).mean_x0


def _velocity_row(level, level_s):
    require_rates(level, "kind 'velocity'")
    return level.d_alpha, level.d_sigma, 1.0


_ROWS = {
    "x0": lambda level, level_s: (1.0, 0.0, 1.0),
    "eps": lambda level, level_s: (0.0, 1.0, 1.0),
    "v": lambda level, level_s: (-level.sigma, level.alpha, 1.0),
    "score": lambda level, level_s: (0.0, -1.0, level.sigma),
    "velocity": _velocity_row,
    "mean": _mean_row,
}
KINDS = tuple(_ROWS)


@checked
def row(
    kind: str, level: NoiseLevel, level_s: NoiseLevel | None = None
) -> tuple[ArrayLike, ArrayLike, ArrayLike]:
    """Return (p, q, r) of a kind at a level: scalars or `[B]`.

    Raises:
      ValueError: for an unknown kind, "velocity" without rates, "mean" without level_s.
    """
    if kind not in _ROWS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    return _ROWS[kind](level, level_s)

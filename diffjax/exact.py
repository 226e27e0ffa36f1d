"""Gaussian mixtures whose diffusion is known in closed form.

Data p(x_0) = sum_k w_k N(m_k, S_k). At a level (alpha, sigma)

    p(x_t) = sum_k w_k N(alpha m_k, C_k),   C_k = alpha^2 S_k + sigma^2 I,   r_k = p(k | x_t)
    E[x_0 | x_t] = sum_k r_k (m_k + alpha S_k C_k^-1 (x_t - alpha m_k))
    E[eps | x_t] = sum_k r_k sigma C_k^-1 (x_t - alpha m_k),     score = -E[eps | x_t] / sigma

so the mixture stands in for a perfect network: to learn with, to debug with, and in most tests.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from diffjax.border import checked
from diffjax.process import checks
from diffjax.process.level import NoiseLevel, expand
from diffjax.process.prediction import Denoiser, Prediction
from diffjax.types import Array, ArrayLike, Float, Int, Key

Numbers = ArrayLike | Sequence  # an array, or lists of numbers that make one
Label = int | Int[Array, ""] | Int[Array, " batch"] | None  # -1 and None mean no class

_CLEAN = NoiseLevel(t=0.0, alpha=1.0, sigma=0.0, log_snr=np.inf)


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A mixture of K Gaussians in D dimensions; make one with `gaussian_mixture`.

    Attributes:
      weights: `[K]`, positive, sum 1.
      means: `[K, D]`.
      spectra: `[K, D]` eigenvalues of the covariances.
      axes: `[K, D, D]` their eigenvectors, in columns.
      labels: `[K]` integer class of each component.
    """

    weights: np.ndarray
    means: np.ndarray
    spectra: np.ndarray
    axes: np.ndarray
    labels: np.ndarray

    @property
    def covariances(self) -> np.ndarray:
        """`[K, D, D]`."""
        return np.einsum("kij,kj,klj->kil", self.axes, self.spectra, self.axes)

    @checked
    def sample(self, key: Key[Array, ""], n: int, label: int | None = None) -> Float[Array, "n dim"]:
        """Draw n points, `[n, D]`; of one class if `label` is given."""
        checks.count("n", n)
        log_weights = self._log_weights(label)
        key_k, key_x = jax.random.split(key)
        component = jax.random.categorical(key_k, jnp.asarray(log_weights), shape=(n,))
        z = jax.random.normal(key_x, (n, self.means.shape[1]))
        scaled = jnp.sqrt(jnp.asarray(self.spectra, z.dtype))[component] * z
        return jnp.asarray(self.means, z.dtype)[component] + jnp.einsum(
            "nij,nj->ni", jnp.asarray(self.axes, z.dtype)[component], scaled
        )

    @checked
    def component_log_prob(
        self, x: Float[Array, "batch dim"], level: NoiseLevel | None = None
    ) -> Float[Array, "batch components"]:
        """Return log w_k + log N(x; alpha m_k, C_k) of every component, `[B, K]` for x `[B, D]`."""
        x = jnp.asarray(x)
        centred, variance = self._in_axes(x, _CLEAN if level is None else level)
        log_det = jnp.log(variance).sum(-1)
        distance = (centred**2 / variance).sum(-1)
        constant = jnp.asarray(np.log(self.weights) - 0.5 * self.means.shape[1] * np.log(2 * np.pi), x.dtype)
        return constant - 0.5 * (log_det + distance)

    @checked
    def log_prob(
        self, x: Float[Array, "batch dim"], level: NoiseLevel | None = None, label: Label = None
    ) -> Float[Array, " batch"]:
        """Return log p(x_t) in nats, `[B]`, at a level (default: clean data); with `label` of one class."""
        x = jnp.asarray(x)
        joint = self.component_log_prob(x, level)
        member = self._member(label, x)
        total = jax.nn.logsumexp(jnp.where(member, joint, -jnp.inf), axis=-1)
        weight = jnp.where(member, jnp.asarray(self.weights, x.dtype), 0).sum(-1)
        return total - jnp.log(weight)

    @checked
    def responsibilities(
        self, x: Float[Array, "batch dim"], level: NoiseLevel | None = None, label: Label = None
    ) -> Float[Array, "batch components"]:
        """Return p(k | x_t), `[B, K]`; among one class's components if `label` is given."""
        x = jnp.asarray(x)
        joint = self.component_log_prob(x, level)
        return jax.nn.softmax(jnp.where(self._member(label, x), joint, -jnp.inf), axis=-1)

    @checked
    def class_log_prob(
        self, x: Float[Array, "batch dim"], level: NoiseLevel | None = None
    ) -> Float[Array, "batch classes"]:
        """Return the exact classifier log p(class | x_t), `[B, number of classes]`."""
        log_r = jax.nn.log_softmax(self.component_log_prob(x, level), axis=-1)
        classes = np.arange(self.labels.max() + 1)
        masks = jnp.asarray(self.labels[None] == classes[:, None])
        return jax.nn.logsumexp(jnp.where(masks, log_r[:, None, :], -jnp.inf), axis=-1)

    @checked
    def predict(self, x: Float[Array, "batch dim"], level: NoiseLevel, label: Label = None) -> Prediction:
        """Return the exact Prediction at x_t `[B, D]`; eps without a division by sigma.

        Args:
          x: `[B, D]`.
          level: NoiseLevel, scalars or `[B]`.
          label: None, an int, or `[B]` ints; -1 means no class. One that no component has is refused,
            and gives NaN inside `jit`, where it cannot be seen.
        """
        x = jnp.asarray(x)
        centred, variance = self._in_axes(x, level)
        r = self.responsibilities(x, level, label)
        axes = jnp.asarray(self.axes, x.dtype)
        scaled = centred / variance
        alpha, sigma = expand(level.alpha, x), expand(level.sigma, x)
        shrunk = jnp.einsum("kij,bkj->bki", axes, jnp.asarray(self.spectra, x.dtype) * scaled)
        x0 = r @ jnp.asarray(self.means, x.dtype) + alpha * jnp.einsum("bk,bki->bi", r, shrunk)
        eps = sigma * jnp.einsum("bk,kij,bkj->bi", r, axes, scaled)
        return Prediction(x0, eps)

    @checked
    def posterior(
        self, x: Float[Array, "batch dim"], level: NoiseLevel, label: Label = None
    ) -> tuple[Array, Array, Array]:
        """Return p(x_0 | x_t) as (weights `[B, K]`, means `[B, K, D]`, covariances `[B, K, D, D]`)."""
        x = jnp.asarray(x)
        centred, variance = self._in_axes(x, level)
        axes, spectra = jnp.asarray(self.axes, x.dtype), jnp.asarray(self.spectra, x.dtype)
        alpha, sigma = expand(level.alpha, x)[..., None], expand(level.sigma, x)[..., None]
        means = jnp.asarray(self.means, x.dtype) + jnp.einsum(
            "kij,bkj->bki", axes, alpha * spectra * centred / variance
        )
        spread = jnp.broadcast_to(sigma**2 * spectra / variance, centred.shape)
        covariances = jnp.einsum("kij,bkj,klj->bkil", axes, spread, axes)
        return self.responsibilities(x, level, label), means, covariances

    @checked
    def score(
        self, x: Float[Array, "batch dim"], level: NoiseLevel | None = None, label: Label = None
    ) -> Float[Array, "batch dim"]:
        """Return grad log p(x_t), `[B, D]`; of one class if `label` is given."""
        x = jnp.asarray(x)
        centred, variance = self._in_axes(x, _CLEAN if level is None else level)
        r = self.responsibilities(x, level, label)
        return -jnp.einsum("bk,kij,bkj->bi", r, jnp.asarray(self.axes, x.dtype), centred / variance)

    @checked
    def guided_score(
        self, x: Float[Array, "batch dim"], level: NoiseLevel, label: Label, scale: float
    ) -> Float[Array, "batch dim"]:
        """Return (1 - scale) grad log p(x_t) + scale grad log p(x_t | label), classifier-free guidance's."""
        return (1 - scale) * self.score(x, level) + scale * self.score(x, level, label)

    @checked
    def flow_map(
        self, x: Float[Array, "batch dim"], level_t: NoiseLevel, level_s: NoiseLevel, label: Label = None
    ) -> Float[Array, "batch dim"]:
        """Return where the probability-flow ODE goes from x_t `[B, D]` to level_s, noisier or not: a FlowMap.

        Of one Gaussian in closed form, x_s = alpha_s m + sqrt(C_s C_t^-1) (x_t - alpha_t m). Of a mixture by
        an adaptive method of order 5 in float64, each sample with steps of its own; the relative error is
        about 1e-9, and it has no gradient in reverse.

        Args:
          x: `[B, D]`.
          level_t, level_s: NoiseLevel, scalars or `[B]`.
          label: see `predict`.
        """
        x = jnp.asarray(x)
        if len(self.weights) > 1:
            return _by_ode(self._denoise, x, level_t, level_s, label)
        if label is not None:
            self._check_label(label)
        centred, before = self._in_axes(x, level_t)
        mean = expand(level_s.alpha, x) * jnp.asarray(self.means, x.dtype)
        _, after = self._in_axes(x, level_s)
        stretch = jnp.sqrt(after / jnp.where(before == 0, 1, before))  # a flat direction stays one
        stretched = stretch[..., 0, :] * centred[:, 0]
        return mean + stretched @ jnp.asarray(self.axes[0].T, x.dtype)

    def denoiser(self) -> Denoiser:
        """Return the exact Denoiser; cond is None, or `[B]` int labels with -1 for no class."""
        return self._denoise

    def _denoise(self, x_t: Array, level: NoiseLevel, cond: Any = None) -> Prediction:
        return self.predict(x_t, level, cond)

    def _in_axes(self, x, level):
        """Return (x - alpha m_k) in the axes of each component and the variances there, `[B, K, D]` both."""
        if x.ndim != 2 or x.shape[1] != self.means.shape[1]:
            raise ValueError(f"x must be [B, {self.means.shape[1]}], got {list(x.shape)}")
        alpha, sigma = expand(level.alpha, x)[..., None], expand(level.sigma, x)[..., None]
        centred = x[:, None, :] - alpha * jnp.asarray(self.means, x.dtype)
        variance = alpha**2 * jnp.asarray(self.spectra, x.dtype) + sigma**2
        return jnp.einsum("kij,bki->bkj", jnp.asarray(self.axes, x.dtype), centred), variance

    def _member(self, label, x):
        """Return which components a label admits, broadcastable to `[B, K]`."""
        if label is None:
            return jnp.ones((1, len(self.weights)), bool)
        self._check_label(label)
        label = jnp.broadcast_to(jnp.asarray(label), x.shape[:1])[:, None]
        return (jnp.asarray(self.labels) == label) | (label < 0)

    def _check_label(self, label):
        """Raise ValueError for a class, known on the host, that no component has."""
        if isinstance(label, Tracer):
            return
        bad = (np.asarray(label) >= 0) & ~np.isin(label, self.labels)
        if bad.any():
            given = np.asarray(label)[bad].flat[0]
            raise ValueError(f"label must be one of {sorted(set(self.labels.tolist()))}, got {given}")

    def _log_weights(self, label):
        self._check_label(-1 if label is None else label)
        member = (self.labels == label) | (label is None or label < 0)
        with np.errstate(divide="ignore"):
            return np.log(np.where(member, self.weights, 0.0))


@checked
def gaussian_mixture(
    weights: Numbers, means: Numbers, covariances: Numbers, labels: Numbers | None = None
) -> GaussianMixture:
    """Make a mixture of Gaussians.

    Args:
      weights: `[K]`, positive; normalised to sum 1.
      means: `[K, D]`.
      covariances: `[K, D, D]` full, `[K, D]` diagonal or `[K]` spherical; positive semi-definite. A flat
        direction has no density on clean data, only at sigma > 0.
      labels: `[K]` ints >= 0, the class of each component; default: each its own.

    Raises:
      ValueError: if a shape or a value is wrong.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import exact
      >>> from diffjax.process import schedules
      >>> two = exact.gaussian_mixture([1, 3], [[-1.0], [1.0]], [0.1, 0.1])
      >>> two.weights.tolist()
      [0.25, 0.75]
      >>> two.denoiser()(jnp.zeros((5, 1)), schedules.edm()(0.5)).x0.shape
      (5, 1)
    """
    w, m, spread = (
        checks.numbers(name, each)
        for name, each in (("weights", weights), ("means", means), ("covariances", covariances))
    )
    if m.ndim != 2 or w.shape != m.shape[:1]:
        raise ValueError(f"weights must be [K] and means [K, D], got {list(w.shape)} and {list(m.shape)}")
    count, dim = m.shape
    if not (w > 0).all():
        raise ValueError(f"weights must be positive, got {w.min():g}")
    if spread.shape == (count,):
        spread = spread[:, None] * np.ones(dim)
    if spread.shape == (count, dim):
        spread = spread[:, :, None] * np.eye(dim)
    if spread.shape != (count, dim, dim):
        raise ValueError(
            f"covariances must be [K, D, D], [K, D] or [K], K={count}, D={dim}; got {list(spread.shape)}"
        )
    if not np.allclose(spread, spread.transpose(0, 2, 1)):
        raise ValueError("covariances must be symmetric")
    spectra, axes = np.linalg.eigh(spread)
    if spectra.min() < -1e-9 * max(spectra.max(), 1e-300):
        raise ValueError(f"covariances must be positive semi-definite, got an eigenvalue {spectra.min():g}")
    classes = np.arange(count) if labels is None else np.asarray(labels)
    if classes.shape != (count,) or classes.dtype.kind not in "iu" or classes.min() < 0:
        raise ValueError(f"labels must be [K] ints >= 0, got {classes.dtype} of shape {list(classes.shape)}")
    return GaussianMixture(w / w.sum(), m, np.maximum(spectra, 0), axes, classes)


# Dormand & Prince 1980: nodes, slopes that make the stages, weights of order 5, and what order 4 differs by
_NODES = np.array([0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1])
_STAGES = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0],
        [1 / 5, 0, 0, 0, 0, 0, 0],
        [3 / 40, 9 / 40, 0, 0, 0, 0, 0],
        [44 / 45, -56 / 15, 32 / 9, 0, 0, 0, 0],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0, 0, 0],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656, 0, 0],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
    ]
)
_ERROR = np.array([71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40])
_TOLERANCE, _MOST_STEPS = 1e-10, 20_000


def _by_ode(denoise, x, level_t, level_s, cond):
    """Integrate z = x / sqrt(alpha^2 + sigma^2) over the angle a = atan(sigma / alpha) in float64.

    dz / da = cos(a) eps - sin(a) x_0, whatever the schedule: finite at both of its ends.
    """
    each = lambda field: jnp.broadcast_to(jnp.asarray(field, jnp.float64), x.shape[:1])
    with jax.enable_x64(True):
        angles = [jnp.arctan2(each(level.sigma), each(level.alpha)) for level in (level_t, level_s)]
        scales = [jnp.hypot(each(level.sigma), each(level.alpha))[:, None] for level in (level_t, level_s)]
        labels = None if cond is None else jnp.broadcast_to(jnp.asarray(cond), x.shape[:1])

        def slope(angle, z, label):
            angle = jnp.maximum(angle, 1e-9)  # a flat direction has no density at 0
            level = NoiseLevel(angle, jnp.cos(angle), jnp.sin(angle), -2 * jnp.log(jnp.tan(angle)))
            said = denoise(z[None], level, None if label is None else label[None])
            return (level.alpha * said.eps - level.sigma * said.x0)[0]

        walk = jax.vmap(partial(_dormand_prince, slope))
        z = walk(x.astype(jnp.float64) / scales[0], angles[0], angles[1], labels)
        return (scales[1] * z).astype(x.dtype)


def _dormand_prince(slope, z, begin, end, label):
    """Integrate dz / da = slope(a, z, label) from begin to end, with steps that keep to the tolerance."""

    def body(carry):
        a, z, h, count = carry
        h = jnp.where(jnp.abs(h) < jnp.abs(end - a), h, end - a)

        def stage(i, slopes):
            moved = z + h * jnp.asarray(_STAGES)[i] @ slopes
            return slopes.at[i].set(slope(a + jnp.asarray(_NODES)[i] * h, moved, label))

        slopes = jax.lax.fori_loop(0, len(_NODES), stage, jnp.zeros((len(_NODES), *z.shape), z.dtype))
        moved = z + h * _STAGES[-1] @ slopes
        error = jnp.max(jnp.abs(h * _ERROR @ slopes) / (_TOLERANCE * (1 + jnp.abs(moved))))
        fine = error <= 1
        factor = jnp.clip(0.9 * jnp.maximum(error, 1e-12) ** -0.2, 0.2, 5.0)
        a = jnp.where(fine, jnp.where(h == end - a, end, a + h), a)
        return a, jnp.where(fine, moved, z), h * factor, count + 1

    unfinished = lambda carry: (carry[0] != end) & (carry[3] < _MOST_STEPS)
    a, z, _, _ = jax.lax.while_loop(unfinished, body, (begin, z, (end - begin) / 32, 0))
    return jnp.where(a == end, z, jnp.nan)

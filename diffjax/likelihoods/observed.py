"""What a decoder says of x: the likelihoods p(x | z) of a model with latent variables, by name."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.pixels import to_model, to_uint8
from diffjax.process import checks, logistic
from diffjax.process import gaussian as normal
from diffjax.process.gaussian import Gaussian
from diffjax.types import Array, Float, Key

_WIDEST = 3.0  # log scale of pixels in [-1, 1]
_LOG_VARIANCE = (-20.0, 20.0)  # of a learned Gaussian: beyond, float32 has no square over the variance


class Observed(NamedTuple):
    """A likelihood, as functions of the network's numbers `[..., outputs]` for each element of x `[...]`.

    Attributes:
      outputs: how many numbers an element takes.
      log_prob: (numbers, target) -> nats `[...]`.
      mean: numbers -> the mean of x `[...]`.
      sample: (key, numbers) -> x `[...]`.
      target: (key, x) -> what is observed of x: x itself, or pixels turned black and white by chance.
      counts: whether `log_prob` is the probability of pixels in [-1, 1], so that images have a code length;
        else it is a density, of any x.
    """

    outputs: int
    log_prob: Callable[[Array, Array], Array]
    mean: Callable[[Array], Array]
    sample: Callable[[Array, Array], Array]
    target: Callable[[Array, Array], Array] = lambda key, x: x
    counts: bool = False


def _law(outputs: int, log_prob, mean, sample, **more) -> Observed:
    """Return an Observed whose functions are checked: `[..., outputs]` numbers of x `[...]`."""
    numbers_of_x = Float[Array, f"*shape {outputs}"]

    @checked
    def log_prob_of(numbers: numbers_of_x, target: Float[Array, "*shape"]):  # pyright: ignore[reportInvalidTypeForm]
        return log_prob(numbers, target)

    @checked
    def mean_of(numbers: numbers_of_x):  # pyright: ignore[reportInvalidTypeForm]
        return mean(numbers)

    @checked
    def sample_of(key: Key[Array, ""], numbers: numbers_of_x):  # pyright: ignore[reportInvalidTypeForm]
        return sample(key, numbers)

    return Observed(outputs, log_prob_of, mean_of, sample_of, **more)


@checked
def gaussian(std: float | None = None) -> Observed:
    """Return N(mean, std^2), with its standard deviation given, or said by the network for each element.

    Args:
      std: positive; None for a learned one.

    Raises:
      ValueError: for another number.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.likelihoods import observed
      >>> round(float(observed.gaussian(std=1.0).log_prob(jnp.zeros((1, 1)), jnp.zeros(1))[0]), 4)
      -0.9189
    """
    if std is not None:
        checks.positive("std", std)

    def of(numbers):
        log_variance = 2 * math.log(std) if std is not None else jnp.clip(numbers[..., 1], *_LOG_VARIANCE)
        return Gaussian(numbers[..., 0], log_variance)

    return _law(
        1 if std is not None else 2,
        lambda numbers, x: normal.log_prob(of(numbers), x),
        lambda numbers: numbers[..., 0],
        lambda key, numbers: normal.sample(key, of(numbers)),
    )


@checked
def bernoulli() -> Observed:
    """Return black and white pixels with the probability that the network says.

    A grey pixel is observed as white by chance, afresh each time (dynamic binarisation: Salakhutdinov &
    Murray 2008), with probability (x + 1) / 2: what is bounded is the probability of those pictures.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.likelihoods import observed
      >>> round(float(observed.bernoulli().log_prob(jnp.zeros((1, 1)), jnp.ones(1))[0]), 4)  # log 1/2
      -0.6931
    """

    def sample(key, numbers):
        return 2.0 * jax.random.bernoulli(key, jax.nn.sigmoid(numbers[..., 0])).astype(numbers.dtype) - 1

    @checked
    def by_chance(key: Key[Array, ""], x: Float[Array, "*shape"]):
        checks.within("x", x, -1.0, 1.0)
        return 2.0 * jax.random.bernoulli(key, (x + 1) / 2).astype(x.dtype) - 1

    return _law(
        1,
        lambda numbers, x: jax.nn.log_sigmoid(numbers[..., 0] * x),
        lambda numbers: jnp.tanh(numbers[..., 0] / 2),
        sample,
        target=by_chance,
        counts=True,
    )


@checked
def discretized_logistic(log_scale_min: float = -7.0) -> Observed:
    """Return 8-bit pixels under a logistic integrated over bins, see `logistic.discretized_log_prob`.

    The network says its mean and the logarithm of its scale, which starts at 1/8.

    Args:
      log_scale_min: below 3; a sharper logistic is not told apart from this one. At -7 (PixelCNN++) all of it
        is in one of the 256 bins: of few training images a network learns each pixel's value by heart, and is
        as sure of held-out ones.

    Raises:
      ValueError: for another number.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax.likelihoods import observed
      >>> bins = jnp.arange(256) / 127.5 - 1
      >>> law = observed.discretized_logistic()
      >>> round(float(jnp.exp(law.log_prob(jnp.zeros((256, 2)), bins)).sum()), 4)
      1.0
    """
    if log_scale_min >= _WIDEST:
        raise ValueError(f"log_scale_min must be below {_WIDEST:g}, got {log_scale_min}")
    log_scale = lambda numbers: jnp.clip(numbers[..., 1] - math.log(8.0), log_scale_min, _WIDEST)

    def sample(key, numbers):
        x = numbers[..., 0] + jnp.exp(log_scale(numbers)) * jax.random.logistic(key, numbers.shape[:-1])
        return to_model(to_uint8(x))

    return _law(
        2,
        lambda numbers, x: logistic.discretized_log_prob(numbers[..., 0], log_scale(numbers), x),
        lambda numbers: jnp.clip(numbers[..., 0], -1, 1),
        sample,
        counts=True,
    )


LIKELIHOODS = {each.__name__: each for each in (gaussian, bernoulli, discretized_logistic)}

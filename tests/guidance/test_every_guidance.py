"""What every transformation Denoiser -> Denoiser promises; a new one is tested by a line in `LISTED`."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax import guidance
from diffjax.process import prediction, schedules
from diffjax.process.prediction import Prediction

MIXTURE, FLOW = mixtures.tilted(), schedules.rectified_flow()
LABELS = jnp.array([0, 1, 1, 0])
X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)), jnp.float32)
UPHILL = guidance.gradient_of(
    lambda x, level, cond: MIXTURE.log_prob(x, level, cond) - MIXTURE.log_prob(x, level)
)
KNOWN = jnp.array([[1, 0]] * 4)
LIKE = guidance.resembles_image(lambda x, level: x + level.sigma.mean(), 0.5 - X, key=jax.random.key(0))
WORDS = guidance.resembles_text(lambda x, level: jnp.sin(x), jnp.array([[1.0, 2.0]]))


class Listed(NamedTuple):
    """A transformation, one that changes nothing, and whether eps follows x_0 or is the denoiser's own."""

    transform: Callable
    none: Callable
    maker: str
    follows: bool | None = True


def _weak(x, level, cond=None):
    return prediction.from_x0(0.5 * _denoise(x, level, cond).x0 + 0.1, x, level)


def _both(guided):
    """Ask for two conditions: the label, and the other one."""
    return lambda x, level, cond=None: guided(x, level, [cond, 1 - cond])


def _own(denoise):
    """Fill in what the denoiser says anyway."""
    fill = lambda x, level, cond: guidance.inpaint(denoise(x, level, cond).x0, KNOWN)
    return lambda x, level, cond=None: fill(x, level, cond)(denoise)(x, level, cond)


LISTED = {
    "classifier_free": Listed(
        guidance.classifier_free(2.5, null=-1), guidance.classifier_free(1.0, null=-1), "classifier_free"
    ),
    "classifier_free_weight": Listed(
        guidance.classifier_free(weight=jnp.array([0.5, 1.0, 2.0, 4.0]), null=-1),
        guidance.classifier_free(weight=0.0, null=-1),
        "classifier_free",
    ),
    "classifier_free_of_level": Listed(
        guidance.classifier_free(lambda level: 1 + 2 * (level.log_snr < 1.5), null=-1),
        guidance.classifier_free(weight=lambda level: 0 * level.sigma, null=-1), "classifier_free",
    ),
    "interval": Listed(
        guidance.interval(guidance.classifier_free(3.0, null=-1), 0.5, 5.0),
        guidance.interval(guidance.classifier_free(3.0, null=-1), 100.0, 200.0), "interval",
    ),
    "rescale": Listed(
        guidance.rescale(guidance.classifier_free(6.0, null=-1), 0.7, "v"),
        guidance.rescale(guidance.classifier_free(1.0, null=-1), 0.7, "x0"), "rescale",
    ),
    "autoguidance": Listed(
        guidance.autoguidance(lambda *args: _weak(*args), 2.0),
        guidance.autoguidance(lambda *args: _denoise(*args), 3.0), "autoguidance",
    ),
    "apg": Listed(
        guidance.apg(4.0, null=-1, threshold=0.4), guidance.apg(weight=0.0, null=-1, threshold=0.4), "apg"
    ),
    "cfg_plus_plus": Listed(
        guidance.cfg_plus_plus(0.6, null=-1), guidance.cfg_plus_plus(0.6, null=LABELS), "cfg_plus_plus", None
    ),
    "compose_conditions": Listed(
        lambda denoise: _both(guidance.compose_conditions([2.0, -0.5], null=-1)(denoise)),
        lambda denoise: _both(guidance.compose_conditions([1.0, 0.0], null=-1)(denoise)),
        "compose_conditions",
    ),
    "classifier": Listed(guidance.classifier(UPHILL, 2.0), guidance.classifier(UPHILL, 0.0), "classifier"),
    "classifier_of_x0": Listed(
        guidance.classifier(UPHILL, 0.5, of_x0=True),
        guidance.classifier(UPHILL, lambda level: 0 * level.sigma, of_x0=True), "classifier",
    ),
    "semantic": Listed(
        guidance.semantic([(3.0, LIKE), (0.5, WORDS)]), guidance.semantic([(3.0, LIKE)], 0.0), "semantic"
    ),
    "inpaint": Listed(guidance.inpaint(X / 2, KNOWN), _own, "inpaint"),
    "linear_inverse": Listed(
        guidance.linear_inverse(guidance.operators.mask(KNOWN), X * KNOWN, 0.3),
        guidance.linear_inverse(guidance.operators.mask(KNOWN), X, 0.3, scale=0.0), "linear_inverse",
    ),
    "dps": Listed(
        guidance.linear_inverse(guidance.operators.matrix([[1.0, -1.0]]), X[:, :1], 1.0, method="dps"),
        guidance.linear_inverse(guidance.operators.mask(KNOWN), X, 1e9, method="dps"), "linear_inverse",
    ),
    "clip": Listed(guidance.clip(-0.3, 0.3), guidance.clip(-np.inf, np.inf), "clip"),
    "clip_keep_eps": Listed(
        guidance.clip(-0.3, 0.3, keep_eps=True), guidance.clip(-9.0, 9.0, keep_eps=True), "clip", False
    ),
    "dynamic_threshold": Listed(
        guidance.chain(guidance.classifier_free(6.0, null=-1), guidance.dynamic_threshold(0.5)),
        guidance.dynamic_threshold(1.0, max_value=1.0),
        "dynamic_threshold",
    ),
    "chain": Listed(
        guidance.chain(guidance.classifier_free(3.0, null=-1), guidance.clip(-0.9, 0.9)),
        guidance.chain(),
        "chain",
    ),
}  # fmt: skip
LEVELS = {"scalar": FLOW(0.4), "each": FLOW(np.array([1e-3, 0.4, 0.6, 1.0]))}
AT = LEVELS["scalar"]


def _denoise(x, level, cond=None):
    """The exact denoiser, within (-1, 1), with a variance."""
    found = prediction.from_x0(jnp.tanh(MIXTURE.predict(x, level, cond).x0), x, level)
    return found._replace(variance=0.3 * jnp.tanh(x))


def _equal(ours, theirs, **tolerance):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def test_every_transformation_is_listed():
    makers = {
        name
        for name, value in vars(guidance).items()
        if inspect.isfunction(inspect.unwrap(value) if callable(value) else value)
        and inspect.signature(value).return_annotation == guidance.Transformation
    }
    assert makers == {each.maker for each in LISTED.values()}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", LISTED)
def test_no_strength_changes_nothing(name, level):
    level = LEVELS[level]
    found, plain = LISTED[name].none(_denoise)(X, level, LABELS), _denoise(X, level, LABELS)
    # of eps, sigma times it: made again of x_0 it has the rounding of x_0 over sigma
    sigma = np.float32(np.reshape(level.sigma, (-1, 1)))
    scaled = [each._replace(eps=sigma * each.eps) for each in (found, plain)]
    _equal(*scaled, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", LISTED)
def test_strength_changes_x0_and_eps_together(name, level):
    level, listed = LEVELS[level], LISTED[name]
    found, plain = listed.transform(_denoise)(X, level, LABELS), _denoise(X, level, LABELS)
    assert isinstance(found, Prediction) and not np.allclose(found.x0, plain.x0, atol=1e-3)
    if listed.follows is None:
        return
    if listed.follows:
        alpha, sigma = (np.reshape(field, (-1, 1)) for field in (level.alpha, level.sigma))
        np.testing.assert_allclose(alpha * found.x0 + sigma * found.eps, X, atol=1e-5)
    else:
        np.testing.assert_array_equal(found.eps, plain.eps)


@pytest.mark.parametrize("name", LISTED)
def test_variances_are_never_mixed(name):
    found = LISTED[name].transform(_denoise)(X, LEVELS["each"], LABELS)
    np.testing.assert_array_equal(found.variance, _denoise(X, LEVELS["each"], LABELS).variance)
    bare = lambda x, level, cond=None: _denoise(x, level, cond)._replace(variance=None)
    assert LISTED[name].transform(bare)(X, LEVELS["each"], LABELS).variance is None


@pytest.mark.parametrize("name", LISTED)
def test_jit_and_vmap_are_the_plain_function(name):
    guided = LISTED[name].transform(_denoise)
    plain = guided(X, LEVELS["scalar"], LABELS)
    _equal(jax.jit(guided)(X, LEVELS["scalar"], LABELS), plain, rtol=1e-5, atol=1e-6)
    pair = jax.vmap(guided, (0, None, None))(jnp.stack([X, X + 1]), LEVELS["scalar"], LABELS)
    _equal(jax.tree.map(lambda a: a[0], pair), plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LISTED)
def test_it_composes(name):
    """Between transformations that do nothing it does what it does alone."""
    around = guidance.chain(
        guidance.chain(), LISTED[name].transform, guidance.clip(-np.inf, np.inf, keep_eps=True)
    )
    alone = LISTED[name].transform(_denoise)(X, LEVELS["each"], LABELS)
    _equal(around(_denoise)(X, LEVELS["each"], LABELS), alone, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in LISTED if name != "chain"])
def test_a_network_in_place_of_a_denoiser_is_refused(name):
    network = lambda x, t, cond=None: 0.1 * x
    with pytest.raises(ValueError, match=r"denoise must return a Prediction, .*reading\(kind\)\.denoiser"):
        LISTED[name].transform(network)(X, LEVELS["scalar"], LABELS)
    with pytest.raises(ValueError, match="denoise must be a Denoiser"):
        LISTED[name].transform(None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: guidance.classifier_free(np.nan, null=-1), "scale must be"),
        (lambda: guidance.classifier_free(weight=jnp.array([1.0, np.inf]), null=-1), "weight must be finite"),
        (lambda: guidance.classifier_free(jnp.ones((4, 2)), null=-1), "scale must be"),
        (lambda: guidance.classifier_free(jnp.ones(3), null=-1)(_denoise)(X, AT, LABELS), "scale must be"),
        (lambda: guidance.classifier_free(2.0, null=-1)(_denoise)(X, AT, LABELS[:3]), "cond must hold"),
        (lambda: guidance.classifier_free(2.0, null=0.5)(_denoise)(X, AT, LABELS), "null must be of"),
        (lambda: guidance.classifier(None), "gradient must be a function"),
        (lambda: guidance.classifier(lambda x, level, cond: x[:, :1])(_denoise)(X, FLOW(0.4)), r"gradient\("),
        (lambda: guidance.classifier(UPHILL, np.nan), "scale must be"),
        (lambda: guidance.gradient_of(lambda x, level, cond: x)(X, AT, None), "log_prob must give one"),
        (lambda: guidance.clip("low", "high"), "lo must be a number"),
        (lambda: guidance.clip(1.0, -1.0), "clip needs lo < hi"),
        (lambda: guidance.dynamic_threshold("most"), "quantile must be"),
        (lambda: guidance.dynamic_threshold(1.5), "quantile must be"),
        (lambda: guidance.dynamic_threshold(max_value=0.5), "max_value must be at least 1"),
        (lambda: guidance.chain(None), "transforms must be"),
    ],
)  # fmt: skip
def test_wrong_calls_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

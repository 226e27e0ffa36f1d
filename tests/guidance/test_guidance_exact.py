"""Guidance against what it must equal on exact mixtures, and thresholds against their definitions."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax import guidance
from diffjax.process import prediction, schedules

MIXTURE = mixtures.tilted()
LEVELS = {
    "chain": schedules.linear_beta(1000)(np.array([20, 400, 700, 990])),
    "edm": schedules.edm()(np.array([0.05, 0.7, 3.0, 40.0])),
    "flow": schedules.rectified_flow()(np.array([1e-4, 0.3, 0.7, 0.9999])),
}
X = np.random.default_rng(0).normal(size=(4, 2))
LABELS = jnp.array([0, 1, 1, 0])


def _fixed(x0, variance=None):
    return lambda x, level, cond=None: prediction.from_x0(jnp.asarray(x0, x.dtype), x, level, variance)


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_classifier_free_is_the_score_identity(x64, name, scale):
    """(1 - s) grad log p(x) + s grad log p(x | y), and x_0 and eps tell the same story."""
    level, x = LEVELS[name], jnp.asarray(X) * (1 + LEVELS[name].sigma[:, None])
    guided = guidance.classifier_free(scale, null=-1)(MIXTURE.denoiser())(x, level, LABELS)
    score = MIXTURE.guided_score(x, level, LABELS, scale)
    np.testing.assert_allclose(prediction.score(guided, level), score, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(guided.x0, prediction.tweedie(score, x, level), rtol=1e-7, atol=1e-8)
    for plain, label in [(0.0, None), (1.0, LABELS)]:
        if scale == plain:
            np.testing.assert_allclose(guided.x0, MIXTURE.predict(x, level, label).x0, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", LEVELS)
def test_exact_classifier_turns_the_model_into_the_conditional_one(x64, name):
    level, x = LEVELS[name], jnp.asarray(X) * (1 + LEVELS[name].sigma[:, None])
    log_p = lambda x, level, y: jnp.take_along_axis(MIXTURE.class_log_prob(x, level), y[:, None], 1)[:, 0]
    gradient = guidance.gradient_of(log_p)
    unconditional = lambda x, level, cond: MIXTURE.predict(x, level)
    guided = guidance.classifier(gradient)(unconditional)(x, level, LABELS)
    exact = MIXTURE.predict(x, level, LABELS)
    np.testing.assert_allclose(guided.eps, exact.eps, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(guided.x0, exact.x0, rtol=1e-7, atol=1e-8)
    # and at another scale it is classifier-free guidance
    guided = guidance.classifier(gradient, scale=2.5)(unconditional)(x, level, LABELS)
    other = guidance.classifier_free(2.5, null=-1)(MIXTURE.denoiser())(x, level, LABELS)
    np.testing.assert_allclose(guided.eps, other.eps, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(guided.x0, other.x0, rtol=1e-7, atol=1e-8)


def test_scale_weight_and_one_scale_a_sample():
    level, x = LEVELS["edm"], jnp.asarray(X, jnp.float32)
    guide = lambda *a, **k: guidance.classifier_free(*a, **k, null=-1)(MIXTURE.denoiser())(x, level, LABELS)
    np.testing.assert_array_equal(guide(weight=2.0).eps, guide(3.0).eps)
    mixed = guide(jnp.array([0.0, 1.0, 2.0, 3.0]))
    for i in range(4):
        np.testing.assert_allclose(mixed.x0[i], guide(float(i)).x0[i], rtol=1e-5, atol=1e-6)


def test_conditions_are_pytrees_and_the_variance_is_the_conditional_models():
    level, x = schedules.edm()(1.0), jnp.ones((3, 2))

    def denoise(x, level, cond):
        assert cond["label"].shape == (3,) and cond["text"].shape == (3, 4)
        value = (cond["label"] + cond["text"].sum(-1))[:, None] * jnp.ones_like(x)
        return prediction.Prediction(value, -value, 10 * value)

    cond = {"label": jnp.array([1, 2, 3]), "text": jnp.ones((3, 4))}
    null = {"label": 0, "text": jnp.zeros(4)}
    guided = guidance.classifier_free(2.0, null=null)(denoise)(x, level, cond)
    np.testing.assert_allclose(guided.x0[:, 0], [10, 12, 14])
    np.testing.assert_allclose(guided.eps[:, 0], [-10, -12, -14])
    np.testing.assert_allclose(guided.variance[:, 0], [50, 60, 70])
    for wrong in (None, {"label": cond["label"]}, cond["label"]):
        with pytest.raises(ValueError, match="cond must hold arrays in the structure of null"):
            guidance.classifier_free(2.0, null=null)(denoise)(x, level, wrong)
    for scales in ({}, {"scale": 1.0, "weight": 0.0}):
        with pytest.raises(ValueError, match="exactly one of scale"):
            guidance.classifier_free(**scales, null=0)


def test_guidance_keeps_the_sharding_of_the_batch():
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("data",))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    x = jnp.asarray(np.tile(X, (2, 1)), jnp.float32)
    labels, level = jnp.tile(LABELS, 2), schedules.edm()(0.7)
    guided = jax.jit(lambda x, y: guidance.classifier_free(3.0, null=-1)(MIXTURE.denoiser())(x, level, y).x0)
    ours = guided(jax.device_put(x, rows), jax.device_put(labels, rows))
    assert ours.sharding.is_equivalent_to(rows, 2)
    np.testing.assert_allclose(ours, guided(x, labels), rtol=1e-5, atol=1e-6)


def test_chain_applies_the_first_transform_first():
    level, x = schedules.edm()(1.0), jnp.zeros((2, 3))
    double = lambda denoise: (
        lambda x, level, cond=None: denoise(x, level)._replace(x0=2 * denoise(x, level).x0)
    )
    denoise = _fixed(jnp.full((2, 3), 0.8))
    np.testing.assert_allclose(guidance.chain(double, guidance.clip())(denoise)(x, level).x0, 1)
    np.testing.assert_allclose(guidance.chain(guidance.clip(), double)(denoise)(x, level).x0, 1.6)
    assert guidance.chain()(denoise) is denoise


@pytest.mark.parametrize("make", [guidance.clip, guidance.dynamic_threshold])
def test_eps_is_recomputed_or_kept(x64, make):
    level, variance = LEVELS["chain"], jnp.full((4, 2), 0.3)
    x, x0 = jnp.asarray(X), jnp.asarray(3 * X)
    raw = _fixed(x0, variance)(x, level)
    kept, recomputed = (make(keep_eps=keep)(_fixed(x0, variance))(x, level) for keep in (True, False))
    np.testing.assert_array_equal(kept.eps, raw.eps)
    np.testing.assert_array_equal(kept.x0, recomputed.x0)
    back = level.alpha[:, None] * recomputed.x0 + level.sigma[:, None] * recomputed.eps
    np.testing.assert_allclose(back, x, rtol=1e-10, atol=1e-12)
    assert (
        (jnp.abs(kept.x0) <= 1).all()
        and (kept.variance == variance).all()
        and (recomputed.variance == variance).all()
    )


def test_static_clip():
    x0 = jnp.array([[-3.0, -0.5, 0.2, 2.0]])
    ours = guidance.clip(-1, 0.1)(_fixed(x0))(jnp.zeros((1, 4)), schedules.edm()(1.0)).x0
    np.testing.assert_allclose(ours, [[-1, -0.5, 0.1, 0.1]])


def _threshold(x0, *arguments):
    return guidance.dynamic_threshold(*arguments)(_fixed(x0))(jnp.zeros(x0.shape), schedules.edm()(1.0)).x0


def test_dynamic_threshold():
    x0 = np.random.default_rng(0).normal(size=(5, 4, 4, 3)).astype(np.float32)
    inside = np.clip(x0, -1, 1)
    np.testing.assert_array_equal(_threshold(inside, 0.9), inside)
    ours = np.asarray(_threshold(3 * x0, 0.9))
    for one, raw in zip(ours, 3 * x0):  # each sample by its own quantile
        s = max(np.quantile(np.abs(raw), 0.9), 1)
        np.testing.assert_allclose(one, np.clip(raw, -s, s) / s, rtol=1e-5, atol=1e-6)
    assert np.abs(ours).max() <= 1
    np.testing.assert_array_equal(_threshold(ours, 0.9), ours)
    mixed = np.concatenate([inside[:1], 30 * x0[1:2]])
    np.testing.assert_array_equal(_threshold(mixed, 0.9)[:1], inside[:1])
    # a bound on s: max_value = 1 is the static clip
    np.testing.assert_allclose(_threshold(3 * x0, 0.9, 1.0), np.clip(3 * x0, -1, 1), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: guidance.clip(1, -1), "lo < hi"),
        (lambda: guidance.dynamic_threshold(0.0), "quantile must be in"),
        (lambda: guidance.dynamic_threshold(99.5), "quantile must be in"),
        (lambda: guidance.dynamic_threshold(0.9, 0.5), "max_value must be at least 1"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

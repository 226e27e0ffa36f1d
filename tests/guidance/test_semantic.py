"""Semantic guidance: what its scores see, and that its gradients are theirs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import exact, guidance
from diffjax.guidance.noise import noised_afresh
from diffjax.process import schedules

KEY, RNG, LEVEL = jax.random.key(3), np.random.default_rng(0), schedules.vp_linear()(0.4)
X, REFERENCE = (jnp.asarray(RNG.normal(size=(3, 4, 4, 2)), jnp.float32) for _ in range(2))
WEIGHTS = jnp.asarray(RNG.normal(size=(32, 5)), jnp.float32)


def encode(x, level):
    return jnp.tanh(x.reshape(len(x), -1) @ WEIGHTS)


def maps(x, level):
    return [x, jnp.tanh(x[:, ::2, ::2]) * jnp.reshape(level.sigma, (-1, 1, 1, 1))]


SCORES = {
    "text": guidance.resembles_text(encode, jnp.ones((1, 5))),
    "image": guidance.resembles_image(encode, REFERENCE, key=KEY),
    "layout": guidance.resembles_layout(maps, REFERENCE, key=KEY),
    "style": guidance.resembles_style(maps, REFERENCE, key=KEY),
}


@pytest.mark.parametrize("name", ["image", "layout", "style"])
def test_nothing_resembles_a_reference_more_than_itself_with_the_same_noise(name):
    """The score there is the highest there is, 1 or 0, and its gradient nothing."""
    noised = noised_afresh(KEY, REFERENCE, LEVEL)
    best = 1.0 if name == "image" else 0.0
    np.testing.assert_allclose(SCORES[name](noised, LEVEL, None), best, atol=1e-5)
    slope = jax.jit(guidance.gradient_of(SCORES[name]))
    np.testing.assert_allclose(slope(noised, LEVEL, None), 0, atol=1e-5)
    assert (SCORES[name](X, LEVEL, None) < best - 1e-3).all()
    assert (jnp.abs(slope(X, LEVEL, None)).max((1, 2, 3)) > 1e-4).all()


def test_features_are_of_unit_norm():
    """Scores do not depend on the encoder's scale, and are cosines; no features are no direction, not NaN."""
    louder = guidance.resembles_image(lambda x, level: 7 * encode(x, level), REFERENCE, key=KEY)
    np.testing.assert_allclose(louder(X, LEVEL, None), SCORES["image"](X, LEVEL, None), rtol=1e-4)
    text = np.ones(5) / np.sqrt(5)
    features = np.asarray(encode(X, LEVEL))
    cosine = features @ text / np.linalg.norm(features, axis=1)
    np.testing.assert_allclose(SCORES["text"](X, LEVEL, None), cosine, rtol=1e-4)
    silent = guidance.resembles_text(lambda x, level: 0 * encode(x, level), jnp.ones((1, 5)))
    assert np.isfinite(guidance.gradient_of(silent)(X, LEVEL, None)).all()


def test_style_does_not_know_places_and_layout_does():
    noised = noised_afresh(KEY, REFERENCE, LEVEL)
    moved = jnp.roll(noised, 2, axis=1)
    np.testing.assert_allclose(SCORES["style"](moved, LEVEL, None), 0, atol=1e-5)
    assert (SCORES["layout"](moved, LEVEL, None) < -0.1).all()


def test_style_is_a_distance_of_gram_matrices():
    noised, found = np.asarray(noised_afresh(KEY, REFERENCE, LEVEL)), 0.0
    for a, b in zip(maps(jnp.asarray(noised), LEVEL), maps(X, LEVEL)):
        gram = lambda m: np.einsum("bhwc,bhwd->bcd", m, m) / m[0].size
        found -= ((gram(np.asarray(a)) - gram(np.asarray(b))) ** 2).sum((1, 2))
    np.testing.assert_allclose(SCORES["style"](X, LEVEL, None), found, rtol=1e-4)


def test_guides_add_up_by_their_weights():
    pairs = [(2.0, SCORES["image"]), (-0.5, SCORES["text"])]
    slope = lambda f: jax.jit(guidance.gradient_of(f))(X, LEVEL, None)
    both = slope(guidance.weighted(pairs))
    np.testing.assert_allclose(both, sum(w * slope(f) for w, f in pairs), rtol=1e-4, atol=1e-6)
    # and as guidance they shift eps by sigma times that
    plain = exact.gaussian_mixture([1.0], [np.zeros(32)], [1.0])
    denoise = lambda x, level, cond=None: jax.tree.map(
        lambda a: a.reshape(x.shape), plain.predict(x.reshape(len(x), -1), level)
    )
    guided = jax.jit(guidance.semantic(pairs, 3.0)(denoise))(X, LEVEL)
    shift = denoise(X, LEVEL).eps - guided.eps
    np.testing.assert_allclose(shift, 3 * LEVEL.sigma * both, rtol=1e-3, atol=1e-5)


def test_the_reference_has_noise_of_its_own_at_every_level_and_sample():
    one = jnp.zeros((2, 500))
    at = lambda t, key=KEY, x=one: np.asarray(noised_afresh(key, x, schedules.edm()(t)))
    first = at(1.0)
    np.testing.assert_array_equal(first, jax.jit(lambda x: noised_afresh(KEY, x, schedules.edm()(1.0)))(one))
    np.testing.assert_array_equal(first[:1], at(1.0, x=one[:1]))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(KEY, jnp.arange(2))
    np.testing.assert_array_equal(first, at(1.0, keys))
    streams = np.concatenate([first, at(1.01) / 1.01, at(1.0, jax.random.key(4))])
    np.testing.assert_allclose(np.corrcoef(streams), np.eye(6), atol=5 / np.sqrt(500))
    np.testing.assert_allclose(streams.std(1), 1, atol=5 / np.sqrt(1000))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: guidance.semantic([]), "guides must be at least one pair"),
        (lambda: guidance.semantic([(np.nan, SCORES["text"])]), "guides must be"),
        (lambda: guidance.semantic([(1.0, 3.0)]), "guides must be"),
        (lambda: guidance.semantic([(1.0, SCORES["text"])], np.inf), "scale must be"),
        (lambda: guidance.resembles_text(encode, jnp.ones((2, 5)))(X, LEVEL), "text must be one for all"),
        (lambda: guidance.resembles_text(maps, jnp.ones((1, 5)))(X, LEVEL), r"encode must give \[B, D\]"),
        (lambda: guidance.resembles_image(encode, X[:2], key=KEY)(X, LEVEL), "reference must be one for all"),
        (lambda: guidance.resembles_image(encode, X[:, :2], key=KEY)(X, LEVEL), "reference must be shaped"),
        (lambda: guidance.resembles_image(encode, X, key=3), "key must be a key"),
        (lambda: guidance.resembles_style(encode, X, key=KEY)(X, LEVEL), r"maps must give \[B, ..., C\]"),
    ],
)  # fmt: skip
def test_wrong_calls_are_named(make, message):
    with pytest.raises(ValueError, match=message) as told:
        make()
    assert "\n" not in str(told.value)

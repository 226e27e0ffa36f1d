"""Encoders of texts, embeddings, maps and pictures: padding, nulls, and what lies beside the pixels."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from diffjax.models import Condition, Encoders
from diffjax.models.encoders import Embedded, Noisy, PictureMap, SemanticMap, TokenEncoder, blurred, resized

RNG = np.random.default_rng(0)
IDS = jnp.array([[3, 4, 0, 0], [0, 0, 0, 0], [5, 6, 7, 8], [9, 0, 0, 0]])
KEEP = jnp.array([True, True, False, True])


def draw(*shape):
    return RNG.standard_normal(shape).astype("f")


def made(module, *args):
    """Return parameters of no special value: nulls that start at zero would hide a mistake."""
    leaves, structure = jax.tree.flatten(jax.eval_shape(module.init, jax.random.key(0), *args))
    return jax.tree.unflatten(structure, [jnp.asarray(0.5 * draw(*leaf.shape)) for leaf in leaves])


class Reader(nn.Module):
    """A network that takes tokens: the mean of them by attention, and no other."""

    token_features = 6

    @nn.compact
    def __call__(self, x, t, cond):
        q = nn.Dense(6)(x)[:, None, None]
        k = cond.tokens[:, :, None]
        return jax.nn.dot_product_attention(q, k, k, mask=cond.mask[:, None, None])[:, 0, 0]


@pytest.fixture(scope="module")
def text():
    module = TokenEncoder(10, 4, width=8, depth=2, num_heads=2, token_features=6, vector_features=5)
    variables = made(module, IDS)
    return module, variables, jax.jit(module.apply)


def test_a_text_is_its_tokens_and_nothing_said_is_one_learned_token(text):
    _, variables, apply = text
    found, null = apply(variables, IDS, KEEP), variables["params"]["said"]
    first = [True, False, False, False]
    np.testing.assert_array_equal(found.mask, [[True, True, False, False], first, first, first])
    for row in (1, 2):  # padding alone, and dropped
        np.testing.assert_array_equal(found.tokens[row], [null["null_token"], *np.zeros((3, 6))])
        np.testing.assert_array_equal(found.vector[row], null["null_vector"])
    kept = apply(variables, IDS)
    np.testing.assert_array_equal(kept.mask[2], [True] * 4)
    np.testing.assert_allclose(kept.tokens[0], found.tokens[0], rtol=1e-5, atol=1e-6)
    assert not np.allclose(kept.vector[2], null["null_vector"])
    # a dropped text leaves no trace: its gradient is the nulls' alone
    grads = jax.grad(lambda v: (apply(v, IDS[1:3], KEEP[1:3]).tokens ** 2).sum())(variables)["params"]
    assert all(np.abs(g).max() == 0 for g in jax.tree.leaves(grads["text"]))
    assert np.abs(grads["said"]["null_token"]).max() > 0


def test_no_content_of_padding_reaches_a_network(text):
    _, variables, apply = text
    params = variables["params"]
    other = {**params, "text": {**params["text"], "tokens": params["text"]["tokens"].at[0].add(7.0)}}
    one, two = apply(variables, IDS), apply({"params": other}, IDS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), one, two)
    reader, x, t = Reader(), draw(4, 3), np.ones(4, "f")
    weights = reader.init(jax.random.key(0), x, t, one)
    noise = jnp.where(one.mask[..., None], one.tokens, 100.0)
    answer = reader.apply(weights, x, t, one)
    np.testing.assert_array_equal(answer, reader.apply(weights, x, t, one._replace(tokens=noise)))
    longer = apply(variables, IDS.at[0, 2].set(7))
    assert not np.allclose(reader.apply(weights, x, t, longer)[0], answer[0])
    assert np.isfinite(answer).all()


def test_embeddings_of_zeros_fill_up_and_size_does_not_count():
    module = Embedded(token_features=6, vector_features=5)
    tokens = draw(3, 2, 7)
    variables = made(module, tokens)
    apply = jax.jit(module.apply)
    short = apply(variables, tokens)
    full = apply(variables, np.concatenate([tokens, np.zeros((3, 2, 7), "f")], 1))
    np.testing.assert_allclose(full.vector, short.vector, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(full.tokens[:, :2], short.tokens, rtol=1e-5, atol=1e-6)
    assert not full.tokens[:, 2:].any() and (np.asarray(full.mask) == [True, True, False, False]).all()
    large = apply(variables, 100 * tokens)
    np.testing.assert_allclose(large.vector, short.vector, rtol=1e-3, atol=1e-3)
    null = variables["params"]["said"]["null_vector"]
    vectors = Embedded(vector_features=5)
    found = vectors.apply(variables, np.zeros((3, 7), "f"))
    assert found.tokens is None and found.mask is None
    np.testing.assert_array_equal(found.vector, np.tile(null, (3, 1)))
    np.testing.assert_array_equal(
        vectors.apply(variables, tokens[:, 0], jnp.array([True, False, True])).vector[1], null
    )


def test_a_map_has_a_channel_a_class_and_none_of_nothing():
    classes = RNG.integers(0, 4, (2, 3, 5))
    found = SemanticMap(3).apply({}, classes, jnp.array([True, False])).map
    np.testing.assert_array_equal(found[0], np.eye(4, 3)[classes[0]])
    assert not found[1].any()
    learned = SemanticMap(3, features=2)
    variables = made(learned, classes)
    table = variables["params"]["embedding"]
    found = learned.apply(variables, classes, jnp.array([True, False])).map
    np.testing.assert_array_equal(found[0], table[classes[0]])
    np.testing.assert_array_equal(found[1], np.broadcast_to(table[3], (3, 5, 2)))
    for wrong in (-1, 4, 200):
        assert np.isnan(SemanticMap(3).apply({}, np.full((1, 2, 2), wrong)).map).all()


def test_a_picture_lies_beside_the_pixels_with_the_level_of_its_noise():
    picture, level = draw(4, 2, 2, 3), np.array([0, 0.2, 0.2, 0.5], "f")
    module = PictureMap((4, 6), level_features=5, waves=8)
    variables = made(module, Noisy(picture, level))
    params = variables["params"]
    unsaid = jnp.asarray(picture).at[1, 0, 0, 0].set(jnp.nan)
    found = jax.jit(module.apply)(variables, Noisy(unsaid, level), jnp.array([True, True, False, True]))
    assert found.map.shape == (4, 4, 6, 3) and found.vector.shape == (4, 5)
    for row in (1, 2):
        np.testing.assert_allclose(found.map[row], np.broadcast_to(params["null"], (4, 6, 3)), rtol=1e-5)
        np.testing.assert_array_equal(found.vector[row], params["null_vector"])
    np.testing.assert_allclose(found.map[0].mean((0, 1)), picture[0].mean((0, 1)), atol=1e-5)
    assert not np.allclose(found.vector[0], found.vector[3])
    plain = PictureMap()
    np.testing.assert_array_equal(plain.apply(made(plain, picture), picture).map, picture)


@pytest.mark.parametrize(
    "module, args, message",
    [
        (PictureMap(), (Noisy(draw(2, 2, 2, 1), draw(2)),), "level: must be left out"),
        (PictureMap(None, 4), (draw(2, 2, 2, 1),), "level: must be given"),
        (
            TokenEncoder(9, 4, token_features=3),
            (IDS[:, :3],),
            "ids: must be 4 tokens long",
        ),
        (TokenEncoder(9, 4), (IDS,), "token_features: must be given, or else vector_features"),
        (TokenEncoder(9, 4, 6, num_heads=4, vector_features=3), (IDS,), "num_heads: must divide the width 6"),
        (Embedded(4), (draw(2, 2, 2, 2),), r"embedding: must be \[B, D\] or \[B, M, D\]"),
        (SemanticMap(0), (IDS[:, None],), "num_classes must be a positive integer"),
        (TokenEncoder(9, 4, vector_features=3), (IDS / 2,), "ids must be an integer array"),
    ],
)
def test_bad_calls_are_named(module, args, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(module.init, jax.random.key(0), *args)


def test_sizes_change_by_means_or_linearly():
    x = draw(2, 6, 4, 3)
    np.testing.assert_allclose(
        resized(x, (3, 2)), x.reshape(2, 3, 2, 2, 2, 3).mean((2, 4)), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(resized(x, (6, 4)), x)
    ramp = np.broadcast_to(np.arange(8, dtype="f")[None, :, None, None], (1, 8, 4, 1))
    large = resized(ramp, (16, 8))[0, :, 0, 0]
    np.testing.assert_allclose(
        large[1:-1], (np.arange(16) * 0.5 - 0.25)[1:-1], rtol=1e-5
    )  # centres of pixels
    np.testing.assert_allclose(resized(resized(x, (12, 8)), (6, 4)).mean(), x.mean(), atol=1e-2)


@pytest.mark.parametrize("width", [0.7, 2.0])
def test_a_blur_is_a_gaussian(width):
    x = draw(1, 12, 9, 2)
    radius = int(np.ceil(4 * width))
    expected = ndimage.gaussian_filter(x, (0, width, width, 0), mode="nearest", radius=(0, radius, radius, 0))
    np.testing.assert_allclose(blurred(x, width), expected, atol=1e-5)
    np.testing.assert_allclose(blurred(np.ones((1, 5, 5, 1), "f"), width), 1, rtol=1e-5)


def test_a_mixture_is_merged(text):
    module, _, _ = text
    encoders = Encoders({"text": module, "map": SemanticMap(3), "depth": PictureMap()})
    request = {"text": IDS, "map": np.zeros((4, 2, 2), int), "depth": draw(4, 2, 2, 1)}
    found, variables = jax.eval_shape(encoders.init_with_output, jax.random.key(0), request)
    assert jax.tree.map(jnp.shape, found) == Condition((4, 5), (4, 4, 6), (4, 4), (4, 2, 2, 4))
    assert variables["params"]["embed"].keys() == {"text", "depth"}  # a channel a class needs none

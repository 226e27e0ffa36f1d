"""The building blocks against Flax's own layers and closed forms."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.models.blocks import AttentionBlock, GroupNorm, ResBlock, TimeEmbedding, mean_pool, nearest

RNG = np.random.default_rng(0)


def noisy(variables, scale=0.1):
    """Move every parameter away from its initial value: many start at zero."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda a: a + scale * rng.standard_normal(a.shape).astype("f"), variables)


@pytest.mark.parametrize("mean", [0.0, 1e3])
def test_group_norm_equals_the_definition_even_for_a_large_mean(mean):
    x = (mean + RNG.standard_normal((2, 5, 7, 12))).astype("f")
    groups = x.astype("d").reshape(2, 35, 4, 3)
    centred = groups - groups.mean((1, 3), keepdims=True)
    expected = (centred / np.sqrt((centred**2).mean((1, 3), keepdims=True) + 1e-5)).reshape(x.shape)
    norm = GroupNorm(4)
    # One ulp of a float32 near 1000 is 6e-5, which is all that the subtraction of the mean may cost.
    np.testing.assert_allclose(
        norm.apply(norm.init(jax.random.key(0), x), x), expected, rtol=0, atol=1e-6 + 3e-7 * mean
    )


def test_group_norm_equals_flax():
    x = RNG.standard_normal((2, 6, 6, 8)).astype("f")
    ours, theirs = GroupNorm(4), nn.GroupNorm(4, epsilon=1e-5)
    variables = noisy(ours.init(jax.random.key(0), x))
    np.testing.assert_allclose(ours.apply(variables, x), theirs.apply(variables, x), rtol=0, atol=2e-6)


def test_group_norm_computes_in_float32_and_returns_the_dtype_of_x():
    x = jnp.asarray(RNG.standard_normal((2, 6, 6, 8)), jnp.bfloat16)
    norm = GroupNorm(4)
    variables = noisy(norm.init(jax.random.key(0), x))
    out = norm.apply(variables, x)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_array_equal(out, norm.apply(variables, x.astype("f")).astype(jnp.bfloat16))


def test_resampling_is_the_mean_and_the_repetition_of_pixels():
    x = RNG.standard_normal((2, 4, 6, 3)).astype("f")
    np.testing.assert_allclose(mean_pool(x)[1, 1, 2], x[1, 2:4, 4:6].mean((0, 1)), rtol=1e-6)
    np.testing.assert_array_equal(nearest(jnp.asarray(x))[1, 5, 3], x[1, 2, 1])


@pytest.mark.parametrize("resample", [None, mean_pool, nearest])
def test_residual_block_is_its_resampled_input_at_initialisation(resample):
    x, emb = RNG.standard_normal((2, 4, 4, 8)).astype("f"), RNG.standard_normal((2, 5)).astype("f")
    block = ResBlock(8, num_groups=4, resample=resample)
    out = block.apply(block.init(jax.random.key(0), x, emb), x, emb)
    np.testing.assert_array_equal(out, resample(jnp.asarray(x)) if resample else x)


def qkv_columns(channels, heads):
    """Columns of the head-first projection in the order of the qkv-first one."""
    return np.arange(3 * channels).reshape(heads, 3, channels // heads).swapaxes(0, 1).ravel()


def test_attention_orders_differ_by_a_permutation_of_the_projection():
    x = RNG.standard_normal((2, 3, 3, 8)).astype("f")
    old = AttentionBlock(4, num_groups=2)
    new = AttentionBlock(4, num_groups=2, use_new_attention_order=True)
    variables = noisy(jax.jit(old.init)(jax.random.key(0), x), 0.5)
    params, columns = variables["params"], qkv_columns(8, 4)
    permuted = {
        **params,
        "qkv": {"kernel": params["qkv"]["kernel"][:, columns], "bias": params["qkv"]["bias"][columns]},
    }
    expected, ours = jax.jit(old.apply)(variables, x), jax.jit(new.apply)
    np.testing.assert_allclose(ours({"params": permuted}, x), expected, rtol=0, atol=1e-6)
    assert np.abs(ours(variables, x) - expected).max() > 1e-2


@pytest.mark.parametrize("new_order", [False, True])
def test_attention_equals_its_definition(new_order):
    x = RNG.standard_normal((2, 2, 3, 8)).astype("f")
    block = AttentionBlock(2, num_groups=2, use_new_attention_order=new_order)
    variables = noisy(block.init(jax.random.key(0), x), 0.5)
    p = jax.tree.map(lambda a: np.asarray(a, "d"), variables["params"])
    normed = np.asarray(GroupNorm(2).apply({"params": variables["params"]["norm"]}, x), "d").reshape(2, 6, 8)
    projected = normed @ p["qkv"]["kernel"] + p["qkv"]["bias"]
    expected = np.zeros((2, 6, 8))
    for b in range(2):
        for head in range(2):
            starts = (
                [8 * i + 4 * head for i in range(3)] if new_order else [12 * head + 4 * i for i in range(3)]
            )
            q, k, v = (projected[b, :, s : s + 4] for s in starts)
            weights = np.exp(q @ k.T / 2)  # sqrt of 4 channels a head
            expected[b, :, 4 * head : 4 * head + 4] = weights / weights.sum(-1, keepdims=True) @ v
    expected = x + (expected @ p["proj_out"]["kernel"] + p["proj_out"]["bias"]).reshape(x.shape)
    np.testing.assert_allclose(block.apply(variables, x), expected, rtol=0, atol=5e-6)


def test_the_vector_is_added_to_the_embedding_of_the_time():
    t, x, vector = jnp.array([1.0, 7.5, 7.5]), jnp.zeros((3, 2)), RNG.standard_normal((3, 8)).astype("f")
    embed = TimeEmbedding(8, 4)
    variables = embed.init(jax.random.key(0), t, x)
    difference = embed.apply(variables, t, x, vector) - embed.apply(variables, t, x)
    np.testing.assert_allclose(difference, vector, rtol=0, atol=1e-6)


def test_time_scale_multiplies_the_time():
    t, x = jnp.array([0.25, 0.5]), jnp.zeros((2, 2))
    variables = TimeEmbedding(8, 4).init(jax.random.key(0), t, x)
    scaled = TimeEmbedding(8, 4, time_scale=1000.0).apply(variables, t, x)
    np.testing.assert_allclose(scaled, TimeEmbedding(8, 4).apply(variables, 1000 * t, x), rtol=1e-6)


def test_times_are_embedded_apart_and_added():
    """With the first one's layers in the second one's place, two times are the sum of either alone."""
    t, x = jnp.array([[1.0, 3.0], [7.5, 0.5]]), jnp.zeros((2, 2))
    one, two = TimeEmbedding(8, 4, time_scale=2.0), TimeEmbedding(8, 4, time_scale=2.0, times=2)
    params = noisy(one.init(jax.random.key(0), t[:, 0], x))["params"]
    both = {**params, "times_1_0": params["time_0"], "times_1_1": params["time_1"]}
    expected = one.apply({"params": params}, t[:, 0], x) + one.apply({"params": params}, t[:, 1], x)
    np.testing.assert_allclose(two.apply({"params": both}, t, x), expected, rtol=1e-6)

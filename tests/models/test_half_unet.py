"""The pools of the half U-Net, by their definitions; its way down is the U-Net's."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.models import HalfUNet, UNet
from diffjax.models.half_unet import AttentionPool

RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((2, 4, 4, 3)).astype("f"), np.array([3.0, 40.5], "f")
TINY = {"model_channels": 4, "channel_mult": (1,), "num_res_blocks": 1, "num_groups": 2}


def random_variables(module, *inputs):
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    draw = lambda a: (rng.standard_normal(a.shape) / np.sqrt(max(1, np.prod(a.shape[:-1])))).astype("f")
    return jax.tree.map(draw, shapes)


def test_its_parameters_are_the_first_half_of_the_unets():
    half = HalfUNet(**TINY, out_features=5)
    ours, theirs = (
        jax.eval_shape(net.init, jax.random.key(0), X, T)["params"] for net in (half, UNet(**TINY))
    )
    shared = {name: tree for name, tree in ours.items() if not name.startswith("out")}
    assert jax.tree.map(jnp.shape, shared) == jax.tree.map(jnp.shape, {name: theirs[name] for name in shared})
    assert not [name for name in theirs if name not in shared and not name.startswith("out")]


@pytest.mark.parametrize("pool", ["spatial", "spatial_v2"])
def test_spatial_pools_see_the_mean_of_every_block(pool):
    net = HalfUNet(**TINY, out_features=5, pool=pool)
    variables, given = random_variables(net, X, T), {}

    def record(next_call, args, kwargs, context):
        out = next_call(*args, **kwargs)
        if len(context.module.path) == 1:
            given[context.module.name] = out
        return out

    def both(variables):
        with nn.intercept_methods(record):
            return net.apply(variables, X, T), {**given}

    logits, given = jax.jit(both)(variables)
    blocks = ("input_blocks_0_0", "input_blocks_1_0", "middle_block_2")
    means = np.concatenate([np.mean(given[name], (1, 2)) for name in blocks], -1)
    params = variables["params"]
    dense = lambda name, h: h @ params[name]["kernel"] + params[name]["bias"]
    h = dense("out_hidden", means)
    if pool == "spatial":
        h = np.maximum(h, 0)
    else:
        groups = h.reshape(2, 2, -1)
        h = (groups - groups.mean(-1, keepdims=True)) / np.sqrt(groups.var(-1, keepdims=True) + 1e-5)
        h = h.reshape(2, -1) * params["out_norm"]["scale"] + params["out_norm"]["bias"]
        h = h / (1 + np.exp(-h))
    np.testing.assert_allclose(logits, dense("out", h), rtol=1e-4, atol=1e-5)


def test_attention_pool_equals_its_definition():
    x = RNG.standard_normal((2, 2, 3, 4)).astype("f")
    pool = AttentionPool(features=5, num_heads=2)
    variables = random_variables(pool, x)
    p = variables["params"]
    tokens = x.reshape(2, 6, 4)
    tokens = np.concatenate([tokens.mean(1, keepdims=True), tokens], 1) + p["positional_embedding"]
    q, k, v = np.split(tokens @ p["qkv_proj"]["kernel"] + p["qkv_proj"]["bias"], 3, -1)
    heads = []
    for h in (slice(0, 2), slice(2, 4)):
        scores = np.exp(np.einsum("bd,bnd->bn", q[:, 0, h], k[..., h]) / np.sqrt(2))
        heads.append(np.einsum("bn,bnd->bd", scores / scores.sum(-1, keepdims=True), v[..., h]))
    expected = np.concatenate(heads, -1) @ p["c_proj"]["kernel"] + p["c_proj"]["bias"]
    np.testing.assert_allclose(pool.apply(variables, x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "fields, x, message",
    [
        ({"pool": "max"}, X, "pool: must be one of attention, adaptive, spatial, spatial_v2; got 'max'"),
        ({"out_features": 0}, X, "out_features must be a positive integer, got 0"),
        ({"num_heads": 3}, X, "num_heads: must divide the 4 channels of middle_block_1; got 3"),
        ({}, X[:, :2], r"x: the pool was made for 16 pixels at the last level; got 2x4"),
    ],
)
@pytest.mark.unchecked
def test_bad_input_is_named(fields, x, message):
    net = HalfUNet(**{**TINY, "out_features": 5, **fields})
    variables = jax.eval_shape(HalfUNet(**TINY, out_features=5).init, jax.random.key(0), X, T)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(net.apply, variables, x, T)

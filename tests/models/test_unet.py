"""The U-Net's behaviour when tiny; its numbers are checked against published weights in tests/pretrained."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.models import Condition, UNet
from diffjax.models.blocks import AttentionBlock, Downsample, ResBlock

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 8, 8, 3)).astype("f")
T = np.array([3.0, 40.5], "f")


def tiny(**fields):
    defaults = {"model_channels": 8, "channel_mult": (1, 2), "num_res_blocks": 1, "num_groups": 4}
    defaults["attention_resolutions"] = ()
    return UNet(**{**defaults, **fields})


def shapes(net, x=X):
    return jax.eval_shape(net.init, jax.random.key(0), x, T)


def random_variables(net, *inputs):
    """Parameters that are nowhere zero, without the cost of compiling `init`."""
    rng = np.random.default_rng(1)
    made = jax.eval_shape(net.init, jax.random.key(0), *inputs) if inputs else shapes(net)

    def draw(a):
        return (rng.standard_normal(a.shape) / np.sqrt(max(1, np.prod(a.shape[:-1])))).astype("f")

    return jax.tree.map(draw, made)


def test_blocks_start_with_unit_variance_inside_and_zero_at_the_end():
    block = ResBlock(16, num_groups=4)
    params = jax.jit(block.init)(jax.random.key(0), X[..., :1].repeat(8, -1), np.ones((2, 4), "f"))["params"]
    assert 0.5 < params["in_conv"]["kernel"].std() * np.sqrt(9 * 8) < 1.5  # variance 1 / fan-in
    np.testing.assert_array_equal(params["out_conv"]["kernel"], 0)


def test_frequencies_are_seen_by_the_first_convolution_alone():
    plain, waves = shapes(tiny()), shapes(tiny(frequencies=(3, 4)))
    assert waves["params"]["input_blocks_0_0"]["kernel"].shape == (3, 3, 3 * 5, 8)
    del plain["params"]["input_blocks_0_0"], waves["params"]["input_blocks_0_0"]
    assert jax.tree.map(jnp.shape, plain) == jax.tree.map(jnp.shape, waves)


def test_dropout_acts_only_in_training():
    net, plain = tiny(dropout=0.5), tiny()
    variables = random_variables(net)
    train = jax.jit(lambda key: net.apply(variables, X, T, train=True, rngs={"dropout": key}))
    first, again, other = (train(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    evaluated = jax.jit(net.apply)(variables, X, T)
    np.testing.assert_array_equal(evaluated, jax.jit(plain.apply)(variables, X, T))
    assert np.abs(first - evaluated).max() > 1e-3


def test_bfloat16_computes_blocks_in_bfloat16_and_keeps_the_rest_in_float32():
    net = tiny(dtype=jnp.bfloat16, attention_resolutions=(1,))
    variables = random_variables(net)
    assert {a.dtype for a in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    dtypes = {}

    def record(next_call, args, kwargs, context):
        out = next_call(*args, **kwargs)
        if context.method_name == "__call__":
            dtypes.setdefault(type(context.module).__name__, set()).add(jnp.dtype(out.dtype).name)
        return out

    with nn.intercept_methods(record):
        jax.eval_shape(net.apply, variables, X, T)
    assert dtypes["ResBlock"] == dtypes["AttentionBlock"] == dtypes["Downsample"] == {"bfloat16"}
    assert dtypes["TimeEmbedding"] == dtypes["UNet"] == {"float32"}

    exact = jax.jit(tiny(attention_resolutions=(1,)).apply)(variables, X, T)
    rounded = jax.jit(net.apply)(variables, X, T)
    assert 0 < np.abs(rounded - exact).max() < 0.1 * exact.std()  # bfloat16 has 8 bits


def test_resampling_without_convolutions_is_a_choice_of_kernels():
    # The mean of 2x2 pixels and their repetition are 3x3 convolutions with these kernels.
    pooled, convolved = tiny(conv_resample=False), tiny()
    variables = random_variables(convolved)
    params = dict(variables["params"])
    quarter, centre = np.zeros((2, 3, 3, 1, 1), "f")
    quarter[1:, 1:], centre[1, 1] = 0.25, 1.0
    down, up = "input_blocks_2_0", "output_blocks_1_1"
    del params[down], params[up]
    assert jax.tree.structure(params) == jax.tree.structure(shapes(pooled)["params"])
    kernels = {
        down: {"op": {"kernel": quarter * np.eye(8, dtype="f"), "bias": np.zeros(8, "f")}},
        up: {"conv": {"kernel": centre * np.eye(16, dtype="f"), "bias": np.zeros(16, "f")}},
    }
    expected = jax.jit(convolved.apply)({"params": {**params, **kernels}}, X, T)
    np.testing.assert_allclose(jax.jit(pooled.apply)({"params": params}, X, T), expected, rtol=0, atol=1e-5)


def test_padding_after_the_image_alone_is_what_strides_of_two_get_from_same():
    net = Downsample(pad_after=True)
    variables = random_variables(net, X)
    same = nn.Conv(3, (3, 3), 2, padding="SAME").apply({"params": variables["params"]["op"]}, X)
    np.testing.assert_allclose(net.apply(variables, X), same, rtol=1e-5, atol=1e-5)


def test_transformers_stand_where_attention_does_each_as_deep_as_its_level():
    net = tiny(channel_mult=(1, 1, 2), attention_resolutions=(1, 4), token_features=3)
    net = net.clone(transformer_depth=(2, 1, 3), num_res_blocks=(1, 2, 1), num_heads=2)
    assert [net.attention(level, "down") for level in range(3)] == [(2, 2, 4), None, (2, 3, 4)]
    assert net.attention(2, "middle") == net.attention(2, "up") == (2, 3, 4)
    tokens = Condition(tokens=np.zeros((2, 5, 3), "f"))
    params = jax.eval_shape(net.init, jax.random.key(0), X, T, tokens)["params"]
    depths = {
        name: len([part for part in tree if part.startswith("transformer_blocks")])
        for name, tree in params.items()
        if "project_in" in tree
    }
    down = {"input_blocks_1_1": 2, "input_blocks_6_1": 3}  # 1, skip 2, two blocks and a skip, 6
    up = {"output_blocks_0_1": 3, "output_blocks_1_1": 3, "output_blocks_5_1": 2, "output_blocks_6_1": 2}
    assert depths == {**down, "middle_block_1": 3, **up}
    for field in ("transformer_depth", "num_res_blocks"):
        with pytest.raises(ValueError, match=f"{field}: must be one number or one for each of 3 levels"):
            jax.eval_shape(net.clone(**{field: (1, 1)}).init, jax.random.key(0), X, T, tokens)


def heads(net):
    """Number of heads of every attention block, by name."""
    found = {}

    def record(next_call, args, kwargs, context):
        if isinstance(context.module, AttentionBlock):
            found[context.module.name] = context.module.num_heads
        return next_call(*args, **kwargs)

    with nn.intercept_methods(record):
        shapes(net)
    return found


def test_attention_stands_at_the_downsampling_rates_asked_for():
    net = tiny(channel_mult=(1, 1, 2), attention_resolutions=(1, 4), num_heads=4, num_heads_upsample=2)
    assert heads(net) == {
        "input_blocks_1_1": 4,
        "input_blocks_5_1": 4,
        "middle_block_1": 4,
        "output_blocks_0_1": 2,
        "output_blocks_1_1": 2,
        "output_blocks_4_1": 2,
        "output_blocks_5_1": 2,
    }


def test_channels_per_head_decide_the_number_of_heads():
    net = tiny(attention_resolutions=(1, 2), num_head_channels=4, num_heads=1)
    assert heads(net) == {
        "input_blocks_1_1": 2,
        "input_blocks_3_1": 4,
        "middle_block_1": 4,
        "output_blocks_0_1": 4,
        "output_blocks_1_1": 4,
        "output_blocks_2_1": 2,
        "output_blocks_3_1": 2,
    }


def test_every_resampling_halves_or_doubles_the_image():
    sizes = []

    def record(next_call, args, kwargs, context):
        out = next_call(*args, **kwargs)
        if isinstance(context.module, ResBlock):
            sizes.append(out.shape[1:3])
        return out

    with nn.intercept_methods(record):
        shapes(tiny(channel_mult=(1, 1, 1), resblock_updown=True), x=np.zeros((2, 16, 8, 3), "f"))
    full, half, quarter = (16, 8), (8, 4), (4, 2)
    down = [full, half, half, quarter, quarter]
    middle = [quarter, quarter]
    up = [quarter, quarter, half, half, half, full, full, full]
    assert sizes == down + middle + up


@pytest.mark.parametrize(
    "net, kwargs, message",
    [
        (tiny(num_groups=3), {}, "num_groups: must divide the 8 channels of input_blocks_1_0/in_norm; got 3"),
        (tiny(num_heads=3), {}, "num_heads: must divide the 16 channels of middle_block_1; got 3"),
        (tiny(num_head_channels=3), {}, "num_head_channels: must divide the 16 channels"),
        (tiny(num_head_channels=0), {}, "num_head_channels must be a positive integer, got 0"),
        (tiny(channel_mult=()), {}, r"channel_mult must be positive numbers, one a level, got \(\)"),
        (tiny(dropout=1.5), {}, r"dropout must be in \[0, 1\), got 1.5"),
        (tiny(remat="dots"), {}, "remat must be one of True, False, dots_saveable, dots_.*; got 'dots'"),
        (tiny(attention_implementation="flash"), {}, "attention_implementation must be one of auto, xla, "),
        (tiny(token_features=0), {}, "token_features must be a positive integer, got 0"),
        (tiny(), {"x": X[:, :7]}, "x: height and width must be divisible by 2"),
        (tiny(channel_mult=(1, 1, 1, 1, 1)), {}, "x: height and width must be divisible by 16"),
    ],
)
def test_bad_input_is_named(net, kwargs, message):
    with pytest.raises(ValueError, match=message):
        shapes(net, **kwargs)

"""DiT in all its forms beside the same network in numpy, where padding is cut off; the published sizes.

The numbers of adaLN-Zero are also those of published networks: `tests/pretrained/test_dit.py`.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.models import Condition, DiT, sincos_2d
from diffjax.models.dit import ADAPTIVE, Block, patched, unpatched
from diffjax.training import cost

FORMS = ("adaln_zero", "adaln", "cross_attention", "in_context")
EVERY = pytest.mark.parametrize("form", FORMS)
HEADS, WIDTH, DEPTH, TOKENS = 2, 8, 2, 5
RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.standard_normal(shape).astype("f")


X, T = draw(3, 4, 6, 2), np.array([3.0, 40.0, 500.0], "f")
MASK = np.array([[1, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 1]], bool)
COND = Condition(draw(3, WIDTH), draw(3, 4, TOKENS), MASK)


def tiny(form="adaln_zero", **fields):
    defaults = {"out_channels": 3, "hidden_size": WIDTH, "depth": DEPTH, "num_heads": HEADS, "mlp_ratio": 1.5}
    return DiT(**{**defaults, "token_features": TOKENS, "qk_norm": True, "conditioning": form, **fields})


def random_variables(module, *args):
    shapes, rng = jax.eval_shape(module.init, jax.random.key(0), *args), np.random.default_rng(1)
    return jax.tree.map(lambda a: (rng.standard_normal(a.shape) / np.sqrt(a.shape[-1])).astype("f"), shapes)


@cache
def tried(form):
    module = tiny(form)
    apply, variables = jax.jit(module.apply), random_variables(module, X, T, COND)
    return apply, variables, np.asarray(apply(variables, X, T, COND))


def dense(p, h):
    return h @ p["kernel"] + p["bias"]


def norm(h, p=None, epsilon=1e-6):
    h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + epsilon)
    return h if p is None else h * p["scale"] + p["bias"]


def attention(p, x, context=None):
    if context is None:
        q, k, v = np.split(dense(p["qkv"], x), 3, -1)
    else:
        q, (k, v) = dense(p["q"], x), np.split(dense(p["kv"], context), 2, -1)
    out = []
    for head in np.split(np.arange(WIDTH), HEADS):
        q_h, k_h = (
            h[:, head] / np.sqrt((h[:, head] ** 2).mean(-1, keepdims=True) + 1e-6) * p[n]["scale"]
            for h, n in ((q, "q_norm"), (k, "k_norm"))
        )
        logits = q_h @ k_h.T / np.sqrt(len(head))
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        out.append(weights / weights.sum(-1, keepdims=True) @ v[:, head])
    return dense(p["out"], np.concatenate(out, -1))


def gelu(h):
    return 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))


def silu(h):
    return h / (1 + np.exp(-h))


def in_numpy(form, params, x, t, vector, tokens):
    """One image [H, W, C] with those of its tokens that are there, in double precision."""
    p, adaptive = jax.tree.map(np.double, params), form in ADAPTIVE
    height, width = x.shape[0] // 2, x.shape[1] // 2
    patches = [x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].ravel() for i in range(height) for j in range(width)]
    kernel = p["patches"]["kernel"].reshape(-1, WIDTH)
    h = np.stack(patches) @ kernel + p["patches"]["bias"] + sincos_2d(WIDTH, (height, width))
    places = len(h)
    angles = t * 10_000.0 ** (-np.arange(128) / 128)
    emb = dense(p["embed"]["time_0"], np.concatenate([np.cos(angles), np.sin(angles)]))
    emb = dense(p["embed"]["time_1"], silu(emb))
    told = dense(p["tokens"], np.double(tokens))
    if adaptive:
        emb = silu(emb + vector)
    else:
        told = np.concatenate([emb[None], vector[None], told])
    if form == "in_context":
        h = np.concatenate([h, told])

    for i in range(DEPTH):
        b = jax.tree.map(lambda a: a[i], p["blocks"])  # noqa: B023
        if adaptive:
            rows = np.split(dense(b["modulation"]["rows"], emb), 6 if form == "adaln_zero" else 4)
            first, second = rows[: len(rows) // 2], rows[len(rows) // 2 :]
            see = lambda h, rows: norm(h) * (1 + rows[1]) + rows[0]
        else:
            first, second, see = b["attention_norm"], b["mlp_norm"], norm
        gates = [rows[2] if form == "adaln_zero" else 1 for rows in (first, second)]
        h = h + gates[0] * attention(b["attention"], see(h, first))
        if form != "in_context":
            seen = norm(h, b.get("cross_norm"))
            h = h + (attention(b["cross"], seen, told) if len(told) else b["cross"]["out"]["bias"])
        h = h + gates[1] * dense(b["mlp"]["out"], gelu(dense(b["mlp"]["hidden"], see(h, second))))

    if adaptive:
        shift, scale = np.split(dense(p["out_modulation"]["rows"], emb), 2)
        h = norm(h[:places]) * (1 + scale) + shift
    else:
        h = norm(h[:places], p["out_norm"])
    out = dense(p["out"], h).reshape(height, width, 2, 2, -1)
    return rejoin(out)


def rejoin(patches):
    """[h, w, 2, 2, C] -> [2 h, 2 w, C], pixel by pixel."""
    height, width = patches.shape[:2]
    return np.array(
        [[patches[i // 2, j // 2, i % 2, j % 2] for j in range(2 * width)] for i in range(2 * height)]
    )


@EVERY
def test_it_is_the_network_in_numpy(form):
    """Masked tokens are not there in numpy: attention never sees padding."""
    _, variables, out = tried(form)
    for i in range(3):
        expected = in_numpy(form, variables["params"], X[i], T[i], COND.vector[i], COND.tokens[i][MASK[i]])
        np.testing.assert_allclose(out[i], expected, rtol=0, atol=1e-5 * np.abs(out).max())


@EVERY
def test_what_stands_in_padding_changes_nothing(form):
    apply, variables, out = tried(form)
    for other in (draw(*COND.tokens.shape), np.float32(np.nan)):
        padded = COND._replace(tokens=np.where(MASK[..., None], COND.tokens, other))
        np.testing.assert_array_equal(apply(variables, X, T, padded), out)
    moved = apply(variables, X, T, COND._replace(tokens=COND.tokens + draw(*COND.tokens.shape)))
    changed = np.abs(moved - out).max((1, 2, 3)) > 1e-3 * np.abs(out).max()
    np.testing.assert_array_equal(changed, MASK.any(-1))


@EVERY
def test_half_precision_and_forward_mode_are_for_every_form(form):
    """Traced alone; the numbers are those of the generic tests."""
    module = tiny(form, dtype=jnp.bfloat16, remat=True)
    variables = jax.eval_shape(module.init, jax.random.key(0), X, T, COND)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, tried(form)[1])
    forward = lambda v: jax.jvp(lambda v: module.apply(v, X, T, COND), (v,), (v,))
    out, slope = jax.eval_shape(forward, variables)
    assert out.shape == slope.shape == (3, 4, 6, 3) and out.dtype == slope.dtype == jnp.float32


def test_recomputing_keeps_the_parameters_and_saves_what_the_backward_pass_remembers():
    remembered, counted = {}, {}
    for remat in (False, True, "dots_saveable"):
        module, variables = tiny(remat=remat), tried("adaln_zero")[1]
        shapes = jax.eval_shape(module.init, jax.random.key(0), X, T, COND)
        assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, variables)
        backward = lambda v: jax.vjp(lambda v: module.apply(v, X, T, COND), v)[1]  # noqa: B023
        remembered[remat] = sum(a.size for a in jax.tree.leaves(jax.eval_shape(backward, variables)))
        slope = jax.grad(lambda v: module.apply(v, X, T, COND).sum())  # noqa: B023
        counted[remat] = cost.flops(slope, variables)
    assert remembered[True] < remembered[False] / 3
    assert remembered[True] < remembered["dots_saveable"] < remembered[False]
    assert counted["dots_saveable"] == counted[False] < counted[True]  # products are not made again


def test_a_block_of_adaln_zero_starts_as_the_identity():
    h, emb, told = draw(3, 6, WIDTH), draw(3, WIDTH), Condition(tokens=draw(3, 4, WIDTH), mask=MASK)
    start = jax.jit(Block(HEADS, WIDTH).init_with_output)
    (out, _), _ = start(jax.random.key(0, impl="unsafe_rbg"), h, emb, None, told)
    np.testing.assert_array_equal(out, h)


def test_without_positions_patches_are_a_set():
    block, h, emb = Block(HEADS, WIDTH), draw(3, 6, WIDTH), draw(3, WIDTH)
    variables, order = random_variables(block, h, emb), RNG.permutation(6)
    apply = jax.jit(block.apply)
    out, again = (apply(variables, each, emb)[0] for each in (h, h[:, order]))
    np.testing.assert_allclose(again, out[:, order], rtol=0, atol=1e-5 * np.abs(out).max())


def test_patches_are_cut_rows_first_and_joined_again():
    patches = patched(X, 2)
    assert patches.shape == (3, 6, 2, 2, 2)
    for place in range(6):
        i, j = 2 * (place // 3), 2 * (place % 3)
        np.testing.assert_array_equal(patches[:, place], X[:, i : i + 2, j : j + 2])
    np.testing.assert_array_equal(unpatched(patches, (2, 3)), X)


PUBLISHED = {(384, 12, 6): 33, (768, 12, 12): 130, (1024, 24, 16): 458, (1152, 28, 16): 675}


@pytest.mark.parametrize("size", PUBLISHED)
def test_trained_parameters_are_as_many_as_published(size):
    """Millions in table 4 of the paper, with ImageNet's classes and their null: S/2, B/2, L/2, XL/2."""
    width, depth, heads = size
    net = DiT(8, hidden_size=width, depth=depth, num_heads=heads)
    shapes = jax.eval_shape(net.init, jax.random.key(0), np.zeros((1, 32, 32, 4), "f"), 0.0)
    count = sum(a.size for a in jax.tree.leaves(shapes)) + 1001 * width
    assert round(count / 1e6) == PUBLISHED[size]


TEXT = Condition(tokens=COND.tokens)


@pytest.mark.parametrize(
    "fields, cond, message",
    [
        ({"conditioning": "adaln_one"}, TEXT, "conditioning must be one of adaln_zero, .*, got 'adaln_one'"),
        ({"attention": "flash"}, TEXT, "attention must be one of auto, xla, .*, plain, got 'flash'"),
        ({"remat": "dots"}, TEXT, "remat must be one of True, False, dots_saveable, dots_.*; got 'dots'"),
        ({"num_heads": 3}, TEXT, "num_heads: must divide the 8 channels of blocks/attention; got 3"),
        ({"hidden_size": 6}, TEXT, "hidden_size must be a multiple of 4, got 6"),
        ({"mlp_ratio": 0.0}, TEXT, "mlp_ratio must be positive and finite, got 0.0"),
        ({"mlp_ratio": 0.01}, TEXT, "mlp_ratio must give a hidden layer at least one unit, got 0.01"),
        ({"out_channels": 0}, TEXT, "out_channels must be a positive integer, got 0"),
        ({"token_features": 0}, TEXT, "token_features must be a positive integer, got 0"),
        ({"time_scale": np.nan}, TEXT, "time_scale must be positive and finite, got nan"),
        ({"patch_size": 4}, TEXT, "x: height and width must be divisible by 4, the patch_size; got 4x6"),
        ({"own_embeddings": True, "conditioning": "in_context"}, TEXT, "own_embeddings must be False with"),
        ({}, None, r"cond.tokens: must have shape \(3, M, 5\); got None"),
        ({}, Condition(tokens=COND.tokens[..., 1:]), r"cond.tokens: must be .* shape \(3, 4, 5\); got"),
        ({}, Condition(tokens=COND.tokens[:2]), r"cond.tokens: must be .* shape \(3, 4, 5\); got"),
        ({}, TEXT._replace(mask=MASK[:, 1:]), r"cond.mask: must be bool of shape \(3, 4\); got bool of"),
        ({}, TEXT._replace(mask=1 * MASK), r"cond.mask: must be bool of shape \(3, 4\); got int"),
        ({"token_features": None}, TEXT, "cond.tokens: must be None, as the network has no cross-attention"),
    ],
)
@pytest.mark.unchecked
def test_what_does_not_fit_is_named(fields, cond, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(tiny(**fields).init, jax.random.key(0), jnp.asarray(X), T, cond)

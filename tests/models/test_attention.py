"""Attention's formula in double precision, what a mask hides, and the implementations by name."""

from functools import partial

import jax
import numpy as np
import pytest

from diffjax.models.attention import Attention, FeedForward, attend

RNG = np.random.default_rng(0)
MASK = np.array([[1, 1, 0, 1], [0, 0, 0, 0]], bool)
BOTH = pytest.mark.parametrize("implementation", ["xla", "plain"])


def draw(*shape):
    return RNG.standard_normal(shape).astype("f")


Q, K, V = draw(2, 3, 2, 5), draw(2, 4, 2, 5), draw(2, 4, 2, 5)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())


def formula(q, k, v):
    weights = np.exp(np.einsum("bnhd,bmhd->bhnm", np.double(q), k) / np.sqrt(q.shape[-1]))
    return np.einsum("bhnm,bmhd->bnhd", weights / weights.sum(-1, keepdims=True), v)


@BOTH
def test_it_is_the_formula(implementation):
    close(jax.jit(partial(attend, implementation=implementation))(Q, K, V), formula(Q, K, V))


@BOTH
def test_masked_keys_are_not_there(implementation):
    """A row without any gets zeros, and no mean of what is hidden; nor does NaN get out of it."""
    masked = jax.jit(partial(attend, implementation=implementation))
    out, here = masked(Q, K, V, MASK), MASK[0]
    close(out[:1], formula(Q[:1], K[:1, here], V[:1, here]))
    np.testing.assert_array_equal(out[1], 0)
    for hidden in (7, np.nan):
        other = (np.where(MASK[..., None, None], h, np.float32(hidden)) for h in (K, V))
        np.testing.assert_array_equal(masked(Q, *other, MASK), out)


def test_an_unknown_implementation_is_named():
    with pytest.raises(ValueError, match="implementation must be one of xla, cudnn, plain, got 'flash'"):
        attend(Q, K, V, implementation="flash")


def test_a_context_of_one_answers_every_query_with_its_value():
    module, x, context = Attention(2, qk_norm=True), draw(2, 3, 4), draw(2, 1, 6)
    variables = random_variables(module, x, context)
    kv, out = variables["params"]["kv"], variables["params"]["out"]
    value = (context @ kv["kernel"] + kv["bias"])[..., 4:] @ out["kernel"] + out["bias"]
    close(jax.jit(module.apply)(variables, x, context), np.repeat(value, 3, axis=1))


@pytest.mark.parametrize("bias", [True, False])
def test_a_sequence_attends_to_the_tokens_that_are_there(bias):
    x, tokens = draw(2, 3, 4), draw(2, 4, 6)
    module = Attention(num_heads=2, bias=bias)
    variables = random_variables(module, x, tokens, MASK)
    p, here = variables["params"], tokens[:1, MASK[0]]
    assert ("bias" in p["q"], "bias" in p["kv"], "bias" in p["out"]) == (bias, bias, True)
    layer = lambda name, h: h @ p[name]["kernel"] + p[name].get("bias", 0)
    q, k, v = layer("q", x[:1]), *np.split(layer("kv", here), 2, axis=-1)
    mixed = formula(*(h.reshape(1, -1, 2, 2) for h in (q, k, v))).reshape(1, 3, 4)
    out = jax.jit(module.apply)(variables, x, np.where(MASK[..., None], tokens, np.float32(np.nan)), MASK)
    close(out[:1], layer("out", mixed))
    np.testing.assert_array_equal(out[1], np.broadcast_to(p["out"]["bias"], (3, 4)))  # it sees nothing


def test_the_logits_of_normalised_queries_do_not_depend_on_the_size_of_x():
    x, zero = draw(2, 3, 4), lambda variables: jax.tree.map(lambda a: a * (a.ndim > 1), variables)
    for qk_norm in (True, False):
        module = Attention(2, qk_norm=qk_norm)
        variables = random_variables(module, x)
        scales = {n: a for n, a in variables["params"].items() if n.endswith("_norm")}
        variables = {"params": {**zero(variables)["params"], **scales}}
        apply = jax.jit(module.apply)
        ratio = apply(variables, 100 * x) / apply(variables, x)
        assert (np.abs(ratio - 100).max() < 0.1) == qk_norm


def test_heads_that_do_not_divide_are_named():
    with pytest.raises(ValueError, match="num_heads: must divide the 4 channels of Attention; got 3"):
        jax.eval_shape(Attention(3).init, jax.random.key(0), draw(2, 3, 4))


def test_feed_forward_maps_each_element_alone():
    module, x = FeedForward(5), draw(2, 3, 4)
    variables = random_variables(module, x)
    apply = jax.jit(module.apply)
    out, moved = (apply(variables, each) for each in (x, x + np.eye(3, dtype="f")[1][:, None]))
    np.testing.assert_array_equal(np.abs(moved - out).max(-1) > 1e-3, [[False, True, False]] * 2)


def random_variables(module, *args):
    shapes = jax.eval_shape(module.init, jax.random.key(0), *args)
    return jax.tree.map(lambda a: draw(*a.shape), shapes)

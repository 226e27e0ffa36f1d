"""Cross-attention by its definition; published weights are loaded into it in tests/pretrained."""

import jax
import numpy as np

from diffjax.models.spatial_transformer import CrossAttention, SpatialTransformer

RNG = np.random.default_rng(0)
TOKENS, MASK = RNG.standard_normal((2, 5, 3)).astype("f"), np.array([[1, 0, 1, 1, 0], [0, 1, 0, 0, 0]], bool)


def test_attention_is_a_mean_of_the_tokens_that_are_there():
    x = RNG.standard_normal((2, 6, 4)).astype("f")
    module = CrossAttention(num_heads=2)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x, TOKENS, MASK)
    variables = jax.tree.map(lambda a: RNG.standard_normal(a.shape).astype("f"), shapes)
    p = variables["params"]
    assert set(p["to_q"]) == {"kernel"} and set(p["to_out"]) == {"kernel", "bias"}
    expected = np.zeros_like(x)
    for b in range(2):
        seen = TOKENS[b][MASK[b]]
        q, k, v = (a @ p[name]["kernel"] for a, name in ((x[b], "to_q"), (seen, "to_k"), (seen, "to_v")))
        for head in (slice(0, 2), slice(2, 4)):
            weights = np.exp(q[:, head] @ k[:, head].T / np.sqrt(2))
            expected[b, :, head] = weights / weights.sum(-1, keepdims=True) @ v[:, head]
    expected = expected @ p["to_out"]["kernel"] + p["to_out"]["bias"]
    np.testing.assert_allclose(module.apply(variables, x, TOKENS, MASK), expected, rtol=1e-4, atol=1e-4)


def test_it_starts_as_the_identity():
    x = RNG.standard_normal((2, 2, 3, 4)).astype("f")
    start = jax.jit(SpatialTransformer(num_heads=2, num_groups=2).init_with_output)
    out, variables = start(jax.random.key(0, impl="unsafe_rbg"), x, TOKENS, MASK)  # compiles faster
    np.testing.assert_array_equal(out, x)
    assert {name for name, tree in variables["params"].items() if not np.any(tree.get("kernel", 1))} == {
        "project_out"
    }

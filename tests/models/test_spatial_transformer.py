"""The start of a transformer of pixels; published weights are loaded into it in tests/pretrained."""

import jax
import numpy as np

from diffjax.models.spatial_transformer import SpatialTransformer

RNG = np.random.default_rng(0)
TOKENS, MASK = RNG.standard_normal((2, 5, 3)).astype("f"), np.array([[1, 0, 1, 1, 0], [0, 1, 0, 0, 0]], bool)


def test_it_starts_as_the_identity():
    x = RNG.standard_normal((2, 2, 3, 4)).astype("f")
    start = jax.jit(SpatialTransformer(num_heads=2, num_groups=2).init_with_output)
    out, variables = start(jax.random.key(0, impl="unsafe_rbg"), x, TOKENS, MASK)  # compiles faster
    np.testing.assert_array_equal(out, x)
    assert {name for name, tree in variables["params"].items() if not np.any(tree.get("kernel", 1))} == {
        "project_out"
    }

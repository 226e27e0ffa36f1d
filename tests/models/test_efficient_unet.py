"""What makes an Efficient U-Net one: where it halves, how many blocks it has where, and what skips bring."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from diffjax.models.blocks import ResBlock
from diffjax.models.efficient_unet import EfficientUNet

X = np.random.default_rng(0).standard_normal((2, 16, 16, 3)).astype("f")


def _seen(halve_first):
    """Return what goes into and comes out of every residual block, by its name."""
    net = EfficientUNet(
        model_channels=4, channel_mult=(1, 2), num_res_blocks=(1, 3), attention_resolutions=(), num_groups=2,
        halve_first=halve_first,
    )  # fmt: skip
    into, out = {}, {}

    def watch(call, args, kwargs, context):
        result = call(*args, **kwargs)
        if type(context.module) is ResBlock and context.method_name == "__call__":
            name = context.module.name.removesuffix("_0")  # a stage's only part, without attention
            into[name], out[name] = args[0], result
        return result

    with nn.intercept_methods(watch):
        variables = net.init(jax.random.key(0), X, np.ones(2, "f"))
        moved = jax.tree.map(lambda p: p + 0.1, variables)  # blocks begin as the identity
        net.apply(moved, X, np.ones(2, "f"))
    return into, out


@pytest.mark.parametrize("halve_first", [False, True])
def test_blocks_work_on_what_was_halved_and_skips_bring_it_by_the_root_of_a_half(halve_first):
    into, out = _seen(halve_first)
    side = {0: 8 if halve_first else 16, 1: 4 if halve_first else 8}
    names = [(level, i) for level, blocks in enumerate((1, 3)) for i in range(blocks)]
    ways = {name for name in into if name.startswith(("down_", "up_"))}
    assert ways == {f"{way}_{level}_{i}" for way in ("down", "up") for level, i in names}
    for level, i in names:
        assert {into[f"{way}_{level}_{i}"].shape[1] for way in ("down", "up")} == {side[level]}
    for level, i in names:  # the last one down is the first one up
        brought = out[f"down_{level}_{(1, 3)[level] - 1 - i}"]
        found = into[f"up_{level}_{i}"][..., -brought.shape[-1] :]
        np.testing.assert_allclose(found, brought / np.sqrt(2), rtol=1e-6)

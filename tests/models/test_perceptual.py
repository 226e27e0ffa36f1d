"""The trunks of LPIPS against convolutions written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.models import perceptual

# Each network as torchvision lists it: (channels, kernel, stride, padding), ("pool", window), "map".
_3x3 = lambda channels, count: [(channels, 3, 1, 1)] * count
ALEXNET = (
    *[(64, 11, 4, 2), "map", ("pool", 3), (192, 5, 1, 2), "map", ("pool", 3)],
    *[*_3x3(384, 1), "map", *_3x3(256, 1), "map", *_3x3(256, 1), "map"],
)
VGG16 = (
    *[*_3x3(64, 2), "map", ("pool", 2), *_3x3(128, 2), "map", ("pool", 2), *_3x3(256, 3), "map"],
    *[("pool", 2), *_3x3(512, 3), "map", ("pool", 2), *_3x3(512, 3), "map"],
)
NETWORKS = {"alexnet": (perceptual.alexnet, ALEXNET), "vgg16": (perceptual.vgg16, VGG16)}


def windows(x, size, stride):
    """[H', W', C, size, size] of [H, W, C]."""
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1))
    return view[::stride, ::stride]


def maps_by_numpy(layers, params, x):
    """Yield each map, and the products that one of its numbers is a sum of, those of all layers together."""
    products = 0
    x = (x - np.array([-0.030, -0.088, -0.188])) / np.array([0.458, 0.448, 0.450])
    convolutions = iter(sorted(params.items(), key=lambda item: int(item[0].split("_")[1])))
    for layer in layers:
        if layer == "map":
            yield x, products
        elif layer[0] == "pool":
            x = windows(x, layer[1], 2).max(axis=(3, 4))
        else:
            _, size, stride, padding = layer
            _, conv = next(convolutions)
            products += np.prod(conv["kernel"].shape[:3])
            x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
            x = np.einsum("hwcij,ijco->hwo", windows(x, size, stride), conv["kernel"], optimize=True)
            x = np.maximum(x + conv["bias"], 0)


def random_params(module, seed=0):
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
    rng = np.random.default_rng(seed)
    draw = lambda a: rng.standard_normal(a.shape) * (np.sqrt(2 / np.prod(a.shape[:3])) if a.ndim > 1 else 0.1)
    return jax.tree.map(lambda a: draw(a).astype(np.float32), shapes)


@pytest.mark.parametrize("name, size", [("alexnet", (67, 50)), ("vgg16", (16, 21))])
def test_maps_equal_convolutions_written_out(name, size):
    make, layers = NETWORKS[name]
    module = make()
    params = random_params(module)
    x = np.random.default_rng(1).uniform(-1, 1, (2, *size, 3)).astype(np.float32)
    ours = jax.jit(module.apply)({"params": params}, x)
    theirs = list(maps_by_numpy(layers, params, x[1].astype(np.float64)))
    assert len(ours) == len(theirs) == 5
    for a, (b, products) in zip(ours, theirs):
        # A float32 sum of n numbers, one after another, is off by .2 eps sqrt(n) of itself: 4 for the worst
        # of many and as half of the numbers become 0. Layers add up as independent errors do.
        rounding = 4 * np.finfo(np.float32).eps * np.sqrt(products)
        np.testing.assert_allclose(a[1], b, rtol=0, atol=rounding * b.std())


@pytest.mark.parametrize("name, smallest", [("alexnet", 31), ("vgg16", 16)])
def test_the_smallest_image_has_one_place_left(name, smallest):
    module = NETWORKS[name][0]()
    image = lambda side: jax.ShapeDtypeStruct((1, side, 99, 3), jnp.float32)
    *_, last = jax.eval_shape(module.init_with_output, jax.random.key(0), image(smallest))[0]
    assert last.shape[1] == 1
    with pytest.raises(
        ValueError, match=rf"at least {smallest} x {smallest}; got shape \[1, {smallest - 1}, 99"
    ):
        jax.eval_shape(module.init, jax.random.key(0), image(smallest - 1))
    with pytest.raises(
        ValueError, match=r"x must be .*\[batch, height, width, 3\], got .*float32\[1, 64, 64, 1\]"
    ):
        jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 64, 64, 1)))
    with pytest.raises(ValueError, match=r"x must be a float array .*, got .*uint8"):
        jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3), jnp.uint8))

"""LPIPS: its definition, the properties of a distance, and the authors' package."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import optional_data
from scipy.ndimage import gaussian_filter
from trunk_weights import random_alexnet

from diffjax import pretrained
from diffjax.evaluation.lpips import lpips
from diffjax.models.perceptual import Convolution, Trunk
from diffjax.pretrained.lpips import convert


@pytest.fixture(scope="module")
def network():
    return convert("lpips_alexnet", random_alexnet())


@pytest.fixture(scope="module")
def distance(network):
    return jax.jit(partial(lpips, *network))


def images(seed=0, n=2, height=36, width=45):
    return np.random.default_rng(seed).uniform(-1, 1, (n, height, width, 3)).astype(np.float32)


def test_equation_1(network, distance):
    module, variables = network
    x, y = images(0), images(1)
    expected = np.zeros(2)
    for i, (a, b) in enumerate(zip(module.apply(variables, x), module.apply(variables, y))):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        a, b = (m / np.maximum(np.linalg.norm(m, axis=-1, keepdims=True), 1e-10) for m in (a, b))
        weights = random_alexnet()[f"NetLinLayer_{i}/Conv_0/kernel"][0, 0, :, 0]
        expected += np.einsum("bhwc,c->b", (a - b) ** 2, weights) / (a.shape[1] * a.shape[2])
    np.testing.assert_allclose(distance(x, y), expected, rtol=1e-5)


def test_a_distance_is_zero_symmetric_and_of_each_pair_alone(distance):
    x, y = images(0), images(1)
    np.testing.assert_allclose(distance(x, x), np.zeros(2), rtol=0, atol=1e-12)  # compilers fuse a b - c d
    np.testing.assert_allclose(distance(x, y), distance(y, x), rtol=1e-6)
    np.testing.assert_allclose(distance(x[::-1], y[::-1]), distance(x, y)[::-1], rtol=1e-6)
    assert (distance(x, y) > 0.1).all()


def test_gradient_is_finite_at_equal_images_and_where_all_features_are_dead(network):
    module, variables = network
    gradient = jax.jit(jax.grad(lambda v, x, y: lpips(module, v, x, y).sum(), argnums=1))
    x, y = images(0), images(1)
    steepest = np.abs(gradient(variables, x, y)).max()
    assert 0 < steepest < np.inf
    np.testing.assert_allclose(gradient(variables, x, x), np.zeros_like(x), rtol=0, atol=1e-6 * steepest)
    dead = {**variables, "params": jax.tree.map(lambda a: -jnp.abs(a), variables["params"])}
    bright = np.ones_like(x)
    assert max(m.max() for m in module.apply(dead, bright)) == 0
    np.testing.assert_array_equal(gradient(dead, bright, y), np.zeros_like(x))


def test_gradient_is_the_slope():
    """Of a tiny trunk, in double precision."""
    trunk = Trunk(stages=((Convolution(4),), (Convolution(5),)), pools=(None, 2), smallest=2)
    x, y, direction = (images(seed, 1, height=6, width=7) for seed in range(3))
    with jax.enable_x64(True):
        heads = {"head_0": np.arange(4.0), "head_1": np.arange(5.0)}
        variables = {**jax.jit(trunk.init)(jax.random.key(0), x), "heads": heads}
        f = jax.jit(lambda s: lpips(trunk, variables, x + s * direction, y)[0])
        slope = (f(np.float64(1e-5)) - f(np.float64(-1e-5))) / 2e-5
        np.testing.assert_allclose(jax.jit(jax.grad(f))(np.float64(0)), slope, rtol=1e-5)


def test_images_of_other_shapes_are_refused(distance):
    with pytest.raises(ValueError, match=r"x and y: must have the same shape; got \[2, 36, .* and \[1, 36"):
        distance(images(), images()[:1])
    with pytest.raises(ValueError, match="at least 31 x 31"):
        distance(images(height=30), images(height=30))


@pytest.mark.parametrize("change, message", [
    ({"NetLinLayer_0/Conv_0/kernel": -np.ones((1, 1, 64, 1), "f")}, "must be 0 or more; its least is -1"),
    ({"NetLinLayer_4/Conv_0/kernel": np.ones((1, 1, 64, 1), "f")}, r"must have shape \(1, 1, 256, 1\)"),
    ({"VGG16_0/Conv_0/bias": np.ones(64, "f")}, r"1 left over \(VGG16_0/Conv_0/bias\)"),
])  # fmt: skip
def test_other_checkpoints_are_refused(change, message):
    with pytest.raises(ValueError, match=f"checkpoint: .*{message}"):
        convert("lpips_alexnet", {**random_alexnet(), **change})


@pytest.mark.slow
def test_trained_distance_grows_with_noise_and_blur():
    """Real weights from ../shared/data, on MNIST's digits enlarged to 56 x 56."""
    path = optional_data("lpips_alexnet_fp16.npz")
    trained = jax.jit(partial(lpips, *pretrained.load(path, "lpips_alexnet")))
    with np.load(optional_data("mnist.npz")) as file:
        digits = np.repeat(file["test_image"][:4, :, :, None], 3, axis=-1)
    x = np.kron(digits, np.ones((1, 2, 2, 1))).astype(np.float32) / 127.5 - 1
    noise = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    noisy = [x + sigma * noise for sigma in (0.02, 0.1, 0.3)]
    blurred = [gaussian_filter(x, (0, sigma, sigma, 0)) for sigma in (0.5, 1, 2)]
    for changed in (noisy, blurred):
        distances = [np.zeros(4), *(trained(x, each) for each in changed)]
        assert (np.diff(distances, axis=0) > 0).all()


@pytest.mark.parametrize("name, theirs", [("lpips_alexnet", "alex"), ("lpips_vgg16", "vgg")])
def test_the_authors_package_agrees(name, theirs):
    """Its trunk with random weights, its trained heads."""
    torch = pytest.importorskip("torch", reason="needs torch")
    package = pytest.importorskip("lpips", reason="needs the package lpips")
    torch.manual_seed(0)
    metric = package.LPIPS(net=theirs, pnet_rand=True, verbose=False)
    convolutions = [m for m in metric.net.modules() if isinstance(m, torch.nn.Conv2d)]
    prefix = {"alex": "AlexNet_0", "vgg": "VGG16_0"}[theirs]
    arrays = {}
    for i, conv in enumerate(convolutions):
        arrays[f"{prefix}/Conv_{i}/kernel"] = conv.weight.detach().numpy().transpose(2, 3, 1, 0)
        arrays[f"{prefix}/Conv_{i}/bias"] = conv.bias.detach().numpy()
    for i, head in enumerate(metric.lins):
        arrays[f"NetLinLayer_{i}/Conv_0/kernel"] = (
            head.model[-1].weight.detach().numpy().transpose(2, 3, 1, 0)
        )
    x, y = images(0, height=64, width=75), images(1, height=64, width=75)
    with torch.no_grad():
        expected = metric(*(torch.from_numpy(a.transpose(0, 3, 1, 2).copy()) for a in (x, y))).numpy()
    ours = lpips(*convert(name, arrays), x, y)
    np.testing.assert_allclose(ours, expected.reshape(-1), rtol=1e-4)


@pytest.mark.parametrize("name, theirs", [("lpips_alexnet", "alex"), ("lpips_vgg16", "vgg")])
def test_shared_heads_are_the_authors(name, theirs):
    package = pytest.importorskip("lpips", reason="needs the package lpips")
    metric = package.LPIPS(net=theirs, pnet_rand=True, verbose=False)
    _, variables = pretrained.load(optional_data(f"{name}_fp16.npz"), name)
    for i, head in enumerate(metric.lins):
        expected = head.model[-1].weight.detach().numpy().reshape(-1)
        np.testing.assert_allclose(variables["heads"][f"head_{i}"], expected, rtol=1e-6)

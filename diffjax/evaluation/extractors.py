"""What turns images into the features that distances are measured in."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from diffjax import pretrained
from diffjax.evaluation import batches
from diffjax.evaluation.lpips import lpips
from diffjax.pixels import require_images, to_model
from diffjax.types import Array, Float

_SMALLEST = 64  # of the images that the trunks see


class Extractor(NamedTuple):
    """Features of images, and what has to be known about them to compare two numbers.

    Attributes:
      name: short, for the report.
      features: uint8 images [N, H, W, C] -> features [N, D].
      probabilities: uint8 images [N, H, W, C] -> class probabilities [N, K], or None.
      conventions: one sentence on resizing, rounding and weights.
      distance: uint8 images [N, H, W, C] twice -> LPIPS [N], or None.
    """

    name: str
    features: Callable[[np.ndarray], np.ndarray]
    probabilities: Callable[[np.ndarray], np.ndarray] | None
    conventions: str
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


def inception(path: str | pathlib.Path, batch_size: int = 32) -> Extractor:
    """Make the extractor that FID, KID and the inception score of the literature are defined by.

    Args:
      path: `weights-inception-2015-12-05-6726825d.pth` as torch-fidelity publishes it (pytorch-fid's file
        holds the same tensors), or a `.safetensors` file of it.
      batch_size: images at a time.

    Returns:
      Extractor of uint8 images [N, H, W, 1 or 3]: float32 features [N, 2048], and float64 probabilities
      [N, 1008], the softmax of the logits without bias.

    Raises:
      FileNotFoundError, ImportError, ValueError: see `diffjax.pretrained.load`.

    Reference:
      Heusel et al. 2017 (arXiv:1706.08500); `diffjax.models.inception`.
    """
    module, variables = pretrained.load(path, "inception_v3_fid")
    outputs = _batched(jax.jit(module.apply), variables, batch_size)
    return Extractor(
        "inception_v3_fid",
        lambda images: outputs(images).features,
        lambda images: softmax(outputs(images).logits_unbiased),
        "InceptionV3 of 2015 as in FID, 2048 pooled features; uint8 pixels, grey repeated to RGB, resized "
        "to 299 x 299 by TensorFlow 1's bilinear rule (no antialiasing); weights from "
        f"{pathlib.Path(path).name}.",
    )


def lpips_trunk(
    path: str | pathlib.Path, architecture: str = "lpips_alexnet", batch_size: int = 64
) -> Extractor:
    """Make an extractor of features that were trained on ImageNet, small enough for a laptop.

    The features are the means over places of the coarsest map, the last rectified convolution: 256 of
    AlexNet, 512 of VGG16. Sides shorter than 64 pixels are enlarged to 64.

    Args:
      path: a file for `diffjax.pretrained.load`.
      architecture: "lpips_alexnet" or "lpips_vgg16".
      batch_size: images at a time.

    Returns:
      Extractor of uint8 images [N, H, W, 1 or 3]: float32 features [N, D], no probabilities.

    Raises:
      FileNotFoundError, ValueError: see `diffjax.pretrained.load`.
    """
    module: Any
    module, variables = pretrained.load(path, architecture)

    @jax.jit
    def pooled(variables, images):
        maps: Any = module.apply(variables, _enlarge(images))
        return maps[-1].mean(axis=(1, 2))

    @jax.jit
    def apart(variables, both):
        return lpips(module, variables, *(_enlarge(images) for images in both))

    def distance(x, y):
        x, y = (np.broadcast_to(require_images(np.asarray(each)), (*each.shape[:3], 3)) for each in (x, y))
        with jax.default_matmul_precision("highest"):
            return batches.over(lambda i: (x[i], y[i]), len(x), batch_size, apart, variables)

    width = module.stages[-1][-1].features
    return Extractor(
        architecture,
        _batched(pooled, variables, batch_size),
        None,
        f"{width} features, the last convolution of {architecture.removeprefix('lpips_')} averaged over "
        f"places; uint8 pixels, grey repeated to RGB, sides below {_SMALLEST} enlarged to {_SMALLEST} "
        f"bilinearly (pixel centres aligned); weights from {pathlib.Path(path).name}.",
        distance,
    )


def coordinates() -> Extractor:
    """Make the extractor of points and embeddings, which are features themselves."""
    return Extractor("coordinates", lambda x: np.asarray(x).reshape(len(x), -1), None, "")


def _enlarge(images):
    height, width = (max(side, _SMALLEST) for side in images.shape[1:3])
    return jax.image.resize(to_model(images), (len(images), height, width, 3), "linear")


def _batched(apply: Callable, variables: Any, batch_size: int) -> Callable[[np.ndarray], Any]:
    """Return images -> apply(variables, RGB images), in batches of one size and in full float32."""
    if batch_size < 1:
        raise ValueError(f"batch_size: must be 1 or more; got {batch_size}")

    def run_all(images):
        images = require_images(np.asarray(images))
        colours = lambda rows: np.broadcast_to(images[rows], (len(rows), *images.shape[1:3], 3))
        with jax.default_matmul_precision("highest"):  # accelerators would round the factors
            return batches.over(colours, len(images), batch_size, apply, variables)

    return run_all


def softmax(logits: Float[Array, "n classes"]) -> Float[np.ndarray, "n classes"]:
    """Return the probabilities of logits, in float64."""
    import scipy.special  # a tenth of a second, which commands that measure nothing need not wait

    return scipy.special.softmax(np.asarray(logits, np.float64), axis=1)

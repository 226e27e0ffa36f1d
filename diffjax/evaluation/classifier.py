"""A judge for samples: a classifier trained on real labelled images alone, in a minute at most."""

import functools
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple, cast

import flax.errors
import flax.traverse_util as traverse
import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffjax import archives, checks, files
from diffjax.data import Source
from diffjax.evaluation import batches
from diffjax.evaluation.extractors import Extractor, softmax
from diffjax.models.classifier import ConvClassifier
from diffjax.pixels import to_model
from diffjax.training import in_memory
from diffjax.types import Array, Float, Int, UInt8

_BLOCK = 512  # images at a time


class Classifier(NamedTuple):
    """A trained classifier; images are uint8 [N, H, W, C].

    Attributes:
      module: the network.
      params: its variables.
      scale: of the features; `fit` makes their mean square 1 on the images it trains on.
      accuracy: on held-out real images, or None.
    """

    module: ConvClassifier
    params: Any
    scale: float = 1.0
    accuracy: float | None = None

    def predict(self, images: UInt8[Array, "n h w c"]) -> Int[np.ndarray, " n"]:
        """Return the most likely classes."""
        return self._apply(images)[0].argmax(axis=1)

    def probabilities(self, images: UInt8[Array, "n h w c"]) -> Float[np.ndarray, "n classes"]:
        """Return the probabilities of the classes, float64."""
        return softmax(self._apply(images)[0])

    def features(self, images: UInt8[Array, "n h w c"]) -> Float[np.ndarray, "n features"]:
        """Return the features before the last layer, float32, 0 or more."""
        return self._apply(images)[1] * np.float32(self.scale)

    def _apply(self, images):
        rows = lambda rows: to_model(images[rows])
        return batches.over(rows, len(images), _BLOCK, _forward(cast(Hashable, self.module)), self.params)


def fit(
    source: Source,
    held_out: Source | None = None,
    *,
    seed: int = 0,
    num_steps: int = 600,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
) -> Classifier:
    """Train a classifier on real images, each shifted by up to one pixel anew at every look.

    The same source, seed and machine give the same parameters, bit for bit.

    Args:
      source: labelled uint8 images, at least 8 x 8.
      held_out: labelled images to measure the accuracy on, or None.
      seed: of parameters, batches, shifts and dropout.
      num_steps: updates of Adam, the rate falling to 0 along a cosine.
      batch_size: examples of an update, drawn with replacement.
      learning_rate: at the start.

    Returns:
      Classifier.

    Raises:
      ValueError: if the source has no labels or is not one of images.
    """
    if source.label is None or source.num_classes is None or source.x.dtype != np.uint8:
        raise ValueError(f"a classifier needs labelled images, but {source.name} has none")
    module = ConvClassifier(source.num_classes)
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps))
    checks.seed(seed)
    key = jax.random.key(seed)
    params = jax.jit(module.init)(jax.random.fold_in(key, num_steps), to_model(source.x[:1]))

    def step(state, i, data):
        return _step(module, optimizer, batch_size, state, jax.random.fold_in(key, i), *data), {}

    rows = batches.on_device(source)
    data = rows["x"], rows["label"]
    state = in_memory.train(step, (params, optimizer.init(params)), data, num_steps, chunk=None)
    classifier = Classifier(module, state[0])
    rms = np.sqrt(np.mean(np.square(classifier.features(source.x))))
    classifier = classifier._replace(scale=float(1 / rms) if rms > 0 else 1.0)
    if held_out is None:
        return classifier
    return classifier._replace(accuracy=float(np.mean(classifier.predict(held_out.x) == held_out.label)))


def save(classifier: Classifier, path: str | Path) -> Path:
    """Write a classifier as one `.npz` file, whole or not at all; the same classifier gives the same bytes.

    Args:
      classifier: of `fit`.
      path: the file; its folder is made.

    Returns:
      The file's path.
    """
    arrays: dict[str, Any] = dict(traverse.flatten_dict(jax.device_get(classifier.params), sep="/"))
    accuracy = np.nan if classifier.accuracy is None else classifier.accuracy
    with files.whole(path) as file:
        np.savez(file, **{"scale": classifier.scale, "accuracy": accuracy, **arrays})  # pyright: ignore
    return Path(path)


def load(path: str | Path) -> Classifier:
    """Read the classifier that `save` wrote.

    Raises:
      ValueError: if the file does not exist or is no such classifier.
    """
    if not Path(path).is_file():
        raise ValueError(f"path must be the file of a trained classifier, got {path}, which does not exist")
    try:
        arrays = archives.read(path)
        scale, accuracy = float(arrays.pop("scale")), float(arrays.pop("accuracy"))
        num_classes = len(arrays["params/logits/bias"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not hold a classifier: {error}") from error
    params = traverse.unflatten_dict(arrays, sep="/")
    return Classifier(ConvClassifier(num_classes), params, scale, None if np.isnan(accuracy) else accuracy)


def check(classifier: Classifier, source: Source) -> None:
    """Check that a classifier takes the images of a source, and knows its classes.

    Raises:
      ValueError: if not.
    """
    shape = jax.ShapeDtypeStruct((1, *source.shape), jnp.float32)
    try:
        logits, _ = jax.eval_shape(classifier.module.apply, classifier.params, shape)
    except (flax.errors.FlaxError, TypeError, ValueError) as error:
        raise ValueError(
            f"the classifier does not take images {list(source.shape)} of {source.name}"
        ) from error
    if source.num_classes is not None and logits.shape[1] != source.num_classes:
        raise ValueError(
            f"the classifier knows {logits.shape[1]} classes, and {source.name} has {source.num_classes}"
        )


def extractor(classifier: Classifier) -> Extractor:
    """Return the features and probabilities of a classifier as an Extractor."""
    accuracy = "" if classifier.accuracy is None else f", {classifier.accuracy:.2%} right on held-out images"
    return Extractor(
        "classifier",
        classifier.features,
        classifier.probabilities,
        f"The {classifier.module.features} features before the last layer of a small classifier trained on "
        f"real images{accuracy}; uint8 pixels as they are, no resizing; features scaled to a mean square of "
        "1 on the training images. Numbers compare only with those of the same classifier.",
    )


def _step(module, optimizer, batch_size, state, key, images, labels):
    params, opt_state = state
    key_batch, key_shift, key_dropout = jax.random.split(key, 3)
    chosen = jax.random.randint(key_batch, (batch_size,), 0, len(images))
    x = to_model(images[chosen])

    def loss(params):
        logits, _ = module.apply(params, _shift(key_shift, x), train=True, rngs={"dropout": key_dropout})
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels[chosen]).mean()

    updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def _shift(key, x):
    """Move each image by -1, 0 or 1 pixel along both axes, repeating its border."""
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    corners = jax.random.randint(key, (len(x), 2), 0, 3)
    crop = lambda image, corner: jax.lax.dynamic_slice(image, (*corner, 0), x.shape[1:])
    return jax.vmap(crop)(padded, corners)


@functools.cache
def _forward(module: Any):
    return jax.jit(module.apply)

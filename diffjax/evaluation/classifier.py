"""A judge for samples: a classifier trained on real labelled images alone, in a minute at most."""

import os
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import flax.traverse_util as traverse
import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffjax.data import Source, to_model
from diffjax.evaluation.extractors import Extractor
from diffjax.models.classifier import ConvClassifier

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

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the most likely classes, int [N]."""
        return self._apply(images)[0].argmax(axis=1)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes, float64 [N, num_classes]."""
        logits = self._apply(images)[0].astype(np.float64)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return the features before the last layer, float32 [N, F], 0 or more."""
        return self._apply(images)[1] * np.float32(self.scale)

    def _apply(self, images):
        count = -(-len(images) // _BLOCK) * _BLOCK  # whole blocks: one compilation
        padded = np.resize(images, (count, *images.shape[1:]))
        parts = [
            jax.device_get(_forward(self.module, self.params, to_model(padded[i : i + _BLOCK])))
            for i in range(0, count, _BLOCK)
        ]
        return tuple(np.concatenate(part)[: len(images)] for part in zip(*parts))


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
    if source.label is None or source.x.ndim != 4:
        raise ValueError(f"a classifier needs labelled images, but {source.name} has none")
    module = ConvClassifier(source.num_classes)
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps))
    key = jax.random.key(seed)
    params = jax.jit(module.init)(jax.random.fold_in(key, num_steps), to_model(source.x[:1]))
    state = params, optimizer.init(params)
    images, labels = jnp.asarray(source.x), jnp.asarray(source.label)
    step = jax.jit(partial(_step, module, optimizer, batch_size), donate_argnums=0)
    for i in range(num_steps):
        state = step(state, jax.random.fold_in(key, i), images, labels)
    classifier = Classifier(module, state[0])
    rms = np.sqrt(np.mean(np.square(classifier.features(source.x))))
    classifier = classifier._replace(scale=float(1 / rms))
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
    path = Path(path)
    arrays = traverse.flatten_dict(jax.device_get(classifier.params), sep="/")
    accuracy = np.nan if classifier.accuracy is None else classifier.accuracy
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with open(unfinished, "wb") as file:
        np.savez(file, scale=classifier.scale, accuracy=accuracy, **arrays)
    unfinished.replace(path)
    return path


def load(path: str | Path) -> Classifier:
    """Read the classifier that `save` wrote.

    Raises:
      ValueError: if the file does not exist or is no such classifier.
    """
    if not Path(path).is_file():
        raise ValueError(f"path must be the file of a trained classifier, got {path}, which does not exist")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        scale, accuracy = float(arrays.pop("scale")), float(arrays.pop("accuracy"))
        num_classes = len(arrays["params/logits/bias"])
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} does not hold a classifier: {error}") from error
    params = traverse.unflatten_dict(arrays, sep="/")
    return Classifier(ConvClassifier(num_classes), params, scale, None if np.isnan(accuracy) else accuracy)


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
    x = images[chosen].astype(jnp.float32) / 127.5 - 1

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


@partial(jax.jit, static_argnums=0)
def _forward(module, params, x):
    return module.apply(params, x)

"""Handwritten digits that ship inside scikit-learn, as a TFDS data set that needs no TensorFlow."""

import contextlib
import dataclasses
import io
import os
import pathlib
import tempfile
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from sklearn import datasets

from diffjax.border import checked
from diffjax.data import prepared
from diffjax.data.sources import Source


class Digits(tfds.core.GeneratorBasedBuilder):
    """The 1,797 handwritten digits of scikit-learn: 8x8 pixels, 16 grey levels, 10 classes.

    The split is stratified by class and free of chance: sort the examples by class, keeping scikit-learn's
    order within a class, and every fifth one (the 1st, 6th, ...) is a test example. That makes 1,437 train
    and 360 test examples, and of each class a fifth to within one example. Within a class the order
    follows the writers, so both splits hold the same hands. A split's examples come in scikit-learn's order.

    Reference:
      Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI; the set's test part.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Handwritten digits, 8x8 pixels of 16 grey levels, scaled to 0..255.",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            disable_shuffling=True,  # records in scikit-learn's order
            homepage="https://archive.ics.uci.edu/dataset/80",
        )

    def _split_generators(self, dl_manager):
        digits: Any = datasets.load_digits()
        by_class = np.argsort(digits.target, kind="stable")
        test = np.arange(len(by_class)) % 5 == 0
        return {
            "train": self._generate_examples(np.sort(by_class[~test])),
            "test": self._generate_examples(np.sort(by_class[test])),
        }

    def _generate_examples(self, indices):
        digits: Any = datasets.load_digits()
        pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
        for key, index in enumerate(indices):
            yield key, {"image": pixels[index], "label": int(digits.target[index])}


@checked
def read(split: str = "train", data_dir: str | os.PathLike | None = None) -> Source:
    """Read the digits, preparing them on disk the first time.

    Args:
      split: "train" or "test", or a TFDS slice of them, e.g. "train[:50%]".
      data_dir: where TFDS data sets live; by default `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.

    Returns:
      A `Source` of uint8 images `[N, 8, 8, 1]` in 0..255 with ten classes.

    Raises:
      ValueError: if the split is unknown, or, naming the folder, if what was prepared is damaged.
      OSError: if there is no place for it.
    """
    prepare(prepared.root(data_dir))
    source = prepared.read(Digits.name, split, data_dir=data_dir)
    return dataclasses.replace(source, x=np.asarray(source.x))


def prepare(data_dir: str | os.PathLike) -> None:
    """Write the digits as array_record files below `data_dir`, unless they are there.

    Everything is written in a directory of its own and appears under its name by one rename, so any number
    of processes may call this at once, and what a killed one left behind is replaced.

    Args:
      data_dir: where TFDS data sets live; made if missing.
    """
    root = pathlib.Path(data_dir).expanduser()
    target = root / Digits.name / str(Digits.VERSION)
    if _is_complete(target):
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"no place for the digits: {error}; say where by data_dir or TFDS_DATA_DIR") from error
    with tempfile.TemporaryDirectory(prefix=".digits-", dir=root) as scratch:
        builder = Digits(data_dir=scratch)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            builder.download_and_prepare(file_format="array_record")  # its bars are longer than its work
        if target.exists() and not _is_complete(target):
            _move(target, pathlib.Path(scratch, "leftover"))
        _move(pathlib.Path(builder.data_dir), target)
    if not _is_complete(target):
        raise RuntimeError(f"could not put the prepared digits at {target}")


def _is_complete(directory: pathlib.Path) -> bool:
    return (directory / "dataset_info.json").is_file()  # the last file that TFDS writes


def _move(old: pathlib.Path, new: pathlib.Path) -> None:
    """Rename, unless another process was quicker: it moved `old` away, or filled `new`."""
    try:
        old.rename(new)
    except OSError as error:
        if old.exists() and not _is_complete(new):
            raise error

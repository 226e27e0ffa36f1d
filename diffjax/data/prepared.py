"""Image sets that TFDS has prepared on disk, read without TensorFlow."""

import contextlib
import json
import os
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader

from diffjax.border import checked
from diffjax.data import fingerprints, image_files
from diffjax.data.lazy import LazyImages
from diffjax.data.sources import Source, narrow
from diffjax.data.squares import square
from diffjax.files import one_line
from diffjax.types import Integer

_CHUNK = 1024  # records read at a time in search of labels
_MARKED = 64  # records that go into the mark of a set
_OWN = "tensorflow_datasets.core.features."


def root(data_dir: str | os.PathLike | None = None) -> pathlib.Path:
    """Return where TFDS data sets live: `data_dir`, else `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`."""
    return pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


@checked
def read(
    dataset: str,
    split: str = "train",
    *,
    data_dir: str | os.PathLike | None = None,
    image: str = "image",
    label: str | None = "label",
    train: str = "train",
    test: str = "test",
    size: int | None = None,
    arrays: Sequence[str] | None = None,
    alpha: str | None = None,
) -> Source:
    """Read a set by name; each image is decoded when it is asked for.

    Labels and arrays are read at the start, which takes about 40 seconds a million examples. Nothing is
    executed: a set whose `features.json` names classes that are neither TFDS's own nor imported is refused.

    Args:
      dataset: name, and config where there are several: "cifar10", "imagenet_resized/64x64"; the latest
        version on disk, or the one named, "cifar10/3.0.2".
      split: "train" or "test", or anything that TFDS calls a split, such as "validation[:50%]".
      data_dir: see `root`.
      image: name of the feature with the images.
      label: name of the feature with the classes, or None to read no labels.
      train: what the set itself calls "train", e.g. "train[:90%]".
      test: what the set itself calls "test", e.g. "validation" or "train[90%:]".
      size: side of square images to be made, see `squares.square`; None keeps the images as they are.
      arrays: names of features of one shape to read beside it, texts or numbers, such as ("caption",).
      alpha: ground of what is transparent, "white" or "black"; None refuses transparent images.

    Returns:
      A `Source` of uint8 images, with the names of the classes.

    Raises:
      ValueError: if the set is not prepared, or has no such split, or feature, or no images of one shape; or,
        naming its folder, if it is damaged.
    """
    folder = _directory(dataset, root(data_dir))
    _refuse_code(folder)
    with _named(folder):
        builder = tfds.builder_from_directory(os.fspath(folder))
        features = builder.info.features
    height, width, channels = _image_shape(dataset, features, image, size)
    wanted = {"train": train, "test": test}.get(split, split)
    encoded = isinstance(_feature(dataset, features, "image", image), tfds.features.Image)
    decoders = {image: tfds.decode.SkipDecoding()} if encoded else None
    records = _records(builder, dataset, wanted, decoders, root(data_dir))
    _check_counts(folder, builder, wanted)

    def decode(rows):
        pixels = _read(folder, records, rows, image)
        with image_files.named(f'feature "{image}" in {folder}'):
            if encoded:  # TFDS would let Pillow start programs for some formats
                pixels = [image_files.pixels(each, channels, alpha) for each in pixels]
            return np.stack(pixels if size is None else [square(each, size) for each in pixels])

    def mark(rows):
        some = rows[fingerprints.spread(len(rows), _MARKED)]
        return fingerprints.digest(np.asarray(each).tobytes() for each in _read(folder, records, some, image))

    images = LazyImages(decode, (len(records), height, width, channels), mark)
    name = f"{dataset}/{wanted}"
    for each in arrays or ():
        _feature(dataset, features, "arrays", each)
    more = {each: _column(folder, records, each) for each in arrays or ()}
    if label is None:
        return Source(images, name=name, arrays=more)
    classes = _feature(dataset, features, "label", label)
    if getattr(classes, "num_classes", None) is None:
        raise ValueError(f'label: feature "{label}" of {dataset} holds no classes; None reads no labels')
    numbers = _column(folder, records, label).astype(np.int32)
    return Source(images, numbers, classes.num_classes, name, more, tuple(classes.names))


def names() -> list[str]:
    """List the sets that TFDS knows how to prepare."""
    return tfds.list_builders(with_community_datasets=False)


def _refuse_code(folder: pathlib.Path) -> None:
    """Raise if TFDS would import a module of somebody else's to make sense of a set."""
    file = folder / "features.json"
    with _named(file):
        names = list(_classes(json.loads(file.read_text(encoding="utf-8"))))
    for name in names:
        if not name.startswith(_OWN) and name.rpartition(".")[0] not in sys.modules:
            raise ValueError(
                f"{file} names the class {name}, which is not one of TFDS's own: it is not imported"
            )


def _classes(content: Any) -> Iterator[str]:
    """Yield the names of classes in what was JSON, also in JSON inside its strings."""
    if isinstance(content, dict):
        for key, value in content.items():
            if isinstance(value, str) and key in ("pythonClassName", "python_class_name", "type"):
                yield value
            yield from _classes(value)
    elif isinstance(content, list):
        for each in content:
            yield from _classes(each)
    elif isinstance(content, str):
        with contextlib.suppress(ValueError):
            yield from _classes(json.loads(content))


@contextlib.contextmanager
def _named(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of JSON, protobuf, riegeli, TFDS: it depends on what is damaged
        raise ValueError(f"{path} is damaged and must be prepared anew: {one_line(error)}") from error


def _read(folder: pathlib.Path, records: Any, rows: Integer[np.ndarray, " rows"], feature: str) -> list:
    """Return one feature of some records."""
    with _named(folder):
        found = [record[feature] for record in records.__getitems__(rows.tolist())]
        for row, value in zip(rows, found, strict=True):
            if value is None:
                raise ValueError(f"record {row} is empty")
        return found


def _directory(dataset: str, data_dir: pathlib.Path) -> pathlib.Path:
    """Find the latest version of a prepared set."""
    folder = data_dir / dataset
    versions = [each for each in (folder, *_children(folder)) if _is_version(each)]
    if versions:
        return max(versions, key=lambda each: [int(part) for part in each.name.split(".")])
    configs = [each.name for each in _children(folder) if any(map(_is_version, _children(each)))]
    if configs:
        choice = ", ".join(f"{dataset}/{config}" for config in sorted(configs))
        raise ValueError(f"data name {dataset} has configs: say which, of {choice}")
    raise ValueError(f"data name {dataset} is not prepared in {data_dir}: {_how(dataset, data_dir)}")


def _how(dataset: str, data_dir: pathlib.Path) -> str:
    prepare = (
        f"tfds.builder('{dataset}', data_dir='{data_dir}').download_and_prepare(file_format='array_record')"
    )
    return (
        f'run `python -c "import tensorflow_datasets as tfds; {prepare}"`; that may need TensorFlow, '
        'by pip install "diffjax[tfds]", which reading it does not'
    )


def _children(folder: pathlib.Path) -> list[pathlib.Path]:
    return [each for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []


def _is_version(folder: pathlib.Path) -> bool:
    # dataset_info.json is the last file that TFDS writes
    return bool(re.fullmatch(r"\d+\.\d+\.\d+", folder.name)) and (folder / "dataset_info.json").is_file()


def _feature(dataset, features, option, name):
    if name not in features:
        hint = "; None reads no labels" if option == "label" else ""
        raise ValueError(
            f'{option} must be a feature of {dataset}, of {", ".join(features)}; got "{name}"{hint}'
        )
    return features[name]


def _image_shape(dataset, features, name, size):
    feature = _feature(dataset, features, "image", name)
    shape = tuple(feature.shape)
    if feature.np_dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3):
        raise ValueError(
            f'image: feature "{name}" of {dataset} must be uint8 [H, W, 1 or 3], '
            f"it is {np.dtype(feature.np_dtype).name} {shape}"
        )
    if size is not None:
        return size, size, shape[2]
    if None in shape:
        raise ValueError(f"size must be given, as the images of {dataset} have no fixed shape")
    return shape


def _records(builder, dataset, split, decoders, data_dir):
    """Open the records of a split; they are read when they are indexed."""
    try:
        return builder.as_data_source(split, decoders=decoders)
    except NotImplementedError:
        found = builder.info.file_format.value
        raise ValueError(
            f"data name {dataset} is prepared as {found} in {data_dir}, which only TensorFlow reads: "
            f"choose another data_dir and {_how(dataset, data_dir)}"
        ) from None
    except (ValueError, KeyError) as error:
        allowed = ", ".join(sorted(builder.info.splits))
        found = f'"{split}" in {builder.data_path}'
        raise ValueError(f"split must be one of {allowed} or a slice of it, got {found}") from error


def _check_counts(folder, builder, split):
    """Raise if the files of a split hold other numbers of records than the set says, and TFDS believes."""
    for name, info in builder.info.splits.items():
        if not re.search(rf"(?<!\w)({re.escape(name)}|all)(?!\w)", split):
            continue
        for file, count in zip(info.filepaths, info.shard_lengths, strict=True):
            with _named(folder):
                reader = ArrayRecordReader(os.fspath(file))
                try:
                    if reader.num_records() != count:
                        raise ValueError(
                            f"{file.name} should hold {count} records, not {reader.num_records()}"
                        )
                finally:
                    reader.close()


def _column(folder, records, feature):
    """Return one feature of all records, [N, ...]; texts as strings."""
    found = []
    for start in range(0, len(records), _CHUNK):
        found += _read(folder, records, np.arange(start, min(start + _CHUNK, len(records))), feature)
    with _named(folder):
        texts = isinstance(found[0], bytes)
        values = np.array([each.decode() for each in found]) if texts else np.stack(found)
    return narrow(values, f'feature "{feature}" in {folder}')

"""Image sets that TFDS has prepared on disk, read without TensorFlow."""

import os
import pathlib
import re

import numpy as np
import tensorflow_datasets as tfds

from diffjax.data.lazy import LazyImages
from diffjax.data.sources import Source
from diffjax.data.squares import square

_CHUNK = 1024  # records read at a time in search of labels


def root(data_dir: str | os.PathLike | None = None) -> pathlib.Path:
    """Return where TFDS data sets live: `data_dir`, else `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`."""
    return pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


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
) -> Source:
    """Read a set by name; each image is decoded when it is asked for.

    All labels are read at the start, which takes about 40 seconds a million examples.

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

    Returns:
      A `Source` of uint8 images.

    Raises:
      ValueError: if the set is not prepared, or has no such split, or feature, or no images of one shape.
    """
    builder = tfds.builder_from_directory(os.fspath(_directory(dataset, root(data_dir))))
    features = builder.info.features
    height, width, channels = _image_shape(dataset, features, image, size)
    wanted = {"train": train, "test": test}.get(split, split)
    records = _records(builder, dataset, wanted, root(data_dir))

    def decode(rows):
        pixels = [record[image] for record in records.__getitems__(rows.tolist())]
        return np.stack(pixels if size is None else [square(each, size) for each in pixels])

    images = LazyImages(decode, (len(records), height, width, channels))
    name = f"{dataset}/{wanted}"
    if label is None:
        return Source(images, name=name)
    classes = _feature(dataset, features, "label", label)
    if getattr(classes, "num_classes", None) is None:
        raise ValueError(f'label: feature "{label}" of {dataset} holds no classes; None reads no labels')
    label, names = _labels(builder, wanted, image, label), tuple(classes.names)
    return Source(images, label, classes.num_classes, name, class_names=names)


def names() -> list[str]:
    """List the sets that TFDS knows how to prepare."""
    return tfds.list_builders(with_community_datasets=False)


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


def _records(builder, dataset, split, data_dir):
    """Open the records of a split; they are read when they are indexed."""
    try:
        return builder.as_data_source(split)
    except NotImplementedError:
        found = builder.info.file_format.value
        raise ValueError(
            f"data name {dataset} is prepared as {found} in {data_dir}, which only TensorFlow reads: "
            f"choose another data_dir and {_how(dataset, data_dir)}"
        ) from None
    except (ValueError, KeyError) as error:
        allowed = ", ".join(sorted(builder.info.splits))
        raise ValueError(f'split must be one of {allowed} or a slice of it, got "{split}"') from error


def _labels(builder, split, image, label):
    # Images are left as bytes here: decoding them would take most of the time.
    encoded = isinstance(builder.info.features[image], tfds.features.Image)
    records = builder.as_data_source(split, decoders={image: tfds.decode.SkipDecoding()} if encoded else None)
    found = np.empty(len(records), np.int32)
    for start in range(0, len(records), _CHUNK):
        rows = range(start, min(start + _CHUNK, len(records)))
        found[rows] = [record[label] for record in records.__getitems__(rows)]
    return found

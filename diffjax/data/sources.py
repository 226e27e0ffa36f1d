"""A data set: what a model learns, its classes, and whatever else goes with each example."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from diffjax.border import checked
from diffjax.data import fingerprints
from diffjax.data.lazy import LazyImages
from diffjax.pixels import to_model
from diffjax.types import Array, Bool, Integer

_DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "int32", "float16", "float32")


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """Hold a whole data set: pixels as uint8, anything else as float32, and named arrays beside them.

    `source["caption"]` is the array of that name; so are `source["x"]` and `source["label"]`.

    Attributes:
      x: uint8 images `[N, H, W, C]`, C = 1 or 3, in memory or as `LazyImages`, or finite float32 that a model
        sees as it is: images `[N, H, W, 1 or 3]` in [-1, 1], or anything else `[N, ...]`, such as latents.
      label: int32 `[N]` in 0..num_classes-1, or None.
      num_classes: number of classes, or None where there are no labels.
      name: what to call it in messages.
      arrays: what else there is of each example, `[N, ...]` by name: captions (strings), embeddings (finite
        floats of 16 or 32 bits), tokens or maps (integers up to int32). A map is mirrored with its image, see
        `gather`.
      class_names: of the classes in the order of their numbers, or None.

    Raises:
      ValueError: if a dtype, a shape, a range or a label does not fit.
    """

    x: np.ndarray | LazyImages
    label: np.ndarray | None = None
    num_classes: int | None = None
    name: str = "data"
    arrays: Mapping[str, np.ndarray | LazyImages] = dataclasses.field(default_factory=dict)
    class_names: tuple[str, ...] | None = None

    def __post_init__(self):
        self._check_x()
        self._check_label()
        self._check_class_names()
        for name, array in self.arrays.items():
            self._check_array(name, array)

    def _check_x(self):
        _check_is_array(f"{self.name}: x", self.x)
        if self.x.dtype not in (np.uint8, np.float32):
            raise ValueError(f"{self.name}: x must be uint8 or float32, got {self.x.dtype}")
        if self.x.dtype == np.uint8 and self.x.ndim != 4:
            raise ValueError(f"{self.name}: uint8 images must be [N, H, W, C], got shape {self.x.shape}")
        if len(self.x) == 0:
            raise ValueError(f"{self.name}: x must hold at least one example, got shape {self.x.shape}")
        if self.x.dtype == np.uint8 and self.x.shape[-1] not in (1, 3):
            raise ValueError(
                f"{self.name}: uint8 images must have 1 channel or 3, got {self.x.shape[-1]} in shape "
                f"{self.x.shape}; alpha must be put on a ground, other channels become float32"
            )
        if self.x.dtype == np.float32:
            low, high = _finite_range(f"{self.name}: x", self.x)
            if self.x.ndim == 4 and self.x.shape[-1] in (1, 3) and (low < -1 or high > 1):
                raise ValueError(
                    f"{self.name}: float images must be in [-1, 1] (uint8 ones are scaled), "
                    f"got values from {low:g} to {high:g}"
                )

    def _check_label(self):
        if (self.label is None) != (self.num_classes is None):
            raise ValueError(f"{self.name}: label and num_classes must be given together or not at all")
        if self.label is None or self.num_classes is None:
            return
        _check_is_array(f"{self.name}: label", self.label)
        if self.label.dtype != np.int32 or self.label.shape != (len(self.x),):
            found = f"{self.label.dtype} {self.label.shape}"
            raise ValueError(f"{self.name}: label must be int32 of shape ({len(self.x)},), got {found}")
        low, high = int(self.label.min()), int(self.label.max())
        if low < 0 or high >= self.num_classes:
            allowed = f"0..{self.num_classes - 1}"
            raise ValueError(f"{self.name}: label must be in {allowed}, got values from {low} to {high}")

    def _check_class_names(self):
        names = self.class_names
        if names is None:
            return
        if self.label is None:
            raise ValueError(f"{self.name}: class_names need labels, and there are none")
        if not isinstance(names, tuple) or not all(isinstance(each, str) for each in names):
            raise ValueError(f"{self.name}: class_names must be a tuple of strings, got {names!r}")
        if len(set(names)) != self.num_classes or len(names) != self.num_classes:
            allowed = f"{self.num_classes} different names"
            raise ValueError(f"{self.name}: class_names must be {allowed}, got {', '.join(names)}")

    def _check_array(self, name, array):
        where = f'{self.name}: array "{name}"'
        if not isinstance(name, str) or name in ("x", "label", ""):
            raise ValueError(f'{self.name}: arrays must have names other than "x" and "label", got {name!r}')
        _check_is_array(where, array)
        if array.ndim < 1 or len(array) != len(self.x):
            raise ValueError(f"{where} must be [{len(self.x)}, ...], got shape {array.shape}")
        if array.dtype.kind != "U" and array.dtype.name not in _DTYPES:
            raise ValueError(f"{where} must be of strings or {', '.join(_DTYPES)}, got {array.dtype}")
        if array.dtype.kind == "f" and array.size:
            _finite_range(where, array)

    def __len__(self) -> int:
        return len(self.x)

    @checked
    def __getitem__(self, name: str) -> np.ndarray | LazyImages:
        found = {"x": self.x} | ({} if self.label is None else {"label": self.label}) | dict(self.arrays)
        if name not in found:
            raise ValueError(f"{self.name} has no array {name!r}, it has {', '.join(found)}")
        return found[name]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example: `(H, W, C)` or `(D,)`."""
        return self.x.shape[1:]

    @checked
    def add(self, **arrays: np.ndarray | LazyImages) -> "Source":
        """Return the source with more arrays; one of a name that is there takes its place."""
        return dataclasses.replace(self, arrays={**self.arrays, **arrays})

    @checked
    def take(self, indices: Integer[Array, " count"]) -> "Source":
        """Return the source of some examples, in the order of `indices`, int `[N]`; lazy images stay lazy."""
        rows = np.asarray(indices)
        low, high = rows.min(initial=len(self)), rows.max(initial=-1)
        if low < 0 or not low <= high < len(self):
            found = f"values from {low} to {high}" if rows.size else "none"
            raise ValueError(f"{self.name}: indices must be in 0..{len(self) - 1}, got {found}")
        chosen = lambda array: array.take(rows) if isinstance(array, LazyImages) else array[rows]
        label = None if self.label is None else self.label[rows]
        arrays = {name: chosen(array) for name, array in self.arrays.items()}
        return dataclasses.replace(self, x=chosen(self.x), label=label, arrays=arrays)

    def first(self, count: int) -> "Source":
        """Return the source of the first examples, or of all where there are fewer."""
        return self.take(np.arange(min(len(self), count)))

    def fingerprint(self) -> str:
        """Return a short checksum of x, label and arrays, whatever they are called and wherever they lie.

        Arrays up to 64 MiB are read whole, and of larger ones as much, in rows spread over them. Of images in
        files it reads names, and some of the sizes and bytes; of TFDS's records some.
        """
        mark = lambda each: each.mark() if isinstance(each, LazyImages) else fingerprints.of_array(each)
        parts = [b"" if each is None else mark(each) for each in (self.x, self.label)]
        for name in sorted(self.arrays):
            parts += [name.encode(), mark(self.arrays[name])]
        return fingerprints.digest(parts).hex()[:16]

    @checked
    def gather(
        self, indices: Integer[Array, " batch"], mirrored: Bool[Array, " batch"] | None = None
    ) -> dict[str, np.ndarray]:
        """Take examples as a model sees them.

        What lies on the pixels is mirrored with them: arrays `[N, h, w, C]`, and maps of integers `[N, H, W]`
        with the image's height and width.

        Args:
          indices: int `[B]`.
          mirrored: bool `[B]`, the images to flip from left to right, or None for none of them.

        Returns:
          `{"x": float32 [B, ...], "label": int32 [B]}`; images in [-1, 1]; no "label" without labels; and
          each array of numbers under its name, as it is. Strings stay on the host.
        """
        batch = {"x": self._mirror(self.x[indices], mirrored)}
        if batch["x"].dtype == np.uint8:
            batch["x"] = to_model(batch["x"])
        if self.label is not None:
            batch["label"] = self.label[indices]
        numbers = {name: array for name, array in self.arrays.items() if array.dtype.kind != "U"}
        return batch | {name: self._mirror(array[indices], mirrored) for name, array in numbers.items()}

    def _mirror(self, rows, mirrored):
        on_pixels = rows.ndim == 4 or (rows.ndim == 3 and rows.dtype.kind in "biu")
        if mirrored is None or not on_pixels or (rows.ndim == 3 and rows.shape[1:] != self.shape[:2]):
            return rows
        rows[mirrored] = rows[mirrored][:, :, ::-1]
        return rows


def narrow(array: np.ndarray, what: str) -> np.ndarray:
    """Return an array as a device computes with it: integers of 32 bits and more as int32, floats as float32.

    Args:
      array: of any dtype.
      what: what to call it in a message.

    Raises:
      ValueError: if an integer does not fit into int32.
    """
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        return array.astype(np.float32)
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 4:
        return array
    limits = np.iinfo(np.int32)
    if array.size and not limits.min <= int(array.min()) <= int(array.max()) <= limits.max:
        raise ValueError(f"{what} must fit into int32, got {array.min()} to {array.max()}")
    return array.astype(np.int32, copy=False)


def _check_is_array(where, array):
    if not isinstance(array, np.ndarray | LazyImages):
        raise ValueError(f"{where} must be an array of numpy, got {type(array).__name__}")


def _finite_range(where, array):
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{where} must be finite, got values from {low:g} to {high:g}")
    return low, high

"""A data set, and the one rule between pixels outside and numbers inside."""

import dataclasses

import numpy as np

from diffjax.data.lazy import LazyImages


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """Hold a whole data set: pixels as uint8, anything else as float32.

    Attributes:
      x: uint8 images `[N, H, W, C]`, in memory or as `LazyImages`, or finite float32 that a model sees as it
        is: images `[N, H, W, C]` in [-1, 1], or anything else `[N, ...]`.
      label: int32 `[N]` in 0..num_classes-1, or None.
      num_classes: number of classes, or None where there are no labels.
      name: what to call it in messages.

    Raises:
      ValueError: if a dtype, a shape, a range or a label does not fit.
    """

    x: np.ndarray | LazyImages
    label: np.ndarray | None = None
    num_classes: int | None = None
    name: str = "data"

    def __post_init__(self):
        if self.x.dtype not in (np.uint8, np.float32):
            raise ValueError(f"{self.name}: x must be uint8 or float32, got {self.x.dtype}")
        if self.x.dtype == np.uint8 and self.x.ndim != 4:
            raise ValueError(f"{self.name}: uint8 images must be [N, H, W, C], got shape {self.x.shape}")
        if len(self.x) == 0:
            raise ValueError(f"{self.name}: x must hold at least one example, got shape {self.x.shape}")
        if self.x.dtype == np.float32:
            self._check_range()
        if (self.label is None) != (self.num_classes is None):
            raise ValueError(f"{self.name}: label and num_classes must be given together or not at all")
        if self.label is None:
            return
        if self.label.dtype != np.int32 or self.label.shape != (len(self.x),):
            found = f"{self.label.dtype} {self.label.shape}"
            raise ValueError(f"{self.name}: label must be int32 of shape ({len(self.x)},), got {found}")
        low, high = int(self.label.min()), int(self.label.max())
        if low < 0 or high >= self.num_classes:
            allowed = f"0..{self.num_classes - 1}"
            raise ValueError(f"{self.name}: label must be in {allowed}, got values from {low} to {high}")

    def _check_range(self):
        low, high = float(self.x.min()), float(self.x.max())
        if not np.isfinite([low, high]).all():
            raise ValueError(f"{self.name}: x must be finite, got values from {low:g} to {high:g}")
        if self.x.ndim == 4 and (low < -1 or high > 1):
            raise ValueError(
                f"{self.name}: float images must be in [-1, 1] (uint8 ones are scaled), "
                f"got values from {low:g} to {high:g}"
            )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example: `(H, W, C)` or `(D,)`."""
        return self.x.shape[1:]

    def gather(self, indices: np.ndarray, mirrored: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Take examples as a model sees them.

        Args:
          indices: int `[B]`.
          mirrored: bool `[B]`, the images to flip from left to right, or None for none of them.

        Returns:
          `{"x": float32 [B, ...], "label": int32 [B]}`; images in [-1, 1]; no "label" without labels.
        """
        x = self.x[indices]
        if mirrored is not None:
            x[mirrored] = x[mirrored, :, ::-1]
        batch = {"x": to_model(x) if x.dtype == np.uint8 else x}
        return batch if self.label is None else batch | {"label": self.label[indices]}


def to_model(images: np.ndarray) -> np.ndarray:
    """Map uint8 pixels 0..255 of any shape to float32 in [-1, 1]: `x / 127.5 - 1`."""
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise ValueError(f"images must be uint8, got {images.dtype}")
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(x: np.ndarray) -> np.ndarray:
    """Map floats of any shape to the nearest uint8 pixels, clipping to [-1, 1]; the inverse of `to_model`."""
    x = np.asarray(x)
    if x.dtype.kind in "iub":
        raise ValueError(f"x must be floating point in [-1, 1], got {x.dtype}")
    return np.rint(127.5 * (np.clip(x.astype(np.float32), -1, 1) + 1)).astype(np.uint8)

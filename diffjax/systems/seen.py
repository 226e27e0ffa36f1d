"""What a frozen CLIP sees in pictures and reads in texts, on the host, once and for all.

Parts of a request that are embeddings of a trained run of system "clip", or of a published one:
`clip_image` of the picture itself, which a decoder is asked with, and `clip_text` of its caption. The CLIP is
copied into what stands on it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import archives, files
from diffjax.data import Source, image_files
from diffjax.data.squares import square
from diffjax.models.encoders import Embedded
from diffjax.models.prior import SeenTokens
from diffjax.pixels import to_model, to_uint8
from diffjax.rows import in_turn
from diffjax.systems import published_clip, words
from diffjax.systems.about import About
from diffjax.systems.requests import NONE, Asked, of_each, rows_of
from diffjax.training import workdir
from diffjax.training.system import Part

Section = Mapping[str, Any] | ConfigDict
CLIP = "clip"  # the stage's name, in `<run>/stages`
_ROWS = 128  # at a time


class Encoder:
    """A trained encoder of pictures and texts, read when it is first asked."""

    def __init__(self, given: Section, folder: str | Path | None, name: str, stage: str = CLIP):
        """Take the stage of a section, {"workdir": ...} of a run or {"pretrained": folder}.

        Args:
          given: the section.
          folder: of the run that stands on it, or None.
          name: of who asks for it, for messages.
          stage: name of the stage.

        Raises:
          ValueError: for a run without features of pictures and texts, or a folder with no such CLIP.
        """
        self.name, self.stage = name, published_clip.stage(given, folder, stage)
        system = self.stage.system
        features = None if system.features is None else system.features(self.stage.shapes())
        if features is None or "text" not in features or not system.request.parts:
            raise ValueError(f"{name} must be a run of a system with features of texts, such as 'clip'")
        self.shape = tuple(system.example["x"].shape[1:])
        self.part = next(iter(system.request.parts))
        x = jax.ShapeDtypeStruct((1, *self.shape), jnp.float32)
        look = lambda variables, x: system.features(variables)["image"](x)
        self.width = jax.eval_shape(look, self.stage.shapes(), x).shape[1]
        self._look = jax.jit(look)
        self._read = jax.jit(lambda variables, request: system.features(variables)["text"](request))
        self._folder = folder

    def keep(self, folder: str | Path | None) -> None:
        """Copy the run into the folder of one that stands on it."""
        self._folder = folder
        self.__dict__.pop("variables", None)

    @cached_property
    def variables(self) -> Any:
        """Of the run."""
        return self.stage.read(self._folder)

    def require(self, shape: tuple[int, ...]) -> None:
        """Raise a ValueError unless it sees examples of a shape: its own, or pictures of any size."""
        pictures = len(shape) == len(self.shape) == 3 and shape[-1] in (1, self.shape[-1])
        if tuple(shape) != self.shape and not pictures:
            raise ValueError(
                f"{self.name} is of examples {self.shape}, and cannot see those of {tuple(shape)}"
            )

    def image(self, x: np.ndarray) -> np.ndarray:
        """Return features [N, D] of unit norm of pictures [N, H, W, C], uint8 or in [-1, 1].

        Those of another size are brought to the encoder's, in 8 bits, by `data.squares`; where it sees
        colours, grey is the same in all.
        """
        self.require(x.shape[1:])
        look = lambda chosen: self._look(self.variables, jnp.asarray(self._fitted(x[chosen])))
        return _in_turn(look, len(x), self.width)

    def _fitted(self, x):
        if x.shape[1:] != self.shape:
            x = x if x.dtype == np.uint8 else to_uint8(x)
            x = np.stack([square(each, self.shape[0]) for each in x])
            x = np.broadcast_to(x, (len(x), *self.shape))
        return to_model(x) if x.dtype == np.uint8 else x

    def text(self, texts: Sequence[str], name: str = "text") -> np.ndarray:
        """Return features [N, D] of unit norm of texts, zeros of empty ones."""
        texts = words.strings(name, texts)
        request = self.stage.system.request.of_user({self.part: texts}, len(texts)) if texts else {}

        def read(chosen):
            return self._read(self.variables, jax.tree.map(lambda leaf: jnp.asarray(leaf[chosen]), request))

        found = _in_turn(read, len(texts), self.width)
        return found * np.array([[bool(text.strip())] for text in texts])


def _in_turn(look: Callable[[np.ndarray], Any], count: int, width: int) -> np.ndarray:
    found = np.zeros((count, width), np.float32)
    for where, chosen in in_turn(count, _ROWS):
        found[where] = np.asarray(look(chosen))[: where.stop - where.start]
    return found


def of_source(
    encoder: Encoder, folder: str | Path | None, source: Source, what: str, array: str = "caption"
) -> np.ndarray:
    """Return the features [N, D] of a source's pictures ("image") or texts ("text"), from a file if they are.

    Args:
      encoder: see `Encoder`.
      folder: of the run, which keeps them; None keeps nothing.
      source: of data.
      what: one of these.
      array: of the data that holds the texts.
    """
    look = lambda: (
        encoder.image(source.x[np.arange(len(source))])
        if what == "image"
        else _of_texts(encoder, source[array])
    )
    if folder is None:
        return look()
    file = Path(folder) / workdir.PREPARED / f"{CLIP}_{what}_{source.fingerprint()}.npz"
    with workdir.first_process(file.with_suffix("")) as first:
        if first and not file.is_file():
            with files.whole(file) as kept:
                np.savez(kept, embedding=look())
    return archives.read(file, ("embedding",))["embedding"]


def _of_texts(encoder, texts):
    distinct, rows = np.unique(np.asarray(texts), return_inverse=True)
    return encoder.text([str(each) for each in distinct])[rows]


def clip_image(about: About, *, clip: Section, extra: int = 4) -> Asked:
    """Make what a frozen CLIP sees in the picture, float32 [n, D].

    A user gives pictures, files or uint8 arrays [h, w, C] of any size, or embeddings, arrays [D] or `.npy`.

    Args:
      about: see `About`.
      clip: {"workdir": ...} of a run of system "clip", or {"pretrained": folder} of a published one.
      extra: tokens beside the vector, where the network takes tokens.
    """
    encoder, name, key = Encoder(clip, about.folder, f"{about.name}: clip"), about.name, f"{about.name}_seen"
    encoder.require(about.shape)
    blank = lambda n: {"": np.zeros((n, encoder.width), np.float32)}

    def one(value):
        if isinstance(value, str) and value == NONE:
            return blank(1)[""][0]
        if isinstance(value, str | Path):
            path = Path(value).expanduser()
            if not path.is_file():
                raise ValueError(f"there is no file {path}")
            npy = path.suffix == ".npy"
            value = archives.one(path) if npy else image_files.read(path, encoder.shape[-1], "white")
        value = np.asarray(value)
        if value.dtype == np.uint8 and value.ndim == 3 and value.shape[-1] == encoder.shape[-1]:
            return encoder.image(value[None])[0]
        if value.shape != (encoder.width,) or value.dtype.kind != "f" or not np.isfinite(value).all():
            takes = f"a picture, or finite floats of shape {(encoder.width,)}"
            raise ValueError(f"{name} must be {takes}, got {value.dtype} {value.shape}")
        return value.astype(np.float32)

    def prepare(folder, source):
        encoder.keep(folder)
        return source if source is None else source.add(**{key: of_source(encoder, folder, source, "image")})

    return Asked(
        parts={"": Part((encoder.width,), jnp.float32)},
        module=SeenTokens(about.vector_features(), getattr(about.module, "token_features", None), extra),
        of_batch=lambda _, batch: {"": jnp.asarray(batch[key], jnp.float32)},
        of_user=of_each(name, one),
        default=blank,
        nothing=blank,
        example={key: jax.ShapeDtypeStruct((1, encoder.width), jnp.float32)},
        prepare=prepare,
    )


def clip_text(about: About, *, clip: Section, array: str = "caption") -> Asked:
    """Make what a frozen CLIP reads in a text, float32 [n, D], as a vector.

    Args:
      about: see `About`.
      clip: {"workdir": ...} of a run of system "clip", or {"pretrained": folder} of a published one.
      array: of the data that holds the texts.
    """
    encoder, name, key = Encoder(clip, about.folder, f"{about.name}: clip"), about.name, f"{about.name}_read"
    blank = lambda n: {"": np.zeros((n, encoder.width), np.float32)}

    def prepare(folder, source):
        encoder.keep(folder)
        if source is None:
            return None
        return source.add(**{key: of_source(encoder, folder, source, "text", array)})

    return Asked(
        parts={"": Part((encoder.width,), jnp.float32)},
        module=Embedded(vector_features=about.vector_features()),
        of_batch=lambda _, batch: {"": jnp.asarray(batch[key], jnp.float32)},
        of_user=lambda given, n: {"": rows_of(name, list(encoder.text(given[""], name)), n)},
        default=blank,
        nothing=blank,
        example={key: jax.ShapeDtypeStruct((1, encoder.width), jnp.float32)},
        prepare=prepare,
    )

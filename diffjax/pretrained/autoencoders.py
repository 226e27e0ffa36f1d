"""Latent diffusion's and diffusers' autoencoders and ours: configuration and parameters, both ways.

latent diffusion                 diffusers                                  ours
encoder.conv_in                  encoder.conv_in                            encoder/in_conv
encoder.down.0.block.1           encoder.down_blocks.0.resnets.1            encoder/down_0_1
encoder.down.0.attn.1            encoder.down_blocks.0.attentions.1         encoder/down_0_1_attention
encoder.down.0.downsample.conv   encoder.down_blocks.0.downsamplers.0.conv  encoder/down_0_resample/op
encoder.mid.block_1, attn_1      encoder.mid_block.resnets.0, attentions.0  encoder/middle_0, middle_attention
decoder.up.2 (coarsest is last)  decoder.up_blocks.0 (coarsest is first)    decoder/up_2
encoder.norm_out                 encoder.conv_norm_out                      encoder/out_norm
q, k, v; proj_out                to_q, to_k, to_v; to_out.0                 qkv, side by side; proj_out
quant_conv, post_quant_conv      the same                                   to_code, of_code
quantize.embedding               the same                                   quantiser/embedding
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from diffjax import checks
from diffjax.border import checked
from diffjax.models.autoencoder import Autoencoder, KLAutoencoder, VQAutoencoder
from diffjax.pretrained import diffusers_config, layers
from diffjax.pretrained.layers import Layers, layer, struct

_MAPS = {"to_code": "quant_conv", "of_code": "post_quant_conv", "quantiser": "quantize.embedding"}
_LDM_BLOCK = {
    "in_norm": ("norm1",), "in_conv": ("conv1",), "out_norm": ("norm2",), "out_conv": ("conv2",),
    "skip": ("nin_shortcut",), "op": ("conv",), "conv": ("conv",),
    "norm": ("norm",), "qkv": ("q", "k", "v"), "proj_out": ("proj_out",),
}  # fmt: skip
_DIFFUSERS_BLOCK = _LDM_BLOCK | {
    "skip": ("conv_shortcut",), "norm": ("group_norm",), "qkv": ("to_q", "to_k", "to_v"),
    "proj_out": ("to_out.0",),
}  # fmt: skip


@checked
def build_ldm(config: Mapping[str, Any]) -> Autoencoder:
    """Make our network from the arguments of latent diffusion's `AutoencoderKL` or `VQModel`.

    Args:
      config: `ddconfig`, `embed_dim` and, of a `VQModel`, `n_embed`; what else a published file of settings
        has beside them (of the loss, of the data) is left alone.

    Raises:
      ValueError: for a missing or unknown argument, or a value we have no counterpart of.
    """
    given = _ldm_arguments(**config)
    fields = _ldm_network(**given["ddconfig"])
    double, codes = fields.pop("double_z"), given["n_embed"]
    if double != (codes is None):
        wanted = "True without n_embed, the code of a Gaussian" if codes is None else "False with n_embed"
        raise ValueError(f"ddconfig.double_z must be {wanted}; got {double!r}")
    fields["latent_channels"] = checks.count("embed_dim", given["embed_dim"])
    if codes is None:
        return KLAutoencoder(**fields)
    return VQAutoencoder(**fields, codes=checks.count("n_embed", codes))


@checked
def _ldm_arguments(
    *,
    ddconfig: Mapping[str, Any],
    embed_dim: int,
    n_embed: int | None = None,
    remap: Any = None,
    sane_index_shape: bool = False,
    lossconfig: Any = None,
    ckpt_path: Any = None,
    ignore_keys: Any = (),
    image_key: str = "image",
    colorize_nlabels: int | None = None,
    monitor: str | None = None,
    batch_resize_range: Any = None,
    scheduler_config: Any = None,
    lr_g_factor: float = 1.0,
    use_ema: bool = False,
    beta: float = 0.25,
    legacy: bool = True,
) -> dict[str, Any]:
    """Return the arguments that say what the network is."""
    if remap is not None:
        raise ValueError(f"remap must be None, as ours has nothing else; got {remap!r}")
    return {"ddconfig": ddconfig, "embed_dim": embed_dim, "n_embed": n_embed}


@checked
def _ldm_network(
    *,
    ch: int,
    out_ch: int,
    num_res_blocks: int,
    attn_resolutions: Sequence[int],
    in_channels: int,
    resolution: int,
    z_channels: int,
    ch_mult: Sequence[int] = (1, 2, 4, 8),
    dropout: float = 0.0,
    resamp_with_conv: bool = True,
    double_z: bool = True,
    use_linear_attn: bool = False,
    attn_type: str = "vanilla",
    tanh_out: bool = False,
    give_pre_end: bool = False,
) -> dict[str, Any]:
    """Return our fields for the `ddconfig`, and `double_z`.

    Attention stands where the nominal resolution, halved level by level, is one of `attn_resolutions`.
    """
    if attn_type not in ("vanilla", "vanilla-xformers", "none") or use_linear_attn:
        found = "linear" if use_linear_attn else attn_type
        raise ValueError(
            f"ddconfig.attn_type must be 'vanilla' or 'none', as ours has nothing else; got {found!r}"
        )
    if give_pre_end:
        raise ValueError("ddconfig.give_pre_end must be False, as ours has nothing else; got True")
    for name, value in (("ch", ch), ("out_ch", out_ch), ("num_res_blocks", num_res_blocks),
                        ("in_channels", in_channels), ("z_channels", z_channels)):  # fmt: skip
        checks.count(f"ddconfig.{name}", value)
    levels = range(len(ch_mult))
    if not ch_mult:
        raise ValueError("ddconfig.ch_mult must name one level at least, got ()")
    for each in ch_mult:
        checks.count("ddconfig.ch_mult", each)
    here = attn_type != "none"
    down = [2**i for i in levels if here and resolution // 2**i in attn_resolutions]
    least = resolution // 2 ** (len(ch_mult) - 1)  # where the decoder begins to double
    up = [2**i for i in levels if here and least * 2 ** (levels[-1] - i) in attn_resolutions]
    return {
        "stem": None if ch_mult[0] == 1 else ch,
        "channels": tuple(ch * each for each in ch_mult),
        "num_res_blocks": num_res_blocks,
        "attention_resolutions": tuple(down),
        "decoder_attention_resolutions": None if up == down else tuple(up),
        "middle_attention": here,
        "dropout": dropout,
        "conv_resample": resamp_with_conv,
        "tanh": tanh_out,
        "z_channels": z_channels,
        "image_channels": in_channels,
        "out_channels": None if out_ch == in_channels else out_ch,
        "double_z": double_z,
    }


@checked
def build_diffusers(config: Mapping[str, Any], codes: bool = False) -> Autoencoder:
    """Make our network from the configuration of diffusers' `AutoencoderKL`, or with `codes` its `VQModel`.

    Args:
      config: its `config.json`; what may be left out has their defaults.
      codes: whether it is a `VQModel`.

    Raises:
      ValueError: for an unknown argument, or a value we have no counterpart of.
    """
    fields = (_diffusers_vq if codes else _diffusers_kl)(**diffusers_config.public(config))
    return (VQAutoencoder if codes else KLAutoencoder)(**fields)


@checked
def _diffusers_kl(
    *,
    use_quant_conv: bool = True,
    use_post_quant_conv: bool = True,
    latent_channels: int = 4,
    scaling_factor: float = 0.18215,
    shift_factor: float | None = None,
    latents_mean: Any = None,
    latents_std: Any = None,
    force_upcast: bool = True,
    **shared: Any,
) -> dict[str, Any]:
    checks.count("latent_channels", latent_channels)
    maps = (use_quant_conv, use_post_quant_conv)
    return {**_diffusers_network(**shared), "latent_channels": latent_channels, "maps": maps}


@checked
def _diffusers_vq(
    *,
    num_vq_embeddings: int = 256,
    vq_embed_dim: int | None = None,
    latent_channels: int = 3,
    scaling_factor: float = 0.18215,
    norm_type: str = "group",
    lookup_from_codebook: bool = False,
    force_upcast: bool = False,
    **shared: Any,
) -> dict[str, Any]:
    if norm_type != "group":
        raise ValueError(f"norm_type must be 'group', as ours has nothing else; got {norm_type!r}")
    width = latent_channels if vq_embed_dim is None else vq_embed_dim
    for name, value in (
        ("num_vq_embeddings", num_vq_embeddings),
        ("latent_channels", latent_channels),
        ("vq_embed_dim", width),
    ):
        checks.count(name, value)
    own = {"latent_channels": width, "z_channels": latent_channels, "codes": num_vq_embeddings}
    return {**_diffusers_network(**shared), **own}


@checked
def _diffusers_network(
    *,
    in_channels: int = 3,
    out_channels: int = 3,
    down_block_types: Sequence[str] = ("DownEncoderBlock2D",),
    up_block_types: Sequence[str] = ("UpDecoderBlock2D",),
    block_out_channels: Sequence[int] = (64,),
    layers_per_block: int = 1,
    act_fn: str = "silu",
    norm_num_groups: int = 32,
    sample_size: Any = 32,
    mid_block_add_attention: bool = True,
) -> dict[str, Any]:
    if act_fn not in ("silu", "swish"):
        raise ValueError(f"act_fn must be 'silu', as ours has nothing else; got {act_fn!r}")
    for name, value in (("in_channels", in_channels), ("out_channels", out_channels),
                        ("layers_per_block", layers_per_block), ("norm_num_groups", norm_num_groups),
                        *(("block_out_channels", each) for each in block_out_channels)):  # fmt: skip
        checks.count(name, value)
    down = _attending("down_block_types", down_block_types, "DownEncoderBlock2D", block_out_channels)
    up = _attending("up_block_types", up_block_types[::-1], "UpDecoderBlock2D", block_out_channels)
    return {
        "channels": tuple(block_out_channels),
        "num_res_blocks": layers_per_block,
        "attention_resolutions": down,
        "decoder_attention_resolutions": None if up == down else up,
        "middle_attention": mid_block_add_attention,
        "num_groups": norm_num_groups,
        "image_channels": in_channels,
        "out_channels": None if out_channels == in_channels else out_channels,
    }


def _attending(name, types, plain, channels):
    """Return the downsampling rates of levels whose type of block has attention."""
    if not channels or len(types) != len(channels):
        raise ValueError(f"{name} must be one for each of block_out_channels {channels!r}, got {types!r}")
    allowed = {plain: False, f"Attn{plain}": True}
    for each in types:
        if each not in allowed:
            raise ValueError(f"{name} must be of {', '.join(allowed)}, got {each!r}")
    return tuple(2**level for level, each in enumerate(types) if allowed[each])


@checked
def describe(architecture: str, config: Mapping[str, Any]) -> tuple[Autoencoder, dict[str, Any]]:
    """Return our network of an architecture of `pretrained.load`, and the shapes of its variables."""
    if architecture.startswith("ldm"):
        _require_codes(architecture, config)
        module = build_ldm(config)
    else:
        module = build_diffusers(config, codes=architecture == "diffusers_vqmodel")
    return module, dict(jax.eval_shape(module.init, jax.random.key(0), *_image(module)))


def _require_codes(architecture, config):
    """Raise a ValueError for the config of the other kind."""
    given = config.get("n_embed")
    if architecture == "ldm_autoencoder_kl" and given is not None:
        raise ValueError(f"n_embed is of a VQModel, 'ldm_vqmodel'; got {given!r}")
    if architecture == "ldm_vqmodel" and given is None:
        raise ValueError("n_embed must be given of a VQModel: the number of its vectors")


@checked
def convert_ldm_kl(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> tuple[Autoencoder, dict]:
    """Make our network and its parameters from latent diffusion's `AutoencoderKL`.

    Args:
      tensors: the state dict, as numpy arrays; of a training's own, those of its loss are left alone.
      config: see `build_ldm`.

    Returns:
      (module, {"params": ...}) with float32 parameters.

    Raises:
      ValueError: if names or shapes are not exactly those that the configuration asks for.
    """
    _require_codes("ldm_autoencoder_kl", config)
    return _convert_ldm(tensors, config)


@checked
def convert_ldm_vq(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> tuple[Autoencoder, dict]:
    """Make our network and its parameters from latent diffusion's `VQModel`; see `convert_ldm_kl`."""
    _require_codes("ldm_vqmodel", config)
    return _convert_ldm(tensors, config)


@checked
def convert_diffusers_kl(
    tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> tuple[Autoencoder, dict]:
    """Make our network and its parameters from diffusers' `AutoencoderKL`; see `convert_ldm_kl`.

    Old names of attention's layers are known too.
    """
    return _convert_diffusers(tensors, build_diffusers(config))


@checked
def convert_diffusers_vq(
    tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> tuple[Autoencoder, dict]:
    """Make our network and its parameters from diffusers' `VQModel`; see `convert_diffusers_kl`."""
    return _convert_diffusers(tensors, build_diffusers(config, codes=True))


def export_ldm(variables: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Make latent diffusion's state dict from our parameters: the inverse of the conversion."""
    return layers.export(variables, _ldm_layers(build_ldm(config)))


def export_diffusers(
    variables: Mapping[str, Any], config: Mapping[str, Any], codes: bool = False
) -> dict[str, np.ndarray]:
    """Make diffusers' state dict from our parameters: the inverse of the conversion."""
    return layers.export(variables, _diffusers_layers(build_diffusers(config, codes)))


def _convert_ldm(tensors, config):
    module = build_ldm(config)
    own = {name: array for name, array in tensors.items() if not name.startswith("loss.")}
    return module, layers.convert(module, _image(module), own, _ldm_layers(module))


def _convert_diffusers(tensors, module):
    own = diffusers_config.renamed(tensors)
    return module, layers.convert(module, _image(module), own, _diffusers_layers(module))


def _image(module):
    return (struct(1, module.factor, module.factor, module.image_channels),)


def _ldm_layers(module: Autoencoder) -> Layers:
    ends = {"in_conv": "conv_in", "out_norm": "norm_out", "out_conv": "conv_out"}
    middle = {"0": "mid.block_1", "1": "mid.block_2", "attention": "mid.attn_1"}

    def block(way, level, part):
        if part == "resample":
            return f"{way}.{level}.{way}sample"
        number, _, attention = part.partition("_")
        return f"{way}.{level}.{'attn' if attention else 'block'}.{number}"

    return _layers(ends, middle, block, _LDM_BLOCK, axes=2)


def _diffusers_layers(module: Autoencoder) -> Layers:
    ends = {"in_conv": "conv_in", "out_norm": "conv_norm_out", "out_conv": "conv_out"}
    inside = {"0": "resnets.0", "1": "resnets.1", "attention": "attentions.0"}
    middle = {part: f"mid_block.{name}" for part, name in inside.items()}
    last = len(module.channels) - 1

    def block(way, level, part):
        level = int(level) if way == "down" else last - int(level)
        if part == "resample":
            return f"{way}_blocks.{level}.{way}samplers.0"
        number, _, attention = part.partition("_")
        return f"{way}_blocks.{level}.{'attentions' if attention else 'resnets'}.{number}"

    return _layers(ends, middle, block, _DIFFUSERS_BLOCK, axes=0)


def _layers(
    ends: Mapping[str, str],
    middle: Mapping[str, str],
    block: Callable[[str, str, str], str],
    inner: Mapping[str, tuple[str, ...]],
    axes: int,
) -> Layers:
    """Return which of their layers ours are, of a library's names; `axes` are those of attention's."""

    def find(path):
        if path in _MAPS:
            return layer(_MAPS[path], axes=0 if path == "quantiser" else 2)
        half, part, *rest = path.split("/")
        if not rest:
            return layer(f"{half}.{ends[part]}")
        way, _, place = part.partition("_")
        theirs = middle[place] if way == "middle" else block(way, *place.split("_", 1))
        spatial = {"skip": 2, "qkv": axes, "proj_out": axes}.get(rest[0], 0)
        return layer(*(f"{half}.{theirs}.{name}" for name in inner[rest[0]]), axes=spatial)

    return find

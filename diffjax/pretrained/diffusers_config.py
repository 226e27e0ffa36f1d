"""The arguments of diffusers' U-Nets, and the U-Net of ours that they describe.

They list what stands at each level on the way down and on the way up. What a name means depends on the class:
`attention_head_dim` is the width of a head in `UNet2DModel`, and the NUMBER of heads of a transformer in
`UNet2DConditionModel`, whose plain attention blocks take it as the width again.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import numpy as np

from diffjax import checks
from diffjax.border import checked
from diffjax.models.levels import Attention, Way
from diffjax.models.unet import UNet

# By the type of a block: what attends in it, and how it changes the size (None: as the model says).
_BLOCKS = {
    "DownBlock2D": (None, "conv"),
    "AttnDownBlock2D": ("pixels", None),
    "CrossAttnDownBlock2D": ("tokens", "conv"),
    "ResnetDownsampleBlock2D": (None, "resnet"),
    "UpBlock2D": (None, "conv"),
    "AttnUpBlock2D": ("pixels", None),
    "CrossAttnUpBlock2D": ("tokens", "conv"),
    "ResnetUpsampleBlock2D": (None, "resnet"),
}


class ListedUNet(UNet):
    """A `UNet` with a list of what attends where, and of where residual blocks change the size.

    Attributes:
      attentions: ((level, way), attention) of each place that has one.
      insides: (level, way) after whose last block a residual block changes the size.
      embedding_features: width of the condition's vector.

    The others are those of `UNet`; these stand for `attention_resolutions`, `num_heads...`,
    `transformer_depth` and `resblock_updown`.
    """

    attentions: tuple[tuple[tuple[int, str], Attention], ...] = ()
    insides: tuple[tuple[int, str], ...] = ()
    embedding_features: int = 512

    @property
    def vector_features(self) -> int:
        """Width of the condition's vector."""
        return self.embedding_features

    @nn.nowrap
    def attention(self, level: int, way: Way) -> Attention | None:
        """Return what the list says of a place."""
        return dict(self.attentions).get((level, way))

    @nn.nowrap
    def inside(self, level: int, way: Way) -> bool:
        """Return whether a place is listed."""
        return (level, way) in self.insides


@checked
def unconditional(
    *,
    sample_size: Any = None,
    in_channels: int = 3,
    out_channels: int = 3,
    center_input_sample: bool = False,
    time_embedding_type: str = "positional",
    time_embedding_dim: int | None = None,
    freq_shift: float = 0,
    flip_sin_to_cos: bool = True,
    down_block_types: Sequence[str] = (
        "DownBlock2D",
        "AttnDownBlock2D",
        "AttnDownBlock2D",
        "AttnDownBlock2D",
    ),
    mid_block_type: str | None = "UNetMidBlock2D",
    up_block_types: Sequence[str] = (*["AttnUpBlock2D"] * 3, "UpBlock2D"),
    block_out_channels: Sequence[int] = (224, 448, 672, 896),
    layers_per_block: int = 2,
    mid_block_scale_factor: float = 1,
    downsample_padding: int = 1,
    downsample_type: str = "conv",
    upsample_type: str = "conv",
    dropout: float = 0.0,
    act_fn: str = "silu",
    attention_head_dim: int | None = 8,
    norm_num_groups: int = 32,
    attn_norm_num_groups: int | None = None,
    norm_eps: float = 1e-5,
    resnet_time_scale_shift: str = "default",
    add_attention: bool = True,
    class_embed_type: str | None = None,
    num_class_embeds: int | None = None,
    num_train_timesteps: int | None = None,
) -> tuple[ListedUNet, int | None]:
    """Return our U-Net for the arguments of `UNet2DModel`, with its defaults, and its number of classes.

    Raises:
      ValueError: for a missing, unknown or wrong argument, or one we have no counterpart of.
    """
    given = locals()
    _only(given, mid_block_type="UNetMidBlock2D", downsample_type=_SIZES, upsample_type=_SIZES)
    levels = _levels(given)

    def at(level, way, what):
        channels = block_out_channels[level]
        groups = norm_num_groups
        if way == "middle" and (attn_norm_num_groups or resnet_time_scale_shift != "default"):
            groups = attn_norm_num_groups
        width = channels if attention_head_dim is None else attention_head_dim
        return Attention(_heads("attention_head_dim", channels, width), 0, groups)

    middle = "pixels" if add_attention else None
    return _listed(given, levels * [layers_per_block], middle, at), num_class_embeds


@checked
def conditional(
    *,
    sample_size: Any = None,
    in_channels: int = 4,
    out_channels: int = 4,
    center_input_sample: bool = False,
    flip_sin_to_cos: bool = True,
    freq_shift: float = 0,
    down_block_types: Sequence[str] = (*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
    mid_block_type: str | None = "UNetMidBlock2DCrossAttn",
    up_block_types: Sequence[str] = ("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
    only_cross_attention: bool | Sequence[bool] = False,
    block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
    layers_per_block: int | Sequence[int] = 2,
    downsample_padding: int = 1,
    mid_block_scale_factor: float = 1,
    dropout: float = 0.0,
    act_fn: str = "silu",
    norm_num_groups: int = 32,
    norm_eps: float = 1e-5,
    cross_attention_dim: int | Sequence[int] = 1280,
    transformer_layers_per_block: int | Sequence[int] = 1,
    reverse_transformer_layers_per_block: Sequence[int] | None = None,
    encoder_hid_dim: int | None = None,
    encoder_hid_dim_type: str | None = None,
    attention_head_dim: int | Sequence[int] = 8,
    num_attention_heads: int | Sequence[int] | None = None,
    dual_cross_attention: bool = False,
    use_linear_projection: bool = False,
    class_embed_type: str | None = None,
    addition_embed_type: str | None = None,
    addition_time_embed_dim: int | None = None,
    num_class_embeds: int | None = None,
    upcast_attention: bool | None = False,
    resnet_time_scale_shift: str = "default",
    resnet_skip_time_act: bool = False,
    resnet_out_scale_factor: float = 1.0,
    time_embedding_type: str = "positional",
    time_embedding_dim: int | None = None,
    time_embedding_act_fn: str | None = None,
    timestep_post_act: str | None = None,
    time_cond_proj_dim: int | None = None,
    conv_in_kernel: int = 3,
    conv_out_kernel: int = 3,
    projection_class_embeddings_input_dim: int | None = None,
    attention_type: str = "default",
    class_embeddings_concat: bool = False,
    mid_block_only_cross_attention: bool | None = None,
    cross_attention_norm: str | None = None,
    addition_embed_type_num_heads: int = 64,
) -> tuple[ListedUNet, int | None]:
    """Return our U-Net for the arguments of `UNet2DConditionModel`, with its defaults, and its number of
    classes.

    Raises:
      ValueError: for a missing, unknown or wrong argument, or one we have no counterpart of.
    """
    given = locals()
    _only(given, mid_block_type="UNetMidBlock2DCrossAttn")
    levels = _levels(given)
    each = lambda name: _each(name, given[name], levels)
    heads, depths, widths = each("attention_head_dim"), each("transformer_layers_per_block"), {}
    up_depths = depths
    if reverse_transformer_layers_per_block is not None:
        up_depths = each("reverse_transformer_layers_per_block")[::-1]
    widths = set(each("cross_attention_dim"))
    if len(widths) > 1:
        raise ValueError(f"cross_attention_dim must be one width, got {cross_attention_dim!r}")

    def at(level, way, what):
        channels = block_out_channels[level]
        if what == "tokens":
            _heads("attention_head_dim", channels, heads[level])
            depth = (up_depths if way == "up" else depths)[level]
            return Attention(heads[level], depth, norm_num_groups)
        width = heads[levels - 1 - level] if way == "up" else heads[level]  # theirs are not reversed
        return Attention(_heads("attention_head_dim", channels, width), 0, norm_num_groups)

    unet = _listed(given, each("layers_per_block"), "tokens", at, token_features=widths.pop())
    return unet, num_class_embeds


_SIZES = ("conv", "resnet")
# The values that we have a counterpart of, where there are others.
_ONLY = {
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "mid_block_scale_factor": 1,
    "downsample_padding": (0, 1),
    "act_fn": ("silu", "swish"),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "class_embed_type": None,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "num_attention_heads": None,
    "dual_cross_attention": False,
    "addition_embed_type": None,
    "resnet_skip_time_act": False,
    "resnet_out_scale_factor": 1,
    "time_embedding_act_fn": None,
    "timestep_post_act": None,
    "time_cond_proj_dim": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "attention_type": "default",
    "class_embeddings_concat": False,
    "mid_block_only_cross_attention": (None, False),
    "cross_attention_norm": None,
}


_OLD = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def public(config: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what a `config.json` says of its file."""
    return {name: value for name, value in config.items() if not name.startswith("_")}


def renamed(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors under the names that attention's layers have since diffusers 0.14."""
    old = re.compile(rf"(attentions\.\d+)\.({'|'.join(_OLD)})\.")
    return {old.sub(lambda m: f"{m[1]}.{_OLD[m[2]]}.", name): array for name, array in tensors.items()}


def _only(given, **more):
    """Refuse what we have no counterpart of."""
    for name, allowed in {**_ONLY, **more}.items():
        allowed = allowed if isinstance(allowed, tuple) else (allowed,)
        if name in given and given[name] not in allowed:
            wanted = " or ".join(map(repr, allowed))
            raise ValueError(f"{name} must be {wanted}, as ours has nothing else; got {given[name]!r}")
    only = given.get("only_cross_attention", False)
    if any(only) if isinstance(only, Sequence) else only:
        raise ValueError(f"only_cross_attention must be False, as ours has nothing else; got {only!r}")


def _levels(given):
    """Return the number of levels, or refuse lists that do not agree on it."""
    channels, optional = given["block_out_channels"], ("num_class_embeds", "attn_norm_num_groups")
    for value in channels:
        checks.count("block_out_channels", value)
    for name in ("in_channels", "out_channels", "norm_num_groups", *optional, "time_embedding_dim"):
        if given.get(name) is not None:
            checks.count(name, given[name])
    for name in ("down_block_types", "up_block_types"):
        if not channels or len(given[name]) != len(channels):
            raise ValueError(
                f"{name} must be one for each of block_out_channels {channels!r}, got {given[name]!r}"
            )
    return len(channels)


def _each(name, value, levels):
    """Return the counts of a list over the levels, or of one number for all."""
    values = list(value) if isinstance(value, Sequence) else [value] * levels
    if len(values) != levels:
        raise ValueError(f"{name} must be one number or one for each of {levels} levels, got {value!r}")
    return [checks.count(name, each) for each in values]


def _heads(name, channels, divisor):
    if channels % divisor:
        raise ValueError(
            f"{name} must divide the {channels} channels of a block with attention, got {divisor}"
        )
    return channels // divisor


def _listed(
    given: dict[str, Any],
    blocks: Sequence[int],
    middle: str | None,
    at: Callable[[int, Way, str], Attention | None],
    **more: Any,
) -> ListedUNet:
    """Make the U-Net; `at` says what attends at a level on a way, where "pixels" or "tokens" do."""
    channels, attentions, insides = given["block_out_channels"], [], []
    ways: tuple[tuple[Way, Sequence[str]], ...] = (
        ("down", given["down_block_types"]),
        ("up", given["up_block_types"][::-1]),
    )
    sizes = {"down": given.get("downsample_type", "conv"), "up": given.get("upsample_type", "conv")}
    for way, types in ways:
        for level, kind in enumerate(types):
            what, size = _block(f"{way}_block_types", way, kind, "token_features" in more)
            if what is not None:
                attentions.append(((level, way), at(level, way, what)))
            if (size or sizes[way]) == "resnet":
                insides.append((level, way))
    if middle is not None:
        last = len(channels) - 1
        attentions.append(((last, "middle"), at(last, "middle", middle)))
    return ListedUNet(
        out_channels=given["out_channels"],
        model_channels=channels[0],
        channel_mult=tuple(_multiple(each, channels[0]) for each in channels),
        num_res_blocks=tuple(blocks),
        attentions=tuple(attentions),
        insides=tuple(insides),
        embedding_features=given["time_embedding_dim"] or 4 * channels[0],
        dropout=given["dropout"],
        use_scale_shift_norm=given["resnet_time_scale_shift"] == "scale_shift",
        pad_after=given["downsample_padding"] == 0,
        use_new_attention_order=True,
        num_groups=given["norm_num_groups"],
        epsilon=given["norm_eps"],
        time_order="cos_sin" if given["flip_sin_to_cos"] else "sin_cos",
        time_shift=given["freq_shift"],
        **more,
    )


def _block(name, way, kind, tokens):
    """Return what attends in a type of block, and how it changes the size."""
    kind = kind.removeprefix("UNetRes")
    allowed = [each for each in _BLOCKS if way.title() in each and (tokens or not each.startswith("Cross"))]
    if kind not in allowed:
        raise ValueError(f"{name} must be of {', '.join(allowed)}, got {kind!r}")
    return _BLOCKS[kind]


def _multiple(channels, first):
    """Return the number that gives the channels again when `first` times it is rounded down."""
    multiple = channels / first
    return multiple if int(multiple * first) == channels else math.nextafter(multiple, math.inf)

"""Every network, small, with what it promises: listed here it gets the tests of `test_every_network`."""

from typing import Any, NamedTuple

import flax.linen as nn

from diffjax.models import NETWORKS


class Network(NamedTuple):
    """One network to be tested.

    Attributes:
      name: its name in `NETWORKS`.
      fields: those of a small one.
      shape: of one input.
      out: of one output.
      zero: its output is zero at initialisation.
      times: it takes several times, and a condition's vector.
      map: it takes a map.
      tokens: width of the tokens that it needs; None for a network without cross-attention.
      remat: if it has a field that recomputes in the backward pass, fields of one smaller yet.
      single: it computes something in float32 whatever x is, as the softmax of `jax.nn`'s attention.
    """

    name: str
    fields: dict[str, Any]
    shape: tuple[int, ...]
    out: tuple[int, ...]
    zero: bool = False
    times: bool = True
    map: bool = True
    tokens: int | None = None
    remat: dict[str, Any] | None = None
    single: bool = False

    def make(self, **fields) -> nn.Module:
        """Make the module with further fields."""
        return NETWORKS[self.name](**{**self.fields, **fields})


UNET = {"model_channels": 4, "channel_mult": (1, 1), "num_res_blocks": 1, "num_groups": 2, "num_heads": 2}
UNET |= {"use_scale_shift_norm": True, "attention_resolutions": ()}  # in the middle alone
HALF = {**UNET, "channel_mult": (1,), "out_features": 3}
DIT = {"hidden_size": 8, "depth": 2, "num_heads": 2, "mlp_ratio": 1.0, "qk_norm": True, "token_features": 3}
DIT |= {"patch_size": 2, "out_channels": 2}

CASES = {
    "unet": Network(
        "unet",
        {**UNET, "resblock_updown": True, "out_channels": 2, "frequencies": (1,), "token_features": 3},
        (4, 2, 1),
        (4, 2, 2),
        zero=True,
        tokens=3,
        remat={"channel_mult": (1,)},
        single=True,
    ),
    "efficient_unet": Network(
        "efficient_unet",
        {**UNET, "num_res_blocks": (1, 2), "halve_first": True, "token_features": 3},
        *2 * [(4, 4, 1)],
        zero=True,
        tokens=3,
        remat={"channel_mult": (1,), "num_res_blocks": 1},
        single=True,
    ),
    "half_unet": Network("half_unet", HALF, (4, 2, 1), (3,), single=True),
    "mlp of points": Network("mlp", {"width": 8, "depth": 2, "out_features": 4}, (2,), (4,)),
    "mlp of images": Network("mlp", {"width": 8, "depth": 1, "frequencies": 2}, (2, 3, 1), (2, 3, 1)),
    "refinenet 1": Network(
        "refinenet",
        {"features": 2, "dilations": (), "num_levels": 7},
        *2 * [(4, 4, 1)],
        times=False,
        map=False,
    ),
    "refinenet 2": Network(
        "refinenet", {"features": 2, "dilations": (2,)}, *2 * [(4, 6, 2)], times=False, map=False
    ),
    "dit": Network("dit", DIT, (4, 2, 1), (4, 2, 2), zero=True, tokens=3, single=True),
    "prior": Network(
        "prior",
        {"width": 8, "depth": 1, "num_heads": 2, "token_features": 3},
        *2 * [(5,)],
        zero=True,
        times=False,  # the vector is a token of its own
        map=False,
        tokens=3,
        single=True,
    ),
    "conv_energy": Network("conv_energy", {"features": 4}, (8, 7, 1), ()),
}

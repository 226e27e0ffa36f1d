"""Runs in latents that meet in one walk must mean the same by a latent: one first stage, one scale."""

from collections.abc import Mapping

import numpy as np

from diffjax.systems.stages import checksum
from diffjax.training.system import Variables

FIRST, LATENTS, WITHIN = "first_stage", "latents", "within"  # of the frozen variables of system "latent"


def require(runs: Mapping[str, Variables]) -> None:
    """Raise a ValueError where two of several runs are in other latents.

    Args:
      runs: {what a config calls it: variables}; those that are not in latents are not looked at.
    """
    given = [(name, each.frozen) for name, each in runs.items() if LATENTS in each.frozen]
    for (name, one), (other, own) in zip(given, given[1:]):
        if one[FIRST] is not own[FIRST] and checksum(one[FIRST]) != checksum(own[FIRST]):
            raise ValueError(f"{other} must be in the latents of {name}: its first stage is another one")
        for part in ("shift", "scale"):
            if not np.allclose(one[LATENTS][part], own[LATENTS][part], rtol=1e-4, atol=1e-6):
                raise ValueError(
                    f"{other} must be in the latents of {name}: their {part}s differ, "
                    f"{np.asarray(own[LATENTS][part])} and {np.asarray(one[LATENTS][part])}; "
                    "latents.scale as a number is the same in both"
                )

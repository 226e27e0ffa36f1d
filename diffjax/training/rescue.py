"""What a run does about a loss or parameters that are not finite."""

from pathlib import Path
from typing import NamedTuple

import jax
from absl import logging

from diffjax import checks
from diffjax.border import checked
from diffjax.training import layout
from diffjax.training import workdir as files
from diffjax.training.stopping import agree


class NotFinite(ValueError):
    """A loss or parameters that are not finite: `step` was the first that had them."""

    def __init__(self, step: int, message: str):
        super().__init__(message)
        self.step = step


class Rescue(NamedTuple):
    """What is done; see `roll_back`."""

    checkpoints: int
    times: int


@checked
def roll_back(checkpoints: int = 1, times: int = 3) -> Rescue:
    """Go back to an earlier checkpoint, and on from there with the batches after the ones that broke it.

    The batches between the checkpoint and the step that was not finite are left out, as by the runs of large
    language models whose loss spikes (Chowdhery et al. 2022, arXiv:2204.02311, section 5.1). Every such step
    is a row of `changes.jsonl`; a checkpoint that is gone back behind is renamed `<step>.rolled_back`.

    Args:
      checkpoints: how many to go back; 1 is the latest. From the first one, or from none, it begins anew.
      times: after so many it stops with an error.

    Raises:
      ValueError: if a number is less than 1.
    """
    checks.count("checkpoints", checkpoints)
    checks.count("times", times)
    return Rescue(checkpoints, times)


def set_back(workdir: str | Path, rescue: Rescue, lost: NotFinite) -> None:
    """Make the checkpoint that a run goes back to its latest. Every process calls this."""
    root = layout.root(workdir)
    steps = layout.folders(root)
    behind = steps[len(steps) - rescue.checkpoints + 1 :] if rescue.checkpoints > 1 else []
    left = [step for step in steps if step not in behind]
    to = left[-1] if left else 0
    if jax.process_index() == 0:
        for step in behind:
            layout.set_aside(root, step, "rolled_back")
        files.note(workdir, {"not_finite": lost.step, "rolled_back_to": to})
        logging.warning("%s; going on from step %d with later batches", lost, to)
    agree(False)  # nobody goes on before the folders are renamed

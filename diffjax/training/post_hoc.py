"""An average of any width, made after the training from what was kept of two or more (Karras et al. 2024)."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from diffjax import checks, files
from diffjax.border import checked
from diffjax.training import ema, seal, trees
from diffjax.training import workdir as run_folder

FOLDER = "snapshots"
_ABOUT = "widths.json"  # written last: a snapshot with it is whole


def widths(rules: Mapping[str, ema.Decay]) -> dict[str, float]:
    """Return {track: relative width} of the averages that can be put together afterwards.

    Raises:
      ValueError: if there is none.
    """
    found = {track: rule.width for track, rule in rules.items() if isinstance(rule, ema.Power)}
    if not found:
        raise ValueError("snapshot_every needs an average by the rule 'power' in training.ema, better two")
    return found


def keep(workdir: str | Path, step: int, averages: Any, widths: Mapping[str, float]) -> None:
    """Keep the averages of a step in `snapshots/<step>`.

    Args:
      workdir: the run's folder.
      step: steps made.
      averages: {track: tree}.
      widths: {track: relative width}, of those that are powers; the others are not kept.
    """
    if jax.process_index() == 0:
        folder = Path(workdir) / FOLDER / str(step)
        shutil.rmtree(folder, ignore_errors=True)
        with run_folder.naming(folder):
            folder.mkdir(parents=True)
        for track in widths:
            trees.write_tree(folder / track, averages[track])
        seal.write(folder)
        files.write(folder / _ABOUT, json.dumps(dict(widths)) + "\n")


@checked
def average(workdir: str | Path, width: float, step: int | None = None) -> dict[str, Any]:
    """Make the average of a width from the snapshots of a run.

    Args:
      workdir: the run's folder.
      width: relative, see `ema.power`.
      step: at which it ends; None: at the last snapshot.

    Returns:
      {name: tree} of what the system serves.

    Raises:
      ValueError: if there are no snapshots until then or none so late, one is damaged, or `width` is out of
        range.

    Reference:
      EDM2, section 3.2 and appendix C: the snapshots' weights whose sum is nearest to the wanted one in the
      sense of least squares over time.
    """
    root, found = run_folder.local(workdir) / FOLDER, _found(workdir)
    until = max(found, default=0) if step is None else step
    kept = [(each, *own) for each in sorted(found) if each <= until for own in _gammas(found[each])]
    if not kept:
        by = "" if step is None else f" until step {step}"
        raise ValueError(f"workdir {workdir} has no snapshots{by}: training.snapshot_every keeps them")
    if until > max(found):
        raise ValueError(f"step must be at most {max(found)}, the last snapshot in {workdir}; got {step}")
    shares = weights([each[0] for each in kept], [each[2] for each in kept], until, ema.exponent(width))
    snapshots = [_read(root / str(each), track) for each, track, _ in kept]

    def together(*leaves):
        if not np.issubdtype(leaves[-1].dtype, np.inexact):
            return leaves[-1]  # a count has no mean
        wide = [share * np.asarray(leaf, np.float64) for share, leaf in zip(shares, leaves)]
        return np.sum(wide, axis=0).astype(np.float32)

    return jax.tree.map(together, *snapshots)


def steps(workdir: str | Path) -> list[int]:
    """Return the steps of which there are snapshots, rising."""
    return sorted(_found(workdir))


def _gammas(path):
    """Return (track, exponent) of the averages of a snapshot."""
    try:
        return [(track, ema.exponent(own)) for track, own in files.read_json(path).items()]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} must hold the width of each average: {error}") from error


def _read(folder, track):
    try:
        seal.check(folder, [track])
        return trees.read_tree(folder / track)
    except Exception as error:  # orbax and tensorstore raise all kinds
        raise ValueError(f"{folder} is damaged, remove it to do without: {files.one_line(error)}") from error


def _found(workdir):
    paths = (run_folder.local(workdir) / FOLDER).glob(f"*/{_ABOUT}")
    return {int(path.parent.name): path for path in paths if path.parent.name.isdigit()}


def weights(times: Sequence[float], gammas: Sequence[float], time: float, gamma: float) -> np.ndarray:
    """Return the weights of averages that together come nearest to another one.

    Args:
      times: at which each of them ends.
      gammas: their exponents.
      time, gamma: of the one that is wanted.

    Returns:
      `[N]`, the solution of A w = b with the inner products of the weight functions
      (gamma + 1) s^gamma / t^(gamma + 1) on [0, t], eq. 64.
    """
    checks.positive("time", time)

    def inner(t1, g1, t2, g2):
        t = min(t1, t2)
        power = (g1 + g2 + 1) * np.log(t) - (g1 + 1) * np.log(t1) - (g2 + 1) * np.log(t2)
        return (g1 + 1) * (g2 + 1) / (g1 + g2 + 1) * np.exp(power)

    own = list(zip(times, gammas))
    a = np.array([[inner(*one, *two) for two in own] for one in own])
    b = np.array([inner(*one, time, gamma) for one in own])
    return np.linalg.lstsq(a, b, rcond=1e-12)[0]

"""Checkpoints in `workdir/checkpoints/<step>`, written in the background, complete or not there at all.

Each holds the items `params`, `ema`, `train` (step, optimizer state, extra), `data` (position of the
batches) and `meta` (what the log needs to go on). Parameters are items of their own so that they can be read
without knowing anything else. A folder whose name ends in `.orbax-checkpoint-tmp` was cut off while being
written; it counts for nothing and the next run removes it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from diffjax.training.state import TrainState

ITEMS = ("params", "ema", "train", "data", "meta")


def open_manager(workdir: str | Path, *, keep: int = 1, best_metric: str = "loss") -> ocp.CheckpointManager:
    """Opens the checkpoints of a run for writing; close it, or use it in a `with`, to wait for the last one.

    Args:
        workdir: the run's folder.
        keep: how many of the latest checkpoints stay. The best one stays besides.
        best_metric: the metric whose lowest value makes a checkpoint the best.

    Returns:
        The manager. Every process opens it, and every process calls `save` and `restore`.

    Raises:
        ValueError: if `keep` is less than 1.
    """
    if keep < 1:
        raise ValueError(f"keep={keep} must be at least 1: the latest checkpoint is what a run resumes from")

    def metric(metrics: Mapping[str, float]) -> float:
        return metrics[best_metric]

    options = ocp.CheckpointManagerOptions(
        # Not max_to_keep with best_fn: that pair deletes the latest checkpoint when it is not among the best.
        preservation_policy=AnyPreservationPolicy(
            [LatestN(keep), BestN(get_metric_fn=metric, reverse=True, n=1)]
        ),
        best_fn=metric,
        best_mode="min",
        cleanup_tmp_directories=True,
    )
    return ocp.CheckpointManager(_root(workdir).absolute(), options=options, item_names=ITEMS)


def save(
    manager: ocp.CheckpointManager,
    step: int,
    state: TrainState,
    *,
    data: Any,
    meta: Any,
    metrics: Mapping[str, float],
) -> None:
    """Begins to write a checkpoint and returns once the arrays are copied.

    Args:
        manager: of `open_manager`.
        step: updates made so far, `state.step` as a Python int.
        state: the state; it may be donated as soon as this returns.
        data: position of the batches, anything JSON holds. It must be the same on every process.
        meta: anything else JSON holds.
        metrics: what the best checkpoint is chosen by.
    """
    train = {"step": state.step, "opt_state": state.opt_state, "extra": state.extra}
    items = ocp.args.Composite(
        params=ocp.args.StandardSave(state.params),
        ema=ocp.args.StandardSave(state.ema),
        train=ocp.args.StandardSave(train),
        data=ocp.args.JsonSave(data),
        meta=ocp.args.JsonSave(meta),
    )
    manager.save(step, args=items, metrics=dict(metrics), force=True)


def restore(manager: ocp.CheckpointManager, abstract: TrainState) -> tuple[TrainState, Any, Any]:
    """Reads the latest complete checkpoint.

    Args:
        manager: of `open_manager`.
        abstract: the state's shapes, dtypes and places; the mesh may differ from the one that wrote it.

    Returns:
        The state, `data` and `meta` as they were saved.

    Raises:
        ValueError: if there is no checkpoint, or it holds other arrays than `abstract` describes.
    """
    step = manager.latest_step()
    if step is None:
        raise ValueError(f"no checkpoint in {manager.directory}")
    train = {"step": abstract.step, "opt_state": abstract.opt_state, "extra": abstract.extra}
    items = manager.restore(
        step,
        args=ocp.args.Composite(
            params=ocp.args.StandardRestore(abstract.params),
            ema=ocp.args.StandardRestore(abstract.ema),
            train=ocp.args.StandardRestore(train),
            data=ocp.args.JsonRestore(),
            meta=ocp.args.JsonRestore(),
        ),
    )
    return TrainState(params=items.params, ema=items.ema, **items.train), items.data, items.meta


def steps(workdir: str | Path) -> list[int]:
    """Lists the complete checkpoints of a run.

    Args:
        workdir: the run's folder.

    Returns:
        Their steps, rising; empty where there are none.
    """
    root = _root(workdir)
    return sorted(ocp.utils.checkpoint_steps(root)) if root.is_dir() else []


def latest_step(workdir: str | Path) -> int | None:
    """Finds the latest complete checkpoint of a run.

    Args:
        workdir: the run's folder.

    Returns:
        Its step, or None where there is none.
    """
    return max(steps(workdir), default=None)


def restore_params(workdir: str | Path, ema: bool = True, step: int | None = None) -> Any:
    """Reads the parameters of a run; neither its architecture nor its devices need to be known.

    Args:
        workdir: the run's folder.
        ema: True for the moving average, False for the parameters as they were trained.
        step: which checkpoint; None: the latest complete one.

    Returns:
        Nested dicts of arrays, as `module.init` made them, on the default device.

    Raises:
        ValueError: if there is no such folder, no complete checkpoint in it, or none of that step.
    """
    if not Path(workdir).is_dir():
        raise ValueError(f"no such workdir: {workdir}")
    existing = steps(workdir)
    if not existing:
        raise ValueError(f"workdir {workdir} has no complete checkpoint in {_root(workdir)}")
    step = existing[-1] if step is None else step
    if step not in existing:
        raise ValueError(f"workdir {workdir} has no checkpoint of step={step}; it has {existing}")
    path = _root(workdir).absolute() / str(step) / ("ema" if ema else "params")
    handler = ocp.PyTreeCheckpointHandler()
    # As numpy: otherwise orbax would look for the devices that wrote it.
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), handler.metadata(path).tree)
    params = handler.restore(path, args=ocp.args.PyTreeRestore(restore_args=as_numpy))
    return jax.tree.map(jnp.asarray, params)


def _root(workdir: str | Path) -> Path:
    return Path(workdir) / "checkpoints"

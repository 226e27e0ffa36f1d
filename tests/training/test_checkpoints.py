"""Checkpoints: complete or not there, the latest and the best kept, readable without the architecture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import toy_training

from diffjax.training import checkpoints


def _recorded_loss():
    """A system whose loss is the batch's number and whose parameter counts steps."""

    def gradients(variables, key, batch, step):
        return {"w": -jnp.ones(1)}, variables.extra, {"loss": batch["x"][0]}

    return toy_training.lone({"w": jnp.zeros(1)}, gradients)


class _Losses(toy_training.Batches):
    def __init__(self, losses):
        super().__init__()
        self.losses = losses

    def __next__(self):
        self.position += 1
        return {"x": np.full(8, self.losses[self.position - 1], np.float32)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    states = enumerate(toy_training.by_hand(30), start=1)
    seen = {n: jax.device_get((now.params, now.ema["ema"])) for n, now in states if n % 5 == 0}
    # Checkpoints are written while the steps after them overwrite the donated state.
    toy_training.run(workdir, 30, 5, 10, keep=10)
    return workdir, seen


def test_restored_parameters_are_those_of_their_step(run):
    workdir, seen = run
    assert checkpoints.steps(workdir) == [5, 10, 15, 20, 25, 30]
    for step, (params, average) in seen.items():
        jax.tree.map(
            np.testing.assert_array_equal, checkpoints.restore_params(workdir, ema=False, step=step), params
        )
        jax.tree.map(np.testing.assert_array_equal, checkpoints.restore_params(workdir, step=step), average)
    latest = checkpoints.restore_params(workdir)
    jax.tree.map(np.testing.assert_array_equal, latest, seen[30][1])
    assert checkpoints.latest_step(workdir) == 30


def test_missing_things_are_named(run, tmp_path):
    with pytest.raises(ValueError, match=r"no such workdir: .*nowhere"):
        checkpoints.restore_params(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="has no complete checkpoint"):
        checkpoints.restore_params(tmp_path)
    assert checkpoints.latest_step(tmp_path) is None
    with pytest.raises(ValueError, match=r"no checkpoint of step=7; it has \[5, 10, 15, 20, 25, 30\]"):
        checkpoints.restore_params(run[0], step=7)


def test_unfinished_checkpoints_are_harmless(tmp_path):
    toy_training.run(tmp_path, 10, 5, 5)
    expected = checkpoints.restore_params(tmp_path)
    for name in ("15.orbax-checkpoint-tmp", "20.orbax-checkpoint-tmp-1795309069"):
        (tmp_path / "checkpoints" / name / "ema").mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "ema" / "manifest.ocdbt").write_bytes(b"cut off")
    assert checkpoints.latest_step(tmp_path) == 10
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore_params(tmp_path), expected)
    toy_training.run(tmp_path, 20, 5, 5)
    assert checkpoints.latest_step(tmp_path) == 20
    assert all(path.name.isdigit() for path in (tmp_path / "checkpoints").iterdir())


def test_latest_and_best_are_kept(tmp_path):
    losses = [5.0] * 10 + [1.0] * 10 + [3.0] * 10 + [4.0] * 10 + [2.0] * 10

    def run(num_steps):
        batches = _Losses(losses)
        toy_training.run(tmp_path, num_steps, 10, 5, system=_recorded_loss(), batches=batches, keep=1)
        return checkpoints.steps(tmp_path)

    assert run(30) == [20, 30]
    assert run(50) == [20, 50]  # the best of before the restart is still known


def test_a_better_checkpoint_replaces_the_best(tmp_path):
    losses = [2.0] * 10 + [3.0] * 10 + [1.0] * 10 + [3.0] * 10
    toy_training.run(tmp_path, 40, 10, 10, system=_recorded_loss(), batches=_Losses(losses), keep=1)
    assert checkpoints.steps(tmp_path) == [30, 40]


def test_other_shapes_are_refused(tmp_path):
    toy_training.run(tmp_path, 5, 5, 5)
    with pytest.raises(ValueError, match=r"checkpoint .*/5 is damaged or of another model: .*do not match"):
        toy_training.run(tmp_path, 10, 5, 5, system=_recorded_loss(), batches=_Losses([1.0] * 10))

    assert checkpoints.steps(tmp_path) == [5]  # not the checkpoint is wrong but the system


def test_keeping_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="keep=0 must be at least 1"):
        toy_training.run(tmp_path, 5, 5, 5, keep=0)


def test_what_is_no_longer_kept_moves_before_it_is_deleted(tmp_path, monkeypatch):
    """So that a run that is killed meanwhile leaves no half of a checkpoint behind."""
    root = tmp_path / "checkpoints"
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "_delete", lambda root: None)
        toy_training.run(tmp_path, 30, 10, 30, keep=1)
    moved = {path.name for path in (root / "deleted").iterdir()}
    assert moved and moved | {str(step) for step in checkpoints.steps(tmp_path)} == {"10", "20", "30"}
    toy_training.run(tmp_path, 30, 10, 30, keep=1)
    assert not (root / "deleted").exists()

"""A run that breaks goes back and leaves the batches out that broke it."""

import json

import jax
import numpy as np
import pytest
from training import toy_training

from diffjax.training import checkpoints, metrics, rescue


class Poisoned(toy_training.Batches):
    """Some batches are NaN."""

    def __init__(self, *bad):
        super().__init__()
        self.bad = bad

    def __next__(self):
        position = self.position
        batch = super().__next__()
        return {**batch, "y": batch["y"] * np.float32("nan")} if position in self.bad else batch


class Without(toy_training.Batches):
    """Some batches are left out."""

    def __init__(self, *bad):
        super().__init__()
        self.bad = bad

    def __next__(self):
        while self.position in self.bad:
            self.position += 1
        return super().__next__()


def _same(one, two):
    jax.tree.map(np.testing.assert_array_equal, one.params, two.params)


def test_the_batches_since_the_checkpoint_are_left_out(tmp_path):
    """Batch 6 breaks step 7: on from step 5, without batches 5 and 6."""
    options = {"checkpoint_every": 5, "log_every": 1, "num_steps": 12}
    rescued = toy_training.run(tmp_path / "a", batches=Poisoned(6), not_finite=rescue.roll_back(), **options)
    _same(rescued, toy_training.run(tmp_path / "b", batches=Without(5, 6), **options))
    assert [row["step"] for row in metrics.read(tmp_path / "a")] == list(range(1, 13))
    (told,) = map(json.loads, (tmp_path / "a" / "changes.jsonl").read_text().splitlines())
    assert (told["not_finite"], told["rolled_back_to"]) == (7, 5)


def test_back_behind_several_checkpoints_and_to_the_beginning(tmp_path):
    """Batch 5 breaks step 6; of the checkpoints at 2 and 4 it goes on from 2."""
    options = {"checkpoint_every": 2, "log_every": 1, "num_steps": 8}
    two = rescue.roll_back(checkpoints=2)
    rescued = toy_training.run(tmp_path / "a", batches=Poisoned(5), not_finite=two, **options)
    _same(rescued, toy_training.run(tmp_path / "b", batches=Without(2, 3, 4, 5), **options))
    assert (tmp_path / "a" / "checkpoints" / "4.rolled_back").is_dir()
    first = toy_training.run(tmp_path / "c", batches=Poisoned(1), not_finite=two, **options)
    _same(first, toy_training.run(tmp_path / "d", batches=Without(0, 1), **options))


def test_it_ends_when_it_breaks_too_often(tmp_path):
    bad = Poisoned(*range(6, 40))
    with pytest.raises(rescue.NotFinite, match="loss is nan at step 6; the last good checkpoint is step 5"):
        toy_training.run(tmp_path, 12, 5, 1, batches=bad, not_finite=rescue.roll_back(times=2))
    assert checkpoints.steps(tmp_path) == [5]
    assert len((tmp_path / "changes.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("options", [{"checkpoints": 0}, {"times": -1}])
def test_counts_are_checked(options):
    with pytest.raises(ValueError, match="must be"):
        rescue.roll_back(**options)

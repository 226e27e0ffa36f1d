"""The loop: what is logged, when it stops, and that nothing is lost when it is killed."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import compiling
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import toy_training

from diffjax.training import checkpoints, ema, metrics, watching

SCRIPT = pathlib.Path(toy_training.__file__)
ROOT = SCRIPT.parents[2]


def _log(workdir):
    return {row["step"]: row for row in metrics.read(workdir)}


def _same_log(one, two):
    clocks = dict.fromkeys(watching.CLOCKS, 0)
    assert {step: row | clocks for step, row in one.items()} == {
        step: row | clocks for step, row in two.items()
    }


def test_logged_loss_is_the_mean_of_the_steps(tmp_path):
    toy_training.run(tmp_path / "every", 23, 5, 1)
    toy_training.run(tmp_path / "seventh", 23, 5, 7)
    every, seventh = _log(tmp_path / "every"), _log(tmp_path / "seventh")
    assert list(every) == list(range(1, 24)) and list(seventh) == [7, 14, 21, 23]
    for name in ("loss", "grad_norm", "learning_rate", "bias"):
        for first, last in ((1, 7), (8, 14), (15, 21), (22, 23)):
            expected = np.mean([every[n][name] for n in range(first, last + 1)])
            np.testing.assert_allclose(seventh[last][name], expected, rtol=1e-12)
    assert all(row["steps_per_s"] > 0 for row in seventh.values())
    assert (tmp_path / "every" / "loss.png").exists()


def test_one_trace_for_the_whole_run(tmp_path):
    calls = []
    toy_training.run(tmp_path, 20, 5, 3, system=toy_training.system(calls))
    assert len(calls) == 1


def test_going_on_is_the_uninterrupted_run(tmp_path):
    def interrupt(step, variables):
        raise KeyboardInterrupt

    whole = toy_training.run(tmp_path / "whole", 24, 8, 5)
    with pytest.raises(KeyboardInterrupt):
        toy_training.run(tmp_path / "parts", 24, 8, 5, sample_every=11, on_sample=interrupt)
    assert checkpoints.steps(tmp_path / "parts") == [8]  # between the rows of steps 5 and 10
    calls = []
    parts = toy_training.run(tmp_path / "parts", 24, 8, 5, system=toy_training.system(calls))
    assert len(calls) == 1
    for got, expected in zip(jax.tree.leaves(parts), jax.tree.leaves(whole), strict=True):
        if jnp.issubdtype(got.dtype, jax.dtypes.prng_key):
            got, expected = jax.random.key_data(got), jax.random.key_data(expected)
        np.testing.assert_array_equal(got, expected)
    _same_log(_log(tmp_path / "parts"), _log(tmp_path / "whole"))


def test_a_finished_run_may_be_made_longer(tmp_path):
    whole = toy_training.run(tmp_path / "whole", 16, 8, 5)
    toy_training.run(tmp_path / "parts", 8, 8, 5)
    for _ in range(2):  # the second call has nothing left to do
        parts = toy_training.run(tmp_path / "parts", 16, 8, 5)
        jax.tree.map(np.testing.assert_array_equal, parts.params, whole.params)
    assert list(_log(tmp_path / "parts")) == [5, 8, 10, 15, 16]  # 8 was the last step once


def test_seed_changes_the_run(tmp_path):
    for seed in (0, 1):
        toy_training.run(tmp_path / str(seed), 3, 3, 3, seed=seed)
    assert _log(tmp_path / "0")[3]["loss"] != _log(tmp_path / "1")[3]["loss"]


def test_callbacks_and_writers(tmp_path):
    calls, rows, closed = [], [], []

    def writer(workdir, step):
        return metrics.Writer(lambda step, row: rows.append((step, row["loss"])), lambda: closed.append(step))

    def on_sample(step, variables):
        x = toy_training.system().sample(variables, jax.random.key(0), {}, 2)
        calls.append((step, x.shape, float(variables.frozen["scale"][0])))

    toy_training.run(tmp_path, 10, 10, 5, sample_every=4, on_sample=on_sample, writers=[writer])
    assert calls == [(step, (2, 1), 0.5) for step in (4, 8, 10)]
    assert rows == [(step, row["loss"]) for step, row in _log(tmp_path).items()] and closed == [0]


def test_average_follows_its_rule(tmp_path):
    seen, rule = [], ema.warmed_up(0.7)
    toy_training.run(
        tmp_path, 12, 12, 12, ema_decay=rule, sample_every=1,
        on_sample=lambda step, variables: seen.append(jax.device_get(variables.params["dense"]["kernel"])),
    )  # fmt: skip
    average = 0.0  # the first update forgets the start
    raw = [jax.device_get(now.params["dense"]["kernel"]) for now in toy_training.by_hand(12)]
    for n, (params, got) in enumerate(zip(raw, seen, strict=True)):
        decay = min(0.7, (1 + n) / (10 + n)) if n else 0.0
        average = decay * average + (1 - decay) * params
        np.testing.assert_allclose(got, average, rtol=1e-5, atol=1e-6)


def _breaks(at, where):
    """A system whose loss or gradient is NaN in the step that makes update `at`."""

    def gradients(variables, key, batch, step):
        bad = jnp.where(step == at - 1, jnp.nan, 1.0)
        grads = {"w": jnp.ones(1) * (bad if where == "grads" else 1.0)}
        return grads, variables.extra, {"loss": bad if where == "loss" else jnp.float32(1.0)}

    return toy_training.lone({"w": jnp.zeros(1)}, gradients)


@pytest.mark.parametrize("where, name", [("loss", "loss"), ("grads", "param_norm")])
@pytest.mark.parametrize(
    "at, good, kept", [(3, "no checkpoint yet", []), (10, "the last good checkpoint is step 5", [5])]
)
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, where, name, at, good, kept):
    with pytest.raises(ValueError, match=f"{name} is nan at step {at}; {good}"):
        toy_training.run(tmp_path, 20, 5, 4, system=_breaks(at, where))
    assert checkpoints.steps(tmp_path) == kept
    assert all(np.isfinite(row["loss"]) for row in metrics.read(tmp_path))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"log_every": 0}, "log_every=0 must be at least 1"),
        ({"seed": 2**32}, "seed must be an integer in 0..4294967295, got 4294967296"),
        ({"checkpoint_every": -1}, "checkpoint_every=-1 must be at least 1"),
        ({"ema_decay": 2.0}, r"ema decay=2.0 must be in \[0, 1\]"),
        ({"best_metric": "fid"}, "best_metric='fid' is not one of bias, grad_norm, learning_rate, loss"),
        (
            {"best_metric": "sample/fid"},
            "best_metric='sample/fid' is not one of bias, grad_norm, learning_rate",
        ),
    ],
)
def test_bad_arguments_are_named(tmp_path, options, message):
    arguments = {"num_steps": 4, "checkpoint_every": 2, "log_every": 2, **options}
    with pytest.raises(ValueError, match=message):
        toy_training.run(tmp_path, **arguments)
    assert not checkpoints.steps(tmp_path)  # before a step was made


def test_a_sampled_metric_that_does_not_come_is_named(tmp_path):
    options = {"sample_every": 2, "on_sample": lambda step, variables: {"distance": 1.0}}
    with pytest.raises(ValueError, match="best_metric='sample/fid' is not one of sample/distance"):
        toy_training.run(tmp_path, 4, 2, 2, best_metric="sample/fid", **options)


def test_batches_that_end_are_named(tmp_path):
    class Short(toy_training.Batches):
        def __next__(self):
            if self.position == 3:
                raise StopIteration
            return super().__next__()

    with pytest.raises(ValueError, match="batches ended before step 4"):
        toy_training.run(tmp_path, 6, 2, 2, batches=Short())


@pytest.mark.slow  # a few kills of each kind are daily, in chaos
def test_nothing_is_lost_when_killed(tmp_path):
    num_steps, checkpoint_every, log_every = 201, 5, 3
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": compiling.FLAGS}

    def start(workdir):
        numbers = map(str, (num_steps, checkpoint_every, log_every))
        return subprocess.Popen([sys.executable, SCRIPT, workdir, *numbers], env=environment)

    whole, victim = tmp_path / "whole", tmp_path / "victim"
    reference, killed = start(whole), []
    while len(killed) < 3:
        process, begin = start(victim), checkpoints.latest_step(victim)
        while process.poll() is None and checkpoints.latest_step(victim) == begin:
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
        killed.append(checkpoints.latest_step(victim))
    assert start(victim).wait(timeout=120) == 0 and reference.wait(timeout=120) == 0

    assert killed == sorted(set(killed)) and killed[-1] < num_steps
    for average in (True, False):
        both = [
            checkpoints.restore_params(workdir, ema=average, step=num_steps) for workdir in (whole, victim)
        ]
        jax.tree.map(np.testing.assert_array_equal, *both)
    assert [row["step"] for row in metrics.read(victim)] == list(range(3, num_steps + 1, 3))
    _same_log(_log(whole), _log(victim))

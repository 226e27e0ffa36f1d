"""Signals: the step in flight is finished and saved, and going on gives the run that was never stopped."""

import signal
import subprocess
import sys
import threading
import time

import forked
import jax
import numpy as np
import pytest
from training import toy_training

from diffjax.training import checkpoints, metrics, stopping

TRAIN = ["--config=configs/toys/ddpm.py"] + [
    f"--config.{override}"
    for override in (
        "training.num_steps=300", "training.checkpoint_every=25", "training.log_every=7",
        "training.sample_every=0", "training.batch_size=64", "model.width=16", "data.num_examples=500",
        "optimizer.warmup_steps=10", "optimizer.schedule=constant", "sampler.steps=10",
    )
]  # fmt: skip


def _wait_for_a_checkpoint(process, workdir):
    while process.poll() is None and checkpoints.latest_step(workdir) is None:
        time.sleep(0.01)


def _train(workdir):
    return forked.Command("train", *TRAIN, f"--workdir={workdir}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("never") / "stopped"
    process = _train(workdir)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return workdir


@pytest.mark.parametrize(
    "number, status", [(signal.SIGTERM, 0), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_stopped_command_goes_on_as_if_it_never_was(whole, tmp_path, number, status):
    process = _train(tmp_path / "run")
    _wait_for_a_checkpoint(process, tmp_path / "run")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    step = checkpoints.latest_step(tmp_path / "run")
    assert f"stopped by {number.name} at step {step} of 300" in out and "the same command goes on" in out
    assert f"{number.name}: ending after this step" in err and "Traceback" not in err

    process = _train(tmp_path / "run")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "done:" in out, err
    folders = tmp_path / "run", whole
    for average in (True, False):
        both = [checkpoints.restore_params(folder, ema=average) for folder in folders]
        jax.tree.map(np.testing.assert_array_equal, *both)
    losses = [[(row["step"], row["loss"]) for row in metrics.read(folder)] for folder in folders]
    assert losses[0] == losses[1] and losses[0][-1][0] == 300
    assert checkpoints.steps(folders[0]) == checkpoints.steps(folders[1])


def test_a_second_signal_ends_the_process_at_once():
    code = (
        "import hashlib, os, signal, subprocess, time; from diffjax.training import stopping\n"
        "with stopping.on_signals() as received:\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print(received().name, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print('an echo', flush=True)\n"
        "    subprocess.Popen(['sh', '-c', f'sleep 0.3; kill -INT {os.getpid()}'])\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"
    )  # minutes without a return to the interpreter, as in a compilation
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=forked.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    begin = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT and out == "SIGTERM\nan echo\n", err
    assert time.monotonic() - begin < 50 and err.count("ending after this step") == 1


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in stopping.SIGNALS]
    threads = threading.active_count()
    with stopping.on_signals() as received:
        assert received() is None and [signal.getsignal(number) for number in stopping.SIGNALS] != before
        assert threading.active_count() == threads + 1
    assert [signal.getsignal(number) for number in stopping.SIGNALS] == before
    assert threading.active_count() == threads and signal.set_wakeup_fd(-1) == -1


def test_other_threads_change_nothing():
    seen = []

    def work():
        with stopping.on_signals() as received:
            seen.extend([received(), *map(signal.getsignal, stopping.SIGNALS)])

    before = [None, *map(signal.getsignal, stopping.SIGNALS)]
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == before


def test_a_wish_to_stop(tmp_path):
    asked = []
    state = toy_training.run(tmp_path, 20, 50, 50, should_stop=lambda: asked.append(0) or len(asked) > 5)
    assert int(state.step) == 5 and checkpoints.steps(tmp_path) == [5]
    state = toy_training.run(tmp_path, 20, 50, 50, should_stop=lambda: True)  # before a further step
    assert int(state.step) == 5 and checkpoints.steps(tmp_path) == [5]


def test_a_wish_while_compiling_saves_nothing(tmp_path):
    state = toy_training.run(tmp_path, 20, 5, 5, should_stop=lambda: True)
    assert int(state.step) == 0 and checkpoints.steps(tmp_path) == []
    assert metrics.read(tmp_path) == []


def test_a_signal_while_compiling_ends_the_command(tmp_path):
    process = _train(tmp_path / "run")
    while process.poll() is None and not (tmp_path / "run" / "checkpoints").exists():
        time.sleep(0.002)  # this is made just before the step is compiled
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err, err
    assert "before the first step, no checkpoint was saved" in out
    assert checkpoints.steps(tmp_path / "run") == []


@pytest.fixture
def listening():
    """Handle Ctrl-C as Python does, also where the tests run in the background, which hears none."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _pressing(at, times=1):
    """Press Ctrl-C after a step, some times."""
    asked = []

    def should_stop():
        asked.append(0)
        if len(asked) == at + 1:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return False

    return should_stop


def test_an_interrupted_program_keeps_its_steps(tmp_path, capsys, listening):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        toy_training.run(tmp_path / "parts", 12, 100, 5, should_stop=_pressing(7))
    assert checkpoints.steps(tmp_path / "parts") == [7] and signal.getsignal(signal.SIGINT) is before
    assert "interrupted: ending after this step" in capsys.readouterr().err
    assert (tmp_path / "parts/loss.png").exists()
    parts, whole = (toy_training.run(tmp_path / name, 12, 100, 5) for name in ("parts", "whole"))
    jax.tree.map(np.testing.assert_array_equal, parts.params, whole.params)


def test_a_second_interrupt_does_not_wait(tmp_path, listening):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        toy_training.run(tmp_path, 12, 5, 5, should_stop=_pressing(7, times=2))
    assert checkpoints.steps(tmp_path) == [5] and signal.getsignal(signal.SIGINT) is before


def test_who_handles_signals_keeps_doing_so(tmp_path):
    with stopping.on_signals() as received:
        signal.raise_signal(signal.SIGINT)
        state = toy_training.run(tmp_path, 12, 5, 5, should_stop=received)
    assert int(state.step) == 0 and received() is signal.SIGINT


def test_a_stop_does_not_decide_which_is_the_best(tmp_path):
    asked = []
    wish = lambda: asked.append(0) or len(asked) == 13 + 1  # after step 13
    toy_training.run(tmp_path / "parts", 30, 10, 5, keep=1, should_stop=wish)
    assert checkpoints.steps(tmp_path / "parts")[-1] == 13
    for name in ("parts", "whole"):
        toy_training.run(tmp_path / name, 30, 10, 5, keep=1)
    roots = [tmp_path / name / "checkpoints" for name in ("parts", "whole")]
    assert len({tuple(sorted(path.name for path in root.iterdir())) for root in roots}) == 1
    assert len({(root / "30/metrics/metrics").read_text() for root in roots}) == 1  # means of 21 to 30

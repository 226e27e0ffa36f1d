"""Several processes that are one run."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import compiling
import jax
import numpy as np
import pytest

from diffjax import launch
from diffjax.commands import processes
from diffjax.training import checkpoints, metrics

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENT = os.environ | {
    "XLA_FLAGS": compiling.FLAGS,
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
    "JAX_PLATFORMS": "cpu",
}
TRAIN = [sys.executable, "-m", "diffjax.train", "--config=configs/toys/ddpm.py"] + [
    f"--config.{override}"
    for override in (
        "training.num_steps=400", "training.checkpoint_every=20", "training.log_every=20",
        "training.sample_every=0", "training.batch_size=64", "model.width=16", "data.num_examples=500",
        "optimizer.warmup_steps=10",
    )
]  # fmt: skip


def _run(*command):
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)


def _port():
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        return taken.getsockname()[1]


@pytest.mark.slow
def test_two_processes_are_one_run_also_when_one_is_killed(tmp_path):
    """Final parameters of two processes, one killed in the middle, as of one process with two devices."""
    pair = [sys.executable, "-m", "diffjax.launch", "--processes=2", "--", *TRAIN]
    pair += [f"--workdir={tmp_path / 'two'}", "--cpu_devices=1"]
    running = subprocess.Popen(pair, cwd=ROOT, env=ENVIRONMENT, text=True, stderr=subprocess.PIPE)
    while not (tmp_path / "two").is_dir() or (checkpoints.latest_step(tmp_path / "two") or 0) < 100:
        assert running.poll() is None
        time.sleep(0.05)
    found = subprocess.run(["pgrep", "-f", f"{tmp_path}/two .*process_id=1"], capture_output=True, text=True)
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
    _, told = running.communicate(timeout=300)
    assert running.returncode == 0 and "starting all again" in told and "Traceback" not in told
    assert _run(*TRAIN, f"--workdir={tmp_path / 'one'}", "--cpu_devices=2").returncode == 0
    one, two = (checkpoints.restore_params(tmp_path / name, ema=False) for name in ("one", "two"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), one, two)
    assert [row["step"] for row in metrics.read(tmp_path / "two")] == list(range(20, 401, 20))


@pytest.mark.slow
def test_processes_that_mean_something_else_say_so(tmp_path):
    where = ["--distributed", f"--coordinator=localhost:{_port()}", "--num_processes=2", "--cpu_devices=1"]
    command = [*TRAIN, f"--workdir={tmp_path / 'run'}", *where]
    other = subprocess.Popen(
        [*command, "--process_id=1", "--config.optimizer.learning_rate=0.5"], cwd=ROOT, env=ENVIRONMENT,
        text=True, stderr=subprocess.PIPE,
    )  # fmt: skip
    mine = _run(*command, "--process_id=0")
    for status, told in ((mine.returncode, mine.stderr), (other.wait(), other.stderr.read())):
        assert status == 2
        assert "optimizer.learning_rate is 0.002 on process 0 and 0.5 on process 1" in told.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_all_must_come():
    where, told = f"localhost:{_port()}", []

    def come(number):
        with pytest.raises(ValueError, match="found no process 0") as raised:
            processes.meet(where, 4, number, 2.0)
        told.append(str(raised.value))

    callers = [threading.Thread(target=come, args=(number,)) for number in (1, 3)]
    for each in callers:
        each.start()
    with pytest.raises(ValueError, match=r"of 4 processes these did not come: \[2\]"):
        processes.meet(where, 4, 0, 1.0)
    for each in callers:
        each.join(10)
    assert len(told) == 2  # they give up, too


def test_all_that_come_go_on():
    where, done = f"localhost:{_port()}", []
    come = lambda number: done.append(processes.meet(where, 3, number, 20))
    callers = [threading.Thread(target=come, args=(number,)) for number in (2, 1)]
    for each in callers:
        each.start()
    processes.meet(where, 3, 0, 20)
    for each in callers:
        each.join(20)
    assert len(done) == 2


@pytest.mark.parametrize("address", ["host", "host:", "host:port", ":7", "host:70000"])
def test_an_address_is_a_host_and_a_port(address):
    with pytest.raises(ValueError, match="--coordinator must be host:port"):
        processes.meet(address, 2, 0, 0.1)


def _python(text):
    return [sys.executable, "-c", f"import os, sys, time, pathlib; number = sys.argv[-1][-1]; {text}"]


def test_all_are_started_again_when_one_dies(tmp_path):
    """The first round: process 1 dies, process 0 would wait for ever. The second: both end well."""
    mark = tmp_path / "mark"
    text = (
        f"mark = pathlib.Path({str(mark)!r}); again = mark.exists(); "
        "(again or number == '0') or (time.sleep(.3), mark.touch(), os.kill(os.getpid(), 9)); "
        "again or time.sleep(60); pathlib.Path(str(mark) + number).write_text(' '.join(sys.argv[1:]))"
    )
    assert launch.launch(_python(text), 2, grace=1.0) == 0
    for number in "01":
        given = pathlib.Path(f"{mark}{number}").read_text()
        assert "--distributed --coordinator=localhost:" in given
        assert given.endswith(f"--num_processes=2 --process_id={number}")


@pytest.mark.parametrize(("status", "restarts", "rounds"), [(2, 5, 1), (3, 2, 3)])
def test_a_mistake_is_not_tried_again_and_a_failure_so_often(tmp_path, status, restarts, rounds):
    text = f"number == '0' and open({str(tmp_path / 'log')!r}, 'a').write('.'); sys.exit({status})"
    assert launch.launch(_python(text), 2, restarts=restarts, grace=0.5) == status
    assert len((tmp_path / "log").read_text()) == rounds


def test_wrong_launches():
    for command, count, restarts in ((["x"], 0, 1), ([], 2, 1), (["x"], 2, -1)):
        with pytest.raises(ValueError, match="launch needs a command"):
            launch.launch(command, count, restarts)
    with pytest.raises(ValueError, match="'/no/such/program' cannot be started"):
        launch.launch(["/no/such/program"], 1)
    done = _run(sys.executable, "-m", "diffjax.launch", "--processes=2")
    assert done.returncode == 2 and "give the command after --" in done.stderr


@pytest.mark.slow
def test_two_processes_sample_and_measure_as_one(tmp_path):
    """Each key's sample is that of one process with two devices; the first process alone writes."""
    trained = tmp_path / "run"
    assert _run(*TRAIN, f"--workdir={trained}", "--cpu_devices=2").returncode == 0
    sample = [f"--workdir={trained}", "--num=21", "--batch_size=8", "--steps=10", "--seed=3"]
    evaluate = [f"--workdir={trained}", "--num=50", "--batch_size=20", "--steps=10"]
    pair = [sys.executable, "-m", "diffjax.launch", "--processes=2", "--restarts=0", "--"]
    for name, options in (("sample", sample), ("evaluate", evaluate)):
        alone = [sys.executable, "-m", f"diffjax.{name}", *options]
        for place, command in (("one", alone), ("two", [*pair, *alone])):
            done = _run(*command, f"--out={tmp_path / place}")
            assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
            assert done.stdout.count(str(tmp_path / place / "samples.npz")) == (name == "sample")
    one, two = (np.load(tmp_path / place / "samples.npz")["points"] for place in ("one", "two"))
    np.testing.assert_array_equal(one, two)
    one, two = (json.loads((tmp_path / place / "evaluation.json").read_text()) for place in ("one", "two"))
    for row in (*one["samples"], *two["samples"]):
        for clock in ("samples_per_second", "calls_per_second"):
            row.pop(clock)
    assert one == two
    left = [path.name for path in tmp_path.rglob("*") if path.name.startswith((".reading", ".unfinished"))]
    assert not left

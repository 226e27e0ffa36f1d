"""What a run survives: a full disk, damaged checkpoints and files."""

import errno
import json
import logging
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys

import compiling
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import toy_training

from diffjax.training import checkpoints, complaints, layout, metrics, reading

SCRIPT = pathlib.Path(toy_training.__file__)
ROOT = SCRIPT.parents[2]
slow = pytest.mark.slow
ENVIRONMENT = {**os.environ, "XLA_FLAGS": compiling.FLAGS}


def _empty(path):
    for file in path.rglob("*"):
        if file.is_file():
            file.write_bytes(b"")


def _garbage(path):
    for file in path.rglob("*"):
        if file.is_file():
            file.write_bytes(b"\x93 garbage \x00" * 50)


def _half(path):
    for file in path.rglob("*"):
        if file.is_file():
            os.truncate(file, file.stat().st_size // 2)


DAMAGES = {
    "no ema": lambda path: shutil.rmtree(path / "ema"),
    "no params": lambda path: shutil.rmtree(path / "params"),
    "no train": lambda path: shutil.rmtree(path / "train"),
    "nothing": lambda path: [shutil.rmtree(item) for item in path.iterdir() if item.is_dir()],
    "empty files": _empty,
    "garbage": _garbage,
    "half of every file": _half,
    "half of the arrays": lambda path: _half(path / "ema") or _half(path / "params"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    toy_training.run(workdir, 30, 10, 5, keep=3)
    return workdir


DAILY = ("no ema", "nothing", "garbage", "half of the arrays")


@pytest.mark.parametrize(
    "damage", [pytest.param(each, marks=[] if each in DAILY else [slow]) for each in DAMAGES]
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(finished, tmp_path, damage, caplog):
    workdir = shutil.copytree(finished, tmp_path / "run")
    DAMAGES[damage](workdir / "checkpoints" / "30")
    before = checkpoints.restore_params(finished, step=20)
    params, step = checkpoints.restore_params_and_step(workdir)
    assert step == 20
    jax.tree.map(np.testing.assert_array_equal, params, before)
    with pytest.raises(ValueError, match=r"checkpoint .*checkpoints/30 is damaged"):
        checkpoints.restore_params(workdir, step=30)
    calls = []
    toy_training.run(workdir, 30, 10, 5, system=toy_training.system(calls))
    assert calls  # steps 21 to 30 were made again
    path = re.escape(f"{workdir}/checkpoints/30")
    assert re.search(rf"checkpoint {path} is damaged \(.*\): step 20 is read instead", caplog.text)
    assert re.search(rf"{path} is damaged \(.*\): renamed to 30.damaged, going on from step 20", caplog.text)
    assert (workdir / "checkpoints" / "30.damaged").is_dir()
    for average in (True, False):
        both = [checkpoints.restore_params(each, ema=average, step=30) for each in (workdir, finished)]
        jax.tree.map(np.testing.assert_array_equal, *both)
    assert [row["step"] for row in metrics.read(workdir)] == list(range(5, 31, 5))


def test_only_damaged_checkpoints_are_an_error(finished, tmp_path):
    workdir = shutil.copytree(finished, tmp_path / "run")
    for step in (10, 20, 30):
        _garbage(workdir / "checkpoints" / str(step))
    message = r"checkpoints .*/10, .*/20 and .*/30 are damaged or of another model: "
    with pytest.raises(ValueError, match=message):
        checkpoints.restore_params(workdir)
    with pytest.raises(ValueError, match=message):
        toy_training.run(workdir, 40, 10, 5)
    assert {path.name for path in (workdir / "checkpoints").iterdir()} == {"10", "20", "30"}


def _wide():
    """A system with an array large enough to be stored outside the index of its item."""

    def gradients(variables, key, batch, step):
        return jax.tree.map(jnp.ones_like, variables.params), variables.extra, {"loss": jnp.float32(1)}

    return toy_training.lone(lambda key: {"w": jax.random.normal(key, (99, 99))}, gradients)


def test_other_bytes_inside_an_array_are_noticed(tmp_path):
    toy_training.run(tmp_path, 20, 10, 10, system=_wide())
    before = checkpoints.restore_params(tmp_path, step=10)
    file = max((tmp_path / "checkpoints/20/ema").rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    params, step = checkpoints.restore_params_and_step(tmp_path)
    assert step == 10
    np.testing.assert_array_equal(params["w"], before["w"])
    checkpoints.restore_params(tmp_path, ema=False, step=20)  # these were not touched
    with pytest.raises(
        ValueError, match=r"20 is damaged or of another model: ema/.* is not what was written"
    ):
        checkpoints.restore_params(tmp_path, step=20)


def test_a_damaged_older_checkpoint_is_in_nobodys_way(finished, tmp_path, caplog):
    workdir = shutil.copytree(finished, tmp_path / "run")
    (workdir / "checkpoints/20/metrics/metrics").write_bytes(b"\x93")
    shutil.rmtree(workdir / "checkpoints/10/ema")  # as if killed while deleting it
    state = toy_training.run(workdir, 40, 10, 5, keep=1)
    assert int(state.step) == 40 and checkpoints.latest_step(workdir) == 40
    assert caplog.text.count("going on from step 30") == 2
    assert {"10.damaged", "20.damaged"} <= {path.name for path in (workdir / "checkpoints").iterdir()}


def test_an_array_that_cannot_be_read_is_one_error_and_no_more(tmp_path):
    code = (
        "import sys, time, numpy as np; from pathlib import Path; from diffjax.training import checkpoints\n"
        "path = Path(sys.argv[1])\n"
        "checkpoints.write_tree(path, {str(i): np.random.rand(64, 64) for i in range(30)})\n"
        "[file.unlink() for file in path.glob('ocdbt.process_0/d/*')]\n"
        "try: checkpoints.read_tree(path)\n"
        "except ValueError: print('refused')\n"
        "time.sleep(0.5)\n"  # what is left comes from other threads
    )
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(tmp_path / "tree")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_what_failed_before_the_loop_was_closed_is_not_told_either(caplog):
    """Nor is anything else of asyncio's hidden."""
    complaints.silence()
    log = logging.getLogger("asyncio")
    for said in ("of 'OCDBT database at local file'", "of somebody else's"):
        log.error(
            "Future exception was never retrieved\nfuture: <Future finished exception=ValueError(%s)>", said
        )
    assert [record.getMessage().count("somebody else") for record in caplog.records] == [1]


def _free(monkeypatch, free):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - free, free)
    )


def test_room_is_checked_before_training(tmp_path, monkeypatch):
    calls = []
    # 17 parameters in four float32 copies (their own, the average, two moments), five numbers, one key.
    size = 4 * 17 * 4 + 5 * 4
    _free(monkeypatch, 3 * size)
    message = r"not enough room in .*: 4 more checkpoints of 0\.3 KiB need 1\.\d KiB and 0\.\d KiB are free"
    with pytest.raises(OSError, match=message):
        toy_training.run(tmp_path, 4, 2, 2, system=toy_training.system(calls))
    assert len(calls) == 0 and not checkpoints.steps(tmp_path)
    _free(monkeypatch, 5 * size)
    toy_training.run(tmp_path, 4, 2, 2)
    _free(monkeypatch, 3 * size)  # those that are there need no further room
    toy_training.run(tmp_path, 6, 2, 2)


@pytest.mark.parametrize("limit", [pytest.param(150, marks=slow), 250, pytest.param(2000, marks=slow)])
def test_a_full_disk_ends_the_run_and_keeps_what_was_saved(tmp_path, limit):
    """Files above a limit cannot be written: the first row, a checkpoint's array, one of its indices."""
    toy_training.run(tmp_path, 10, 10, 5, keep=1)
    before = checkpoints.restore_params(tmp_path)
    code = (
        "import resource, sys; from training import toy_training\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        f"toy_training.run({str(tmp_path)!r}, 5_000, 50, 1_000, keep=1)"
    )
    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, SCRIPT.parents[1])))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Event loop is closed" not in done.stderr
    assert not list(tmp_path.glob("*.tmp")) and checkpoints.steps(tmp_path) == [10]
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"10"}
    assert done.stderr.strip().splitlines()[-1].startswith("OSError: could not write"), done.stderr
    assert str(tmp_path) in done.stderr.strip().splitlines()[-1]
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore_params(tmp_path), before)
    toy_training.run(tmp_path, 20, 10, 5, keep=1)  # goes on when there is room again
    assert all(path.name.isdigit() for path in (tmp_path / "checkpoints").iterdir())


def test_a_program_ends_where_no_folder_can_be_made(tmp_path):
    """Threads of orbax would wait for the folder, and the program for them, ten minutes after the error."""
    code = (
        "import errno, os, sys; from training import toy_training\n"
        "def hook(event, arguments):\n"
        "    if event == 'os.mkdir' and '20.orbax' in os.fspath(arguments[0]):\n"
        "        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "sys.addaudithook(hook)\n"
        f"toy_training.run({str(tmp_path)!r}, 30, 10, 10)"
    )
    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, SCRIPT.parents[1])))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and "was never awaited" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("OSError: could not write a checkpoint")
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"10"}


def test_what_is_not_finite_is_null_in_the_file_and_nan_again(tmp_path):
    writer = metrics.jsonl(tmp_path, 0)
    writer.write(1, {"loss": 1.0, "norm": math.inf})
    writer.close()
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 1, "loss": 1.0, "norm": None}
    assert math.isnan(metrics.read(tmp_path)[0]["norm"])


def test_a_broken_log_stops_no_run_and_is_told_of_before_the_progress_bar(finished, tmp_path, capsys, caplog):
    workdir = shutil.copytree(finished, tmp_path / "run")
    lines = (workdir / "metrics.jsonl").read_text().splitlines(keepends=True)
    (workdir / "metrics.jsonl").write_text("".join(["oops\n", *lines[1:]]))
    told = []

    def stop():
        told.append((len(caplog.records), capsys.readouterr().err))
        return False

    toy_training.run(workdir, 40, 10, 5, progress=True, should_stop=stop)
    assert "metrics.jsonl, line 1 is not a row of metrics and is left out: 'oops'" in caplog.text
    assert told[0][0] == 1 and "step/s" in "".join(err for _, err in told)
    assert [row["step"] for row in metrics.read(workdir)] == list(range(10, 41, 5))
    assert checkpoints.latest_step(workdir) == 40


def _deleting(workdir, step, replaced_by=None):
    """Delete a checkpoint, as a run in training does when the next one is there."""
    root = workdir / "checkpoints"
    if (root / str(step)).exists():
        if replaced_by is not None:
            shutil.copytree(root / str(step), root / str(replaced_by))
        shutil.rmtree(root / str(step))


def test_what_is_read_stays_when_the_run_deletes_it(finished, tmp_path, monkeypatch):
    workdir = shutil.copytree(finished, tmp_path / "run")
    read, expected = reading.read_tree, checkpoints.restore_params(finished, step=30)

    def interrupted(path):
        _deleting(workdir, 30, replaced_by=40)
        assert [each.name for each in workdir.glob(".reading-*")] == [path.parent.name]
        return read(path)

    monkeypatch.setattr(reading, "read_tree", interrupted)
    params, step = checkpoints.restore_params_and_step(workdir)
    assert step == 30 and not (workdir / "checkpoints/30").exists()
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    assert not list(workdir.glob(".reading-*"))


@pytest.mark.parametrize("moment", ["check", "is_older"])
def test_a_checkpoint_that_was_replaced_is_not_called_damaged(
    finished, tmp_path, monkeypatch, caplog, capfd, moment
):
    workdir = shutil.copytree(finished, tmp_path / "run")
    own = getattr(layout, moment)

    def interrupted(folder):
        found = own(folder)
        _deleting(workdir, 30, replaced_by=40)
        return found

    monkeypatch.setattr(layout, moment, interrupted)
    params, step = checkpoints.restore_params_and_step(workdir)
    assert step == 40
    jax.tree.map(np.testing.assert_array_equal, params, checkpoints.restore_params(finished, step=30))
    assert "damaged" not in caplog.text and "Traceback" not in capfd.readouterr().err
    with pytest.raises(ValueError, match=r"no checkpoint of step=30; it has \[10, 20, 40\]"):
        checkpoints.restore_params(workdir, step=30)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EROFS])
def test_reading_needs_no_links_and_no_permission_to_write(finished, monkeypatch, number):
    expected = checkpoints.restore_params(finished)

    def refused(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkdir" if number == errno.EROFS else "link", refused)
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore_params(finished), expected)
    monkeypatch.undo()
    assert not list(finished.glob(".reading-*"))

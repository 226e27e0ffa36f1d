"""A run's folder: what it says, whom it refuses."""

import errno
import fcntl
import json
import os
import pathlib
import shlex
import subprocess
import sys

import jax
import pytest
from training import toy_training

from diffjax.training import checkpoints, metrics, workdir

IDENTITY = ("model", "training.seed", "training.rate")
CONFIG = {"model": {"channels": 8, "mults": (1, 2)}, "training": {"num_steps": 10, "seed": 0}}


def _changed(**training):
    return {**CONFIG, "training": {**CONFIG["training"], **training}}


def test_folder_explains_itself(tmp_path):
    path = workdir.prepare(
        tmp_path / "deep" / "run", CONFIG, about="A toy.", commands={"To sample": "python -m thing --n=4"}
    )
    assert json.loads((path / "config.json").read_text()) == json.loads(json.dumps(CONFIG))
    environment = json.loads((path / "environment.json").read_text())
    assert environment["packages"]["jax"] == jax.__version__
    assert environment["device_count"] == 8 and environment["host_count"] == 1
    assert environment["command"] == shlex.join(sys.orig_argv)
    readme = (path / "README.md").read_text()
    assert "A toy." in readme and "To sample:\n\n    python -m thing --n=4" in readme
    assert "restore_params" in readme and environment["command"] in readme


def test_secrets_of_the_environment_stay_out(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "hush-hush")
    workdir.prepare(tmp_path, CONFIG)
    assert not any("hush-hush" in path.read_text() for path in tmp_path.iterdir())


def test_the_same_run_goes_on_and_may_grow(tmp_path):
    workdir.prepare(tmp_path, CONFIG)
    workdir.prepare(tmp_path, CONFIG)
    workdir.prepare(tmp_path, _changed(num_steps=20))
    assert json.loads((tmp_path / "config.json").read_text())["training"]["num_steps"] == 20


@pytest.mark.parametrize(
    "config, message",
    [
        (_changed(seed=1), "training.seed is 0 there, 1 here"),
        (_changed(num_steps=5), "training.num_steps is 10 there, 5 here"),
        (_changed(rate=1), "training.rate is 'absent' there, 1 here"),
        ({"training": CONFIG["training"]}, "model.channels is 8 there, 'absent' here; model.mults"),
    ],
)
def test_another_run_is_refused_before_anything_is_written(tmp_path, config, message):
    workdir.prepare(tmp_path, CONFIG)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "checkpoints" / "5").mkdir(parents=True)
    with pytest.raises(ValueError, match=message):
        workdir.prepare(tmp_path, config, identity=IDENTITY)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_run_without_a_checkpoint_takes_another_config_unless_it_is_running(tmp_path):
    workdir.prepare(tmp_path, CONFIG, identity=IDENTITY)
    (tmp_path / "checkpoints").mkdir()

    def start(config):  # as the command does: a folder is locked before it is looked at
        with workdir.lock(tmp_path):
            workdir.prepare(tmp_path, config, identity=IDENTITY)

    with workdir.lock(tmp_path), pytest.raises(ValueError, match="another process trains in workdir"):
        start(_changed(seed=1))
    assert workdir.read_config(tmp_path)["training"]["seed"] == 0
    start(_changed(seed=1))
    assert workdir.read_config(tmp_path)["training"]["seed"] == 1


def test_checkpoints_of_an_unknown_run_are_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match=r"has checkpoints but no config\.json"):
        workdir.prepare(tmp_path, CONFIG)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        workdir.prepare(tmp_path / "file" / "run", CONFIG)


def test_checkpoints_that_cannot_be_written_are_refused(tmp_path):
    workdir.prepare(tmp_path, CONFIG)
    (tmp_path / "checkpoints").write_text("")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"workdir .*/checkpoints cannot be written: Not a directory"):
        workdir.prepare(tmp_path, _changed(num_steps=20))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_identifies_no_run_may_differ_and_is_written_down(tmp_path):
    mesh = {"mesh": {"data": 2}, "log_every": 5, "keep": 1}
    workdir.prepare(tmp_path, {**_changed(**mesh), "sampler": {"steps": 10}}, identity=IDENTITY)
    (tmp_path / "checkpoints" / "5").mkdir(parents=True)
    assert not (tmp_path / "changes.jsonl").exists()
    now = {**_changed(mesh={"data": 1}, log_every=2, keep=3), "sampler": {"steps": 20}}
    for _ in range(2):  # the second time there is nothing new
        workdir.prepare(tmp_path, now, identity=IDENTITY)
    assert workdir.read_config(tmp_path)["training"]["keep"] == 3
    (row,) = map(json.loads, (tmp_path / "changes.jsonl").read_text().splitlines())
    assert row["changes"] == {
        "training.mesh.data": [2, 1], "training.log_every": [5, 2], "training.keep": [1, 3],
        "sampler.steps": [10, 20],
    }  # fmt: skip


def test_killed_while_writing_its_first_file(tmp_path):
    (tmp_path / ".config.json.17.tmp").write_text('{"mod')
    workdir.prepare(tmp_path, CONFIG)
    assert not list(tmp_path.glob("*.tmp"))


def test_killed_while_writing_a_picture(tmp_path):
    workdir.prepare(tmp_path, CONFIG)
    for folder in ("samples", ".unfinished.here.17"):  # the second is of a command that may run
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ".step_0000020.png.17.tmp").touch()
    workdir.prepare(tmp_path, CONFIG)
    assert [path.parent.name for path in tmp_path.rglob("*.tmp")] == [".unfinished.here.17"]


@pytest.mark.parametrize("content, message", [
    (b'{"a": ', r"is not JSON \(Expecting value: line 1"),
    (b"\x93\x00", "is not JSON"),
    (b"[1]", r"holds no dict, but '\[1\]'"),
])  # fmt: skip
def test_a_damaged_config_is_named_and_kept(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"config\.json {message}.*: mend it, or name a new workdir"):
        workdir.prepare(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_bytes() == content


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "none").write_text("a file")
    with pytest.raises(OSError, match=r"could not write .*/none/x: File exists"):
        workdir.write(tmp_path / "none" / "x", "text")


def test_a_config_that_is_not_json_is_refused(tmp_path):
    with pytest.raises(ValueError, match="config cannot be written as JSON"):
        workdir.prepare(tmp_path / "run", {"model": object()})
    assert not (tmp_path / "run").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("precious")
    with pytest.raises(ValueError, match="is not empty and not a run's folder"):
        workdir.prepare(tmp_path, {"training": {"num_steps": 1}})
    with pytest.raises(ValueError, match="is not empty and not a run's folder"), workdir.lock(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "precious"


@pytest.mark.parametrize("address", ["gs://bucket/run", "gs:/bucket/run", "s3://bucket/run", "hdfs://a/b"])
def test_an_address_is_no_folder(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit = lambda place: toy_training.fit(place, toy_training.system(), toy_training.adam(), 2)
    lock = lambda place: workdir.lock(place).__enter__()
    read = (checkpoints.restore_params, checkpoints.latest_step, metrics.read, workdir.read_config)
    for each in (lambda place: workdir.prepare(place, CONFIG), lock, fit, *read):
        with pytest.raises(ValueError, match=f"workdir must be a folder of this machine, got '{address}'"):
            each(address)
    assert not list(tmp_path.iterdir())


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert workdir.prepare("~/runs/x", CONFIG) == tmp_path / "home/runs/x"
    with workdir.lock("~/runs/x"):
        toy_training.run("~/runs/x", 2, 2, 2)
    assert checkpoints.latest_step("~/runs/x") == 2 and metrics.read("~/runs/x")[-1]["step"] == 2
    checkpoints.restore_params("~/runs/x")
    assert workdir.read_config("~/runs/x")["model"]["channels"] == 8 and workdir.has_checkpoint("~/runs/x")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_files_are_utf_8_whatever_the_locale(tmp_path):
    code = (
        "import sys; from diffjax.training import workdir\n"
        "for steps in (1, 2):\n"
        "    config = {'name': 'Mélange', 'training': {'num_steps': steps}}\n"
        "    workdir.prepare(sys.argv[1], config, about='Mélange of points, ∑.')\n"
        "    (workdir.Path(sys.argv[1]) / 'checkpoints/1').mkdir(parents=True, exist_ok=True)\n"
    )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    environment = os.environ | plain | {"PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, script, tmp_path / "run"], env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert "Mélange of points, ∑." in (tmp_path / "run/README.md").read_text(encoding="utf-8")
    assert workdir.read_config(tmp_path / "run")["name"] == "Mélange"
    assert len((tmp_path / "run/changes.jsonl").read_text(encoding="utf-8").splitlines()) == 1


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_drive_without_locks_is_told_of(tmp_path, monkeypatch, caplog, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with workdir.lock(tmp_path):
        workdir.prepare(tmp_path, CONFIG)
    assert f"workdir {tmp_path} has no file locks ({os.strerror(number)})" in caplog.text


def test_the_first_of_several_processes_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    told = [False]
    monkeypatch.setattr(workdir, "agree", lambda wish: told[0])
    with workdir.lock(tmp_path / "run"):  # this one makes nothing: the other is slow to begin
        workdir.prepare(tmp_path / "run", CONFIG)
    assert not (tmp_path / "run").exists()
    told[0] = True
    with pytest.raises(ValueError, match="the first process refuses workdir"):
        workdir.prepare(tmp_path / "run", CONFIG)


def test_one_process_at_a_time(tmp_path):
    with (
        workdir.lock(tmp_path),
        pytest.raises(ValueError, match="another process trains in workdir"),
        workdir.lock(tmp_path),
    ):
        pass
    with workdir.lock(tmp_path):
        pass

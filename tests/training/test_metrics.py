"""The log: means, rows on disk, what happens to them when a run goes on."""

import errno
import json
import os
import sys
import types

import pytest

from diffjax.training import metrics


def _rows(n):
    return [{"loss": 0.1 * i + 1e-9} for i in range(n)]


def test_running_mean_does_not_show_interruptions():
    whole = metrics.add(metrics.Running(), _rows(100))
    parts = metrics.Running()
    for start in range(0, 100, 7):
        parts = metrics.add(parts, _rows(100)[start : start + 7])
        parts = metrics.Running(**json.loads(json.dumps(parts._asdict())))
    assert parts == whole
    assert metrics.means(whole)["loss"] == pytest.approx(0.1 * 99 / 2 + 1e-9, rel=1e-14)


def test_rows_are_on_disk_at_once(tmp_path):
    writer = metrics.jsonl(tmp_path, 0)
    writer.write(10, {"loss": 2.0})
    assert metrics.read(tmp_path) == [{"step": 10, "loss": 2.0}]
    writer.write(20, {"loss": 1.0})
    assert [row["step"] for row in metrics.read(tmp_path)] == [10, 20]
    writer.close()


@pytest.mark.parametrize("tail", ["", '{"step": 40, "lo', '{"step": 40, "loss": 1.0}'])
def test_going_on_drops_what_will_be_done_again(tmp_path, tail):
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (10, 20, 30)]
    (tmp_path / metrics.FILE).write_text("\n".join(lines) + "\n" + tail)
    writer = metrics.jsonl(tmp_path, 25)
    assert [row["step"] for row in metrics.read(tmp_path)] == [10, 20]
    writer.write(30, {"loss": 0.5})
    writer.close()
    assert metrics.read(tmp_path)[-1] == {"step": 30, "loss": 0.5}
    assert len(metrics.read(tmp_path)) == 3


LINES = [json.dumps({"step": step, "loss": 0.5 * step}) for step in range(1, 9)]


@pytest.mark.parametrize("lines, lost, damaged", [
    ([*LINES[:7], LINES[7][:9]], {8}, None),  # cut off when the run was killed
    (LINES, set(), None),  # only its end is missing
    ([*LINES[:5], LINES[5][:9]], {6, 7, 8}, None),
    ([*LINES[:7], "\0" * 200], {8}, None),
    ([*LINES[:7], "\0" * 200, ""], {8}, 8),
    ([*LINES[:4], LINES[4][:9] + LINES[5], *LINES[6:], ""], {5, 6}, 5),
    ([*LINES[:4], "", *LINES[5:], ""], {5}, 5),
    ([*LINES[:2], "[3]", "oops", '{"step": "4"}', '{"loss": 5}', *LINES[6:], ""], {3, 4, 5, 6}, 3),
])  # fmt: skip
def test_going_on_with_what_a_crash_left(tmp_path, caplog, lines, lost, damaged):
    path = tmp_path / metrics.FILE
    path.write_text("\n".join(lines))
    before, kept = path.read_bytes(), [n for n in range(1, 9) if n not in lost]
    assert [row["step"] for row in metrics.read(tmp_path)] == kept
    writer = metrics.jsonl(tmp_path, 8)
    writer.write(9, {"loss": 4.5})
    writer.close()
    caplog.clear()
    assert metrics.read(tmp_path) == [{"step": n, "loss": 0.5 * n} for n in (*kept, 9)]
    assert not caplog.records  # what was set aside is told of once
    aside = tmp_path / "metrics.jsonl.damaged"
    assert aside.exists() == (damaged is not None) and (damaged is None or aside.read_bytes() == before)


def test_damaged_lines_are_told_of(tmp_path, caplog):
    path = tmp_path / metrics.FILE
    path.write_bytes(b'{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n\x93\x00\n')
    metrics.read(tmp_path)
    assert f"{path}, line 3 is not a row of metrics and is left out: " in caplog.text
    path.write_text('[3]\n{"step": 3}\noops\n')
    metrics.jsonl(tmp_path, 3).close()
    assert f"{path}, line 1 and 1 more is not a row of metrics and is left out: '[3]'" in caplog.text
    assert "the file as it was is metrics.jsonl.damaged" in caplog.text


def test_no_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no metrics\.jsonl in workdir"):
        metrics.plot_loss(tmp_path)


def test_curves_are_of_training_of_each_update_and_held_out():
    rows = [{"step": n, "loss": 2.0 * n, "grad_norm": 1.0} for n in (1, 2, 3)]
    rows[1]["held_out/loss"] = 5.0
    assert metrics.curves(rows) == {"training": ([1, 2, 3], [2, 4, 6]), "held out": ([2], [5])}
    both = {"a/loss": 1.0, "a/grad_norm": 1.0, "b/loss": 3.0, "b/grad_norm": 1.0, "sample/loss": 9.0}
    assert metrics.curves([{"step": 4, "loss": 3.0, **both}]) == {"a": ([4], [1]), "b": ([4], [3])}
    assert metrics.curves([]) == {"training": ([], [])}


@pytest.mark.parametrize("loss", [1.0, -1.0])
def test_loss_curve_is_an_image(tmp_path, loss):
    lines = [json.dumps({"step": n, "loss": loss * n}) + "\n" for n in range(1, 5)]
    run = tmp_path / "$a_$ 喵"  # no formula, and not in the font
    run.mkdir()
    (run / metrics.FILE).write_text("".join(lines))
    path = metrics.plot_loss(run)
    assert path == run / "loss.png" and path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name, package", [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_a_missing_extra_is_named_before_anything_is_made(tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"writer '{name}' needs {package}: pip install 'diffjax\[{name}\]'"
    with pytest.raises(ValueError, match=message):
        metrics.writer(name)
    with pytest.raises(ValueError, match=message):
        getattr(metrics, name)(tmp_path, 0)
    assert not list(tmp_path.iterdir())


def test_writers_go_by_their_names(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", types.ModuleType("wandb"))
    assert metrics.writer("wandb") is metrics.wandb
    with pytest.raises(ValueError, match="writers must be among tensorboard, wandb; got 'wandbb'"):
        metrics.writer("wandbb")


def test_a_wandb_run_keeps_an_id_of_its_own(tmp_path, monkeypatch):
    started, stub = [], types.ModuleType("wandb")

    def init(**options):
        started.append(options)
        return types.SimpleNamespace(log=lambda row, step: None, finish=lambda: None)

    stub.init = init
    monkeypatch.setitem(sys.modules, "wandb", stub)
    for folder, step in (("a", 0), ("a", 20), ("b", 0), ("b", 0)):
        (tmp_path / folder / "digits").mkdir(parents=True, exist_ok=True)
        metrics.wandb(tmp_path / folder / "digits", step).close()
    first, resumed, other, again = (options["id"] for options in started)
    assert first == resumed  # it goes on
    assert len({first, other, again}) == 3  # a run that begins anew is another one
    assert {options["name"] for options in started} == {"digits"}
    assert {options["resume"] for options in started} == {"allow"}


def test_a_curve_that_cannot_be_drawn_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / metrics.FILE).write_text("\n".join(LINES) + "\n")
    before = metrics.plot_loss(tmp_path).read_bytes()
    monkeypatch.setattr(os, "fsync", lambda file: _full())
    with pytest.raises(OSError, match=r"could not write .*loss\.png: No space left"):
        metrics.plot_loss(tmp_path)
    assert (tmp_path / "loss.png").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {metrics.FILE, "loss.png"}


def _full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_tensorboard_gets_every_number(tmp_path):
    pytest.importorskip("tensorboardX")
    writer = metrics.tensorboard(tmp_path, 0)
    writer.write(10, {"loss": 2.0, "grad_norm": 1.0})
    writer.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    assert b"loss" in content and b"grad_norm" in content

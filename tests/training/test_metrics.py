"""The log: means, rows on disk, what happens to them when a run goes on."""

import json
import sys

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


def test_a_broken_line_inside_is_an_error(tmp_path):
    (tmp_path / metrics.FILE).write_text('{"step": 1}\noops\n{"step": 2}\n')
    with pytest.raises(ValueError, match="line 2 is not a row of metrics"):
        metrics.read(tmp_path)


def test_no_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no metrics\.jsonl in workdir"):
        metrics.plot_loss(tmp_path)


@pytest.mark.parametrize("loss", [1.0, -1.0])
def test_loss_curve_is_an_image(tmp_path, loss):
    lines = [json.dumps({"step": n, "loss": loss * n}) + "\n" for n in range(1, 5)]
    (tmp_path / metrics.FILE).write_text("".join(lines))
    path = metrics.plot_loss(tmp_path)
    assert path == tmp_path / "loss.png" and path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("opener, package", [(metrics.tensorboard, "tensorboardX"), (metrics.wandb, "wandb")])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, opener, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"needs {package}: pip install 'diffjax\["):
        opener(tmp_path, 0)


def test_tensorboard_gets_every_number(tmp_path):
    pytest.importorskip("tensorboardX")
    writer = metrics.tensorboard(tmp_path, 0)
    writer.write(10, {"loss": 2.0, "grad_norm": 1.0})
    writer.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    assert b"loss" in content and b"grad_norm" in content

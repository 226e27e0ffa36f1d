"""A bar on a terminal, lines elsewhere."""

import sys

import pytest
from training import toy_training

from diffjax.training import progress


def _advance(steps):
    with progress.bar(total=steps, desc="training", unit="step") as bar:
        for i in range(steps):
            bar.set_postfix(loss=i, refresh=False)
            bar.update()


def test_a_file_gets_a_line_now_and_then(capsys, monkeypatch):
    _advance(1000)
    text = capsys.readouterr().err
    assert "\r" not in text and text.endswith("\n")
    first, *_, last = text.splitlines()
    assert first.startswith("training:   0% 0/1000") and last.startswith("training: 100% 1000/1000")
    assert len(text.splitlines()) == 2  # at once, and at the end: it took no 20 seconds
    assert "loss=999" in last
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    _advance(1000)
    assert len(capsys.readouterr().err.splitlines()) > 10


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: True)
    _advance(10)
    assert "\r" in capsys.readouterr().err


def test_a_program_without_a_terminal_gets_none(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # as Python has it where it was closed
    _advance(3)


@pytest.mark.parametrize("shown", [True, False])
def test_training_shows_what_it_is_told_to(tmp_path, capsys, shown):
    toy_training.run(tmp_path, 40, 100, 1, progress=shown)
    lines = capsys.readouterr().err.splitlines()
    starts = [line.partition(" [")[0] for line in lines]
    expected = ["compiling:   0% 0/40", "training:   0% 0/40", "training: 100% 40/40"]
    assert starts == (expected if shown else [])

"""A short version of `make chaos`, in a process of its own: faults in a row, by the real commands."""

import json
import os
import pathlib
import subprocess
import sys

import compiling
import pytest

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
    "XLA_FLAGS": compiling.FLAGS,
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def _python(*arguments):
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_that_is_hit_again_and_again_ends_as_if_it_never_was(tmp_path):
    _python("-m", "chaos", "--kinds=row", "--share=0.34", f"--out={tmp_path / 'table.md'}")
    (found,) = map(json.loads, (tmp_path / "table.jsonl").read_text().splitlines())
    assert not any(found[name] for name in ("lost", "silent", "raw", "left")), found
    assert "| all | 1 | 1 | 0 | 0 | 0 | 0 | 0 |" in (tmp_path / "table.md").read_text()


@pytest.mark.slow
def test_what_must_not_be_is_seen(tmp_path):
    """Batches left out, a traceback, a scratch file and a lost checkpoint, each made on purpose."""
    code = f"""
import pathlib, shutil
from chaos import children, judging, others
place = pathlib.Path({str(tmp_path)!r})
bench = judging.Bench(place)
def judged(name, before=lambda: None, after=lambda folder: None, least=0):
    folder = place / name
    ended = children.run(judging.train(folder), before)
    after(folder)
    found = bench.judged(folder, ended, least=least)
    print(name, [key for key in ("lost", "silent", "raw", "left") if getattr(found, key)])
judged("sound")
judged("silent", others.batches(without=[12]))
def stumble():
    raise RuntimeError
judged("raw", stumble)
judged("left", after=lambda folder: (folder / ".unfinished.here.17").mkdir())
judged("lost", after=lambda folder: shutil.rmtree(folder / "checkpoints" / "40"), least=40)
"""
    assert _python("-c", code).splitlines() == [
        "sound []", "silent ['silent']", "raw ['raw']", "left ['left']", "lost ['lost']"
    ]  # fmt: skip

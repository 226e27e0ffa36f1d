"""Samples in batches do not depend on the batches; a user's mistake is one line and status 2."""

import io
import json
import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
import plain_systems
import pytest
from absl import flags
from ml_collections import ConfigDict

from diffjax import commands


def _system(shape, traced, gives="points"):
    """A system whose sample is its own noise around its label."""

    def sample(variables, keys, request):
        traced.append(len(keys))
        noise = jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
        label = request.get("label", jnp.zeros(len(keys)))
        return variables.params["network"] * noise + label.reshape(len(keys), *[1] * len(shape))

    return plain_systems.make(shape=shape, gives=gives, sample=sample)


def _draw(system, scale, num, batch_size, request=None):
    return commands.sample_in_batches(
        system, plain_systems.variables(jnp.float32(scale)), key=jax.random.key(3), num=num,
        batch_size=batch_size, request=request, progress=None,
    )  # fmt: skip


def test_batches_change_nothing():
    key, labels = jax.random.key(3), np.arange(10)
    expected = [jax.random.normal(jax.random.fold_in(key, i), (2,)) * 0.1 + i for i in range(10)]
    for batch_size, size in [(1, 1), (4, 4), (10, 10), (99, 10)]:
        traced = []
        made = _draw(_system((2,), traced), 0.1, 10, batch_size, {"label": labels})
        np.testing.assert_allclose(made.x, expected, rtol=1e-6)
        assert made.x.dtype == np.float32 and made.seconds > 0
        assert traced == [
            -(-size // jax.device_count()) * jax.device_count()
        ]  # one program, the last included


def test_images_are_uint8():
    x = _draw(_system((4, 4, 1), [], "images"), 0.5, 5, 2).x
    noise = [jax.random.normal(jax.random.fold_in(jax.random.key(3), i), (4, 4, 1)) for i in range(5)]
    assert x.dtype == np.uint8 and x.shape == (5, 4, 4, 1)
    exact = 127.5 * (np.clip(0.5 * np.array(noise), -1, 1) + 1)
    assert np.abs(x - exact).max() <= 0.501


def test_counts_requests_and_samples_that_do_not_fit():
    with pytest.raises(ValueError, match="num must be at least 1, got 0"):
        _draw(_system((2,), []), 1.0, 0, 2)
    with pytest.raises(ValueError, match=r"request must be \[3, \.\.\.\], one row a sample, got shape \[2\]"):
        _draw(_system((2,), []), 1.0, 3, 2, {"label": np.zeros(2, int)})
    with pytest.raises(ValueError, match="6 of 6 sampled values are not finite"):
        _draw(_system((2,), []), np.nan, 3, 2)


def test_config_of_a_run(tmp_path):
    config = {"data": {"shape": [8, 8, 1]}, "training": {"num_steps": 3}, "sampler": {"threshold": None}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    read = commands.load_config(tmp_path)
    assert read.data.shape == (8, 8, 1) and read.training.num_steps == 3 and read.sampler.threshold is None


def test_folders_that_are_no_run(tmp_path):
    with pytest.raises(ValueError, match="no such workdir"):
        commands.load_config(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"has no config\.json"):
        commands.load_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        commands.load_config(tmp_path)


def _status(monkeypatch, main, *arguments):
    monkeypatch.setattr(sys, "argv", ["/somewhere/evaluate.py", *arguments])
    with pytest.raises(SystemExit) as end:
        commands.run(main)
    flags.FLAGS.unparse_flags()
    return end.value.code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "num must be\n at least 1"),
        (["left", "over"], "unexpected arguments 'left over': options look like --name=value"),
        (["--verbosty=1"], "Unknown command line flag 'verbosty'. Did you mean: verbosity ?"),
    ],
)
def test_mistakes_are_one_line(monkeypatch, capsys, arguments, said):
    def main(argv):
        raise ValueError("num must be\n at least 1")

    assert _status(monkeypatch, main, *arguments) == 2
    line = " ".join(said.split())
    assert capsys.readouterr().err.splitlines()[-1] == f"evaluate.py: error: {line}"


def test_a_reader_that_goes_away_is_no_error(monkeypatch, capsys):
    def main(argv):
        raise BrokenPipeError

    turned = []
    monkeypatch.setattr(os, "dup2", lambda _, stream: turned.append(stream))
    assert _status(monkeypatch, main) == 141
    assert turned == [1, 2] and not capsys.readouterr().err


def test_streams_that_are_closed_or_know_few_letters(monkeypatch):
    said = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(said, "ascii"))
    monkeypatch.setattr(sys, "stderr", None)
    assert not _status(monkeypatch, lambda argv: print("Fréchet") or print("gone", file=sys.stderr))
    assert said.getvalue() == b"Fr?chet\n"


def test_bugs_keep_their_traceback(monkeypatch):
    def main(argv):
        raise KeyError("a bug")

    monkeypatch.setattr(sys, "argv", ["evaluate.py"])
    with pytest.raises(KeyError, match="a bug"):
        commands.run(main)
    flags.FLAGS.unparse_flags()


def test_a_key_that_a_config_lacks_is_one_line(monkeypatch, capsys):
    assert _status(monkeypatch, lambda argv: ConfigDict({"data": {}}).data.nam) == 2
    assert "config has no field 'nam'" in capsys.readouterr().err


def test_success_is_status_0(monkeypatch, capsys):
    assert not _status(monkeypatch, lambda argv: None)
    assert capsys.readouterr().err == ""

"""Results of passes between a kill and the next start, and systems that sample nothing, in-process."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import commands
from diffjax.training import Pass, System, Variables


def _add(v, keys, asked, made):
    return jnp.stack(list(made.values()) or [jnp.zeros((len(keys), 2))]).sum(0) + v.params["network"]


def _system(*runs):
    passes = tuple(Pass(f"p{i}", run, {}) for i, run in enumerate(runs))
    return System({}, lambda key, batch, frozen: ({}, {}), (), (), passes=passes, gives="points")


def _killed(*_):
    raise KeyboardInterrupt


def _draw(system, shelf, value=1.0):
    variables = Variables({"network": jnp.float32(value)})
    return commands.sample_in_batches(
        system, variables, key=jax.random.key(0), num=3, batch_size=2, keep=shelf, progress=None
    ).x


def test_results_of_other_variables_are_not_gone_on_with(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _draw(_system(_add, _killed), tmp_path / "p")
    np.testing.assert_array_equal(_draw(_system(_add, _add), tmp_path / "p", value=2.0), np.full((3, 2), 4.0))


def test_all_that_is_done_is_kept_until_it_is_forgotten(tmp_path):
    """A kill between the last sample and the file of all loses nothing."""
    shelf, running = tmp_path / "p", _system(_add, _add)
    x = _draw(running, shelf)
    np.testing.assert_array_equal(_draw(_system(_killed, _killed), shelf), x)
    (last,) = shelf.glob("*/p1.npz")
    last.write_bytes(last.read_bytes()[:-9])  # damaged: made anew
    np.testing.assert_array_equal(_draw(_system(_killed, _add), shelf), x)
    commands.forget(shelf)
    commands.forget(shelf)
    with pytest.raises(KeyboardInterrupt):
        _draw(_system(_killed, _add), shelf)


def test_a_system_without_passes_samples_nothing(tmp_path):
    with pytest.raises(ValueError, match="this system samples nothing: it has no passes"):
        _draw(_system(), tmp_path)

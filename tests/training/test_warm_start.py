"""Beginning with the parameters of another run."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import toy_training

from diffjax.commands import beginning
from diffjax.training import checkpoints, warm_start


def _other(width=toy_training.FEATURES):
    """Make a regression whose bias has another shape, and which has one more array."""
    own = toy_training.system()

    def init(key, batch, frozen):
        params, extra = own.init(key, batch, frozen)
        return {"dense": {**params["dense"], "bias": jnp.zeros(3)}, "more": jnp.ones(2)}, extra

    return own._replace(init=init, serves=("dense", "more"))


def _begun(workdir, toy, values):
    """Return the state before the first step."""
    seen = []

    def stop():
        return True

    def keep(folder, state, given):
        seen.append(begin(folder, state, given))
        return seen[-1]

    begin, warm_start.begin = warm_start.begin, keep
    try:
        toy_training.run(workdir, 4, 4, 4, system=toy, init_from=values, should_stop=stop)
    finally:
        warm_start.begin = begin
    return seen[0]


def test_what_matches_is_taken_and_the_rest_is_listed(tmp_path):
    toy_training.run(tmp_path / "one", 6, 6, 3)
    average = checkpoints.restore_params(tmp_path / "one")["dense"]
    state = _begun(tmp_path / "two", _other(), beginning.read(tmp_path / "one"))
    np.testing.assert_array_equal(state.params["dense"]["kernel"], average["kernel"])
    np.testing.assert_array_equal(state.params["dense"]["bias"], 0)
    jax.tree.map(np.testing.assert_array_equal, state.ema["ema"], state.params)
    told = json.loads((tmp_path / "two" / "init_from.json").read_text())
    assert told["matched"] == ["dense/kernel"] and told["left_over"] == ["dense/bias"]
    assert {"dense/bias", "more"} <= set(told["missing"])


def test_a_file_of_weights(tmp_path):
    kernel = np.full((toy_training.FEATURES, 1), 0.25, np.float32)
    np.savez(tmp_path / "weights.npz", **{"dense/kernel": kernel})
    state = _begun(tmp_path / "run", toy_training.system(), beginning.read(tmp_path / "weights.npz"))
    np.testing.assert_array_equal(state.params["dense"]["kernel"], kernel)


def test_what_does_not_match_is_refused_before_anything_is_saved(tmp_path):
    np.savez(tmp_path / "weights.npz", other=np.ones(3))
    values = beginning.read(tmp_path / "weights.npz")
    with pytest.raises(
        ValueError, match=r"nothing of init_from .* it has other \[3\], ... and the system dense"
    ):
        toy_training.run(tmp_path / "run", 4, 4, 4, init_from=values)
    assert not checkpoints.steps(tmp_path / "run")
    with pytest.raises(ValueError, match="neither a run nor a file"):
        beginning.read(tmp_path / "nothing.npz")
    with pytest.raises(ValueError, match="no complete checkpoint"):
        beginning.read(tmp_path / "run")


@pytest.mark.parametrize(
    "arrays, message",
    [
        (
            {"dense/bias": np.array([np.nan], np.float32)},
            "dense/bias of init_from .* 1 of its 1 values are not",
        ),
        ({"dense/bias": np.array([1e300])}, "dense/bias of init_from .* must be finite"),
        ({"dense/bias": np.array([1])}, "dense/bias of init_from .* must be of float32 or alike, got int64"),
        (
            {"dense/bias": np.array([1j])},
            "dense/bias of init_from .* must be of float32 or alike, got complex",
        ),
        ({"dense": np.ones(1), "dense/bias": np.ones(1)}, "dense/bias is in the place of another array"),
        ({"dense/bias": np.ones(1), "dense": np.ones(1)}, "dense is in the place of another array"),
    ],
)
def test_weights_that_are_none_are_named(tmp_path, arrays, message):
    np.savez(tmp_path / "weights.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        _begun(tmp_path / "run", toy_training.system(), beginning.read(tmp_path / "weights.npz"))


def test_a_run_that_goes_on_does_not_look_at_it(tmp_path):
    once = toy_training.run(tmp_path, 6, 3, 3)
    values = warm_start.Values({"dense": {"kernel": np.zeros((toy_training.FEATURES, 1))}}, "elsewhere")
    again = toy_training.run(tmp_path, 6, 3, 3, init_from=values)
    jax.tree.map(np.testing.assert_array_equal, once.params, again.params)

"""What `config.training` and the flags of `train` add to a run."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import commands, exact, train
from diffjax.commands import processes, validation
from diffjax.data import Source
from diffjax.process import schedules
from diffjax.training import Variables, checkpoints, metrics
from diffjax.training.system import Conditioning, System, Update

ROOT = pathlib.Path(__file__).parents[2]
SCHEDULES = {"chain": schedules.cosine_beta(100), "vp": schedules.vp_linear(), "edm": schedules.edm()}


def _config(**training):
    config = commands.config_module(ROOT / "configs/toys/ddpm.py").get_config()
    config.model.update({"width": 8, "depth": 1})
    config.data.num_examples, config.optimizer.warmup_steps = 300, 0
    config.training.update(
        {"num_steps": 4, "batch_size": 16, "log_every": 2, "checkpoint_every": 2, "sample_every": 0}
    )
    with config.training.unlocked():
        config.training.update(training)
    return config


def test_held_out_data_are_measured_on_the_way_and_choose_the_best(tmp_path):
    own = {"every": 2, "rows": 64, "log_snrs": (-4.0, 4.0)}
    train.train(_config(validation=own, best_metric="held_out/loss"), tmp_path, progress=False)
    for row in metrics.read(tmp_path):
        assert row["held_out/loss"] > 0 and row["held_out/x0_mse_at_-4"] > row["held_out/x0_mse_at_4"] > 0


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_the_error_of_an_exact_denoiser_at_a_level(schedule):
    """Of N(0, 1) it is sigma^2 / (alpha^2 + sigma^2) = 1 / (1 + SNR)."""
    known = exact.gaussian_mixture([1.0], [[0.0]], [1.0])
    x = np.random.default_rng(0).normal(size=(4096, 1)).astype(np.float32)
    loss = lambda v, key, batch, step: ({}, v.extra, {"loss": jnp.float32(7)})
    system = System(
        example={}, init=lambda *_: ({}, {}), updates=(Update("network", (), loss),), serves=(),
        request=Conditioning(), denoiser=lambda v, key=None: known.denoiser(), schedule=lambda v: schedule,
    )  # fmt: skip
    report = validation.held_out(system, Source(x), 4096, (-3.0, 0.0, 3.0))
    found = report(1, Variables({}, {}, {}))
    assert found.pop("loss") == 7
    for log_snr in (-3.0, 0.0, 3.0):
        assert found[f"x0_mse_at_{log_snr:g}"] == pytest.approx(1 / (1 + np.exp(log_snr)), rel=0.08)
    assert report(2, Variables({}, {}, {})) == {"loss": 7, **found}  # the same noise


def test_a_run_begins_with_the_parameters_of_another(tmp_path):
    train.train(_config(), tmp_path / "one", progress=False)
    begun = []
    train.train(
        _config(num_steps=1), tmp_path / "two", progress=False, init_from=tmp_path / "one",
        should_stop=lambda: begun.append(1),
    )  # fmt: skip
    told = json.loads((tmp_path / "two" / "init_from.json").read_text())
    assert told["source"] == str(tmp_path / "one") and not told["missing"] and not told["left_over"]
    one, two = (checkpoints.restore_params(tmp_path / name) for name in ("one", "two"))
    near = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), one, two)
    assert (
        max(jax.tree.leaves(near)) <= 1.001 * 2e-3
    )  # the first step of Adam is the rate, whatever the gradient


@pytest.mark.parametrize(
    ("training", "options", "message"),
    [
        (
            {"validation": {"rows": 4}},
            {},
            "training.validation.every must be an integer of at least 1",
        ),
        ({"validation": {"every": 2, "rows": 0}}, {}, "training.validation: rows must be a positive integer"),
        ({"validation": {"every": 2, "rows": 10**6}}, {}, "training.validation.*rows must be at most the"),
        (
            {"validation": {"every": 2, "row": 4}},
            {},
            "training.validation.row is not an option of held_out",
        ),
        ({"best_metric": "held_out/loss"}, {}, "best_metric='held_out/loss' is not one of"),
        ({"watch": {"peak_flops": -1.0}}, {}, "training.watch.*peak_flops must be"),
        ({"not_finite": {"times": 0}}, {}, "training.not_finite.*times must be"),
        ({}, {"profile": (3, 1)}, "training.watch.*profile must be two steps in order"),
        ({}, {"init_from": "nowhere"}, "init_from 'nowhere' is neither a run nor a file"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, training, options, message):
    with pytest.raises(ValueError, match=message):
        train.train(_config(**training), tmp_path / "run", progress=False, **options)
    assert not (tmp_path / "run").exists()


class _Options(dict):
    """Flags with values."""

    distributed = False
    join_timeout = 1

    def __getitem__(self, name):
        return type("Flag", (), {"value": self.get(name)})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"process_id": 0}, "go together; got --process_id"),
        ({"coordinator": "a:1", "num_processes": 2, "process_id": 1}, "--distributed, --coordinator"),
    ],
)
def test_flags_of_processes_go_together(given, message):
    with pytest.raises(ValueError, match=message):
        processes.join(_Options(given))


def test_two_steps_are_profiled():
    assert train._window("10:15") == (10, 15) and train._window(None) is None
    for text in ("10", "a:b", "10:", "1:2:3"):
        with pytest.raises(ValueError, match="--profile must be first:last"):
            train._window(text)

"""What is logged of samples on the way: their distance to the data, beside what chance makes of it."""

import json

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from diffjax import commands, systems, train
from diffjax.commands import previews
from diffjax.data import Source
from diffjax.training.system import Variables

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(2,), (4, 4, 1), (48, 48, 3)])
def test_more_noise_is_farther_and_data_are_at_the_floor(shape):
    pixels = len(shape) > 1
    x = RNG.integers(0, 256, (400, *shape), np.uint8) if pixels else RNG.standard_normal((400, *shape))
    model, x = (x / 127.5 - 1, x) if pixels else (x, x.astype(np.float32))
    measure = previews.distances(Source(x, None, None, "data"), 200)
    found = [measure(model[:200] + scale) for scale in (0.0, 0.3, 1.0)]
    floor = found[0]["sliced_wasserstein_floor"]
    assert found[0]["sliced_wasserstein"] < 1.5 * floor
    far = [each["sliced_wasserstein"] for each in found]
    assert far[0] < far[1] < far[2]


def test_nothing_is_said_of_what_is_not_finite_or_of_another_shape():
    measure = previews.distances(Source(np.zeros((10, 2), np.float32), None, None, "data"), 4)
    assert measure(np.full((4, 2), np.nan)) == {} == measure(np.zeros((4, 3)))
    alone = previews.distances(Source(np.zeros((1, 2), np.float32), None, None, "data"), 4)
    assert alone(np.zeros((4, 2))) == {}


def test_a_training_logs_how_far_its_samples_are(tmp_path):
    config = commands.config_module("configs/toys/flow.py").get_config("ring8")
    config.model.update({"width": 4, "depth": 1})
    config.data.num_examples = 64
    config.optimizer.warmup_steps = 1
    config.sampler.steps = 2
    steps = {"num_steps": 2, "batch_size": 8, "log_every": 1, "sample_every": 1, "checkpoint_every": 2}
    config.training.update(steps)
    config.training.best_metric = "sample/sliced_wasserstein"
    train.train(config, tmp_path / "run", progress=False)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    told = [(row["sample/sliced_wasserstein"], row["sample/sliced_wasserstein_floor"]) for row in rows[-2:]]
    assert all(distance > floor > 0 for distance, floor in told)


def test_a_preview_of_a_thousand_classes_is_no_larger_batch():
    config = commands.config_module("configs/digits/ddpm.py").get_config()
    config.data.num_classes = 1000
    config.model = ConfigDict({"name": "mlp", "width": 8, "depth": 1, "num_classes": 1001})
    config.sampler.steps = 2
    system = systems.build(config)
    variables = jax.eval_shape(system.init, jax.random.key(0), system.example, system.frozen)
    draw = previews.drawn(system, config.training)
    x, asked = jax.eval_shape(draw, Variables(*variables, system.frozen), {})
    assert len(x) == len(asked["label"]) == previews.NUM["images"]

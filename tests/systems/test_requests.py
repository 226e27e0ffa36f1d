"""Class labels as they are asked for, and networks that keep more than parameters."""

import flax.linen as nn
import numpy as np
import pytest
from systems.tools import sampler

from diffjax import sample, samplers
from diffjax.process import prediction, schedules
from diffjax.systems import ebm, requests, vdm
from diffjax.systems.ddpm import ddpm
from diffjax.training.system import System

NAMES = ("cat", "dog, wild", "a=b", "3")


@pytest.fixture(scope="module")
def labels():
    return requests.labels(4, 2, 0.1, NAMES).conditioning


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (["cat", "dog, wild"], [0, 1, 0]),
        ("dog, wild", [1, 1, 1]),
        (2, [2, 2, 2]),
        (np.array([3, 0]), [3, 0, 3]),
        (["3", "1", "none"], [3, 1, 4]),
    ],
)
def test_classes_are_asked_by_name_or_number(labels, asked, wanted):
    found = labels.of_user({"label": asked}, 3)["label"]
    assert found.tolist() == wanted and found.dtype == np.int32


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([], "label must be at least one class, or left out for all of them in turn"),
        ([1.5], "label must be in 0..3, or 'none', got 1.5"),
        ([4], "label must be in 0..3, or 'none', got 4"),
        ([-1], "got -1"),
        (["dog, wlid"], "did you mean 'dog, wild'"),
        ([None], "got None"),
    ],
)
def test_what_is_no_class_is_refused(labels, asked, message):
    with pytest.raises(ValueError, match=message):
        labels.of_user({"label": asked}, 3)


def test_the_command_asks_for_names_with_commas_and_equals_signs(labels):
    system = System({}, None, (), (), request=labels)
    found = sample.request_for(system, 3, ["label=dog, wild", "label=a=b"])
    assert found["label"].tolist() == [1, 2, 1]


class Normalised(nn.Module):
    """A network with batch statistics."""

    vector_features = None

    @nn.compact
    def __call__(self, x, t, cond=None, train=False):
        return nn.Dense(x.shape[-1])(nn.BatchNorm(use_running_average=not train)(x))


def test_batch_statistics_are_no_mean_over_rows():
    noise = schedules.linear_beta(10)
    walk = sampler(noise, samplers.ancestral(), samplers.grids.make(noise, 3, "uniform"))
    made = ddpm(Normalised(), noise, walk, shape=(2,), reading=prediction.reading("eps"), gives="points")
    assert "network_state" in made.serves and not made.updates[0].rowwise


def test_a_loss_that_keeps_no_state_refuses_one():
    chain = ebm.langevin(steps=1, step_size=0.1)
    with pytest.raises(ValueError, match="module must have no state besides its parameters here; Normalised"):
        ebm.ebm(Normalised(), ebm.afresh(), chain, ebm.Sampler(chain, 1), shape=(2,))
    clock = vdm.fixed(schedules.log_snr_linear())
    walk = sampler(clock.start, samplers.ddim(), samplers.grids.make(clock.start, 3, "uniform"))
    with pytest.raises(ValueError, match="module must have no state"):
        vdm.vdm(Normalised(), clock, walk, shape=(2,), reading=prediction.reading("eps"))

"""A corrector in the sampler of a config."""

import pytest
from ml_collections import ConfigDict

from diffjax import samplers
from diffjax.process import schedules
from diffjax.systems import read

CHAIN = schedules.linear_beta(1000)


def _sampler(**options):
    config = ConfigDict({"sampler": {"solver": "reverse_diffusion", "steps": 10} | options})
    return read.sampler(config, CHAIN).solver


def test_a_corrector_is_named_with_its_options():
    expected = samplers.predictor_corrector(samplers.reverse_diffusion(), samplers.langevin(snr=0.1, steps=2))
    assert _sampler(corrector={"name": "langevin", "snr": 0.1, "steps": 2}) == expected
    plain = samplers.predictor_corrector(samplers.reverse_diffusion(), samplers.ald())
    assert _sampler(corrector="ald") == plain
    assert _sampler(corrector="none") == _sampler() == samplers.reverse_diffusion()


@pytest.mark.parametrize(
    ("corrector", "message"),
    [
        ("langevine", "sampler.corrector must be one of langevin, ald; got 'langevine'; did you mean"),
        ({"name": "ald", "norm": "batch"}, "sampler.corrector.norm is not an option of ald"),
    ],
)
def test_bad_correctors_are_named(corrector, message):
    with pytest.raises(ValueError, match=message):
        _sampler(corrector=corrector)


def test_a_predictor_that_is_not_one_row_a_step_is_refused():
    solver = samplers.predictor_corrector(samplers.pndm(), samplers.langevin())
    with pytest.raises(ValueError, match=r"predictor of predictor_corrector .* makes 14 of 5"):
        samplers.plan(schedules.edm(), solver, samplers.grids.karras(5, 0.01, 80.0))

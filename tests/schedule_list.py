"""Every schedule, and what the generic tests must know of it.

A new schedule gets its tests by a line in `SCHEDULES`; `test_every_schedule.py` fails until it has one.
"""

import functools
from typing import NamedTuple

import jax
import numpy as np

from diffjax.process import learned, schedules
from diffjax.process.level import Schedule


class Listed(NamedTuple):
    """A schedule of the tests.

    Attributes:
      schedule: the schedule.
      maker: name of its constructor in `schedules`.
      first: log SNR at t = 0 of one that starts at a noise level of its own; infinite: clean data.
      forgets: alpha is 0 at t_max, where log SNR is -infinity.
      jumps: there is a jump at t = 0, from clean data to the least noise.
    """

    schedule: Schedule
    maker: str
    first: float = np.inf
    forgets: bool = False
    jumps: bool = False


_LINEAR, _COSINE = schedules.linear_beta(1000), schedules.cosine_beta(1000)
_PARAMETERS = learned.init(jax.random.key(0), width=7)

SCHEDULES = {
    "linear_beta": Listed(_LINEAR, "linear_beta"),
    "scaled_linear": Listed(schedules.scaled_linear(1000), "scaled_linear"),
    "cosine_beta": Listed(_COSINE, "cosine_beta"),
    "sigmoid_beta": Listed(schedules.sigmoid_beta(1000), "sigmoid_beta"),
    "from_betas": Listed(schedules.from_betas(np.full(40, 0.3)), "from_betas"),
    "geometric": Listed(schedules.geometric(50.0, 0.01, 20), "geometric"),
    "zero_terminal_snr": Listed(schedules.zero_terminal_snr(_LINEAR), "zero_terminal_snr", forgets=True),
    "edm": Listed(schedules.edm(), "edm"),
    "ve": Listed(schedules.ve(), "ve", jumps=True),
    "vp_linear": Listed(schedules.vp_linear(), "vp_linear"),
    "vp_constant": Listed(schedules.vp_linear(12.0, 12.0), "vp_linear"),
    "vp_offset": Listed(
        schedules.vp_linear(0.0, 20.0, offset=1e-4), "vp_linear", first=-np.log(np.expm1(1e-4))
    ),
    "vp_below_zero": Listed(schedules.vp_linear(-0.05, 20.0), "vp_linear"),
    "sub_vp": Listed(schedules.sub_vp(), "sub_vp"),
    "vp_cosine": Listed(schedules.vp_cosine(), "vp_cosine", forgets=True),
    "vp_cosine_s": Listed(
        schedules.vp_cosine(s=0.008), "vp_cosine",
        first=-2 * np.log(np.tan(0.004 * np.pi / 1.008)), forgets=True,
    ),
    "vp_cosine_cut": Listed(schedules.vp_cosine(log_snr_min=-15, log_snr_max=15), "vp_cosine", first=15.0),
    "log_snr_linear": Listed(schedules.log_snr_linear(), "log_snr_linear", first=13.3),
    "learned": Listed(
        schedules.learned(functools.partial(learned.monotone, _PARAMETERS)), "learned",
        first=-float(learned.monotone(_PARAMETERS, jax.numpy.zeros(()))),
    ),
    "rectified_flow": Listed(schedules.rectified_flow(), "rectified_flow", forgets=True),
    "shifted_vp": Listed(schedules.shifted(schedules.vp_linear(), 3.0), "shifted"),
    "shifted_flow": Listed(schedules.shifted(schedules.rectified_flow(), 3.0), "shifted", forgets=True),
    "shifted_edm": Listed(schedules.shifted(schedules.edm(), 0.5), "shifted"),
    "shifted_ve": Listed(schedules.shifted(schedules.ve(0.01, 9.6), 2.0), "shifted", jumps=True),
    "shifted_twice": Listed(
        schedules.shifted(schedules.shifted(schedules.ve(0.01, 9.6), 2.0), 3.0), "shifted", jumps=True
    ),
    "shifted_geometric": Listed(
        schedules.shifted(schedules.geometric(9.6, 0.01, 100).continuous(), 0.5), "shifted"
    ),
    "linear_continuous": Listed(_LINEAR.continuous(), "linear_beta"),
    "cosine_continuous": Listed(_COSINE.continuous(), "cosine_beta"),
    "geometric_continuous": Listed(schedules.geometric(50.0, 0.01, 20).continuous(), "geometric"),
}  # fmt: skip


def times(name: str, count: int = 12) -> np.ndarray:
    """Return increasing times between the ends of a schedule: half of them near t_min; a chain's steps."""
    schedule = SCHEDULES[name].schedule
    if schedule.num_steps is not None:
        return np.unique(np.rint(np.linspace(1, schedule.num_steps, count)))
    low, high = schedule.t_min, schedule.t_max
    share = np.concatenate([np.geomspace(1e-4, 0.2, count // 2), np.linspace(0.25, 0.99, count - count // 2)])
    return low + (high - low) * share

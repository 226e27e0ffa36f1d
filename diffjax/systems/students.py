"""What systems share that learn from a trained denoiser, and begin as it."""

from collections.abc import Callable

import jax

from diffjax import objectives
from diffjax.training.system import Conditioning, System

TEACHER = "teacher"  # the stage's name


def require_teacher(base: System, shape: tuple[int, ...]) -> None:
    """Raise a ValueError for a run that has no denoiser, no fixed schedule, or examples of another shape."""
    if base.denoiser is None or not base.passes:
        raise ValueError("config.teacher must be a run with a denoiser, which is sampled by walks of it")
    if base.schedule is None or "schedule" in base.serves:
        raise ValueError("config.teacher must be a run with a noise schedule that is not trained")
    if tuple(base.example["x"].shape[1:]) != shape:
        raise ValueError(
            f"config.teacher is of examples {tuple(base.example['x'].shape[1:])}, and data.shape is {shape}"
        )
    if any(name.endswith("_state") for name in base.serves):
        raise ValueError("config.teacher must be a run whose network has no state besides its parameters")


def asked_of(request: Conditioning, own: Callable) -> Conditioning:
    """Return what a base system may be asked, read with the variables that `own` makes of a student's."""
    return request._replace(
        of_batch=lambda v, key, batch: request.of_batch(own(v), key, batch),
        encode=lambda v, asked, keep=None: request.encode(own(v), asked, keep),
    )


def stateless(times: objectives.TimeSampler) -> objectives.TimeSampler:
    """Return a TimeSampler of `objective.times`; ValueError for one with a state, which these losses lack."""
    if jax.tree.leaves(jax.eval_shape(times.init)):
        raise ValueError("objective.times must be one without a state, such as 'uniform'")
    return times

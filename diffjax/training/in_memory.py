"""Small trainings whose whole data set is on the device: compiled chunks of steps, nothing kept on disk.

What judges samples, dequantises images, or is an arm of a study is trained so. A run that must survive is
`training.fit`'s.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

from diffjax.convolutions import in_order
from diffjax.training import progress as shown

CHUNK = 100  # steps between two looks of the host


def train(
    step: Callable[[Any, jax.Array, Any], tuple[Any, dict[str, jax.Array]]],
    state: Any,
    data: Any,
    num_steps: int,
    *,
    chunk: int | None = CHUNK,
    progress: str | None = None,
) -> Any:
    """Make all steps of a training.

    The step itself draws its rows and its noise, from keys that it folds the number of the step into: so a
    training is a function of what it is given, whatever the chunks.

    Args:
      step: `(state, i, data) -> (state, metrics)`, pure; i is the int32 number of the step, from 0, and
        metrics are scalars by name.
      state: what training changes; it is donated.
      data: arrays that every step sees, moved to the device once.
      num_steps: how many steps.
      chunk: steps in one compiled program; another is compiled for a shorter rest. None compiles a single
        step: compilers round a step otherwise where it is the body of a loop.
      progress: title of the progress bar, or None for no bar.

    Returns:
      The state after the last step.

    Raises:
      ValueError: for a count below 1, or if a metric is not finite; it says before which step.
    """
    for name, count in (("num_steps", num_steps), ("chunk", 1 if chunk is None else chunk)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")

    size, steps = 1 if chunk is None else chunk, _compiled(step, chunk is None)
    data = jax.tree.map(jax.numpy.asarray, data)
    with shown.bar(total=num_steps, desc=progress, unit="step", disable=progress is None, leave=False) as bar:
        for first in range(0, num_steps, size):
            count = min(size, num_steps - first)
            state, metrics = steps(state, np.int32(first), count, data)
            for name, values in metrics.items():
                if not np.isfinite(values).all():
                    raise ValueError(f"{name} is not finite before step {first + count}")
            bar.update(count)
    return state


@lru_cache(maxsize=16)
def _compiled(step, single):
    """Return the program of several steps, or of a single one: one for a step, however often it trains."""

    @partial(jax.jit, donate_argnums=0, static_argnums=2)
    def steps(state, first, count, data):
        if single:
            return step(state, first, data)
        numbers = first + np.arange(count, dtype=np.int32)
        return jax.lax.scan(lambda state, i: in_order(step)(state, i, data), state, numbers)

    return steps

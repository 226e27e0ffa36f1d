"""Pictures of requests, a sample each: what evaluators of conditions look at."""

import jax
import numpy as np

from diffjax.evaluation import batches
from diffjax.evaluation.evaluator import Task
from diffjax.pixels import to_uint8
from diffjax.training.system import Request
from diffjax.types import Array, Key, Num, UInt8


def of_requests(
    task: Task, asked: Request, key: Key[Array, ""], title: str
) -> UInt8[np.ndarray, "n height width channels"]:
    """Sample one picture of each request, by its row's own noise: the same for every request of that row.

    Args:
      task: of the evaluation.
      asked: request {part: [n, ...]}.
      key: of the noise.
      title: of the progress bar.
    """
    n, size = len(jax.tree.leaves(asked)[0]), task.settings["batch_size"]

    def compute(variables, key, batch):
        rows, own = batch
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
        return task.system.sample(variables, keys, own, len(rows))

    rows = lambda those: (those, jax.tree.map(lambda leaf: np.asarray(leaf)[those], asked))
    shown = f"samples, {title}" if task.progress else None
    x = batches.over(rows, n, min(size, n), compute, task.variables, key, progress=shown, unit="sample")
    return to_uint8(x)


def pixels(x: Num[Array, "n height width channels"]) -> UInt8[np.ndarray, "n height width channels"]:
    """Return the pictures of a source as uint8."""
    return np.asarray(x) if x.dtype == np.uint8 else to_uint8(np.asarray(x))

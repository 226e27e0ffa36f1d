"""Random weights of the InceptionV3 of FID by its published names, the same on every machine."""

import numpy as np


def random_tensors(shapes, seed=0):
    """Return float32 arrays by name whose activations neither vanish nor explode.

    Args:
      shapes: of the tensors, by name.
      seed: of numpy's frozen `RandomState`; names are drawn in alphabetical order.
    """
    rng = np.random.RandomState(seed)
    return {name: _draw(rng, name, tuple(shapes[name])).astype(np.float32) for name in sorted(shapes)}


def _draw(rng, name, shape):
    if len(shape) > 1:
        return rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    if name.endswith(("bn.weight", "running_var")):
        return rng.uniform(0.5, 1.5, shape)
    return 0.1 * rng.standard_normal(shape)

"""Random trunks and heads of LPIPS in the layout of their files."""

import numpy as np

ALEXNET = ("AlexNet_0", [(11, 3, 64), (5, 64, 192), (3, 192, 384), (3, 384, 256), (3, 256, 256)])
WIDTHS = (64, 192, 384, 256, 256)


def random_alexnet(seed=0):
    """Return float32 arrays by the names of `lpips_alexnet`, heads 0 or more."""
    rng = np.random.RandomState(seed)
    prefix, layers = ALEXNET
    arrays = {}
    for i, (size, channels, features) in enumerate(layers):
        scale = np.sqrt(2 / (size * size * channels))
        arrays[f"{prefix}/Conv_{i}/kernel"] = scale * rng.standard_normal((size, size, channels, features))
        arrays[f"{prefix}/Conv_{i}/bias"] = 0.1 * rng.standard_normal(features)
    for i, width in enumerate(WIDTHS):
        arrays[f"NetLinLayer_{i}/Conv_0/kernel"] = rng.exponential(size=(1, 1, width, 1))
    return {name: a.astype(np.float32) for name, a in arrays.items()}

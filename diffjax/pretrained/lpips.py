"""AlexNet and VGG16 with the linear heads of LPIPS 0.1, from arrays in Flax's layout.

theirs                              ours
AlexNet_0/Conv_1/kernel, bias       params/conv_1/kernel, bias      [h, w, in, out]
NetLinLayer_1/Conv_0/kernel         heads/head_1                    [1, 1, C, 1] -> [C]
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from diffjax.models import perceptual
from diffjax.pretrained.files import WrongTensors, check_tensors, shapes_of

_TRUNKS = {
    "lpips_alexnet": (perceptual.alexnet, "AlexNet_0"),
    "lpips_vgg16": (perceptual.vgg16, "VGG16_0"),
}
_IMAGE = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)


def describe(architecture: str, config: None = None) -> tuple[perceptual.Trunk, dict]:
    """Return our trunk, and the shapes of the variables of the distance; see `convert`."""
    del config
    module = _TRUNKS[architecture][0]()
    shapes = jax.eval_shape(module.init, jax.random.key(0), _IMAGE)
    heads = {
        f"head_{i}": jax.ShapeDtypeStruct((stage[-1].features,), jnp.float32)
        for i, stage in enumerate(module.stages)
    }
    return module, {**shapes, "heads": heads}


def convert(architecture: str, tensors: Mapping[str, np.ndarray]) -> tuple[perceptual.Trunk, dict]:
    """Make our trunk and the variables of the distance.

    Args:
      architecture: "lpips_alexnet" or "lpips_vgg16".
      tensors: arrays by name, of any floating dtype.

    Returns:
      (module, {"params": convolutions, "heads": weights [C] of each map}) in float32.

    Raises:
      WrongTensors: if names or shapes are not exactly those of the network, or a head has a negative weight.
    """
    make, prefix = _TRUNKS[architecture]
    module = make()
    ours = shapes_of(module, _IMAGE)
    names = {path: path.replace("params/", f"{prefix}/").replace("conv_", "Conv_") for path in ours}
    widths = {f"NetLinLayer_{i}/Conv_0/kernel": stage[-1].features for i, stage in enumerate(module.stages)}
    shapes = {names[path]: a.shape for path, a in ours.items()}
    check_tensors(tensors, shapes | {name: (1, 1, width, 1) for name, width in widths.items()})
    for name in widths:
        if np.min(tensors[name]) < 0:
            raise WrongTensors(
                f"checkpoint: {name} must be 0 or more; its least is {np.min(tensors[name]):g}"
            )
    read = lambda name: jnp.asarray(tensors[name], jnp.float32)
    heads = {f"head_{i}": read(name).reshape(-1) for i, name in enumerate(widths)}
    params = unflatten_dict({path: read(name) for path, name in names.items()}, sep="/")
    return module, {**params, "heads": heads}

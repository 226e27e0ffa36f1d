"""The published InceptionV3 of FID and ours: parameters one to one.

theirs                                ours
Mixed_5b.branch1x1.conv.weight        params/Mixed_5b/branch1x1/conv/kernel
Mixed_5b.branch1x1.bn.weight, .bias   params/Mixed_5b/branch1x1/bn/scale, bias
Mixed_5b.branch1x1.bn.running_mean    batch_stats/Mixed_5b/branch1x1/bn/mean
fc.weight, fc.bias                    params/fc/kernel, params/fc_bias

convolution [out, in, h, w]           [h, w, in, out]
linear [out, in]                      [in, out]
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from diffjax.models.inception import InceptionV3
from diffjax.pretrained.files import check_tensors, shapes_of
from diffjax.pretrained.layers import kernel

_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def convert(tensors: Mapping[str, np.ndarray]) -> tuple[InceptionV3, dict]:
    """Make our network and its variables from the published PyTorch ones.

    Args:
      tensors: the state dict of `weights-inception-2015-12-05-6726825d.pth` (torch-fidelity) or
        `pt_inception-2015-12-05-6726825d.pth` (pytorch-fid), as numpy arrays. Counts of batches, which some
        files have, are left out.

    Returns:
      (module, {"params": ..., "batch_stats": ...}) in float32.

    Raises:
      ValueError: if names or shapes are not exactly those of the network.
    """
    module = InceptionV3()
    tensors = {name: a for name, a in tensors.items() if not name.endswith(".num_batches_tracked")}
    image = jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.uint8)
    ours = shapes_of(module, image)
    check_tensors(tensors, {_name(path): _their_shape(a.shape) for path, a in ours.items()})
    converted = {path: jnp.asarray(kernel(tensors[_name(path)]), jnp.float32) for path in ours}
    return module, unflatten_dict(converted, sep="/")


def _name(path: str) -> str:
    _, *layers, leaf = path.replace("fc_bias", "fc/bias").split("/")
    return ".".join([*layers, _LEAVES.get(leaf, leaf)])


def _their_shape(shape):
    return (*reversed(shape[-2:]), *shape[:-2])  # [h, w, in, out], [in, out] or [C]

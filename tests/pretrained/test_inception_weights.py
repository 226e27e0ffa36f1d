"""The published InceptionV3 of FID: its names and shapes, and torch-fidelity's module on random weights."""

import jax
import numpy as np
import pytest
from inception_weights import random_tensors
from reference import load

from diffjax import pretrained
from diffjax.pretrained import inception

SHAPES = load("inception_v3_fid")[1]["shapes"]


def empty(**changes):
    """Tensors of the published names and shapes that take no memory; None leaves one out."""
    shapes = {name: shape for name, shape in {**SHAPES, **changes}.items() if shape is not None}
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


def test_counts_of_batches_are_left_out():
    _, variables = inception.convert(empty(**{"Mixed_5b.branch1x1.bn.num_batches_tracked": ()}))
    assert sum(a.size for a in jax.tree.leaves(variables)) == sum(a.size for a in empty().values())


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"fc.bias": None}, r"1 missing \(fc\.bias\)"),
        ({"AuxLogits.fc.bias": (1000,)}, r"1 left over \(AuxLogits\.fc\.bias\)"),
        ({"fc.weight": (1000, 2048)}, r"fc\.weight must have shape \(1008, 2048\) .*; got \(1000, 2048\)"),
    ],
)
def test_another_network_is_refused(changes, message):
    with pytest.raises(ValueError, match=f"checkpoint: .*{message}"):
        inception.convert(empty(**changes))


def test_a_config_is_refused(tmp_path):
    with pytest.raises(ValueError, match="config: inception_v3_fid takes none"):
        pretrained.load(tmp_path, "inception_v3_fid", {})


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Our compiled network and torch-fidelity's, which read the same file."""
    torch = pytest.importorskip("torch", reason="needs torch")
    reason = "needs torch-fidelity"
    theirs = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason=reason)
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    tensors = random_tensors(SHAPES, seed=1)
    torch.save({name: torch.from_numpy(a) for name, a in tensors.items()}, path)
    names = ["2048", "logits", "logits_unbiased"]
    network = theirs.FeatureExtractorInceptionV3("inception", names, feature_extractor_weights_path=str(path))
    module, variables = pretrained.load(path, "inception_v3_fid")
    apply = jax.jit(module.apply)
    return lambda x: apply(variables, x), lambda x: network(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (33, 47), (299, 299), (320, 311)])
def test_outputs_equal_torch_fidelity(both, size):
    ours, theirs = both
    x = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    x[1] //= 4
    for a, b in zip(ours(x), theirs(x)):
        np.testing.assert_allclose(a, b.numpy(), rtol=0, atol=1e-4 * b.numpy().std())

"""Fréchet distance, KID and inception score against torch-fidelity's formulas on the same features."""

import numpy as np
import pytest
import scipy.special

from diffjax.evaluation.frechet import frechet_distance
from diffjax.evaluation.inception_score import inception_score
from diffjax.evaluation.kid import kernel_distance

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("torch_fidelity", reason="needs torch-fidelity")


@pytest.fixture(scope="module")
def features():
    """Rectified, correlated and shifted, as those of a network."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((20, 20))
    draw = lambda shift: np.maximum(rng.standard_normal((300, 20)) @ mixing + shift, 0)
    return draw(0.0), draw(0.5)


def test_frechet_distance(features):
    from torch_fidelity import metric_fid

    statistics = [metric_fid.fid_features_to_statistics(torch.from_numpy(each)) for each in features]
    theirs = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
    np.testing.assert_allclose(frechet_distance(*features), theirs["frechet_inception_distance"], rtol=1e-8)


def test_kernel_distance(features):
    """One subset of all examples: nothing is left to chance. Theirs uses its default kernel."""
    from torch_fidelity import defaults, metric_kid

    assert (defaults.DEFAULTS["kid_subsets"], defaults.DEFAULTS["kid_subset_size"]) == (100, 1000)

    theirs = metric_kid.kid_features_to_metric(
        *(torch.from_numpy(each) for each in features), kid_subsets=1, kid_subset_size=300, verbose=False
    )
    ours, _ = kernel_distance(*features, np.random.default_rng(0), subsets=1, size=300)
    np.testing.assert_allclose(ours, theirs["kernel_inception_distance_mean"], rtol=1e-10)


def test_inception_score(features):
    from torch_fidelity import metric_isc

    theirs = metric_isc.isc_features_to_metric(torch.from_numpy(features[0]), splits=1, shuffle=False)
    ours = inception_score(scipy.special.softmax(features[0], axis=1))
    np.testing.assert_allclose(ours, theirs["inception_score_mean"], rtol=1e-10)

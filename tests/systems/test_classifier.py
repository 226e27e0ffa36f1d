"""The noisy classifier: its loss and gradient against the exact one, and what is measured of it by level."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest
from systems import tools

from diffjax import guidance, systems
from diffjax.evaluation import by_level
from diffjax.process import schedules
from diffjax.systems.classifier import classifier

CHAIN = schedules.linear_beta(100, 1e-3, 0.1)
MODES = mixtures.tilted()
N, CLASSES = 4000, 2


class Bayes(nn.Module):
    """The exact classifier's logits as a network; `heat` is its parameter, 0 where it is exact."""

    @nn.compact
    def __call__(self, x, t, cond=None, train=False):
        heat = self.param("heat", nn.initializers.zeros, ())
        return (1 + heat) * MODES.class_log_prob(x, CHAIN(t))


@pytest.fixture(scope="module")
def exact():
    return classifier(
        Bayes(), CHAIN, shape=(2,), num_classes=CLASSES, levels=(1, 10, 50, 100), truth=MODES.class_log_prob
    )


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    component = rng.choice(len(MODES.weights), size=N, p=MODES.weights)
    roots = np.linalg.cholesky(MODES.covariances)[component]
    x = MODES.means[component] + np.einsum("nij,nj->ni", roots, rng.standard_normal((N, 2)))
    return {"x": jnp.asarray(x, jnp.float32), "label": jnp.asarray(MODES.labels[component], jnp.int32)}


def test_the_exact_classifier_is_where_the_loss_is_least(exact, batch):
    at = lambda heat: tools.variables(exact, network={"heat": jnp.asarray(heat)})
    run = lambda heat: tools.gradients(exact, at(heat), jax.random.key(1), batch)
    grads, _, metrics = run(0.0)
    assert abs(grads["network"]["heat"]) < 4 / np.sqrt(N)  # |log p_y - E_p log p| is 1 at the most, about
    assert run(0.5)[2]["loss"] > metrics["loss"] < run(-0.5)[2]["loss"]
    assert metrics["accuracy"] > 0.7


def test_the_exact_classifier_has_no_excess(exact, batch):
    measure = exact.measures["by_level"]
    found = jax.jit(measure)(tools.variables(exact), jax.random.key(2), batch)
    assert found["log_prob"].shape == (N, 4, CLASSES)
    levels = by_level.of_levels(found, measure.how, np.asarray(batch["label"]))
    for level in levels:
        assert level["nll"] == pytest.approx(level["bayes_nll"], abs=1e-6)
        assert level["accuracy"] == level["bayes_accuracy"] and level["calibration_error"] < 0.05
    assert [level["t"] for level in levels] == [1, 10, 50, 100]
    assert levels[0]["accuracy"] > levels[-1]["accuracy"] > 0.65  # near the larger class's share at last


def test_its_slope_is_the_difference_of_scores(exact, batch):
    """grad log p(y | x_t) = grad log p(x_t | y) - grad log p(x_t)."""
    log_prob, level = exact.log_prob(tools.variables(exact)), CHAIN(30)
    slope = jax.jit(lambda x, label: guidance.gradient_of(log_prob)(x, level, label))
    scores = jax.jit(lambda x, label: MODES.score(x, level, label) - MODES.score(x, level))
    x, label = batch["x"][::500], batch["label"][::500]
    np.testing.assert_allclose(slope(x, label), scores(x, label), atol=2e-4)
    for nothing in (CLASSES, -1):
        assert not np.any(slope(x, jnp.full_like(label, nothing)))


def test_scores_are_those_of_plain_numpy():
    rng = np.random.default_rng(0)
    logits, label = 2 * rng.standard_normal((500, 3, 4)), rng.integers(4, size=500)
    log_prob = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    found = by_level.of_levels({"log_prob": log_prob}, {"t": [1, 2, 3]}, label)
    for i, level in enumerate(found):
        p = np.exp(log_prob[:, i])
        hit = p.argmax(1) == label
        error = 0.0
        for b in range(15):
            inside = (p.max(1) > b / 15) & (p.max(1) <= (b + 1) / 15)
            if inside.any():
                error += inside.mean() * abs(hit[inside].mean() - p.max(1)[inside].mean())
        expected = {"accuracy": hit.mean(), "nll": -np.log(p[np.arange(500), label]).mean()}
        expected |= {"t": i + 1, "calibration_error": error, "standard_error": hit.std() / np.sqrt(500)}
        assert level == pytest.approx(expected)


@pytest.mark.parametrize(("hits", "error"), [(3, 0.0), (4, 0.25), (0, 0.75)])
def test_calibration_is_what_confidence_promises(hits, error):
    assert by_level.calibration_error(np.full(4, 0.75), 1.0 * (np.arange(4) < hits)) == pytest.approx(error)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.out_features": 7}, r"model must give logits \[B, 8\], .*; got shape \[B, 7\]"),
        ({"model.num_classes": 8}, "model.num_classes is not for system 'classifier'"),
        ({"data.num_classes": None}, "config.data.num_classes is missing"),
        ({"levels": {"steps": 0}}, "levels: steps must be an integer of at least 1"),
        ({"levels": {"grid": "kaaras"}}, "levels: grid must be one of"),
        ({"objective.kind": "v"}, "objective.kind is not an option of classifier"),
    ],
)
def test_what_is_no_classifier_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        systems.build(tools.tiny("toys/classifier", **changes))

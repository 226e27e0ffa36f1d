"""The judge: accurate on digits it has not seen, the same at every training, indifferent to batches."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diffjax import commands, data
from diffjax.classifier import train
from diffjax.evaluation import classifier
from diffjax.models.classifier import ConvClassifier

ROOT = pathlib.Path(__file__).parents[2]


def test_accurate_on_held_out_digits(judge, digits):
    test = digits[1]
    assert judge.accuracy >= 0.95
    assert judge.accuracy == np.mean(judge.predict(test.x) == test.label)


@pytest.mark.slow
def test_same_seed_same_parameters(digits):
    source = data.Source(digits[0].x[:200], digits[0].label[:200], 10)
    first, again, other = (classifier.fit(source, seed=seed, num_steps=5) for seed in (3, 3, 4))
    assert first.accuracy is None
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)
    assert not np.array_equal(jax.tree.leaves(first.params)[-1], jax.tree.leaves(other.params)[-1])


def test_it_trains_as_a_plain_loop_does_bit_for_bit(digits):
    """Adam on a cosine, rows and shifts from the key of each step: written out once more."""
    source = data.Source(digits[0].x[:64], digits[0].label[:64], 10)
    module, key = ConvClassifier(10), jax.random.key(3)
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, 3))

    @jax.jit
    def step(params, moments, key, images, labels):
        key_batch, key_shift, key_dropout = jax.random.split(key, 3)
        chosen = jax.random.randint(key_batch, (128,), 0, len(images))
        x = images[chosen].astype(jnp.float32) / 127.5 - 1
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        corners = jax.random.randint(key_shift, (len(x), 2), 0, 3)
        crop = lambda image, corner: jax.lax.dynamic_slice(image, (*corner, 0), x.shape[1:])
        shifted = jax.vmap(crop)(padded, corners)

        def loss(params):
            logits, _ = module.apply(params, shifted, train=True, rngs={"dropout": key_dropout})
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels[chosen]).mean()

        updates, moments = optimizer.update(jax.grad(loss)(params), moments, params)
        return optax.apply_updates(params, updates), moments

    params = jax.jit(module.init)(jax.random.fold_in(key, 3), data.to_model(source.x[:1]))
    moments = optimizer.init(params)
    images, labels = jnp.asarray(source.x), jnp.asarray(source.label)
    for i in range(3):
        params, moments = step(params, moments, jax.random.fold_in(key, i), images, labels)
    fitted = classifier.fit(source, seed=3, num_steps=3)
    jax.tree.map(np.testing.assert_array_equal, fitted.params, params)


def test_a_judge_of_other_images_or_classes_is_refused(judge, digits):
    classifier.check(judge, digits[0])
    colours = data.Source(np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2, np.int32), 10, "colours")
    with pytest.raises(ValueError, match=r"does not take images \[8, 8, 3\] of colours"):
        classifier.check(judge, colours)
    fewer = data.Source(digits[0].x[:2], np.zeros(2, np.int32), 3, "fewer")
    with pytest.raises(ValueError, match="knows 10 classes, and fewer has 3"):
        classifier.check(judge, fewer)


def test_features_and_probabilities(judge, digits):
    images = digits[0].x
    features, probabilities = judge.features(images), judge.probabilities(images[:700])
    assert features.shape == (len(images), 64) and (features >= 0).all()
    np.testing.assert_allclose(np.mean(np.square(features)), 1, rtol=1e-4)
    assert (features.max(axis=0) > 0).mean() > 0.9  # alive
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), judge.predict(images[:700]))
    np.testing.assert_allclose(judge.features(images[520:523]), features[520:523], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (9, 64, 3)])
def test_any_size(shape):
    module, x = ConvClassifier(7, features=16, channels=4), np.zeros((2, *shape), np.float32)
    logits, features = jax.eval_shape(lambda: module.apply(module.init(jax.random.key(0), x), x))
    assert logits.shape == (2, 7) and features.shape == (2, 16)


def test_what_cannot_be_classified(digits):
    with pytest.raises(ValueError, match=r"at least 8 x 8; got shape \[1, 7, 8, 1\]"):
        ConvClassifier(2).init(jax.random.key(0), np.zeros((1, 7, 8, 1), np.float32))
    for source in (data.Source(digits[0].x[:3], name="plain"), data.load("ring8", num_examples=3)):
        with pytest.raises(ValueError, match="labelled images"):
            classifier.fit(source)


def test_a_file_holds_the_same_classifier_in_the_same_bytes(tmp_path, digits, judge):
    path = classifier.save(judge, tmp_path / "folder" / "judge.npz")
    again = classifier.load(path)
    assert again.accuracy == judge.accuracy and again.scale == judge.scale
    np.testing.assert_array_equal(again.features(digits[1].x), judge.features(digits[1].x))
    assert classifier.save(again, tmp_path / "again.npz").read_bytes() == path.read_bytes()
    assert sorted(each.name for each in tmp_path.rglob("*.npz")) == ["again.npz", "judge.npz"]
    (tmp_path / "not.npz").write_bytes(b"PK no classifier")
    with pytest.raises(ValueError, match=r"not\.npz does not hold a classifier"):
        classifier.load(tmp_path / "not.npz")
    with pytest.raises(ValueError, match=r"none\.npz, which does not exist"):
        classifier.load(tmp_path / "none.npz")


@pytest.mark.slow
def test_the_command_trains_and_writes_the_same_file_twice(tmp_path):
    config = commands.config_module(ROOT / "configs/digits/ddpm.py").get_config()
    first, again = (train(config, tmp_path / name / "judge.npz", num_steps=20) for name in ("a", "b"))
    assert 0.2 < first.accuracy == again.accuracy < 1
    assert (tmp_path / "a/judge.npz").read_bytes() == (tmp_path / "b/judge.npz").read_bytes()
    assert classifier.load(tmp_path / "a/judge.npz").accuracy == first.accuracy


def test_a_file_that_cannot_be_written_is_refused_before_training(tmp_path):
    config = commands.config_module(ROOT / "configs/digits/ddpm.py").get_config()
    with pytest.raises(ValueError, match=r"out must be an \.npz file, got 'judge'"):
        train(config, "judge")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"out .*file cannot be written"):
        train(config, tmp_path / "file" / "judge.npz")

"""What a variational autoencoder promises beside what every system does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from systems.tools import tiny, variables

from diffjax import systems
from diffjax.likelihoods import observed
from diffjax.models.ladder import Ladder
from diffjax.systems import vae

SMALL = {
    "plain": Ladder((3, 2), 2, (4,), 8),
    "ladder of points": Ladder((2,), 2, (2, 3, 1), 8, depth=2),
    "ladder of images": Ladder((8, 4, 1), 1, (2, 3), 8, convolutional=True),
}


def _normal(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("f")


@pytest.mark.parametrize("name", SMALL)
def test_both_ways_down_are_one_at_the_start(name):
    """Posterior and prior are equal until they are trained: the code says nothing, at no cost."""
    module = SMALL[name]
    x, z = _normal(5, *module.shape), [_normal(5, *shape) for shape in module.latent_shapes]
    params, apply = jax.jit(module.init)(jax.random.key(0), x, z), jax.jit(module.apply)
    numbers, levels = apply(params, x, z)
    assert numbers.shape == (5, *module.shape, module.outputs) and len(levels) == len(module.latents)
    for (posterior, prior, drawn), shape in zip(levels, reversed(module.latent_shapes)):
        np.testing.assert_array_equal(posterior, prior)
        assert drawn.shape == (5, *shape)
    decode = jax.jit(lambda p, z: module.apply(p, z, method="decode"))
    np.testing.assert_allclose(decode(params, z), numbers, rtol=1e-5, atol=1e-6)
    moved = jax.tree.map(lambda p: p + 0.1 * _normal(*p.shape), jax.device_get(params))
    apart = [apply(moved, each, z)[0] for each in (x, x + 1)]
    assert np.abs(apart[0] - apart[1]).max() > 1e-3  # x is seen


def test_training_finds_the_deviation_of_gaussian_data_and_pays_for_no_code():
    """N(0, I) needs no code: the rate goes to 0 and the loss to the entropy of the data."""
    system = vae.vae(Ladder((2,), 2, (2,), 16), observed.gaussian(), gives="points", noise=True)
    v, entropy = variables(system), 0.5 * np.log(2 * np.pi * np.e)
    rate = 3e-2

    @jax.jit
    def step(v, key):
        x = jax.random.normal(jax.random.fold_in(key, 1), (1024, 2))
        grads, _, metrics = system.updates[0].gradients(v, key, {"x": x}, 0)
        moved = jax.tree.map(lambda p, g: p - rate * g, v.params, grads)
        return v._replace(params=moved), metrics

    for i in range(300):
        v, metrics = step(v, jax.random.fold_in(jax.random.key(0), i))
    assert float(metrics["rate"]) < 0.05 and abs(float(metrics["loss"]) - entropy) < 0.06
    drawn = system.sample(v, jax.random.key(1), {}, 2000)
    np.testing.assert_allclose(drawn.std(0), 1, atol=0.1)


def test_more_draws_bound_more_tightly():
    system = vae.vae(SMALL["plain"], observed.discretized_logistic(), importance_samples=256)
    v = variables(system)
    moved = v._replace(
        params=jax.tree.map(lambda p: p + 0.2 * jnp.cos(jnp.arange(p.size)).reshape(p.shape), v.params)
    )
    x = jnp.tile(jnp.linspace(-1, 1, 6).reshape(1, 3, 2), (200, 1, 1))
    measures = map(jax.jit, system.measures.values())
    bound, tighter = (measure(moved, jax.random.key(0), {"x": x}) for measure in measures)
    assert tighter["bits_per_dim"].mean() < bound["bits_per_dim"].mean() - 0.05
    np.testing.assert_allclose(
        bound["bits_per_dim"], (bound["distortion"] + bound["rate"]) / (6 * np.log(2)), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("path", "changes", "message"),
    [
        (
            "toys/vae",
            {"objective.likelihood": "bernoulli"},
            "objective.likelihood must be 'gaussian' for points",
        ),
        (
            "toys/vae",
            {"objective.likelihood": "normal"},
            "objective.likelihood must be one of gaussian, bern",
        ),
        ("toys/vae", {"objective.beta": -1.0}, "objective.beta must be a number"),
        ("toys/vae", {"objective.warmup": 1.5}, "objective.warmup must be an integer of at least 0, got 1.5"),
        ("toys/vae", {"model.latents": ()}, "model: latents must name the channels of one level at least"),
        ("toys/vae", {"model.latents": (0,)}, "model: latents must be a positive integer, got 0"),
        ("toys/vae", {"model.depth": -1}, "model: depth must be an integer of at least 0, got -1"),
        ("toys/vae", {"model.width": 3}, "model.width is not an option of Ladder"),
        ("toys/vae", {"sampler.noise": 3}, "sampler: noise must be True or False, got 3"),
        ("toys/vae", {"model.num_classes": 3}, "model.num_classes is not for system 'vae'"),
        ("digits/vae", {"model.convolutional": True, "model.latents": (1, 1, 1, 1)}, "model: "),
    ],
)
def test_what_does_not_fit_is_refused_by_name(path, changes, message):
    own = tiny(path)
    for field, value in changes.items():
        section, _, key = field.partition(".")
        own[section] = ConfigDict({**own[section].to_dict(), key: value})
    with pytest.raises(ValueError) as error:
        systems.build(own)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_a_network_for_another_likelihood_is_refused():
    with pytest.raises(ValueError, match=r"module\.outputs must be 1, as the likelihood takes; got 2"):
        vae.vae(SMALL["plain"], observed.bernoulli())

"""unCLIP's priors: of Gaussian embeddings in closed form, the better of two, and codes of components."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import samplers
from diffjax.keys import fold_each, per_sample
from diffjax.models import Condition
from diffjax.models.prior import CodePrior
from diffjax.process import prediction, schedules
from diffjax.systems import ddpm, prior, read, requests
from diffjax.training.system import Part, Variables

# A picture's embedding z of a text's y is N(M y, C), in 3 dimensions.
RNG = np.random.default_rng(0)
M, ROOT = RNG.standard_normal((3, 3)) / 2, RNG.standard_normal((3, 3)) / 3
C, SCHEDULE, N = ROOT @ ROOT.T + 0.05 * np.eye(3), schedules.cosine_beta(1000), 3000
Y = np.array([0.6, -0.8, 0.0], "f")


class Exact(nn.Module):
    """E[z | z_t, y] of what is modelled, sqrt(3) z; the condition's vector is y."""

    vector_features: int = 3

    @nn.compact
    def __call__(self, x, t, cond=None, train=False):
        self.param("none", nn.initializers.zeros, ())
        said = jnp.zeros((len(x), 3)) if cond is None else cond.vector
        level, mean = SCHEDULE(t[0]), np.sqrt(3) * said @ M.T
        gain = level.alpha * 3 * C @ jnp.linalg.inv(level.alpha**2 * 3 * C + level.sigma**2 * np.eye(3))
        return mean + (x - level.alpha * mean) @ gain.T


class AsItIs(nn.Module):
    @nn.compact
    def __call__(self, value, keep=None):
        self.param("none", nn.initializers.zeros, ())
        return Condition(vector=value)


def _said():
    rows = lambda n: {"": np.broadcast_to(Y, (n, 3))}
    of_batch = lambda key, batch: {"": batch["said"]}
    part = requests.Asked({"": Part((3,))}, AsItIs(), of_batch, lambda given, n: rows(n), rows, rows)
    return requests.of_parts({"said": part})


def _sampled(tries, keys):
    times = samplers.grids.distinct(samplers.grids.quadratic(60, 0.0, 1000.0))
    sampler = read.Sampler(samplers.dpm_solver_pp(2), times, 0.0, None, 1)
    reading = prediction.reading("x0")
    inner = ddpm.ddpm(Exact(), SCHEDULE, sampler, shape=(3,), reading=reading, requests=_said())
    system = prior.best_of(inner, (3,), tries)
    v = Variables(system.init(jax.random.key(0), {}, {})[0])
    assert system.gives == "embeddings" and system.passes[0].calls == {"network": tries}
    sample = jax.jit(system.sample, static_argnums=3)
    return np.asarray(sample(v, keys, system.request.default(N), N))


def test_samples_are_of_the_gaussian_and_the_better_of_two_is_nearer_to_the_text():
    keys = per_sample(jax.random.key(1), N)
    z = _sampled(1, keys)
    white = np.linalg.solve(np.linalg.cholesky(C), (z - M @ Y).T)
    assert np.abs(white.mean(1)).max() < 5 / np.sqrt(N) + 0.02
    np.testing.assert_allclose(white @ white.T / N, np.eye(3), atol=5 * np.sqrt(2 / N) + 0.03)
    each = [_sampled(1, fold_each(keys, i)) for i in range(2)]
    near = lambda z: z @ Y / np.linalg.norm(z, axis=1)
    best = np.where((near(each[0]) >= near(each[1]))[:, None], *each)
    np.testing.assert_allclose(_sampled(2, keys), best, rtol=1e-3, atol=1e-4)


def test_several_tries_need_what_is_said():
    with pytest.raises(ValueError, match=r"sampler\.tries=2 needs conditions\.said, embeddings of texts"):
        times = np.array([1000.0, 0.0])
        sampler = read.Sampler(samplers.ddim(), times, 0.0, None, 1)
        inner = ddpm.ddpm(Exact(), SCHEDULE, sampler, shape=(3,), reading=prediction.reading("x0"))
        prior.best_of(inner, (3,), 2)


def test_what_is_said_is_asked_for_where_it_decides():
    times = np.array([1000.0, 0.0])
    sampler = read.Sampler(samplers.ddim(), times, 0.0, None, 1)
    reading = prediction.reading("x0")
    words = requests.Asked(
        {"": Part((3,))}, AsItIs(), None, lambda given, n: {"": np.ones((n, 3))}, None, None
    )
    both = requests.of_parts({"said": words, "text": words})
    inner = ddpm.ddpm(Exact(), SCHEDULE, sampler, shape=(3,), reading=reading, requests=both)
    request = prior.best_of(inner, (3,), 2).request
    assert set(request.of_user({"said": [Y], "text": [Y]}, 2)) == {"said", "text"}
    with pytest.raises(ValueError, match=r"said must be given: sampler\.tries=2 takes the nearest to it"):
        request.of_user({"text": [Y]}, 2)


def test_components_are_the_principal_ones_and_codes_are_their_steps():
    z = RNG.standard_normal((500, 3)) @ ROOT + 0.3
    basis = prior.basis_of(z, 3, 200)
    spread = basis["axes"] @ np.cov(z.T) @ basis["axes"].T
    np.testing.assert_allclose(spread, np.diag(np.diag(spread)), atol=1e-5)
    assert (np.diff(np.diag(spread)) < 0).all()
    np.testing.assert_allclose(basis["axes"] @ basis["axes"].T, np.eye(3), atol=1e-6)
    codes = prior.to_codes(basis, jnp.asarray(z, "float32"), 200)
    assert codes.min() == 0 and codes.max() == 199
    gone = (np.asarray(prior.of_steps(basis, codes)) - z) @ basis["axes"].T
    assert (np.abs(gone) <= 0.5 * basis["step"] + 1e-5).all()


def test_a_code_depends_on_those_before_it_alone():
    module = CodePrior(4, 5, width=8, depth=1, num_heads=2)
    codes = jnp.array([[1, 2, 3, 4], [1, 2, 0, 1]])
    v = jax.jit(module.init)(jax.random.key(0), codes)
    v = jax.tree.map(lambda leaf: leaf + 0.3 * RNG.standard_normal(leaf.shape).astype("f"), v)
    one, other = jax.jit(module.apply)(v, codes)
    np.testing.assert_allclose(one[:3], other[:3], rtol=1e-5, atol=1e-5)
    assert np.abs(one[3] - other[3]).max() > 1e-3


def test_codes_are_drawn_by_their_probabilities():
    """Of a network that knows nothing yet, every step of every component alike."""
    system = prior.of_codes(CodePrior(2, 4, width=3, depth=1, num_heads=1), (3,), _said())
    basis = prior.basis_of(RNG.standard_normal((50, 3)), 2, 4)
    params, _ = jax.jit(system.init)(jax.random.key(0), {}, {})
    v = Variables(params, {}, {"basis": basis})
    z = jax.jit(system.sample, static_argnums=3)(v, jax.random.key(2), system.request.default(N), N)
    counts = np.bincount(np.asarray(prior.to_codes(basis, z, 4)) @ np.array([4, 1]), minlength=16)
    assert np.abs(counts / N - 1 / 16).max() < 5 * np.sqrt(1 / 16 / N)
    batch = {"x": np.sqrt(3) * z[:8], "said": np.zeros((8, 3), "f")}
    grads, _, metrics = jax.jit(system.updates[0].gradients)(v, jax.random.key(3), batch, 0)
    np.testing.assert_allclose(metrics["loss"], np.log(4), rtol=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))

"""Cascades: of a Gaussian in closed form, where every stage is exact, and what is refused before they run."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from diffjax import samplers
from diffjax.keys import fold_each, per_sample
from diffjax.models.encoders import resized
from diffjax.process import prediction, schedules
from diffjax.systems import cascade, ddpm, read, requests, small_pictures
from diffjax.systems.about import About
from diffjax.systems.cascade import Augmentation
from diffjax.systems.stages import Stage
from diffjax.training.system import Variables

# Large pictures x of 4x4 are N(0, S); small ones y = A x, of 2x2, are means of their pixels.
RNG = np.random.default_rng(0)
ROOT = 0.05 * RNG.standard_normal((16, 16)) + 0.05
S = ROOT @ ROOT.T / 4 + 0.01 * np.eye(16)  # of so little spread that no picture has to be cut to [-1, 1]
A = np.asarray(resized(np.eye(16, dtype="f").reshape(16, 4, 4, 1), (2, 2))).reshape(16, 4).T
UP = np.asarray(resized(np.eye(4, dtype="f").reshape(4, 2, 2, 1), (4, 4))).reshape(4, 16).T
SCHEDULE, N = schedules.cosine_beta(1000), 3000


class Exact(nn.Module):
    """E[x | x_t, z] of x ~ N(0, S), z = sqrt(1 - s^2) A x + s e; z is read off the map that it becomes."""

    covariance: tuple
    level: float | None = None
    map_channels: int = 0
    vector_features: int = 4

    @nn.compact
    def __call__(self, x, t, cond=None, train=False):
        self.param("none", nn.initializers.zeros, ())
        prior, of_t = jnp.array(self.covariance), SCHEDULE(t[0])  # a walk has one time
        see, spread = of_t.alpha * np.eye(len(prior)), of_t.sigma**2 * np.eye(len(prior))
        told = x.reshape(len(x), -1)
        if self.level is not None:  # both are observations, of independent noise
            z = cond.map.reshape(len(x), -1) @ np.linalg.pinv(UP).T
            see = jnp.concatenate([see, np.sqrt(1 - self.level**2) * A])
            blank, noise = np.zeros((16, 4)), (self.level**2 + 1e-9) * np.eye(4)
            spread = jnp.block([[spread, blank], [blank.T, noise]])
            told = jnp.concatenate([told, z], 1)
        gain = prior @ see.T @ jnp.linalg.inv(see @ prior @ see.T + spread)
        return (told @ gain.T).reshape(x.shape)


def small_of(module, shape):
    about = About("image", module, shape, False, None)
    return small_pictures.low_resolution(about, size=2, augmentation=0.9)


def exact_stage(covariance, shape, level=None, stop=None):
    module = Exact(tuple(map(tuple, covariance)), level, map_channels=0 if level is None else 1)
    times = samplers.grids.distinct(samplers.grids.quadratic(60, 0.0, 1000.0))
    times = times if stop is None else samplers.grids.until(times, SCHEDULE, stop)
    sampler = read.Sampler(samplers.dpm_solver_pp(2), times, 0.0, None, 1)
    asked = None
    if level is not None:
        asked = requests.of_parts({"image": small_of(module, shape)})
    reading = prediction.reading("x0")
    system = ddpm.ddpm(module, SCHEDULE, sampler, shape=shape, reading=reading, requests=asked)
    params, _ = system.init(jax.random.key(0), system.example, {})
    return Stage(system, lambda folder: Variables(params), lambda: Variables(params))


def both(level, truncated, covariance=A @ S @ A.T):
    """Return what the second stage was told and what it made, of the first stage's exact samples."""
    base = exact_stage(covariance, (2, 2, 1), stop=level if truncated else None)
    stages = {"base": base, "up": exact_stage(S, (4, 4, 1), level)}
    system = cascade.cascade(stages, {"up": Augmentation(level, truncated)})
    variables, keys = Variables(frozen=system.prepare(None)[0]), per_sample(jax.random.key(1), N)

    @jax.jit
    def run(variables, keys, request):
        made = {}
        for each in system.passes:
            made[each.name] = each.run(variables, keys, request, made)
        hand = cascade.hand_on("up", stages["up"].system, "base", base.system, Augmentation(level, truncated))
        told = hand(fold_each(keys, 1001), made, request["up"])
        own = {suffix: told[f"image{suffix}"] for suffix in ("", "_level", "_seed", "_noised")}
        return small_of(Exact(()), (4, 4, 1)).value(own)[0].picture, made["up/walk"]

    z, x = run(variables, keys, system.request.default(N))
    return np.asarray(z).reshape(N, 4), np.asarray(x).reshape(N, 16)


def joint(level, covariance=A @ S @ A.T):
    """Return the covariance of z and x: z of a base of this covariance, x of the exact posterior given z."""
    kept, noise = np.sqrt(1 - level**2), level**2 * np.eye(4)
    right, told = (kept**2 * each + noise for each in (A @ S @ A.T, covariance))
    gain = kept * S @ A.T @ np.linalg.inv(right)
    return np.block([[told, told @ gain.T], [gain @ told, S + gain @ (told - right) @ gain.T]])


def require_law(z, x, law):
    given = np.concatenate([z, x], 1)
    root = np.linalg.cholesky(law + 1e-3 * np.eye(20))  # without noise z follows from x
    white = np.linalg.solve(root, given.T + np.sqrt(1e-3) * RNG.standard_normal(given.T.shape))
    # each entry of N samples' covariance is within 5 standard errors, and the solver's own error
    np.testing.assert_allclose(white @ white.T / N, np.eye(20), atol=5 * np.sqrt(2 / N) + 0.02)
    assert np.abs(white.mean(1)).max() < 5 / np.sqrt(N)


@pytest.mark.parametrize(("level", "truncated"), [(0.5, False), (0.5, True), (0.0, False)])
def test_truncated_or_not_the_joint_law_is_that_of_the_data(level, truncated):
    """E22: z = sqrt(1 - s^2) A x + s e and x have one joint law, both ways; s = 0 is no augmentation."""
    require_law(*both(level, truncated), joint(level))


def divergence(covariance, other):
    """Return KL(N(0, covariance) || N(0, other)) in nats."""
    ratio = np.linalg.solve(other, covariance)
    return 0.5 * (np.trace(ratio) - len(ratio) - np.linalg.slogdet(ratio)[1])


@pytest.mark.parametrize("truncated", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_fault_of_a_base_is_less_the_more_noise_it_is_handed_on_with(truncated):
    """A base of the data's spectrum along other axes, below a second stage that is exact.

    The joint law of z and x is off by as much as that of z, as x is made of z alone; and z with more noise is
    made of z with less, so that it cannot be off by more: KL falls with the level, to 0.
    """
    axes = np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0]
    wrong = axes @ np.diag(np.linalg.eigvalsh(A @ S @ A.T)) @ axes.T
    theory = [divergence(joint(s, wrong), joint(s)) for s in np.linspace(0.05, 0.95, 19)]
    assert (np.diff(theory) < 0).all() and theory[-1] < 1e-4
    levels, found = (0.1, 0.3) if not truncated else (0.1, 0.2, 0.3), []
    for level in levels:
        z, x = both(level, truncated, wrong)
        require_law(z, x, joint(level, wrong))
        found.append(divergence(np.cov(z.T), joint(level)[:4, :4]))
        np.testing.assert_allclose(found[-1], divergence(joint(level, wrong), joint(level)), rtol=0.2)
    assert (np.diff(found) < 0).all()


def test_one_walk_of_the_exact_denoiser_is_the_exact_posterior():
    """Of one small picture: the mean and the covariance of x given z, in closed form."""
    level = 0.4
    system = exact_stage(S, (4, 4, 1), level)
    v, z = system.read(None), np.array([0.5, -0.2, 0.1, 0.6], "f") / 3
    asked = {"image": jnp.broadcast_to(z.reshape(2, 2, 1), (N, 2, 2, 1)), "image_level": jnp.full(N, level)}
    asked |= {"image_seed": jnp.zeros(N, jnp.uint32), "image_noised": jnp.ones(N, bool)}
    sample = jax.jit(system.system.sample, static_argnums=3)
    x = np.asarray(sample(v, jax.random.key(2), asked, N)).reshape(N, 16)
    keep = np.sqrt(1 - level**2)
    gain = keep * S @ A.T @ np.linalg.inv(keep**2 * A @ S @ A.T + level**2 * np.eye(4))
    mean, spread = gain @ z, S - gain @ (keep * A @ S)
    white = np.linalg.solve(np.linalg.cholesky(spread), (x - mean).T)
    assert np.abs(white.mean(1)).max() < 5 / np.sqrt(N) + 0.02
    np.testing.assert_allclose(white @ white.T / N, np.eye(16), atol=5 * np.sqrt(2 / N) + 0.02)


def test_a_sample_depends_on_its_key_alone():
    stages = {"base": exact_stage(A @ S @ A.T, (2, 2, 1)), "up": exact_stage(S, (4, 4, 1), 0.5)}
    system = cascade.cascade(stages, {"up": Augmentation(0.5)})
    v, keys = Variables(frozen=system.prepare(None)[0]), per_sample(jax.random.key(3), 3)
    sample = jax.jit(system.sample, static_argnums=3)
    few = lambda keys: sample(v, keys, system.request.default(len(keys)), len(keys))
    np.testing.assert_allclose(few(keys)[2:], few(keys[2:]), rtol=1e-4, atol=1e-5)


def test_blur_is_a_gaussian_over_three_pixels():
    x = np.zeros((1, 5, 5, 1), "f")
    x[0, 2, 2, 0] = 1
    side = np.exp(-0.5 / 0.6**2) / (1 + 2 * np.exp(-0.5 / 0.6**2))
    line = np.array([0, side, 1 - 2 * side, side, 0])
    found = small_pictures.softened(x, jnp.array([0.6]))[0, ..., 0]
    np.testing.assert_allclose(found, np.outer(line, line), atol=1e-6)
    ones = small_pictures.softened(jnp.ones((2, 3, 3, 1)), jnp.array([0.4, 2.0]))
    np.testing.assert_allclose(ones, 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("level", "truncated", "message"),
    [
        (0.95, False, r"config\.augmentation\.up: image_level must be in \[0, 0\.9\], as it was in training"),
        (0.95, True, r"config\.augmentation\.up: image_level must be in \[0, 0\.9\], as it was in training"),
    ],
)
def test_a_level_that_was_not_trained_is_refused(level, truncated, message):
    stages = {"base": exact_stage(A @ S @ A.T, (2, 2, 1)), "up": exact_stage(S, (4, 4, 1), 0.5)}
    with pytest.raises(ValueError, match=message):
        cascade.cascade(stages, {"up": Augmentation(level, truncated)})


def test_stages_that_do_not_fit_are_refused():
    base, up = exact_stage(A @ S @ A.T, (2, 2, 1)), exact_stage(S, (4, 4, 1), 0.5)
    with pytest.raises(ValueError, match=r"config\.stages must name two runs or more, in order; got base"):
        cascade.cascade({"base": base}, {})
    with pytest.raises(ValueError, match=r"stages\.again must be asked with 'image', a picture; it takes no"):
        cascade.cascade({"base": base, "again": base}, {})
    with pytest.raises(ValueError, match=r"stages\.up takes pictures \(2, 2, 1\), and 'large' makes im"):
        cascade.cascade({"base": base, "large": up, "up": up}, {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"base": {"level": 0.1}}, r"config\.augmentation must be one of up; got 'base'"),
        ({"up": 0.1}, r"config\.augmentation\.up must be a section such as"),
        ({"up": {"level": 1.0}}, r"config\.augmentation\.up: level must be in \[0, 1\), got 1\.0"),
        ({"up": {"truncated": 1}}, r"config\.augmentation\.up: truncated must be True or False, got 1"),
        ({"up": {"levels": 0.1}}, r"config\.augmentation\.up\.levels is not an option"),
    ],
)
def test_values_of_a_config_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        cascade.augmentations(ConfigDict({"augmentation": given}), ["base", "up"])


def test_a_share_of_the_pictures_is_blurred_each_by_a_width_of_its_own():
    """Nothing but training blurs: half of them, between the least width and the most."""
    x = jnp.zeros((400, 5, 5, 1)).at[:, 2, 2].set(1.0)
    y = np.asarray(small_pictures._blur((0.4, 0.6), 0.5)(jax.random.key(0), x))[:, 2, 2, 0]
    least, most = (float(small_pictures.softened(x[:1], jnp.array([w]))[0, 2, 2, 0]) for w in (0.6, 0.4))
    hit = y < 1
    assert abs(hit.mean() - 0.5) < 0.1 and least <= y[hit].min() and y[hit].max() <= most
    assert len(np.unique(y[hit])) > 0.9 * hit.sum()
    for width, share, told in (((0.6, 0.4), 0.5, "blur must be"), ((0.4, 0.6), 2.0, "blur_share must be")):
        with pytest.raises(ValueError, match=told):
            small_pictures._blur(width, share)

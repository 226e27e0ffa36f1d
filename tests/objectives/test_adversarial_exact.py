"""The losses of two players where their laws are known, and the penalties where the slope is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.objectives import adversarial

GRID = np.linspace(-12, 14, 20_001)
NONE = np.full(len(GRID), 1e4)  # a logit whose own term of the loss is exactly 0, so that the other's is seen


def normal(m, s):
    return np.exp(-0.5 * ((GRID - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))


def value(logit, p, q, loss=adversarial.cross_entropy):
    """E_p of the loss's part of data and E_q of that of fakes, by quadrature."""
    data, fakes = loss(jnp.asarray(logit), jnp.asarray(-NONE)), loss(jnp.asarray(NONE), jnp.asarray(logit))
    return np.trapezoid(p * np.asarray(data) + q * np.asarray(fakes), GRID)


def kl(p, q):
    return np.trapezoid(p * np.log(p / q), GRID)


P, Q = 0.3 * normal(-2, 0.8) + 0.7 * normal(1.5, 1.0), normal(0.4, 1.7)


def test_value_at_the_best_discriminator_is_that_of_the_jensen_shannon_divergence(x64):
    """V(D*, G) = -log 4 + 2 JSD(p, q), and no other D reaches it."""
    best = np.log(P / Q)
    middle = 0.5 * (P + Q)
    exact = -np.log(4) + kl(P, middle) + kl(Q, middle)
    np.testing.assert_allclose(-value(best, P, Q), exact, rtol=1e-10)
    np.testing.assert_allclose(-value(0 * best, P, P), -np.log(4), rtol=1e-10)
    assert all(-value(other, P, Q) < exact - 1e-4 for other in (0.9 * best, best + 0.1, 0 * best))


def test_the_best_hinge_is_the_sign_and_gives_the_total_variation(x64):
    """2 - sum |p - q| (Lim & Ye 2017, theorem 1), at D = sign(p - q)."""
    tv = np.trapezoid(np.abs(P - Q), GRID)
    np.testing.assert_allclose(value(np.sign(P - Q), P, Q, adversarial.hinge), 2 - tv, rtol=1e-6)


def test_wasserstein_of_a_shift_is_the_shift(x64):
    """W_1 of N(m, s^2) and N(m + 3, s^2) is 3, by D(x) = x; the sign is that of the critic's loss."""
    x = jnp.asarray(GRID)
    p, q = normal(2, 0.7), normal(-1, 0.7)
    terms = adversarial.wasserstein(x, 0 * x) * p + adversarial.wasserstein(0 * x, x) * q
    np.testing.assert_allclose(np.trapezoid(np.asarray(terms), GRID), -3, rtol=1e-10)


def test_slopes_of_both_generators_losses(x64):
    """Of log(1 - s) it is -s, of -log s it is s - 1, their ratio exp(-D): the same way, not the same size."""
    d = jnp.linspace(-30, 30, 61)
    slope = lambda loss: jax.vmap(jax.grad(lambda one: loss(one[None])[0]))(d)
    saturating, other = slope(adversarial.saturating), slope(adversarial.non_saturating)
    s = 1 / (1 + np.exp(-np.asarray(d)))
    np.testing.assert_allclose(saturating, -s, rtol=1e-12)
    np.testing.assert_allclose(other, -1 / (1 + np.exp(np.asarray(d))), rtol=1e-12)
    np.testing.assert_allclose(other / saturating, np.exp(-np.asarray(d)), rtol=1e-9)


@pytest.mark.parametrize("name", adversarial.GAMES)
def test_players_move_against_each_other(name):
    """D raises itself at data and lowers itself at fakes; G raises it there. Parts of patches are means."""
    game, real, fake = adversarial.GAMES[name], jnp.array([[0.3, -0.4]]), jnp.array([[-0.2, 0.6]])
    at_data, at_fakes = jax.grad(lambda r, f: game.discriminator(r, f)[0], (0, 1))(real, fake)
    assert (at_data < 0).all() and (at_fakes > 0).all()
    assert (jax.grad(lambda f: game.generator(f)[0])(fake) < 0).all()
    apart = [game.discriminator(real[:, i], fake[:, i])[0] for i in range(2)]
    np.testing.assert_allclose(game.discriminator(real, fake)[0], np.mean(apart), rtol=1e-6)


def test_penalties_of_critics_whose_slope_is_known(x64):
    x, y = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 3)))
    w, mix = jnp.array([1.0, -2.0, 2.0]), jnp.linspace(0, 1, 5)
    plane, bowl = lambda x: x @ w + 4, lambda x: 0.5 * (x**2).sum(1)  # slopes w, of norm 3, and x
    np.testing.assert_allclose(adversarial.r1(plane, x, 2.0), 9 * np.ones(5), rtol=1e-12)
    np.testing.assert_allclose(adversarial.r1(bowl, x), 5 * (x**2).sum(1), rtol=1e-12)
    between = mix[:, None] * x + (1 - mix[:, None]) * y
    exact = 7 * (np.linalg.norm(between, axis=1) - 1) ** 2
    np.testing.assert_allclose(adversarial.gradient_penalty(bowl, x, y, mix, 7.0), exact, rtol=1e-12)
    np.testing.assert_allclose(adversarial.gradient_penalty(plane, x, y, mix), 40 * np.ones(5), rtol=1e-12)
    patches = lambda x: jnp.stack([x @ w, 3 * x @ w], 1)  # the mean has the slope 2 w
    np.testing.assert_allclose(adversarial.r1(patches, x, 2.0), 36 * np.ones(5), rtol=1e-12)
    np.testing.assert_array_equal(
        jax.grad(lambda y: adversarial.gradient_penalty(bowl, x, y, mix).sum())(y), 0
    )


def test_where_a_critic_is_flat_the_penalty_has_a_gradient():
    """At w = 0 the norm has none; training goes on, from 0 with none and from elsewhere with its own."""
    x = jnp.ones((2, 3))
    loss = lambda w: adversarial.gradient_penalty(lambda x: x @ w, x, x, jnp.zeros(2), 1.0).mean()
    at_zero, slope = jax.value_and_grad(loss)(jnp.zeros(3))
    assert at_zero == 1 and (slope == 0).all()
    np.testing.assert_allclose(jax.grad(loss)(jnp.array([0.0, 2.0, 0.0])), [0, 2, 0], rtol=1e-6)


def test_a_critic_that_gives_no_numbers_of_each_sample_is_refused():
    with pytest.raises(
        ValueError, match=r"critic must give \[B, ...\], numbers of each of 4 samples; got \[\]"
    ):
        adversarial.r1(lambda x: x.sum(), jnp.ones((4, 2)))

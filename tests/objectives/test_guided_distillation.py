"""Guided distillation where guidance is known: the target is the guided denoiser, of a weight a row."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np

from diffjax import guidance, objectives, samplers
from diffjax.process import schedules

TILTED = mixtures.tilted()
X = np.random.default_rng(0).normal(size=(4, 2))


def test_a_student_that_says_what_guidance_says_has_no_loss(x64):
    """(1 + w) x(c) - w x(null) of w a row; the teacher gets no gradient, and the weighting its level."""
    level, labels = schedules.vp_cosine()(0.6), jnp.array([0, 1, 0, 1])
    weight = jnp.array([0.0, 0.5, 2.0, 4.0])
    exact = TILTED.denoiser()

    def says(w):
        def student(x, level, cond=None):
            told, free = exact(x, level, cond), exact(x, level, jnp.full(4, -1))
            mix = lambda c, n: (1 + w)[:, None] * c - w[:, None] * n
            return told._replace(x0=mix(told.x0, free.x0), eps=mix(told.eps, free.eps))

        return student

    def loss(w, guided_by):
        guided = guidance.classifier_free(weight=guided_by, null=-1)(exact)
        rows, _ = objectives.guided_distillation(
            says(w), guided, X, level, labels, weighting=lambda level: level.alpha / level.sigma
        )
        return rows

    right, wrong = jax.jit(lambda: (loss(weight, weight), loss(weight + 1, weight)))()
    told, free = exact(X, level, labels).x0, exact(X, level, jnp.full(4, -1)).x0
    np.testing.assert_allclose(right, 0, atol=1e-20)
    by_hand = level.alpha / level.sigma * ((told - free) ** 2).mean(1)
    np.testing.assert_allclose(wrong, by_hand, rtol=1e-9)
    slope = jax.jit(jax.grad(lambda w: loss(weight + 1, w).sum()))(weight)
    np.testing.assert_array_equal(slope, 0)


def test_steps_ahead_and_back_are_the_papers():
    """Meng et al. 2023, section 3.3: x_k over two steps, then noise from k to s; the last one plainly."""
    schedule, times = schedules.vp_cosine(), np.linspace(1, 0, 5)
    rows = samplers.plan(schedule, samplers.ddim(ahead=2), times).steps
    levels = [schedule(t) for t in times]
    for i in range(3):
        s, k = levels[i + 1], levels[i + 2]
        keep = s.alpha / k.alpha  # of x_k = alpha_k x_0 + sigma_k eps
        by_hand = keep * k.alpha, keep * k.sigma, np.sqrt(s.sigma**2 - (keep * k.sigma) ** 2)
        np.testing.assert_allclose((rows.x0[i], rows.eps[i], rows.noise[i]), by_hand, atol=1e-15)
    np.testing.assert_allclose((rows.x0[3], rows.eps[3], rows.noise[3]), (1, 0, 0), atol=1e-15)
    one = samplers.plan(schedule, samplers.ddim(ahead=2), [1.0, 0.0]).steps
    np.testing.assert_allclose((one.x0, one.eps, one.noise), ([1], [0], [0]), atol=1e-15)

"""objectives/ against guided-diffusion's and DDPM-IP's training losses and time sampler."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from diffjax import guidance, objectives
from diffjax.objectives import second_moment
from diffjax.process import elbo, forward, schedules

CASES = [
    (mean, variance)
    for mean in reference.KINDS
    for variance in ("LEARNED", "FIXED_SMALL", "FIXED_LARGE", "LEARNED_RANGE")
]


def _setting(name, mean, variance):
    golden, hyper = reference.load(name)
    chain = schedules.linear_beta(hyper["T"])
    x0, eps = jnp.asarray(golden["x_start"]), jnp.asarray(golden["noise"])
    network = reference.fake_network(hyper, variance if variance.startswith("learned") else None)
    options = {
        "kind": reference.KINDS[mean],
        "level_s": chain(golden["t"]),
        "variance": variance,
        "floor": chain.floor(),
    }
    return golden, hyper, (network, x0, eps, chain(golden["t"] + 1)), options


@pytest.mark.parametrize(("mean", "variance"), CASES)
def test_training_losses(x64, mean, variance):
    golden, hyper, arguments, options = _setting("gd_training_losses", mean, variance.lower())
    theirs = lambda key: golden[f"f64__{mean}__{variance}__{key}"]
    same = lambda ours, key: np.testing.assert_allclose(ours, theirs(key), rtol=1e-7, atol=1e-13, err_msg=key)
    mse, _ = objectives.denoising(*arguments, kind=options["kind"], level_s=options["level_s"])
    same(mse, "MSE__mse")
    bits, _ = objectives.bound(*arguments, **options)
    same(bits, "KL__loss")
    same(hyper["T"] * bits, "RESCALED_KL__loss")
    if variance.startswith("LEARNED"):
        for name, weight in (("MSE", 1.0), ("RESCALED_MSE", hyper["T"] / 1000)):
            loss, aux = objectives.hybrid(*arguments, bound_weight=weight, **options)
            same(loss, f"{name}__loss")
            same(weight * aux["bound"], f"{name}__vb")


@pytest.mark.parametrize("mean", ["EPSILON", "START_X"])
@pytest.mark.parametrize("clip", ["clip", "noclip"])
def test_terms_of_the_bound(x64, mean, clip):
    golden, hyper, (_, x0, eps, level), options = _setting("gd_training_losses", mean, "learned_range")
    chain = schedules.linear_beta(hyper["T"])
    denoise = reference.fake_denoiser(hyper, options["kind"], "learned_range", chain)
    denoise = guidance.clip()(denoise) if clip == "clip" else denoise
    x_t = forward.perturb(x0, eps, level)
    pair = forward.pair(options["level_s"], level, options["floor"])
    ours = elbo.term_of(pair, denoise(x_t, level), x_t, x0, golden["t"] == 0, "learned_range") / np.log(2)
    np.testing.assert_allclose(ours, golden[f"f64__vb_terms_bpd__{mean}__LEARNED_RANGE__{clip}"], rtol=1e-7)


def test_the_bound_of_a_hybrid_teaches_the_variance_alone():
    _, _, (_, x0, eps, level), options = _setting("gd_training_losses", "EPSILON", "learned_range")
    x0, eps = x0.astype(jnp.float32), eps.astype(jnp.float32)

    def gradient(loss):
        def value(parameters):
            mean, v = parameters
            network = lambda x, t, cond: jnp.concatenate([mean * x, v * jnp.ones_like(x)], -1)
            return loss(network).sum()

        return jax.grad(value)((0.3, 0.1))

    simple = gradient(lambda f: objectives.denoising(f, x0, eps, level)[0])
    bits = gradient(lambda f: objectives.bound(f, x0, eps, level, **options)[0])
    both = gradient(lambda f: objectives.hybrid(f, x0, eps, level, bound_weight=2.0, **options)[0])
    np.testing.assert_allclose(both[0], simple[0], rtol=1e-5)
    np.testing.assert_allclose(both[1], 2 * bits[1], rtol=1e-5)
    assert abs(bits[0]) > 1e-3 and abs(bits[1]) > 1e-3


def test_input_perturbation(x64):
    golden, hyper, (network, x0, eps, level), _ = _setting("ddpm_ip_losses", "EPSILON", "fixed_large")
    x_t = objectives.perturbed_input(x0, eps, level, jnp.asarray(golden["xi"]), hyper["gamma"])
    np.testing.assert_allclose(x_t, golden["x_t"], rtol=2e-5, atol=1e-6)
    loss, aux = objectives.denoising(network, x0, eps, level, x_t=x_t)
    np.testing.assert_allclose(loss, golden["FIXED_LARGE__MSE__mse"], rtol=2e-5)
    assert aux["x_t"] is x_t


def test_step_table_keeps_the_digits_that_float32_levels_lose():
    chain = schedules.linear_beta(4000, 2.5e-5, 5e-3)
    n = np.array([1, 2, 1000, 2999, 4000])
    exact = forward.pair(chain(n - 1), chain(n), chain.floor())
    table = objectives.step_table(chain)(jnp.asarray(n))
    for ours, truth in zip(table, exact, strict=True):
        np.testing.assert_allclose(ours[1:], truth[1:], rtol=3e-7)
        assert ours.dtype == jnp.float32


def test_second_moment_sampler(x64):
    golden, hyper = reference.load("gd_loss_second_moment_resampler")
    share = hyper["uniform_prob"]
    history = second_moment.init(hyper["T"], hyper["history_per_term"])
    same = lambda key: np.testing.assert_allclose(
        second_moment.probabilities(history, share), golden[key] / golden[key].sum(), rtol=1e-9
    )
    same("weights_init")
    update = jax.jit(second_moment.update)
    history = update(history, golden["ts_a"] + 1, golden["losses_a"])
    same("weights_after_a")
    np.testing.assert_array_equal(history.counts, golden["counts_after_a"])
    history = update(history, golden["ts_b"] + 1, golden["losses_b"])
    same("weights_after_b")
    np.testing.assert_allclose(history.losses, golden["loss_history"], rtol=1e-9)
    weights = second_moment.importance(history, golden["idx"] + 1, share)
    np.testing.assert_allclose(weights, golden["importance_weights"], rtol=1e-9)


def test_importance_weights_leave_the_mean_loss_unbiased():
    losses = jnp.array([0.1, 5.0, 1.0, 0.01])
    history = second_moment.init(4, 2)
    for _ in range(2):
        history = second_moment.update(history, jnp.arange(1, 5), losses)
    p = second_moment.probabilities(history)
    np.testing.assert_allclose(
        (p * second_moment.importance(history, jnp.arange(1, 5)) * losses).sum(), losses.mean(), rtol=1e-6
    )
    times, weights = second_moment.draw(jax.random.key(0), history, 20_000)
    estimate = weights * losses[times - 1]
    assert abs(estimate.mean() - losses.mean()) < 3 * estimate.std() / np.sqrt(20_000)
    np.testing.assert_allclose(
        np.bincount(times, minlength=5)[1:] / 20_000, p, atol=4 * np.sqrt(0.25 / 20_000)
    )


def test_a_bound_without_the_floor_it_needs_is_refused():
    """The posterior variance of the step that lands on data is 0; log N(x; mu, 0) has no value."""
    chain = schedules.linear_beta(100)
    x0 = jnp.asarray(np.linspace(-1, 1, 256)[[0, 40, 128, 255]], jnp.float32).reshape(4, 1, 1, 1)
    network, eps, n = lambda x_t, t, cond: 0.9 * x_t, jnp.ones_like(x0), np.array([1, 1, 2, 50])
    term = lambda n, **options: objectives.bound(
        network, x0, eps, chain(n), level_s=chain(n - 1), variance="fixed_small", **options
    )[0]
    with pytest.raises(ValueError, match=r"floor must be given .*schedule\.floor"):
        term(n)
    with pytest.raises(ValueError, match="floor must be given"):
        jax.jit(term)(jnp.asarray(n))
    finite = term(n, floor=chain.floor())
    assert np.isfinite(finite).all()
    np.testing.assert_allclose(term(n, pair=objectives.step_table(chain)(n)), finite, rtol=1e-4)
    np.testing.assert_allclose(term(n + 1), term(n + 1, floor=chain.floor()), rtol=1e-6)
    with pytest.raises(ValueError, match="variance must be one of"):
        objectives.bound(network, x0, eps, chain(n), level_s=chain(n - 1), variance="small")
    for weight in (-1.0, np.nan):
        with pytest.raises(ValueError, match="bound_weight must be"):
            objectives.hybrid(network, x0, eps, chain(n), level_s=chain(n - 1), bound_weight=weight)

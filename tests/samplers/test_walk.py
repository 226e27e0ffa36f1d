"""The loop: programs, recorded noise, segments, the way back up, and bad input."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest
import solver_list
from solver_list import CHAIN, FLOW, GRIDS, SOLVERS
from solver_list import denoise as _exact

from diffjax import samplers
from diffjax.process import prediction, schedules

KEY = jax.random.key(7)
SHORT = samplers.grids.karras(6, 0.002, 80.0)
FROM_NOISE = ("dpm_pp_2", "dpm_2m", "dpm_pp_2s_grid", "dpm_3s_grid", "dpm_pp_2s", "unipc_2", "deis_log_rho")


def _sample(solver, key=KEY, denoise=_exact, times=SHORT, **options):
    """Walk the short grid of EDM's schedule, or another."""
    options = options if "x_init" in options else {"shape": (8, 2)} | options
    return samplers.sample(key, denoise, schedules.edm(), SOLVERS[solver], times, **options)


def test_sample_keeps_its_program_for_a_denoiser_and_a_solver():
    calls = []

    def denoise(x, level, cond=None):
        calls.append(0)
        return _exact(x, level, cond)

    _sample("ddim", denoise=denoise)
    traced = len(calls)
    samplers.sample(
        KEY, denoise, schedules.edm(), samplers.ddim(), samplers.grids.karras(6, 0.01, 80.0, 3), shape=(8, 2)
    )
    assert len(calls) == traced


@pytest.mark.parametrize("name", ["ddim", "ddim_half", "churned", "unipc_2"])
def test_one_key_gives_every_position_its_own_whatever_the_batch(name):
    one = _sample(name)
    np.testing.assert_allclose(_sample(name, shape=(4, 2)), one[:4], rtol=1e-5, atol=1e-6)
    assert len(np.unique(np.asarray(one)[:, 0])) == 8


def test_segments_hold_their_own_denoisers():
    """The last denoiser decides where the walk lands, and each is called on its own levels only."""
    schedule, times = schedules.edm(), SHORT
    seen = {"a": [], "b": []}

    def constant(name, value):
        def denoise(x, level, cond=None):
            jax.debug.callback(lambda s: seen[name].append(float(s)), level.sigma)
            return prediction.from_x0(jnp.full_like(x, value), x, level)

        return denoise

    segments = [(times[:4], constant("a", 1.0)), (times[3:], constant("b", -2.0))]
    x = samplers.sample_segments(KEY, segments, schedule, samplers.ddim(), shape=(2, 2))
    jax.effects_barrier()
    assert (x == -2).all()
    np.testing.assert_allclose(sorted(seen["a"]), times[:3][::-1], rtol=1e-6)
    np.testing.assert_allclose(sorted(seen["b"]), times[3:-1][::-1], rtol=1e-6)


@pytest.mark.parametrize("name", ["ddim_half", "churned", "dpm_pp_sde"])
def test_recorded_noise_replaces_drawn_noise(name):
    """Drawn noise, made again from the keys, gives the same walk when handed in."""
    draws = range(SOLVERS[name].draws)
    keys = [jax.random.fold_in(KEY, i) for i in range(8)]
    draw = lambda key, step, d: jax.random.normal(
        jax.random.fold_in(jax.random.fold_in(key, 1 + step), d), (2,)
    )
    noise = jnp.stack(
        [jnp.stack([jnp.stack([draw(k, i, d) for k in keys]) for d in draws]) for i in range(6)]
    )
    np.testing.assert_allclose(_sample(name, noise=noise), _sample(name), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "grid"), [("ddim", "chain"), ("ddim", "edm"), ("heun", "flow"), ("edm_heun", "continuous")]
)
def test_encoding_and_sampling_return_with_an_error_that_falls(x64, name, grid):
    schedule, errors = GRIDS[grid][0], []
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.permutation(solver_list.quantiles(128)).reshape(64, 2))
    top = {"chain": 1000, "continuous": 1000, "edm": 80.0, "flow": 0.98}[grid]
    for n in (50, 250):
        times = {
            "chain": samplers.grids.uniform(n, 0, top), "flow": samplers.grids.uniform(n, 0, top),
            "continuous": samplers.grids.quadratic(n, 0, top), "edm": samplers.grids.karras(n, 0.002, 80.0),
        }[grid]  # fmt: skip
        latent = samplers.encode(_exact, schedule, SOLVERS[name], times, x)
        back = samplers.sample(KEY, _exact, schedule, SOLVERS[name], times, x_init=latent)
        errors.append(float(jnp.sqrt(jnp.mean((back - x) ** 2))))
        up = samplers.encode(_exact, schedule, SOLVERS[name], times[::-1], x)
        assert (up == latent).all()
    assert errors[1] < 0.02 and errors[1] < 0.4 * errors[0], errors
    # the latent has the marginal's spread
    level = schedule(top)
    expected = level.sigma**2 + np.var(x) * level.alpha**2
    np.testing.assert_allclose(np.var(latent) / expected, 1, atol=4 * np.sqrt(2 / 128))


def test_condition_reaches_the_denoiser():
    labels, mixture = jnp.arange(8), mixtures.ring8()
    x = samplers.sample(
        KEY, mixture.denoiser(), schedules.edm(), samplers.edm_heun(),
        samplers.grids.karras(20, 0.002, 80.0), shape=(8, 2), cond=labels,
    )  # fmt: skip
    np.testing.assert_array_equal(mixture.class_log_prob(x).argmax(-1), labels)


@pytest.mark.parametrize(
    ("solver", "options", "message"),
    [
        (
            "ddim",
            {"x_init": np.ones((8, 2), np.float32), "shape": (8, 2)},
            "exactly one of shape and x_init",
        ),
        ("ddim", {"shape": None}, "exactly one of shape and x_init"),
        ("ddim", {"shape": (8, 0)}, r"shape must be \[B, ...\] of positive dimensions, got \[8, 0\]"),
        ("ddim", {"shape": (0, 2)}, r"shape must be \[B, ...\] of positive dimensions, got \[0, 2\]"),
        ("ddim", {"key": 3}, "key must be a key .*, got 3"),
        ("ddim", {"key": None}, "key must be a key .*, got None"),
        ("ddim_half", {"noise": np.ones((6, 8, 2))}, r"noise must be \[N, draws, B, ...\] = \[6"),
        ("churned", {"noise": np.ones((5, 1, 8, 2))}, r"= \[6, 1, 8, 2\], got \[5"),
        *(
            (
                name,
                {"times": SHORT[:0:-1], "x_init": np.ones((8, 2), np.float32)},
                "times must decrease, from noise to data, got 0 to .*; samplers.encode walks upwards",
            )
            for name in ("ddim", "ddim_half", "euler", "edm_heun")
        ),
        ("ddim_half", {"key": jax.random.split(KEY, 3)}, r"one a sample \[8\], got shape \[3\]"),
    ],
)
def test_bad_input_is_named(solver, options, message):
    with pytest.raises(ValueError, match=message) as error:
        _sample(solver, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("solver", "times", "message"),
    [
        ("ddim", [5, 3, 3, 0], "strictly monotone.* 3 then 3 at position 1"),
        ("ddim", [5.0, 3.2, 2.9, 0], "strictly monotone.* 3 then 3 at position 1"),
        ("ddim", [1, 5, 3, 0], "strictly monotone.* 5 then 3 at position 1"),
        ("ddim", [5], "at least 2"),
        ("ddim", [[5, 0]], "times must be a sequence"),
        ("ddim", [1001, 0], r"t must be in \[0, 1000\]"),
        ("euler", [0, 3, 5], "a discrete chain has none"),
        ("fixed_small", [0, 3, 5], "cannot walk upwards"),
        ("churned", [1, 3, 5], "cannot walk upwards"),
        ("dpm_pp_2_sde", [1, 3, 5], "cannot walk upwards"),
        *((name, [0, 3, 5], "cannot start from clean data") for name in FROM_NOISE),
    ],
)
def test_bad_grids_are_named(solver, times, message):
    with pytest.raises(ValueError, match=message) as error:
        samplers.plan(CHAIN, SOLVERS[solver], times)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: samplers.ancestral("small"), "variance must be one of"),
        (lambda: samplers.ddim(1.5), "eta must be in"),
        (lambda: samplers.dpm_solver_pp(4), r"order must be in 1\.\.3, got 4"),
        (lambda: samplers.dpm_solver_pp(2, "bh1"), "solver_type must be one of midpoint, heun"),
        (lambda: samplers.dpm_solver_pp(eta=-1.0), "needs eta >= 0"),
        (lambda: samplers.dpm_solver(3, eta=1.0), r"order must be in 1\.\.2 with eta > 0, got 3"),
        (lambda: samplers.dpm_solver_single(0), r"order must be in 1\.\.3, got 0"),
        (lambda: samplers.dpm_solver_pp_2s(eta=-1.0), "dpm_solver_pp_2s needs eta >= 0"),
        (lambda: samplers.dpm_solver_pp_sde(r=0.0), r"needs r in \(0, 1\]"),
        (lambda: samplers.dpm_2(s_churn=-1.0), "dpm_2 needs s_churn >= 0"),
        (lambda: samplers.dpm_2_ancestral(s_noise=-1.0), "s_noise >= 0"),
        (lambda: samplers.unipc(4), r"unipc: order must be in 1\.\.3"),
        (lambda: samplers.unipc(2, "bh3"), "must be one of bh1, bh2"),
        (lambda: samplers.unipc(kind="v"), "kind must be one of x0, eps"),
        (lambda: samplers.unipc(lower_order_final="no"), "must be True or False or one of few, got 'no'"),
        (lambda: samplers.deis(5), r"deis: order must be in 1\.\.4"),
        (lambda: samplers.deis(2, "sigma"), "must be one of t, rho, log_rho"),
        (lambda: samplers.lms(0), r"lms: order must be in 1\.\.4"),
        (lambda: samplers.pndm("none"), "warm_up must be one of runge_kutta, multistep"),
        (lambda: samplers.heun(alpha=0.0), r"heun needs alpha in \(0, 1\]"),
        (lambda: samplers.euler(s_churn=-1.0), "euler needs s_churn >= 0"),
        (lambda: samplers.ddim(s_noise=-1.0), "s_noise must be at least 0"),
        (lambda: samplers.plan(
            schedules.edm(), samplers.dpm_solver_pp_single(3, lower_order_final=False), SHORT[:-2]
        ), "needs a multiple of 3 intervals, got 4"),
        (lambda: samplers.slerp(np.ones((2, 3)), np.ones((2, 4)), 0.5), "y must be a float array"),
        (lambda: samplers.slerp(np.ones((2, 3)), np.ones((2, 3)), 1.5), r"share must be in \[0, 1\], got 1"),
        (lambda: samplers.deis(2.5), "deis: order must be an integer, got 2.5"),
        (lambda: (samplers.unipc(1), samplers.unipc(True)), "order must be an integer, got True"),
        (lambda: samplers.unipc(lower_order_final=1), "must be True or False or one of few, got 1"),
        *(
            (lambda s=s: samplers.plan(FLOW, s, [0.1, 0.5, 0.9, 1.0]), "infinite at alpha = 0")
            for s in (samplers.unipc(), samplers.dpm_solver_pp(), samplers.dpm_solver_pp_2s())
        ),
        *(
            (lambda t=t: samplers.encode(_exact, FLOW, samplers.ddim(), t, np.ones((2, 2))), message)
            for t, message in (
                ([0.1, 0.9, 0.5], "times must be strictly monotone"),
                (0.5, "times must be a sequence"),
                (None, "times must be a sequence"),
            )
        ),
        (lambda: samplers.sample(
            KEY, _exact, schedules.edm(), samplers.ddim(), [1.0, 0.5], shape=(2, 2)
        ), "times must start near the noisy end t_max = 80, where x is pure noise, got 1;"),
        (lambda: samplers.grids.subdivide([1.0, 0.5, 0.0], FLOW, 2), "finite log SNR at both ends"),
        (lambda: samplers.edm_heun(s_churn=-1), "s_churn >= 0"),
        (lambda: samplers.encode(
            _exact, CHAIN, samplers.ddim(0.5), [0, 5], np.ones((2, 2))
        ), "cannot walk upwards"),
        (lambda: samplers.sample_segments(
            KEY, [([5, 3], _exact), ([2, 0], _exact)], CHAIN, samplers.ddim(), shape=(2, 2)
        ), "must begin where the last one ends, at 3; got 2"),
        (lambda: samplers.sample_segments(
            KEY, [([0.1, 0.5], _exact), ([0.5, 0.8], _exact)], FLOW, samplers.ddim(), x_init=np.ones((2, 2))
        ), "times must decrease, from noise to data, got 0.1 to 0.8"),
        *(
            (lambda s=s: samplers.plan(schedules.vp_linear(), s, [0.0, 0.5, 1.0]),
             "d sigma/dt is infinite at t = 0; begin at the schedule's t_min")
            for s in (samplers.euler(), samplers.heun(), samplers.euler_maruyama(0.0))
        ),
        (lambda: samplers.grids.karras(5, 2.0, 1.0), "0 < sigma_min < sigma_max"),
        (lambda: samplers.grids.uniform(0), "positive integer"),
        (lambda: samplers.grids.uniform(2.5), "n must be an integer, got 2.5"),
        (lambda: samplers.grids.spaced(10, "11"), "cannot keep 11"),
        (lambda: samplers.grids.spaced(1000, "ddim333"), "no integer stride"),
        (lambda: samplers.grids.log_snr(5, FLOW), "finite ends"),
    ],
)  # fmt: skip
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

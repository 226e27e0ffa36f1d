"""What every solver must do, on every schedule that it takes."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax import samplers
from diffjax.process import prediction, schedules

KEY = jax.random.key(7)
CHAIN = schedules.linear_beta(1000)
FLOW = schedules.rectified_flow()


def _exact(x, level, cond=None):
    """Exact for coordinates from N(1, 0.2) / 2 + N(-1, 0.2) / 2; with a variance for who reads one."""
    total = 0.2 * level.alpha**2 + level.sigma**2
    sign = jnp.tanh(level.alpha * x / total)
    x0 = (0.2 * level.alpha * x + level.sigma**2 * sign) / total
    return prediction.Prediction(x0, level.sigma * (x - level.alpha * sign) / total, 0.3 * jnp.tanh(x))


SOLVERS = {
    "fixed_small": samplers.ancestral(),
    "fixed_large": samplers.ancestral("fixed_large"),
    "learned_range": samplers.ancestral("learned_range"),
    "ddim": samplers.ddim(),
    "ddim_half": samplers.ddim(0.5),
    "dpm_1": samplers.dpm_solver_pp(1),
    "dpm_2": samplers.dpm_solver_pp(),
    "edm_heun": samplers.edm_heun(),
    "churned": samplers.edm_heun(s_churn=2.0),
    "euler": samplers.euler(),
    "heun": samplers.heun(),
}
DETERMINISTIC = [name for name, solver in SOLVERS.items() if solver.draws == 0]
# Six steps each. A walk of sigma / alpha cannot start at alpha = 0.
GRIDS = {
    "chain": (CHAIN, samplers.grids.spaced(1000, "6")),
    "respaced": (schedules.cosine_beta(1000), [900, 700, 500, 200, 20, 1, 0]),
    "zero_snr": (schedules.zero_terminal_snr(CHAIN), [1000, 800, 600, 400, 200, 20, 0]),
    "continuous": (CHAIN.continuous(), samplers.grids.quadratic(6, 0.0, 1000.0)),
    "edm": (schedules.edm(), samplers.grids.karras(6, 0.002, 80.0)),
    "flow": (FLOW, samplers.grids.uniform(6)),
    "flow_inside": (FLOW, samplers.grids.uniform(6, 0.05, 0.98)),
}
NEEDS_RATES, NEEDS_ALPHA = {"euler", "heun"}, {"edm_heun", "churned"}
COMBINATIONS = [
    (solver, grid)
    for grid in GRIDS
    for solver in SOLVERS
    if not (solver in NEEDS_RATES and grid in ("chain", "respaced", "zero_snr"))
    and not (solver in NEEDS_ALPHA and grid in ("zero_snr", "flow"))
]


def _sample(solver, grid, key=KEY, denoise=_exact, **options):
    schedule, times = GRIDS[grid]
    options = options if "x_init" in options else {"shape": (8, 2)} | options
    return samplers.sample(key, denoise, schedule, SOLVERS[solver], times, **options)


@pytest.mark.parametrize(("solver", "grid"), COMBINATIONS)
def test_float32_stays_float32_and_close_to_float64(solver, grid):
    """The same start and noise in both precisions; the whole walk loses at most 2e-4."""
    schedule, _ = GRIDS[grid]
    draws = np.random.default_rng(0).normal(size=(6, max(SOLVERS[solver].draws, 1), 8, 2)).astype(np.float32)
    start = samplers.start(KEY, schedule, (8, 2))
    single, path = _sample(solver, grid, x_init=start, noise=draws, trajectory=True)
    assert single.shape == (8, 2) and path.shape == (6, 8, 2) and single.dtype == path.dtype == jnp.float32
    assert jnp.isfinite(path).all() and (path[-1] == single).all()
    with jax.enable_x64(True):
        options = {"x_init": jnp.asarray(start, jnp.float64), "noise": draws, "trajectory": True}
        double, _ = _sample(solver, grid, **options)
        assert double.dtype == jnp.float64
    np.testing.assert_allclose(single, double, atol=2e-4 * np.abs(double).max())


@pytest.mark.parametrize("name", SOLVERS)
def test_no_jit_gives_the_same(name):
    _, path = _sample(name, "edm", trajectory=True)
    with jax.disable_jit():
        _, plain_path = _sample(name, "edm", trajectory=True)
    np.testing.assert_allclose(plain_path, path, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SOLVERS)
def test_an_image_depends_on_its_own_seed_alone(name):
    keys = jax.random.split(KEY, 8)
    whole = _sample(name, "edm", keys)
    halves = [_sample(name, "edm", part, shape=(4, 2)) for part in (keys[:4], keys[4:])]
    np.testing.assert_allclose(jnp.concatenate(halves), whole, rtol=1e-5, atol=1e-6)
    one = _sample(name, "edm")
    np.testing.assert_allclose(_sample(name, "edm", shape=(4, 2)), one[:4], rtol=1e-5, atol=1e-6)
    assert (_sample(name, "edm") == one).all()
    assert (np.abs(_sample(name, "edm", jax.random.key(8)) - one) > 1e-6).all(axis=1).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_another_grid_of_the_same_length_does_not_compile_again(name):
    solver, calls = SOLVERS[name], []

    def denoise(x, level, cond=None):
        calls.append(0)
        return _exact(x, level, cond)

    walk = jax.jit(lambda rows, x: samplers.walk(KEY, denoise, solver, rows, x))
    x = samplers.start(KEY, schedules.edm(), (8, 2))
    walk(samplers.plan(schedules.edm(), solver, samplers.grids.karras(6, 0.002, 80.0)), x)
    traced = len(calls)
    assert traced >= solver.nfe
    one = walk(samplers.plan(schedules.edm(), solver, samplers.grids.karras(6, 0.01, 80.0, rho=3)), x)
    other = walk(samplers.plan(schedules.edm(0.02), solver, samplers.grids.uniform(6, 0, 80.0)), x)
    assert len(calls) == traced and not np.allclose(one, other)
    # and `sample` keeps its program for a denoiser and a solver
    arguments = (KEY, denoise, schedules.edm(), solver)
    samplers.sample(*arguments, samplers.grids.karras(6, 0.002, 80.0), x_init=x)
    traced = len(calls)
    again = samplers.sample(*arguments, samplers.grids.karras(6, 0.01, 80.0, rho=3), x_init=x)
    assert len(calls) == traced
    np.testing.assert_allclose(again, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SOLVERS)
def test_segments_of_one_denoiser_are_one_walk(name):
    schedule, times = GRIDS["edm"]
    whole, path = _sample(name, "edm", trajectory=True)
    segments = [(times[:3], _exact), (times[2:6], _exact), (times[5:], _exact)]
    ours, our_path = samplers.sample_segments(
        KEY, segments, schedule, SOLVERS[name], shape=(8, 2), trajectory=True
    )
    np.testing.assert_allclose(our_path, path, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours, whole, rtol=1e-4, atol=1e-5)


def test_segments_hold_their_own_denoisers():
    """The last denoiser decides where the walk lands, and each is called on its own levels only."""
    schedule, times = GRIDS["edm"]
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


@pytest.mark.parametrize("name", [name for name, solver in SOLVERS.items() if solver.draws])
def test_recorded_noise_replaces_drawn_noise(name):
    """Drawn noise, read back from the steps, gives the same walk when handed in."""
    schedule, times = GRIDS["edm"]
    solver, n = SOLVERS[name], 6
    keys = [jax.random.fold_in(KEY, i) for i in range(8)]
    draw = lambda key, step: jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, 1 + step), 0), (2,))
    noise = jnp.stack([jnp.stack([draw(key, step) for key in keys]) for step in range(n)])[:, None]
    np.testing.assert_allclose(
        samplers.sample(KEY, _exact, schedule, solver, times, shape=(8, 2), noise=noise),
        _sample(name, "edm"), rtol=1e-5, atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "grid"), [("ddim", "chain"), ("ddim", "edm"), ("heun", "flow"), ("edm_heun", "continuous")]
)
def test_encoding_and_sampling_return_with_an_error_that_falls(x64, name, grid):
    schedule, errors = GRIDS[grid][0], []
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.choice([-1.0, 1.0], (64, 2)) + np.sqrt(0.2) * rng.normal(size=(64, 2)))
    top = {"chain": 1000, "continuous": 1000, "edm": 80.0, "flow": 0.98}[grid]
    for n in (50, 200):
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
    expected = level.sigma**2 + 1.2 * level.alpha**2
    np.testing.assert_allclose(np.var(latent) / expected, 1, atol=4 * np.sqrt(2 / 128))


def test_network_calls_of_a_walk():
    """N calls for one-call solvers; Heun's methods save one on arrival: 2 N - 1."""
    for name, expected in [
        ("ddim", 6),
        ("fixed_small", 6),
        ("dpm_2", 6),
        ("euler", 6),
        ("heun", 11),
        ("churned", 11),
    ]:
        calls = []

        def denoise(x, level, cond=None, calls=calls):
            calls.append(0)
            return _exact(x, level)

        with jax.disable_jit():
            _sample(name, "edm", denoise=denoise)
        assert len(calls) == expected, name


@pytest.mark.parametrize("name", SOLVERS)
def test_one_step_lands_on_the_predicted_data(name):
    """From pure noise to sigma = 0 in one step, every solver returns its x_0."""
    m = np.array([0.3, -0.8], np.float32)
    denoise = lambda x, level, cond=None: prediction.from_x0(
        jnp.broadcast_to(m, x.shape), x, level, jnp.zeros_like(x)
    )
    x = samplers.sample(KEY, denoise, schedules.edm(), SOLVERS[name], [80.0, 0.0], shape=(4, 2))
    np.testing.assert_allclose(x, np.broadcast_to(m, (4, 2)), atol=2e-5)


def test_condition_reaches_the_denoiser():
    labels, mixture = jnp.arange(8), mixtures.ring8()
    x = samplers.sample(
        KEY, mixture.denoiser(), schedules.edm(), samplers.edm_heun(),
        samplers.grids.karras(20, 0.002, 80.0), shape=(8, 2), cond=labels,
    )  # fmt: skip
    np.testing.assert_array_equal(mixture.class_log_prob(x).argmax(-1), labels)


@pytest.mark.parametrize(
    ("solver", "grid", "options", "message"),
    [
        ("euler", "chain", {}, "euler needs .* a discrete chain has none"),
        ("heun", "chain", {}, "heun needs .* a discrete chain has none"),
        ("edm_heun", "zero_snr", {}, "infinite at alpha = 0"),
        ("edm_heun", "flow", {}, "infinite at alpha = 0"),
        (
            "ddim",
            "edm",
            {"x_init": np.ones((8, 2), np.float32), "shape": (8, 2)},
            "exactly one of shape and x_init",
        ),
        ("ddim", "edm", {"shape": None}, "exactly one of shape and x_init"),
        ("ddim_half", "edm", {"noise": np.ones((6, 8, 2))}, r"noise must be \[N, draws, B, ...\] = \[6"),
        ("churned", "edm", {"noise": np.ones((5, 1, 8, 2))}, r"= \[6, 1, 8, 2\], got \[5"),
        ("ddim_half", "edm", {"key": jax.random.split(KEY, 3)}, r"one a sample \[8\], got shape \[3\]"),
    ],
)
def test_bad_input_is_named(solver, grid, options, message):
    with pytest.raises(ValueError, match=message) as error:
        _sample(solver, grid, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("solver", "times", "message"),
    [
        ("ddim", [5, 3, 3, 0], "strictly monotone.* 3 then 3 at position 1"),
        ("ddim", [5.0, 3.2, 2.9, 0], "strictly monotone.* 3 then 3 at position 1"),
        ("ddim", [1, 5, 3, 0], "strictly monotone.* 5 then 3 at position 1"),
        ("ddim", [5], "at least 2"),
        ("ddim", [[5, 0]], "1-D"),
        ("ddim", [1001, 0], r"t must be in \[0, 1000\]"),
        ("fixed_small", [0, 3, 5], "cannot walk upwards"),
        ("churned", [1, 3, 5], "cannot walk upwards"),
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
        (lambda: samplers.dpm_solver_pp(3), "order must be 1 or 2"),
        (lambda: samplers.edm_heun(s_churn=-1), "s_churn >= 0"),
        (lambda: samplers.encode(
            _exact, CHAIN, samplers.ddim(0.5), [0, 5], np.ones((2, 2))
        ), "cannot walk upwards"),
        (lambda: samplers.sample_segments(
            KEY, [([5, 3], _exact), ([2, 0], _exact)], CHAIN, samplers.ddim(), shape=(2, 2)
        ), "must begin where the last one ends, at 3; got 2"),
        (lambda: samplers.grids.karras(5, 2.0, 1.0), "0 < sigma_min < sigma_max"),
        (lambda: samplers.grids.uniform(0), "positive integer"),
        (lambda: samplers.grids.uniform(2.5), "positive integer"),
        (lambda: samplers.grids.spaced(10, "11"), "cannot keep 11"),
        (lambda: samplers.grids.spaced(1000, "ddim333"), "no integer stride"),
        (lambda: samplers.grids.log_snr(5, FLOW), "finite ends"),
    ],
)  # fmt: skip
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

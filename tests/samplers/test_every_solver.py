"""What every solver must do, on every schedule that it takes."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest
from scipy import special

from diffjax import samplers
from diffjax.process import prediction, schedules

KEY = jax.random.key(7)
CHAIN = schedules.linear_beta(1000)
FLOW = schedules.rectified_flow()


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """Hundreds of small programs: do not carry them on into other tests."""
    yield
    jax.clear_caches()


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
    "euler_ancestral": samplers.euler_ancestral(s_noise=1.01),
    "dpm_pp_1": samplers.dpm_solver_pp(1),
    "dpm_pp_2": samplers.dpm_solver_pp(),
    "dpm_pp_3": samplers.dpm_solver_pp(3, "taylor"),
    "dpm_pp_2_sde": samplers.dpm_solver_pp(2, "heun", eta=1.0),
    "dpm_pp_3_sde": samplers.dpm_solver_pp(3, "heun", eta=0.5),
    "dpm_2m": samplers.dpm_solver(),
    "dpm_2m_sde": samplers.dpm_solver(eta=1.0),
    "dpm_pp_2s_grid": samplers.dpm_solver_pp_single(2),
    "dpm_pp_3s_grid": samplers.dpm_solver_pp_single(3, "heun"),
    "dpm_3s_grid": samplers.dpm_solver_single(3, "dpm_solver"),
    "dpm_pp_2s": samplers.dpm_solver_pp_2s(),
    "dpm_pp_2s_ancestral": samplers.dpm_solver_pp_2s(eta=1.0),
    "dpm_pp_sde": samplers.dpm_solver_pp_sde(),
    "dpm_2": samplers.dpm_2(),
    "dpm_2_churned": samplers.dpm_2(s_churn=2.0),
    "dpm_2_ancestral": samplers.dpm_2_ancestral(),
    "unipc_2": samplers.unipc(),
    "unipc_3": samplers.unipc(3, "bh1", disable_corrector=(0,)),
    "unipc_eps": samplers.unipc(2, kind="eps"),
    "deis": samplers.deis(),
    "deis_log_rho": samplers.deis(2, "log_rho"),
    "lms": samplers.lms(),
    "pndm": samplers.pndm(),
    "plms": samplers.pndm("multistep"),
    "edm_heun": samplers.edm_heun(),
    "churned": samplers.edm_heun(s_churn=2.0),
    "edm_euler": samplers.edm_euler(s_churn=2.0),
    "euler": samplers.euler(),
    "heun": samplers.heun(),
    "heun_churned": samplers.heun(alpha=0.75, s_churn=2.0),
    "euler_maruyama": samplers.euler_maruyama(),
    "euler_maruyama_ode": samplers.euler_maruyama(eta=0.0),
    "reverse_diffusion": samplers.reverse_diffusion(),
    "corrected": samplers.predictor_corrector(samplers.ancestral(), samplers.ald(0.1)),
}
DETERMINISTIC = [name for name, solver in SOLVERS.items() if solver.draws == 0]
STEPS = 24


def _on(schedule, sigma_min=0.02, sigma_max=40.0):
    """Levels of a Karras grid, and then data."""
    return schedule, schedule.inv_sigma(samplers.grids.karras(STEPS, sigma_min, sigma_max))


CHAINS = {
    "chain": (CHAIN, np.append(samplers.grids.quadratic(STEPS - 1, 1, 1000), 0)),
    "respaced": (schedules.cosine_beta(1000), np.append(samplers.grids.uniform(STEPS - 1, 1, 990), 0)),
    "geometric": (schedules.geometric(50.0, 0.01, 100), np.rint(samplers.grids.uniform(STEPS, 0, 96))),
}
TO_ALPHA_0 = {  # no signal at all at the noisy end
    "zero_snr": (
        schedules.zero_terminal_snr(CHAIN),
        np.append(samplers.grids.uniform(STEPS - 1, 20, 1000), 0),
    ),
    "flow": (FLOW, samplers.grids.uniform(STEPS)),
    "vp_cosine_whole": (schedules.vp_cosine(), samplers.grids.uniform(STEPS)),
}
CONTINUOUS = {
    "continuous": (CHAIN.continuous(), samplers.grids.quadratic(STEPS, 0.0, 1000.0)),
    "edm": (schedules.edm(), samplers.grids.karras(STEPS, 0.002, 80.0)),
    "flow_inside": (FLOW, samplers.grids.uniform(STEPS, 0.05, 0.98)),
    "shifted": _on(schedules.shifted(FLOW, 3.0)),
    "vp_linear": _on(schedules.vp_linear()),
    "sub_vp": _on(schedules.sub_vp()),
    "vp_cosine": _on(schedules.vp_cosine()),
    "log_snr_linear": (schedules.log_snr_linear(10.0, -8.0), samplers.grids.uniform(STEPS, 0, 0.95)),
    "ve": _on(schedules.ve(0.01, 50.0)),
}
GRIDS = CHAINS | TO_ALPHA_0 | CONTINUOUS
SHORT = samplers.grids.karras(6, 0.002, 80.0)  # for what does not depend on the schedule
# What a solver cannot serve, and what it says.
NEEDS_RATES = ("euler", "heun", "heun_churned", "euler_maruyama", "euler_maruyama_ode")
NEEDS_ALPHA = (
    *(
        "edm_heun",
        "churned",
        "edm_euler",
        "dpm_2",
        "dpm_2_churned",
        "dpm_2_ancestral",
        "dpm_2m",
        "dpm_2m_sde",
    ),
    *("dpm_pp_2s_grid", "dpm_pp_3s_grid", "dpm_3s_grid", "dpm_pp_2s", "dpm_pp_2s_ancestral", "dpm_pp_sde"),
    *("unipc_eps", "deis", "deis_log_rho", "lms", "pndm", "plms"),
)
REFUSED = (
    {(s, g): "needs .* a discrete chain has none" for s in NEEDS_RATES for g in (*CHAINS, "zero_snr")}
    | {(s, g): "infinite at alpha = 0" for s in NEEDS_ALPHA for g in TO_ALPHA_0}
    | {
        (s, g): "infinite at alpha = 0"
        for s in ("heun_churned", "euler_maruyama", "euler_maruyama_ode")
        for g in ("flow", "vp_cosine_whole")
    }
)
FROM_NOISE = ("dpm_pp_2", "dpm_2m", "dpm_pp_2s_grid", "dpm_3s_grid", "dpm_pp_2s", "unipc_2", "deis_log_rho")
# 24 steps are few for Euler in a time where sigma is exponential
COARSE = {("euler", "ve"): 0.2, ("euler_maruyama_ode", "ve"): 0.2}
COMBINATIONS = [(s, g) for s in SOLVERS for g in GRIDS if (s, g) not in REFUSED]


def _sample(solver, key=KEY, denoise=_exact, times=SHORT, **options):
    """Walk the short grid of EDM's schedule, or another."""
    options = options if "x_init" in options else {"shape": (8, 2)} | options
    return samplers.sample(key, denoise, schedules.edm(), SOLVERS[solver], times, **options)


def _distance_to_the_data(x):
    """Kolmogorov's distance of the coordinates to the exact distribution function."""
    x = np.sort(np.asarray(x, np.float64).ravel())
    cdf = 0.5 * sum(special.ndtr((x - m) / np.sqrt(0.2)) for m in (-1.0, 1.0))
    ranks = np.arange(len(x) + 1) / len(x)
    return max(np.max(ranks[1:] - cdf), np.max(cdf - ranks[:-1]))


@pytest.mark.parametrize(("solver", "grid"), COMBINATIONS)
def test_reaches_the_data_in_float32_as_in_float64(solver, grid):
    """From the same start with the same noise: the walk loses at most 2e-4, and is finite throughout."""
    (schedule, times), method = GRIDS[grid], SOLVERS[solver]
    first, rng = schedule(np.float64(times[0])), np.random.default_rng(0)
    start = np.sqrt(1.2 * first.alpha**2 + first.sigma**2) * rng.normal(size=(1024, 2))
    noise = rng.normal(size=(STEPS, max(method.draws, 1), 1024, 2)).astype(np.float32)
    walk = lambda dtype: samplers.sample(
        KEY, _exact, schedule, method, times, x_init=jnp.asarray(start, dtype),
        noise=noise if method.draws else None, trajectory=True,
    )  # fmt: skip
    single, path = walk(jnp.float32)
    assert single.shape == (1024, 2) and path.shape[1:] == (1024, 2) and len(path) >= STEPS
    assert single.dtype == path.dtype == jnp.float32
    assert jnp.isfinite(path).all() and (path[-1] == single).all()
    with jax.enable_x64(True):
        double, _ = walk(jnp.float64)
        assert double.dtype == jnp.float64
    np.testing.assert_allclose(single, double, atol=2e-4 * np.abs(double).max())
    assert _distance_to_the_data(single) < COARSE.get((solver, grid), 0.08)


@pytest.mark.parametrize(("solver", "grid"), REFUSED)
def test_what_a_solver_cannot_serve_it_says(solver, grid):
    with pytest.raises(ValueError, match=REFUSED[solver, grid]) as error:
        samplers.plan(GRIDS[grid][0], SOLVERS[solver], GRIDS[grid][1])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", SOLVERS)
def test_one_program_for_all_grids_of_a_length_and_none_at_all(name):
    """Another grid of the same length does not compile again; without jit the walk is the same."""
    solver, calls = SOLVERS[name], []

    def denoise(x, level, cond=None):
        calls.append(0)
        return _exact(x, level, cond)

    walk = jax.jit(lambda rows, x: samplers.walk(KEY, denoise, solver, rows, x))
    x = samplers.start(KEY, schedules.edm(), (8, 2))
    rows = samplers.plan(schedules.edm(), solver, SHORT)
    one = walk(rows, x)
    traced = len(calls)
    assert traced >= solver.nfe
    other = walk(samplers.plan(schedules.edm(0.02), solver, samplers.grids.uniform(6, 0, 80.0)), x)
    assert len(calls) == traced and not np.allclose(one, other)
    calls.clear()
    with jax.disable_jit():
        plain = samplers.walk(KEY, denoise, solver, rows, x)
    np.testing.assert_allclose(plain, one, rtol=1e-4, atol=1e-4)
    assert len(calls) == CALLS.get(name, 6 * solver.nfe - (solver.last is not None))
    assert len(calls) == samplers.network_calls(solver, rows)


# Six steps are 6 calls, 12 of two each, or 11 where the last is Euler's; but of these, whose calls are rows,
SEVERAL_ROWS_A_STEP = {"pndm": 6 + 9, "plms": 6 + 1}
# and of these, whose other last step calls as often
CALLS = SEVERAL_ROWS_A_STEP | {"euler_maruyama": 6, "euler_maruyama_ode": 6, "reverse_diffusion": 6}


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


@pytest.mark.parametrize("name", SOLVERS)
def test_an_image_depends_on_its_own_seed_alone(name):
    """Other images beside it, or another place, change nothing."""
    keys, others = jax.random.split(KEY, 8), jax.random.split(jax.random.key(8), 8)
    whole = _sample(name, keys)
    beside = _sample(name, jnp.concatenate([others[:4], keys[:4]]))
    assert (beside[4:] == whole[:4]).all()
    assert (np.abs(_sample(name, others) - whole) > 1e-6).all(axis=1).all()


@pytest.mark.parametrize("name", ["ddim", "ddim_half", "churned", "unipc_2"])
def test_one_key_gives_every_position_its_own_whatever_the_batch(name):
    one = _sample(name)
    np.testing.assert_allclose(_sample(name, shape=(4, 2)), one[:4], rtol=1e-5, atol=1e-6)
    assert len(np.unique(np.asarray(one)[:, 0])) == 8


@pytest.mark.parametrize("name", [name for name in SOLVERS if name not in SEVERAL_ROWS_A_STEP])
def test_segments_of_one_denoiser_are_one_walk(name):
    whole, path = _sample(name, trajectory=True)
    segments = [(SHORT[:4], _exact), (SHORT[3:], _exact)]
    ours, our_path = samplers.sample_segments(
        KEY, segments, schedules.edm(), SOLVERS[name], shape=(8, 2), trajectory=True
    )
    np.testing.assert_allclose(our_path, path, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SEVERAL_ROWS_A_STEP)
def test_segments_need_one_row_a_step(name):
    segments = [(SHORT[:4], _exact), (SHORT[3:], _exact)]
    with pytest.raises(ValueError, match="one row a step"):
        samplers.sample_segments(KEY, segments, schedules.edm(), SOLVERS[name], shape=(8, 2))


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


# the others have steps of order 1 only, or make what they need on their own
ORDERS = {
    "dpm_pp_2": 2, "dpm_pp_3": 3, "dpm_pp_2_sde": 2, "dpm_pp_3_sde": 3, "dpm_2m": 2, "dpm_2m_sde": 2,
    "dpm_pp_2s_grid": 2, "dpm_pp_3s_grid": 3, "dpm_3s_grid": 3, "unipc_2": 2, "unipc_3": 3, "unipc_eps": 2,
    "deis": 3, "deis_log_rho": 2, "lms": 4,
}  # fmt: skip


@pytest.mark.parametrize("name", SOLVERS)
def test_as_many_steps_as_the_order_land_on_the_predicted_data(x64, name):
    """From pure noise to sigma = 0 every solver returns x_0, if that is all that the network ever says."""
    m = np.array([0.3, -0.8])
    denoise = lambda x, level, cond=None: prediction.from_x0(
        jnp.broadcast_to(m, x.shape), x, level, jnp.zeros_like(x)
    )
    times = samplers.grids.karras(ORDERS.get(name, 1), 1.0, 80.0)
    x = samplers.sample(KEY, denoise, schedules.edm(), SOLVERS[name], times, shape=(4, 2))
    np.testing.assert_allclose(x, np.broadcast_to(m, (4, 2)), atol=1e-9)


@pytest.mark.parametrize("name", ORDERS)
def test_fewer_steps_than_the_order_are_refused(name):
    order = ORDERS[name]
    message = f"order {order} needs a grid of at least {order} steps, got {order - 1}$"
    with pytest.raises(ValueError, match=message):
        samplers.plan(schedules.edm(), SOLVERS[name], samplers.grids.uniform(order - 1, 1.0, 80.0))


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
        ("ddim", [[5, 0]], "1-D"),
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
        (lambda: samplers.unipc(kind="v"), "kind must be x0 or eps"),
        (lambda: samplers.unipc(lower_order_final="no"), "lower_order_final must be True, False or 'few'"),
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
        (lambda: samplers.slerp(np.ones((2, 3)), np.ones((2, 4)), 0.5), "y must be shaped like x"),
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
        (lambda: samplers.grids.uniform(2.5), "positive integer"),
        (lambda: samplers.grids.spaced(10, "11"), "cannot keep 11"),
        (lambda: samplers.grids.spaced(1000, "ddim333"), "no integer stride"),
        (lambda: samplers.grids.log_snr(5, FLOW), "finite ends"),
    ],
)  # fmt: skip
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

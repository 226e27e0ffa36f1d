"""Likelihoods of mixtures whose density is known: by the ODE, by Hutchinson's probes, by I-MMSE."""

import itertools

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from diffjax import exact, samplers, toys
from diffjax.process import prediction, schedules
from diffjax.process.level import NoiseLevel, namespace

KEY = jax.random.key(0)
# Centred, as data are: the prior knows no mean.
MIXTURE = exact.gaussian_mixture(
    [0.4, 0.6], [[-0.9, 0.6], [0.6, -0.4]], [[[0.3, 0.1], [0.1, 0.2]], [[0.2, 0.0], [0.0, 0.1]]]
)
SCHEDULES = {
    "vp": schedules.vp_linear(),
    "sub_vp": schedules.sub_vp(),
    "ve": schedules.ve(0.001, 50.0),
    "edm": schedules.edm(),
    "flow": schedules.rectified_flow(),
    "cosine": schedules.vp_cosine(),
}
POINTS = itertools.product(("vp", "ve", "flow"), (0.02, 0.3, 0.9))


def _daily(cases, *daily):
    """All of the cases; those that are not daily are slow."""
    slow = lambda case: [] if case in daily else [pytest.mark.slow]
    return [pytest.param(*([case] if isinstance(case, str) else case), marks=slow(case)) for case in cases]


def _data(n=16):
    return MIXTURE.sample(KEY, n)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_density_of_the_data(x64, name):
    """Within 1e-3 nats a dimension: the noise at t_min, the prior's mismatch, and the default steps."""
    x, schedule = _data(), SCHEDULES[name]
    log_p = samplers.log_likelihood(None, MIXTURE.denoiser(), schedule, x)
    np.testing.assert_allclose(log_p / 2, MIXTURE.log_prob(x) / 2, atol=1e-3)


def _of_the_velocity(schedule):
    """The exact denoiser behind a network that is trained for alpha' x_0 + sigma' eps, of rates in t."""
    exactly = MIXTURE.denoiser()

    def network(x, t, cond):
        level = schedule(t)
        return prediction.velocity(exactly(x, level, cond), level)

    return prediction.denoiser(network, "velocity")


@pytest.mark.parametrize("name", ["flow", "vp"])
@pytest.mark.parametrize("integrator", [None, samplers.integrators.heun(), samplers.integrators.adaptive()])
def test_a_network_of_the_velocity_is_read_by_the_rates_of_its_schedule(x64, name, integrator):
    """Whatever variable the steps are taken in."""
    x, schedule = _data(), SCHEDULES[name]
    denoise = _of_the_velocity(schedule)
    log_p = samplers.log_likelihood(None, denoise, schedule, x, integrator=integrator)
    np.testing.assert_allclose(log_p / 2, MIXTURE.log_prob(x) / 2, atol=1e-3)


def test_a_network_of_the_velocity_in_float32():
    """Down to t = 1e-5, where eps is read of x and the output, and up to alpha = 1e-4."""
    x, schedule = _data(), SCHEDULES["flow"]
    log_p = samplers.log_likelihood(None, _of_the_velocity(schedule), schedule, x)
    np.testing.assert_allclose(log_p / 2, MIXTURE.log_prob(x) / 2, atol=3e-3)


@pytest.mark.parametrize("name", _daily(["vp", "sub_vp", "ve", "edm", "flow"], "vp", "ve", "flow"))
def test_the_default_grid_is_fine_enough_for_narrow_modes(x64, name):
    """Eight of width 0.1 on the unit circle, moved to mean 0."""
    ring = toys.ring8()
    ring = exact.gaussian_mixture(*ring._replace(means=ring.means - ring.weights @ ring.means))
    x = ring.sample(jax.random.key(3), 64)
    log_p = samplers.log_likelihood(None, ring.denoiser(), SCHEDULES[name], x)
    np.testing.assert_allclose(log_p / 2, ring.log_prob(x) / 2, atol=1e-3)


@pytest.mark.parametrize("name", _daily(["vp", "sub_vp", "ve", "flow"], "vp", "ve"))
def test_the_ode_itself(x64, name):
    """From the exact density at the last time to that at the first, both noisy: only the ODE is tested."""
    x, schedule = _data(), SCHEDULES[name]
    times = samplers.likelihood_grid(1, schedule)
    log_p = samplers.log_likelihood(
        None, MIXTURE.denoiser(), schedule, x, times=times,
        prior=lambda y: MIXTURE.log_prob(y, schedule(times[-1])),
        integrator=samplers.adaptive.integrator(1e-9, 1e-9),
    )  # fmt: skip
    np.testing.assert_allclose(log_p, MIXTURE.log_prob(x, schedule(times[0])), atol=1e-6)


@pytest.mark.parametrize(
    ("integrator", "order"), [(samplers.integrators.heun(), 2), (samplers.integrators.rk4(), 4)]
)
def test_order_of_the_fixed_steps(x64, integrator, order):
    x, schedule = _data(), SCHEDULES["edm"]
    prior = lambda y: MIXTURE.log_prob(y, schedule(80.0))
    errors = []
    for n in (96, 192):
        log_p = samplers.log_likelihood(
            None, MIXTURE.denoiser(), schedule, x, prior=prior, integrator=integrator,
            times=samplers.likelihood_grid(n, schedule),
        )  # fmt: skip
        errors.append(float(jnp.sqrt(jnp.mean((log_p - MIXTURE.log_prob(x, schedule(0.002))) ** 2))))
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.35, errors


def _divergence(schedule, t, x, **options):
    """What `log_likelihood` gains at one time: it is all that this integrator returns."""

    def run(field, level, y):
        return y[0], field(level, y)[1]

    at = samplers.integrators.Integrator(lambda schedule, times: schedule(times[0]), run)
    return samplers.log_likelihood(
        KEY, MIXTURE.denoiser(), schedule, x, times=[t, schedule.t_max], integrator=at,
        prior=lambda x: jnp.zeros(len(x)), **options,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "share"), _daily(POINTS, ("vp", 0.3), ("ve", 0.02), ("flow", 0.9)))
def test_divergences_at_a_point(x64, name, share):
    """Against jacfwd of the velocity: the exact one, e^T J e of given probes, the mean over drawn ones."""
    schedule, n = SCHEDULES[name], 3000
    t = share * schedule.t_max
    level = schedule(t)
    x = level.alpha * _data(3) + level.sigma * jax.random.normal(jax.random.key(1), (3, 2))

    def velocity(x):
        return prediction.velocity(MIXTURE.predict(x[None], level), level)[0]

    jacobian = np.asarray(jax.jit(jax.vmap(jax.jacfwd(velocity)))(x))
    traces = np.trace(jacobian, axis1=1, axis2=2)
    np.testing.assert_allclose(_divergence(schedule, t, x), traces, rtol=1e-9)
    e = jax.random.normal(jax.random.key(2), (5, 3, 2))
    given = _divergence(schedule, t, x, divergence="hutchinson", noise=e)
    np.testing.assert_allclose(given, np.einsum("pbi,bij,pbj->pb", e, jacobian, e).mean(0), rtol=1e-9)
    for probe in ("rademacher", "gaussian"):
        drawn = _divergence(schedule, t, jnp.repeat(x, n, 0), divergence="hutchinson", probe=probe)
        drawn = np.asarray(drawn).reshape(3, n)
        error = np.std(drawn, 1) / np.sqrt(n)
        assert (np.abs(drawn.mean(1) - traces) < 3 * error).all()
        # e^T J e has variance 2 |S|^2 for the symmetric part S, less its diagonal's for signs
        s2 = ((jacobian + jacobian.transpose(0, 2, 1)) / 2) ** 2
        spread = 2 * s2.sum((1, 2)) - (2 * np.trace(s2, axis1=1, axis2=2) if probe == "rademacher" else 0)
        np.testing.assert_allclose(np.var(drawn, 1), spread, rtol=0.25)


@pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
def test_hutchinson_is_unbiased(x64, probe):
    """Many walks with one probe each, of one full-covariance x: the mean is the exact value's."""
    x, schedule, n = _data(1), SCHEDULES["vp"], 2000
    times = samplers.likelihood_grid(24, schedule)
    options = {"times": times, "integrator": samplers.integrators.heun()}
    wanted = samplers.log_likelihood(None, MIXTURE.denoiser(), schedule, x, **options)[0]
    drawn = samplers.log_likelihood(
        KEY,
        MIXTURE.denoiser(),
        schedule,
        jnp.repeat(x, n, 0),
        divergence="hutchinson",
        probe=probe,
        **options,
    )
    error = np.std(drawn) / np.sqrt(n)
    assert error > 1e-4 and abs(drawn.mean() - wanted) < 3 * error
    # more probes: the same mean, less spread
    many = samplers.log_likelihood(
        KEY, MIXTURE.denoiser(), schedule, jnp.repeat(x, 200, 0), divergence="hutchinson", probe=probe,
        probes=16, **options,
    )  # fmt: skip
    assert abs(many.mean() - wanted) < 3 * np.std(many) / np.sqrt(200)
    np.testing.assert_allclose(np.std(many) / np.std(drawn), 0.25, rtol=0.25)


def test_rademacher_probes_are_exact_on_a_diagonal_jacobian(x64):
    """In one dimension, and for independent coordinates, e^T J e is the trace."""
    x, schedule = _data()[:, :1], SCHEDULES["flow"]
    mixture = exact.gaussian_mixture([0.5, 0.5], [[-1.0], [1.0]], [0.2, 0.2])
    run = lambda **options: samplers.log_likelihood(KEY, mixture.denoiser(), schedule, x, **options)
    np.testing.assert_allclose(run(divergence="hutchinson"), run(), rtol=1e-10)


def test_a_likelihood_depends_on_its_own_key_alone():
    keys, x, times = jax.random.split(KEY, 6), _data(6), samplers.likelihood_grid(16, SCHEDULES["vp"])
    run = lambda key, x: samplers.log_likelihood(
        key, MIXTURE.denoiser(), SCHEDULES["vp"], x, divergence="hutchinson", probe="gaussian", times=times
    )
    whole = run(keys, x)
    np.testing.assert_allclose(run(keys[2:4], x[2:4]), whole[2:4], rtol=1e-4)
    np.testing.assert_allclose(run(KEY, x[:3]), run(KEY, x)[:3], rtol=1e-4)
    assert (jnp.abs(run(jax.random.key(9), x) - whole) > 1e-5).all()


def test_float32_is_close_to_float64():
    x = np.asarray(_data(), np.float32)
    single = samplers.log_likelihood(None, MIXTURE.denoiser(), SCHEDULES["vp"], x)
    assert single.dtype == jnp.float32
    with jax.enable_x64(True):
        double = samplers.log_likelihood(None, MIXTURE.denoiser(), SCHEDULES["vp"], x.astype(np.float64))
    np.testing.assert_allclose(single, double, atol=2e-3)


def test_images_conditions_and_chunks_of_directions(x64):
    """100 independent dimensions of an image, more than one chunk, given a label that moves the mean."""
    shape, label = (2, 10, 10, 1), jnp.array([0.0, 0.5])
    x = jax.random.normal(KEY, shape)

    def denoise(x, level, cond):
        mean = cond.reshape(-1, 1, 1, 1)
        shrink = (x - level.alpha * mean) / (level.alpha**2 * 0.3 + level.sigma**2)
        return prediction.Prediction(mean + level.alpha * 0.3 * shrink, level.sigma * shrink)

    schedule = SCHEDULES["edm"]
    end = schedule(80.0)
    total = 0.3 + end.sigma**2
    prior = lambda y: (
        -0.5 * ((y - label.reshape(-1, 1, 1, 1)) ** 2 / total + np.log(2 * np.pi * total)).sum((1, 2, 3))
    )
    log_p = samplers.log_likelihood(None, denoise, schedule, x, cond=label, prior=prior)
    v = 0.3 + 0.002**2
    wanted = -0.5 * ((x - label.reshape(-1, 1, 1, 1)) ** 2 / v + np.log(2 * np.pi * v)).sum((1, 2, 3))
    np.testing.assert_allclose(log_p / 100, wanted / 100, atol=1e-4)


# --- the I-MMSE identity ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["edm", "vp"])
def test_likelihood_from_errors_alone(x64, name):
    """EXACT pointwise identity in one dimension, 301 Gauss-Hermite nodes."""
    mixture = exact.gaussian_mixture([0.3, 0.7], [[-1.0], [0.8]], [0.15, 0.3])
    schedule = {"edm": schedules.edm(1e-4, 1e4), "vp": schedules.vp_linear(0.1, 40.0)}[name]
    x = jnp.linspace(-2.0, 2.0, 9)[:, None]
    ours = samplers.log_likelihood_mmse(
        None, mixture.denoiser(), schedule, x, num_levels=400, nodes=301, t_min=schedule.inv_sigma(1e-4)
    )
    np.testing.assert_allclose(ours, mixture.log_prob(x), atol=1e-6)


def test_likelihood_from_errors_agrees_with_the_ode(x64):
    x, schedule = _data(4), schedules.edm(1e-3, 1e3)
    by_error = samplers.log_likelihood_mmse(None, MIXTURE.denoiser(), schedule, x, num_levels=128, nodes=48)
    by_ode = samplers.log_likelihood(None, MIXTURE.denoiser(), schedule, x)
    np.testing.assert_allclose(by_error, by_ode, atol=1e-3)


def test_likelihood_from_sampled_errors():
    """32 independent estimates of each of 4 points: unbiased within 3.5 standard errors."""
    x = _data(4)
    drawn = samplers.log_likelihood_mmse(
        KEY, MIXTURE.denoiser(), schedules.edm(1e-3, 1e3), jnp.repeat(x, 32, 0), expectation="monte_carlo",
        nodes=32,
    ).reshape(4, 32)  # fmt: skip
    error = drawn.std(1) / np.sqrt(32)
    assert (jnp.abs(drawn.mean(1) - MIXTURE.log_prob(x)) < 3.5 * error).all() and (error < 0.1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"divergence": "trace"}, "divergence must be one of exact, hutchinson, got 'trace'"),
        ({"divergence": "hutchinson", "probe": "normal"}, "probe must be one of rademacher, gaussian"),
        ({"divergence": "hutchinson", "probes": 0}, "probes must be a positive integer, got 0"),
        (
            {"divergence": "hutchinson", "noise": np.ones((1, 2, 2))},
            r"noise must be \[probes, B, ...\] for x \[3, 2\]",
        ),
        ({"noise": np.ones((1, 3, 2))}, "the exact divergence has none"),
        ({"divergence": "hutchinson", "noise": np.ones((0, 3, 2))}, r"noise must be \[probes, B, ...\]"),
        ({"x": np.ones((0, 2), np.float32)}, r"at least one sample, got shape \[0, 2\]"),
        ({"prior": lambda y: y}, r"prior must give one number for each sample, \[3\]; got shape \[3, 2\]"),
        (
            {"schedule": schedules.log_snr_linear(5.0, 0.0)},
            "alpha / sigma at the noisy end must be at most 0.1, where x is pure noise, got 1; give prior",
        ),
        ({"times": [0.002, 1.0, 1.0]}, "strictly monotone"),
        ({"times": [0.002, 80.0, 1.0]}, "strictly monotone"),
        ({"times": 80.0}, "times must be a sequence"),
        ({"times": [0.002, 1.0]}, "must end at the noisy end t_max = 80.* got 1; give prior"),
        ({"schedule": schedules.linear_beta(10)}, r"or the chain's \.continuous\(\)"),
        ({"schedule": schedules.linear_beta(10), "times": [1, 10]}, "a discrete chain has none"),
        *(
            (
                {"schedule": SCHEDULES["vp"], "times": [0.0, 0.5, 1.0], "integrator": integrator},
                "d sigma/dt is infinite at t = 0; begin at the schedule's t_min",
            )
            for integrator in (None, samplers.integrators.heun(), samplers.adaptive.integrator())
        ),
    ],
)  # fmt: skip
def test_bad_options_are_named(options, message):
    options = {"schedule": SCHEDULES["edm"]} | options
    schedule, x = options.pop("schedule"), options.pop("x", np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match=message):
        samplers.log_likelihood(KEY, MIXTURE.denoiser(), schedule, x, **options)


def test_bad_options_of_the_identity_are_named():
    run = lambda schedule, **options: samplers.log_likelihood_mmse(
        None, mixtures.ring8().denoiser(), schedule, np.ones((3, 2), np.float32), **options
    )
    with pytest.raises(ValueError, match="expectation must be one of quadrature, monte_carlo, got 'mc'"):
        run(SCHEDULES["edm"], expectation="mc")
    with pytest.raises(ValueError, match="take expectation='monte_carlo'"):
        run(SCHEDULES["edm"], nodes=2000)
    with pytest.raises(ValueError, match="num_levels must be a positive integer, got 0"):
        run(SCHEDULES["edm"], num_levels=0)
    with pytest.raises(ValueError, match="t_min must be below t_max, got 80 and 1"):
        run(SCHEDULES["edm"], t_min=80.0, t_max=1.0)
    with pytest.raises(ValueError, match="log SNR must be finite at both ends"):
        run(SCHEDULES["flow"])
    with pytest.raises(ValueError, match="codes must be an integer array"):
        samplers.dequantisation.uniform(KEY, jnp.ones((2, 2)))


@pytest.mark.parametrize(
    "chain", [schedules.linear_beta(1000), schedules.cosine_beta(100), schedules.geometric(50.0, 0.01, 30)]
)
def test_the_default_grid_of_a_chain_in_continuous_time(x64, chain):
    """A chain's rates jump at each of its steps; in log(sigma / alpha) they do not."""
    mixture, schedule = exact.gaussian_mixture([0.4, 0.6], [[-0.6], [0.4]], [0.01, 0.02]), chain.continuous()
    first, last = (schedule(np.float64(t)) for t in (schedule.t_min, schedule.t_max))
    x = first.alpha * mixture.sample(KEY, 16) + first.sigma * jax.random.normal(KEY, (16, 1))
    log_p = samplers.log_likelihood(
        None, mixture.denoiser(), schedule, x, prior=lambda y: mixture.log_prob(y, last)
    )
    np.testing.assert_allclose(log_p, mixture.log_prob(x, first), atol=1e-4)


def test_a_schedule_of_ones_own_whose_alpha_only_nearly_ends_at_0():
    """cos(pi / 2) is 6e-17 and not 0: the grid stops short of it, too, as it does of alpha = 0."""

    def level(t):
        xp = namespace(t)
        alpha, sigma = xp.cos(np.pi / 2 * t), xp.sin(np.pi / 2 * t)
        log_snr = 2 * (xp.log(alpha) - xp.log(sigma))
        return NoiseLevel(t, alpha, sigma, log_snr, -np.pi / 2 * sigma, np.pi / 2 * alpha)

    inverse = lambda ratio: namespace(ratio).arctan(ratio) * 2 / np.pi
    mine = schedules.Continuous(level, inverse, t_min=1e-3, t_max=1.0, prior_std=1.0)
    mixture = exact.gaussian_mixture([1.0], [[0.0, 0.0]], [0.1])
    x = mixture.sample(KEY, 4)
    log_p = samplers.log_likelihood(None, mixture.denoiser(), mine, x)
    np.testing.assert_allclose(log_p, mixture.log_prob(x, mine(1e-3)), atol=1e-3)
    with pytest.raises(ValueError, match="strictly monotone") as error:
        samplers.log_likelihood(None, mixture.denoiser(), mine, x, times=[0.5] * 300)
    assert len(str(error.value)) < 200


def test_a_batch_that_is_split_by_shard_map():
    """As docs/conventions.md says, without the check of what varies over devices."""
    vp, x = schedules.vp_linear(), _data(8)
    how = {"times": samplers.likelihood_grid(8, vp)}
    run = lambda x: samplers.log_likelihood(None, MIXTURE.denoiser(), vp, x, **how)
    split = jax.sharding.PartitionSpec("batch")
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("batch",))
    shared = jax.shard_map(run, mesh=mesh, in_specs=split, out_specs=split, check_vma=False)
    np.testing.assert_allclose(jax.jit(shared)(x), run(x), rtol=1e-5)

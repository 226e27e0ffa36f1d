"""Wrong calls of samplers and likelihoods: one line that names the argument, before anything compiles."""

# ruff: noqa: E501
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import exact, likelihoods, samplers
from diffjax.process import schedules
from diffjax.samplers import listing

KEY, VP, CHAIN = jax.random.key(0), schedules.vp_linear(), schedules.cosine_beta(20)
DENOISE = exact.gaussian_mixture([1.0], [[0.0, 0.0]], [0.1]).denoiser()
X = 0.5 * jnp.ones((4, 2))


def _sample(solver=None, **options):
    given = {
        "denoise": DENOISE,
        "schedule": VP,
        "times": np.linspace(1, 0.001, 8),
        "shape": (4, 2),
        **options,
    }
    return samplers.sample(given.pop("key", KEY), solver=solver or samplers.ddim(), **given)


WRONG = {
    "a solver that was not called": (lambda: _sample(samplers.ddim), "solver must be a Solver, .* parentheses"),
    "a solver's name": (lambda: _sample("ddim"), "solver must be a Solver, got 'ddim'"),
    "no denoiser": (lambda: _sample(denoise=None), "denoise must be a Denoiser or a FlowMap, got None"),
    "a network for a denoiser": (
        lambda: _sample(denoise=lambda x, t, cond: 0.1 * x),
        r"denoise must return a Prediction, got .*; make one of a network with prediction.denoiser",
    ),
    "a schedule's name": (lambda: _sample(schedule="vp_linear"), "schedule must be a Schedule, got 'vp_linear'"),
    "a grid's name": (lambda: _sample(times="uniform"), "times must be a sequence"),
    "times with NaN": (lambda: _sample(times=[1.0, np.nan, 0.0]), "times must be|t must be in"),
    "a number for a shape": (lambda: _sample(shape=4), "shape must be a sequence"),
    "half a sample": (lambda: _sample(shape=(4.5, 2)), "shape must be a sequence, each an integer"),
    "integers to start from": (
        lambda: _sample(shape=None, x_init=np.ones((4, 2), int)), "x_init must be a float array",
    ),
    "a traced eta": (
        lambda: jax.vmap(lambda eta: _sample(samplers.ddim(eta)))(jnp.array([0.0, 1.0])),
        "ddim: eta must be a finite number known on the host, got a traced float32",
    ),
    "a word for eta": (lambda: samplers.ddim("half"), "ddim: eta must be a finite number, got 'half'"),
    "a mistyped option": (lambda: samplers.ddim(etaa=0.5), "ddim: etaa is no argument; .* did you mean 'eta'"),
    "one step of many": (lambda: samplers.unipc(disable_corrector=0), "disable_corrector must be a tuple, got 0"),
    "a list of steps": (
        lambda: samplers.unipc(disable_corrector=[0]), r"disable_corrector must be a tuple, got \[0\]; \(0,\) is one",
    ),
    "correctors that were not called": (
        lambda: samplers.predictor_corrector(samplers.ddim, samplers.langevin()),
        "predictor_corrector: predictor must be a Solver, .* parentheses, ddim",
    ),
    "keys that depend on their batch": (
        lambda: _sample(key=jax.random.key(0, impl="rbg")), r"key must be of JAX's default generator, .* got key<rbg>",
    ),
    "too many keys": (lambda: _sample(key=jax.random.split(KEY, 3)), "one key or one a sample"),
    "a solver for an integrator": (
        lambda: samplers.log_likelihood(None, DENOISE, VP, X, integrator=samplers.heun()),
        "integrator must be an Integrator or None, got a Solver",
    ),
    "a number for a prior": (
        lambda: samplers.log_likelihood(None, DENOISE, VP, X, prior=1.0), "prior must be a function",
    ),
    "draws without a key": (
        lambda: samplers.log_likelihood_mmse(None, DENOISE, VP, X, expectation="monte_carlo"),
        "key must be given for expectation='monte_carlo'",
    ),
    "a bound of another schedule": (lambda: likelihoods.elbo.bits_per_dim(KEY, DENOISE, VP, X), "needs a chain"),
    "another bound of a chain": (
        lambda: likelihoods.continuous_elbo.bits_per_dim(KEY, DENOISE, CHAIN, X), "needs a continuous schedule",
    ),
    "a bound without draws": (
        lambda: likelihoods.continuous_elbo.bits_per_dim(KEY, DENOISE, VP, X, draws=0), "draws must be a positive",
    ),
    "bins without number": (
        lambda: likelihoods.dequantisation.uniform(KEY, np.zeros((4, 2), int), levels=0), "levels must be a positive",
    ),
    "bins the wrong way round": (
        lambda: likelihoods.dequantisation.bits_per_dim(jnp.zeros(4), 2, low=1.0, high=-1.0), "low, high",
    ),
    "a grid of half a step": (lambda: samplers.grids.uniform(2.5), "n must be an integer, got 2.5"),
    "an exponent of 0": (lambda: samplers.grids.karras(10, 0.01, 80.0, rho=0), "rho must be positive"),
    "latents of two shapes": (lambda: samplers.slerp(X, X[:3], 0.5), "y must be a float array"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_it_is_named_in_one_line(name):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_what_is_plainly_meant_is_taken():
    assert samplers.ddim(eta=jnp.asarray(0.5)) is samplers.ddim(0.5)
    assert samplers.edm_heun(np.float32(2.0)) is samplers.edm_heun(2.0)
    assert samplers.unipc(disable_corrector=(np.int64(0),)) is samplers.unipc(disable_corrector=(0,))


@pytest.mark.parametrize(
    "entry", [*listing.SOLVERS.values(), *listing.CORRECTORS.values()], ids=lambda e: e.name
)
def test_every_constructor_names_an_option_that_it_does_not_have(entry):
    with pytest.raises(ValueError, match=f"{entry.name}: sigma_maxx is no argument"):
        entry.make(sigma_maxx=1.0)


def test_segments_join_where_two_ways_of_writing_a_time_agree():
    middle = 0.3
    parts = [([1.0, middle], DENOISE), ([0.1 + 0.2, 0.001], DENOISE)]
    assert middle != 0.1 + 0.2
    x = samplers.sample_segments(KEY, parts, VP, samplers.ddim(), x_init=X)
    np.testing.assert_allclose(x, _sample(times=[1.0, middle, 0.001], shape=None, x_init=X), rtol=1e-6)


def test_a_schedule_that_gives_no_number_is_named_in_the_plan():
    """The level at 0.5 is NaN: no walk is made of it."""
    broken = schedules.Continuous(
        lambda t: VP.level(np.where(t == 0.5, np.nan, t)), VP.inv_sigma, t_min=1e-5, t_max=1.0, prior_std=1.0
    )
    with pytest.raises(ValueError, match="times must"):
        samplers.plan(broken, samplers.ddim(), [1.0, 0.5, 0.1])

"""What every solver must do, on every schedule that it takes."""

import functools
import importlib
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import solver_list
from solver_list import COMBINATIONS, DAILY, FEWEST, GRIDS, REFUSED, SOLVERS, STEPS, VARIANTS

from diffjax import samplers
from diffjax.process import prediction, schedules

KEY = jax.random.key(7)
SHORT = samplers.grids.karras(6, 0.02, 80.0)
VP = schedules.vp_linear()
PLACES = {  # of one structure, so that their walks share a program
    "edm": (schedules.edm(), SHORT),
    "vp": (VP, VP.inv_sigma(samplers.grids.karras(6, 0.02, 100.0))),
    "ve": (
        schedules.ve(0.01, 50.0),
        schedules.ve(0.01, 50.0).inv_sigma(samplers.grids.karras(6, 0.02, 50.0)),
    ),
}


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """Hundreds of small programs: do not carry them on into other tests."""
    yield
    _program.cache_clear()
    jax.clear_caches()


# --- nothing is missing ----------------------------------------------------------------------------

NO_SOLVERS = {
    *("sample", "walk", "encode", "sample_segments", "start", "start_from", "plan", "network_calls"),
    "times_from",
    "dpm_adaptive",  # walks no grid; tests of its own
    *("predictor_corrector", "repaint", "short_run", "slerp", "Rows", "Solver"),
}


def test_every_public_name_is_a_listed_solver_or_none():
    """A new solver belongs into `samplers.listing`, a new function that is none into `NO_SOLVERS`."""
    public = {name for name, value in vars(samplers).items() if callable(value) and name[0] != "_"}
    assert public - set(solver_list.LISTED) == NO_SOLVERS
    assert all(getattr(samplers, name) is entry.make for name, entry in solver_list.LISTED.items())
    assert all(entry.variants for entry in solver_list.LISTED.values())


def test_every_file_of_solvers_is_listed():
    """Every public function of the room that returns a Solver has its entry, but for makers from parts."""
    found = set()
    for module in pkgutil.walk_packages(samplers.__path__, "diffjax.samplers."):
        for name, value in vars(importlib.import_module(module.name)).items():
            own = getattr(value, "__module__", None) == module.name and name[0] != "_"
            if own and getattr(value, "__annotations__", {}).get("return") is samplers.Solver:
                found.add(name)
    assert found - set(solver_list.LISTED) == {"predictor_corrector", "repaint", "multistep"}
    assert set(solver_list.LISTED) <= found


# --- the law of the samples ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    {
        "wider": 0.1 + 1.5 * (solver_list.quantiles(4096) - 0.1),
        "narrower": 0.1 + (solver_list.quantiles(4096) - 0.1) / 1.5,
        "shifted": solver_list.quantiles(4096) + 0.12,
        "lighter": solver_list.quantiles(4096, weights=np.array([0.23, 0.77])),
        "heavier": solver_list.quantiles(4096, weights=np.array([0.37, 0.63])),
        "mirrored": -solver_list.quantiles(4096),
        "one mode": np.abs(solver_list.quantiles(4096)),
        "noise": solver_list.quantiles(4096, 0.0, 1.0),
    }.items(),
    ids=lambda wrong: wrong[0],
)
def test_the_distance_tells_wrong_laws_apart(wrong):
    """No solver on any grid may be as far from the data as any of these laws: there is one bound for all."""
    assert solver_list.distance(wrong[1]) > 1.3 * max(solver_list.NOISY_BOUND, solver_list.BOUND)


@pytest.mark.parametrize("grid", ["edm", "flow_inside"])
def test_the_distance_of_the_right_law_is_chance(x64, grid):
    """The exact denoiser of the list, too, belongs to that law: Tweedie's formula by differentiation."""
    schedule, times = GRIDS[grid]
    rng, level = np.random.default_rng(0), schedule(np.float64(times[STEPS // 2]))
    assert solver_list.distance(solver_list.quantiles(4096, level.alpha, level.sigma), *level[1:3]) < 2e-4
    data = rng.choice(solver_list.MEANS, 4096, p=solver_list.WEIGHTS)
    spread = np.sqrt(solver_list.VARIANCES)[(data == solver_list.MEANS[1]).astype(int)]
    assert solver_list.distance(data + spread * rng.normal(size=4096)) < 1.63 / 64  # 1 in 100 exceeds it

    def log_p(x):
        total = level.alpha**2 * solver_list.VARIANCES + level.sigma**2
        logs = jax.scipy.stats.norm.logpdf(x, level.alpha * solver_list.MEANS, jnp.sqrt(total))
        return jax.nn.logsumexp(logs, b=solver_list.WEIGHTS)

    x = jnp.linspace(-3, 3, 13) * np.sqrt(level.alpha**2 + level.sigma**2)
    predicted = solver_list.denoise(x, level)
    np.testing.assert_allclose(predicted.eps, -level.sigma * jax.vmap(jax.grad(log_p))(x), rtol=1e-9)
    again = level.alpha * predicted.x0 + level.sigma * predicted.eps
    np.testing.assert_allclose(again, x, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("solver", "grid"), [
    pytest.param(*each, marks=[] if each in DAILY else [pytest.mark.slow]) for each in COMBINATIONS
])  # fmt: skip
def test_reaches_the_data_in_float32_as_in_float64(solver, grid):
    """From the exact marginal to the exact marginal; float32 loses at most 2e-4, and is finite throughout."""
    (schedule, times), method = solver_list.place(solver, grid), SOLVERS[solver]
    first, end = (schedule(np.float64(times[i])) for i in (0, -1))
    rng, shape = np.random.default_rng(0), (64, 64)
    start = rng.permutation(solver_list.quantiles(4096, *first[1:3])).reshape(shape)
    noise = rng.normal(size=(len(times) - 1, max(method.draws, 1), *shape)).astype(np.float32)
    walk = lambda dtype: samplers.sample(
        KEY, solver_list.denoise, schedule, method, times, x_init=jnp.asarray(start, dtype),
        noise=noise if method.draws else None, trajectory=True,
    )  # fmt: skip
    single, path = walk(jnp.float32)
    assert single.shape == shape and path.shape[1:] == shape and len(path) >= STEPS
    assert single.dtype == path.dtype == jnp.float32
    assert jnp.isfinite(path).all() and (path[-1] == single).all()
    with jax.enable_x64(True):
        double, _ = walk(jnp.float64)
        assert double.dtype == jnp.float64
    np.testing.assert_allclose(single, double, atol=2e-4 * np.abs(double).max())
    if VARIANTS[solver].no_law is None:
        bound = solver_list.NOISY_BOUND if method.draws else solver_list.BOUND
        assert solver_list.distance(single, *end[1:3]) < bound


@pytest.mark.parametrize(("solver", "grid"), REFUSED)
def test_what_a_solver_cannot_serve_it_says(solver, grid):
    with pytest.raises(ValueError, match=REFUSED[solver, grid]) as error:
        samplers.plan(GRIDS[grid][0], SOLVERS[solver], GRIDS[grid][1])
    assert "\n" not in str(error.value)


# --- programs, seeds and batches -------------------------------------------------------------------

KEYS, OTHERS = jax.random.split(KEY, 8), jax.random.split(jax.random.key(8), 8)


@functools.lru_cache
def _program(name):
    """Return the jitted walk of a solver, (keys, rows, x) -> (x, path), and the list of its traced calls."""
    calls = []

    def counted(x, level, cond=None):
        calls.append(0)
        return solver_list.denoise(x, level, cond)

    walk = lambda keys, rows, x: samplers.walk(keys, counted, SOLVERS[name], rows, x, trajectory=True)
    return walk, jax.jit(walk), calls


def _places(name):
    """Yield the rows and the starts of two places that the solver takes."""
    for place in ("edm", "vp" if name != "annealed_langevin" else "ve"):
        schedule, times = PLACES[place]
        rows = samplers.plan(schedule, SOLVERS[name], times)
        yield rows, lambda keys, s=schedule: samplers.start(keys, s, (len(keys), 2))


@pytest.mark.parametrize("name", SOLVERS)
def test_one_program_for_all_grids_of_a_length_and_none_at_all(name):
    """Another grid, on another schedule, does not compile again; without jit the walk is the same."""
    (plain, jitted, calls), solver, ends, traced = _program(name), SOLVERS[name], [], []
    calls.clear()
    for rows, start in _places(name):
        ends.append(jitted(KEYS, rows, start(KEYS))[0])
        traced.append(len(calls))
    assert traced[0] == traced[1] > 0 and not np.allclose(*ends)
    for (rows, start), end in zip(_places(name), ends):
        calls.clear()
        with jax.disable_jit():
            np.testing.assert_allclose(plain(KEYS, rows, start(KEYS))[0], end, rtol=1e-4, atol=1e-4)
        assert len(calls) == samplers.network_calls(solver, rows)
        steps = 6 + VARIANTS[name].extra_rows
        told = steps * solver.nfe if solver.last is None else (steps - 1) * solver.nfe + solver.last_nfe
        assert len(calls) == told


SEVERAL_ROWS_A_STEP = [name for name, variant in VARIANTS.items() if variant.extra_rows]


@pytest.mark.parametrize("name", SOLVERS)
def test_an_image_depends_on_its_own_seed_alone(name):
    """Other images beside it, another place, or a batch in two parts: nothing changes."""
    _, walk, _ = _program(name)
    for rows, start in _places(name):
        run = lambda keys, rows=rows, start=start: np.asarray(walk(keys, rows, start(keys))[0])
        whole = run(KEYS)
        beside = run(jnp.concatenate([OTHERS[:4], KEYS[:4]]))
        assert (beside[4:] == whole[:4]).all()
        assert (np.abs(run(OTHERS) - whole) > 1e-6).all(axis=1).all()
        parts = np.concatenate([run(KEYS[:4]), run(KEYS[4:])])
        np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in SOLVERS if name not in SEVERAL_ROWS_A_STEP])
def test_segments_of_one_denoiser_are_one_walk(name):
    rows, start = next(_places(name))
    x = start(KEYS)
    whole, path = _program(name)[1](KEYS, rows, x)
    segments = [(SHORT[:4], solver_list.denoise), (SHORT[3:], solver_list.denoise)]
    ours, our_path = samplers.sample_segments(
        KEYS, segments, schedules.edm(), SOLVERS[name], x_init=x, trajectory=True
    )
    np.testing.assert_allclose(our_path, path, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SEVERAL_ROWS_A_STEP)
def test_segments_need_one_row_a_step(name):
    segments = [(SHORT[:4], solver_list.denoise), (SHORT[3:], solver_list.denoise)]
    with pytest.raises(ValueError, match="one row a step"):
        samplers.sample_segments(KEY, segments, schedules.edm(), SOLVERS[name], shape=(8, 2))


@pytest.mark.parametrize("name", SOLVERS)
def test_as_many_steps_as_the_order_land_on_the_predicted_data(x64, name):
    """From pure noise to sigma = 0 every solver returns x_0, if that is all that the network ever says."""
    m = np.array([0.3, -0.8])
    denoise = lambda x, level, cond=None: prediction.from_x0(
        jnp.broadcast_to(m, x.shape), x, level, jnp.zeros_like(x)
    )
    times = samplers.grids.karras(VARIANTS[name].fewest, 1.0, 80.0)
    x = samplers.sample(KEY, denoise, schedules.edm(), SOLVERS[name], times, shape=(4, 2))
    np.testing.assert_allclose(x, np.broadcast_to(m, (4, 2)), atol=1e-9)


@pytest.mark.parametrize("name", FEWEST)
def test_fewer_steps_than_the_order_are_refused(name):
    order = FEWEST[name]
    message = f"order {order} needs a grid of at least {order} steps, got {order - 1}$"
    with pytest.raises(ValueError, match=message):
        samplers.plan(schedules.edm(), SOLVERS[name], samplers.grids.uniform(order - 1, 1.0, 80.0))

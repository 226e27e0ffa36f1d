"""The DDPM system: what its loss and its sampler do with labels, guidance and keys."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import samplers, systems
from diffjax.process import prediction, schedules
from diffjax.systems import read, requests
from diffjax.training.system import Variables

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
N = 6


class Recorder:
    """A stand-in module that returns the entry of its vector in every entry, and keeps what it was told."""

    vector_features = 1

    def __init__(self):
        self.told = []

    def init(self, key, x, t, cond=None):
        return {"params": {"scale": jnp.ones(())}}

    def apply(self, variables, x, t, cond=None, train=False, rngs=None):
        vector = jnp.zeros(len(x)) if cond is None or cond.vector is None else cond.vector[:, 0]
        jax.debug.callback(lambda c: self.told.append(np.asarray(c)), vector)
        wide = jnp.broadcast_to(vector.reshape(-1, *[1] * (x.ndim - 1)), x.shape)
        return variables["params"]["scale"] * wide


def _labels(dropout):
    """Labels whose class c has the vector c, and no class the vector 4."""
    made = requests.labels(4, 1, dropout)
    table = jnp.arange(4.0 + (dropout > 0))[:, None]
    return made._replace(init=lambda key: {"conditions": {"embed": {"label": {"embedding": table}}}})


def _system(module, label_dropout=0.0, labelled=True, weight=0.0, kind="x0", **options):
    schedule, times = schedules.cosine_beta(20), np.array([20, 10, 0])
    sampler = read.Sampler(samplers.ddim(), times, weight, None, 2)
    return systems.ddpm.ddpm(
        module, schedule, sampler, shape=(2,), reading=prediction.reading(kind), gives="points",
        requests=_labels(label_dropout) if labelled else None, **options,
    )  # fmt: skip


def _variables(system):
    return Variables(*system.init(jax.random.key(0), system.example, {}))


def _gradients(system, key, batch):
    return system.updates[0].gradients(_variables(system), key, batch, 0)


@pytest.mark.parametrize(("dropout", "fraction"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_labels_are_dropped_to_the_null_label(dropout, fraction):
    module = Recorder()
    system = _system(module, label_dropout=dropout)
    n = 2000
    batch = {"x": jnp.zeros((n, 2)), "label": jnp.arange(n) % 4}
    _gradients(system, jax.random.key(1), batch)
    jax.effects_barrier()
    dropped = np.mean(module.told[0] == 4)
    assert abs(dropped - fraction) <= 3 * np.sqrt(fraction * (1 - fraction) / n)
    kept = module.told[0] != 4
    np.testing.assert_array_equal(module.told[0][kept], np.asarray(batch["label"])[kept])


def test_guided_samples_extrapolate_from_the_null_label():
    # the network predicts x_0 = label, so the sample is null + (1 + w) (label - null)
    labels = jnp.array([0, 1, 2, 3, 1, 2])
    system = _system(Recorder(), label_dropout=0.1, weight=0.5)
    x = system.sample(_variables(system), jax.random.key(1), {"label": labels}, N)
    np.testing.assert_allclose(x, np.repeat(4 + 1.5 * (labels - 4.0), 2).reshape(N, 2), rtol=1e-5)


def test_no_class_is_the_null_label():
    system = _system(Recorder(), label_dropout=0.1)
    request = system.request.of_user({"label": ["none"]}, N)
    x = system.sample(_variables(system), jax.random.key(1), request, N)
    np.testing.assert_allclose(x, 4.0, rtol=1e-5)


def test_refusals():
    with pytest.raises(ValueError, match=r"label_dropout must be in \[0, 1\], got 2"):
        _system(Recorder(), label_dropout=2)
    with pytest.raises(ValueError, match="guidance_weight needs a class-conditional model"):
        _system(Recorder(), weight=0.5)
    with pytest.raises(ValueError, match=r"label must be in 0\.\.3, got none"):
        _system(Recorder()).request.of_user({"label": ["none"]}, N)


def config_of(name, *args):
    """Return the config of `configs/<name>.py`."""
    spec = importlib.util.spec_from_file_location("config", CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*args)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("system", "dpm", "system must be one of ddpm, .*; got 'dpm'; did you mean 'ddpm'"),
        (
            "schedule.name",
            "cosine",
            "schedule.name must be one of .*; got 'cosine'; did you mean 'vp_cosine' or 'cosine_beta'",
        ),
        ("model.num_classes", 10, "model.num_classes must be 11 .*got 10"),
        ("model.model_channels", float("nan"), "model.model_channels must be a finite number above 0"),
        ("model.model_channels", "ten", "model: .*model_channels must be an integer, got 'ten'"),
        ("model.num_groups", 7, "model: num_groups"),
        ("model.time_scale", float("inf"), "model.time_scale must be a finite number above 0, got inf"),
        ("data.shape", 8, r"data.shape must be a tuple of sizes such as \(8, 8, 1\), got 8"),
        ("model.widht", 3, "model.widht is not an option of UNet"),
        ("objective.kind", "epsilon", "kind must be one of .*; got 'epsilon'"),
        ("objective.weighting", "minsnr", "objective.weighting must be one of .*did you mean 'min_snr'"),
        ("sampler.solver", "ddmi", "sampler.solver must be one of .*did you mean 'ddim'"),
        (
            "objective.times",
            "unifrom",
            "objective.times must be one of uniform, .*, logit_normal; got 'unifrom'",
        ),
        ("objective.times", {"name": "uniform", "std": 1}, "objective.times.std is not an option of uniform"),
        ("objective.shape", (2,), "objective.shape is not an option of ddpm"),
        ("sampler.eta", 2.0, "^sampler: eta must be in"),
        ("sampler.solver", "euler", "^sampler: .*a discrete chain has none"),
        ("sampler.etta", 0.5, "sampler.etta is not an option of ddim; did you mean 'eta'"),
        ("sampler.steps", 1001, "sampler.steps must be at most 1000"),
        ("optimizer.name", "adamm", "optimizer name='adamm' is not one of"),
        ("data.shape", (8, 8, 3), r"data.shape is \(8, 8, 3\), but digits/train has \(8, 8, 1\)"),
        ("data", None, "config.data is missing"),
        ("data.num_classes", None, "config.data.num_classes is missing"),
        ("model.name", None, "config.model.name is missing"),
        ("model.num_classes", 0, "objective.label_dropout needs a class-conditional model"),
        ("objective", None, "config.objective is missing"),
        ("schedule", None, "config.schedule is missing"),
        ("sampler.solver", None, "config.sampler.solver is missing"),
        ("sampler.steps", None, "config.sampler.steps is missing"),
        ("optimizer", None, "config.optimizer is missing"),
        ("data.num_classes", 5, "data.num_classes is 5, but digits/train has 10"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_by_name(field, value, message):
    config = config_of("digits/ddpm")
    with config.unlocked(), config.ignore_type():
        _set(config, field, value)
    with pytest.raises(ValueError, match=message):
        systems.load_data(config, "train")
        systems.make_optimizer(config, systems.build(config))


def _set(config, field, value):
    *path, last = field.split(".")
    for part in path:
        config = config[part]
    config[last] = value


def _shapes(system):
    return jax.eval_shape(system.init, jax.random.key(0), system.example, {})


@pytest.mark.parametrize("times", [{"name": "uniform"}, {"name": "second_moment"}, "low_discrepancy"])
def test_times_by_their_name(times):
    config = config_of("toys/ddpm")
    config.objective.times = times
    extra = _shapes(systems.build(config))[1]
    assert set(extra) == ({"times"} if times == {"name": "second_moment"} else set())


@pytest.mark.parametrize("grid", ["uniform", "quadratic", "karras", "log_snr", "spaced"])
@pytest.mark.parametrize("solver", ["ddim", "ancestral", "edm_heun", "dpm_solver_pp"])
def test_every_solver_and_grid_a_config_can_name(grid, solver):
    config = config_of("toys/ddpm")
    config.sampler.update({"solver": solver, "grid": grid, "steps": 5})
    config.model.update({"width": 8, "depth": 1})
    system = systems.build(config)
    x = system.sample(_variables(system), jax.random.key(1), {}, 3)
    assert x.shape == (3, 2) and np.isfinite(x).all()


@pytest.mark.parametrize("loss", ["bound", "hybrid"])
def test_learned_variances_with_importance_sampled_times(loss):
    config = config_of("toys/ddpm")
    config.model.update({"out_features": 4, "width": 8})
    with config.unlocked():
        config.objective.update({"loss": loss, "variance": "learned_range", "times": "second_moment"})
        config.sampler.update({"variance": "learned_range", "steps": 5})
    system = systems.build(config)
    v = _variables(system)
    batch = {"x": jax.random.normal(jax.random.key(1), (32, 2)) / 4}
    grads, extra, metrics = jax.jit(system.updates[0].gradients)(v, jax.random.key(2), batch, 0)
    assert int(extra["times"].counts.sum()) == 32
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in jax.tree.leaves(grads))
    assert np.isfinite(metrics["loss"])
    assert np.isfinite(system.sample(v._replace(extra=extra), jax.random.key(3), {}, 3)).all()


def test_input_perturbation_reaches_the_network():
    seen = {}

    def keep(gamma):
        module = Recorder()
        system = _system(module, labelled=False, kind="eps", input_perturbation=gamma)
        apply = module.apply
        module.apply = lambda params, x, *a, **k: seen.setdefault(gamma, x) * 0 + apply(params, x, *a, **k)
        _gradients(system, jax.random.key(1), {"x": jnp.zeros((4000, 2))})

    for gamma in (0.0, 1.0):
        keep(gamma)
    # with x_0 = 0 the input is sigma (eps + gamma xi): twice the variance at gamma = 1
    ratio = jax.lax.stop_gradient(seen[1.0]).var() / jax.lax.stop_gradient(seen[0.0]).var()
    assert abs(ratio - 2) < 0.15


def test_a_loss_of_a_pair_needs_a_chain():
    config = config_of("toys/ddpm")
    with config.unlocked():
        config.schedule = {"name": "edm"}
        config.objective.loss = "hybrid"
        config.sampler = {"solver": "edm_heun", "steps": 5, "grid": "karras"}
    with pytest.raises(ValueError, match=r"objective\.loss='hybrid' needs a chain"):
        systems.build(config)


def test_samples_start_at_the_level_of_the_grid():
    """Data at 0: ddim scales the start, which has the grid's first sigma and not sigma_max, by 40 / 80."""
    sampler = read.Sampler(samplers.ddim(), np.array([80.0, 40.0]), 0.0, None, 1)
    system = systems.ddpm.ddpm(
        Recorder(), schedules.edm(0.002, 300.0), sampler, shape=(2,), reading=prediction.reading("x0")
    )  # without labels it predicts 0
    x = system.sample(_variables(system), jax.random.key(0), {}, 2000)
    np.testing.assert_allclose(x.std(), 40.0, rtol=0.05)


@pytest.mark.parametrize("kind", ["x0", "eps", "v"])
def test_what_is_trained_is_what_is_sampled(kind):
    """A network that has no loss denoises exactly: the loss and the denoiser read it in the same way."""
    schedule, x0 = schedules.cosine_beta(20), jnp.array([[0.3, -0.6]])

    class Truth(Recorder):
        def apply(self, variables, x, t, cond=None, train=False, rngs=None):
            level = schedule(t)
            eps = (x - level.alpha[:, None] * x0) / level.sigma[:, None]
            return prediction.target(kind, jnp.broadcast_to(x0, x.shape), eps, level)

    system = _system(Truth(), labelled=False, kind=kind)
    batch = {"x": jnp.tile(x0, (50, 1))}
    _, _, metrics = _gradients(system, jax.random.key(1), batch)
    assert metrics["loss"] < 1e-9
    level = schedule(jnp.full(3, 12))
    found = system.denoiser(_variables(system))(jnp.ones((3, 2)), level)
    np.testing.assert_allclose(found.x0, jnp.tile(x0, (3, 1)), atol=1e-5)

"""The DDPM system: what its loss and its sampler do with labels, guidance and keys."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax import samplers, systems
from diffjax.process import schedules

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
N = 6


class Recorder:
    """A stand-in module that returns its label in every entry, and counts calls."""

    def __init__(self):
        self.labels = []

    def init(self, key, x, t, cond):
        return {"params": {"scale": jnp.ones(())}}

    def apply(self, params, x, t, cond, train=False, rngs=None):
        label = jnp.zeros(len(x)) if cond is None else cond.astype(x.dtype)
        jax.debug.callback(lambda c: self.labels.append(np.asarray(c)), label)
        return params["params"]["scale"] * jnp.broadcast_to(label.reshape(-1, *[1] * (x.ndim - 1)), x.shape)


def _system(module, **kwargs):
    schedule = schedules.cosine_beta(20)
    options = {"shape": (2,), "num_classes": 4, "kind": "x0"} | kwargs
    return systems.ddpm.ddpm(module, schedule, samplers.ddim(), [20, 10, 0], **options)


@pytest.mark.parametrize(("dropout", "fraction"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_labels_are_dropped_to_the_null_label(dropout, fraction):
    module = Recorder()
    system = _system(module, label_dropout=dropout)
    params, _, _ = system.init(jax.random.key(0))
    n = 2000
    batch = {"x": jnp.zeros((n, 2)), "label": jnp.arange(n) % 4}
    system.gradients(params, (), (), jax.random.key(1), batch, 0)
    jax.effects_barrier()
    dropped = np.mean(module.labels[0] == 4)
    assert abs(dropped - fraction) <= 3 * np.sqrt(fraction * (1 - fraction) / n)
    kept = module.labels[0] != 4
    np.testing.assert_array_equal(module.labels[0][kept], np.asarray(batch["label"])[kept])


def test_guided_samples_extrapolate_from_the_null_label():
    # the network predicts x_0 = label, so the sample is null + (1 + w) (label - null)
    labels = jnp.array([0, 1, 2, 3, 1, 2])
    system = _system(Recorder(), label_dropout=0.1, guidance_weight=0.5)
    params, _, _ = system.init(jax.random.key(0))
    x = system.sample(params, (), (), jax.random.key(1), labels, N)
    np.testing.assert_allclose(x, np.repeat(4 + 1.5 * (labels - 4.0), 2).reshape(N, 2), rtol=1e-5)


def test_no_condition_is_the_null_label():
    system = _system(Recorder(), label_dropout=0.1)
    params, _, _ = system.init(jax.random.key(0))
    np.testing.assert_allclose(system.sample(params, (), (), jax.random.key(1), None, N), 4.0, rtol=1e-5)


def test_refusals():
    with pytest.raises(ValueError, match=r"label_dropout must be in \[0, 1\], got 2"):
        _system(Recorder(), label_dropout=2)
    with pytest.raises(ValueError, match="guidance_weight needs a class-conditional model"):
        _system(Recorder(), guidance_weight=0.5)


def config_of(name, *args):
    """Return the config of `configs/<name>.py`."""
    spec = importlib.util.spec_from_file_location("config", CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*args)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("system", "dpm", "system must be one of ddpm, ncsn, ebm, vdm; got 'dpm'; did you mean 'ddpm'"),
        (
            "schedule.name",
            "cosine",
            "schedule.name must be one of .*; got 'cosine'; did you mean 'vp_cosine' or 'cosine_beta'",
        ),
        ("model.num_classes", 10, "model.num_classes must be 11 .*got 10"),
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
    with config.unlocked():
        _set(config, field, value)
    with pytest.raises(ValueError, match=message):
        systems.make_optimizer(config)
        systems.load_data(config, "train")
        systems.build(config)


def _set(config, field, value):
    *path, last = field.split(".")
    for part in path:
        config = config[part]
    config[last] = value


@pytest.mark.parametrize("times", [{"name": "uniform"}, {"name": "second_moment"}, "low_discrepancy"])
def test_times_by_their_name(times):
    config = config_of("toys/ddpm")
    config.objective.times = times
    history = jax.eval_shape(systems.build(config).init, jax.random.key(0))[1]
    assert (history == ()) == (times != {"name": "second_moment"})


@pytest.mark.parametrize("grid", ["uniform", "quadratic", "karras", "log_snr", "spaced"])
@pytest.mark.parametrize("solver", ["ddim", "ancestral", "edm_heun", "dpm_solver_pp"])
def test_every_solver_and_grid_a_config_can_name(grid, solver):
    config = config_of("toys/ddpm")
    config.sampler.update({"solver": solver, "grid": grid, "steps": 5})
    system = systems.build(config)
    params, _, _ = system.init(jax.random.key(0))
    x = system.sample(params, (), (), jax.random.key(1), None, 3)
    assert x.shape == (3, 2) and np.isfinite(x).all()


@pytest.mark.parametrize("loss", ["bound", "hybrid"])
def test_learned_variances_with_importance_sampled_times(loss):
    config = config_of("toys/ddpm")
    config.model.update({"out_features": 4, "width": 8})
    with config.unlocked():
        config.objective.update({"loss": loss, "variance": "learned_range", "times": "second_moment"})
        config.sampler.update({"variance": "learned_range", "steps": 5})
    system = systems.build(config)
    params, history, _ = system.init(jax.random.key(0))
    batch = {"x": jax.random.normal(jax.random.key(1), (32, 2)) / 4}
    grads, history, metrics = jax.jit(system.gradients)(params, history, (), jax.random.key(2), batch, 0)
    assert int(history.counts.sum()) == 32
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in jax.tree.leaves(grads))
    assert np.isfinite(metrics["loss"])
    assert np.isfinite(system.sample(params, history, (), jax.random.key(3), None, 3)).all()


def test_input_perturbation_reaches_the_network():
    seen = {}

    def gradient_input(gamma):
        module = Recorder()
        system = _system(module, kind="eps", num_classes=None, input_perturbation=gamma)
        apply = module.apply
        module.apply = lambda params, x, *a, **k: seen.setdefault(gamma, x) * 0 + apply(params, x, *a, **k)
        params, _, _ = system.init(jax.random.key(0))
        system.gradients(params, (), (), jax.random.key(1), {"x": jnp.zeros((4000, 2))}, 0)

    for gamma in (0.0, 1.0):
        gradient_input(gamma)
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
    module = Recorder()  # without labels it predicts 0
    system = systems.ddpm.ddpm(
        module, schedules.edm(0.002, 300.0), samplers.ddim(), [80.0, 40.0], shape=(2,), kind="x0"
    )
    x = system.sample(module.init(None, None, None, None), (), (), jax.random.key(0), None, 2000)
    np.testing.assert_allclose(x.std(), 40.0, rtol=0.05)

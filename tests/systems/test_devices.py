"""What a run and its samples do not depend on: devices, how they are arranged, how a batch is split."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P
from systems import tools

from diffjax import commands, data, objectives, systems, training
from diffjax.process import schedules
from diffjax.training import metrics, sharding

STEPS, ROWS = 20, 64


def _config(network):
    config = tools.tiny({"mlp": "toys/ddpm", "unet": "digits/ddpm"}[network])
    if network == "mlp":
        config.model.width, config.model.depth = 64, 2
    else:
        del config.data.num_examples
        config.model.update({"model_channels": 16, "num_res_blocks": 1, "num_head_channels": 16})
    return config


def _tensor(path, leaf):
    """Split the last axis over `tensor` and the one before over `fsdp`, of a matrix or a kernel."""
    del path
    if len(leaf.shape) < 2 or any(size % 2 for size in leaf.shape[-2:]):
        return P()
    return P(*[None] * (len(leaf.shape) - 2), "fsdp", "tensor")


LAYOUTS = {
    "data": ({"data": 8}, None),
    "fsdp": ({"fsdp": 8}, functools.partial(sharding.fsdp, min_size=1)),
    "fsdp and tensor": ({"data": 2, "fsdp": 2, "tensor": 2}, lambda mesh: _tensor),
    "layers": ({"data": 2, "fsdp": 2, "tensor": 2}, functools.partial(sharding.by_layer, min_size=1)),
}


def _trained(config, folder, mesh, rule=None):
    system, source = systems.build(config), systems.load_data(config, "train")
    optimizer = systems.make_optimizer(config, system)
    state = training.fit(
        system, optimizer, data.batches(source, ROWS, seed=0), workdir=folder, num_steps=STEPS, log_every=1,
        progress=False, mesh=mesh, rule=rule,
    )  # fmt: skip
    return [row["loss"] for row in metrics.read(folder)], jax.device_get(state.params), state


def _apart(one, two):
    """Return how far two trees are from each other, relative to the first."""
    apart = optax.tree.norm(jax.tree.map(lambda a, b: np.float64(a) - b, one, two))
    return float(apart / optax.tree.norm(one))


@pytest.fixture(scope="module", params=["mlp", "unet"])
def alone(request, tmp_path_factory):
    """Return a config, and the losses and parameters of one device."""
    config, folder = _config(request.param), tmp_path_factory.mktemp("alone")
    return config, *_trained(config, folder, sharding.make_mesh(devices=jax.devices()[:1]))[:2]


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_training_is_that_of_one_device(alone, layout, tmp_path):
    config, losses, params = alone
    axes, rule = LAYOUTS[layout]
    mesh = sharding.make_mesh(**axes)
    got, others, state = _trained(config, tmp_path, mesh, rule and rule(mesh))
    split = [not leaf.is_fully_replicated for leaf in jax.tree.leaves(state.params)]
    assert any(split) == (layout != "data")
    np.testing.assert_allclose(got, losses, rtol=1e-5)
    assert _apart(params, others) < 1e-5


@pytest.mark.slow
def test_pmap_is_one_device():
    """A batch's noise is drawn from the one key, each device is handed its rows, gradients are averaged."""
    config = _config("mlp")
    system, schedule = systems.build(config), schedules.linear_beta(1000)
    module = systems.read.network(config)
    start = system.init(jax.random.key(0), {}, {})[0]["network"]
    x0 = next(data.batches(systems.load_data(config, "train"), ROWS, seed=0))["x"]
    optimizer = optax.adam(1e-3)

    def loss(params, x0, eps, t):
        network = lambda x, t, cond: module.apply({"params": params}, x, t, cond)
        return objectives.denoising(network, x0, eps, schedule(t))[0].mean()

    def rows(n):
        key_eps, key_t = jax.random.split(jax.random.fold_in(jax.random.key(1), n))
        eps, t = jax.random.normal(key_eps, x0.shape), jax.random.randint(key_t, (ROWS,), 1, 1001)
        return x0, eps, t

    def step(params, moments, average, *rows):
        value, gradients = average(jax.value_and_grad(loss)(params, *rows))
        changes, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, changes), moments, value

    one = jax.jit(lambda params, moments, *rows: step(params, moments, lambda tree: tree, *rows))
    mean = functools.partial(jax.lax.pmean, axis_name="devices")
    many = jax.pmap(lambda params, moments, *rows: step(params, moments, mean, *rows), "devices")
    whole = start, optimizer.init(start)
    split = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (8, *leaf.shape)), whole)
    for n in range(STEPS):
        *whole, loss_of_one = one(*whole, *rows(n))
        shards = [each.reshape(8, -1, *each.shape[1:]) for each in rows(n)]
        *split, losses = many(*split, *shards)
        np.testing.assert_allclose(losses, np.full(8, loss_of_one), rtol=1e-5)
    assert _apart(whole[0], jax.tree.map(lambda leaf: leaf[3], split[0])) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mlp", "unet"])
def test_samples_depend_on_their_keys_alone(network):
    """Whatever the devices, the batch and the number of samples, sample i is that of `fold_in(key, i)`."""
    config = _config(network)
    system = systems.build(config)
    variables, draw = tools.variables(system), np.random.default_rng(0)

    def sample(num, batch_size, devices):
        mesh = sharding.make_mesh(devices=jax.devices()[:devices])
        return commands.sample_in_batches(
            system, variables, key=jax.random.key(7), num=num, batch_size=batch_size, mesh=mesh,
            request={name: each[:num] for name, each in system.request.default(24).items()}, progress=None,
        ).raw[system.passes[0].name]  # fmt: skip

    whole = sample(24, 24, 1)
    splits = [
        (24, 24, 8),
        (24, 8, 8),
        *((draw.integers(1, 25), draw.integers(1, 30), 2**d) for d in range(4)),
    ]
    for num, batch_size, devices in splits:
        found = sample(int(num), int(batch_size), devices)
        np.testing.assert_allclose(found, whole[:num], rtol=1e-5, atol=1e-6 * np.abs(whole).max())

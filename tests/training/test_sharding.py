"""The same step on one device and on eight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from training import toy_training

from diffjax.training import metrics, sharding

MESHES = {"data": (8, 1), "fsdp": (1, 8), "both": (2, 4)}


def _losses(workdir):
    return [row["loss"] for row in metrics.read(workdir)]


def _mesh(data, fsdp):
    return sharding.make_mesh(data=data, fsdp=fsdp, devices=jax.devices()[: data * fsdp])


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("single")
    state = toy_training.run(workdir, 12, 100, 1, mesh=_mesh(1, 1))
    return _losses(workdir), jax.device_get(state.params), jax.device_get(state.ema["ema"])


@pytest.mark.parametrize("axes", MESHES)
def test_losses_do_not_depend_on_the_mesh(axes, single, tmp_path):
    mesh = _mesh(*MESHES[axes])
    rule = sharding.fsdp(mesh, min_size=1)
    state = toy_training.run(tmp_path, 12, 100, 1, mesh=mesh, rule=rule)
    losses, params, average = single
    np.testing.assert_allclose(_losses(tmp_path), losses, rtol=1e-5)
    # Adam divides by the root of small second moments: parameters are compared less tightly than losses.
    both = map(jax.tree.leaves, ((state.params, state.ema["ema"]), (params, average)))
    for got, expected in zip(*both, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    ways = mesh.shape["fsdp"]
    for tree in (state.params, state.ema["ema"], state.opt_state["regression"][1].mu):
        kernel = tree["dense"]["kernel"]
        assert kernel.addressable_shards[0].data.shape == (toy_training.FEATURES // ways, 1)


def test_goes_on_with_other_devices(single, tmp_path):
    mesh = _mesh(1, 8)
    toy_training.run(tmp_path, 6, 6, 1, mesh=mesh, rule=sharding.fsdp(mesh, min_size=1))
    toy_training.run(tmp_path, 12, 6, 1, mesh=_mesh(1, 1))
    np.testing.assert_allclose(_losses(tmp_path), single[0], rtol=1e-5)


def test_fsdp_takes_the_largest_dimension_that_divides():
    rule = sharding.fsdp(_mesh(2, 4), min_size=8)
    assert rule("a", jax.ShapeDtypeStruct((3, 3, 8, 16), jnp.float32)) == P(None, None, None, "fsdp")
    assert rule("a", jax.ShapeDtypeStruct((12, 15), jnp.float32)) == P("fsdp")
    assert rule("a", jax.ShapeDtypeStruct((5, 7), jnp.float32)) == P()
    assert rule("a", jax.ShapeDtypeStruct((4,), jnp.float32)) == P()
    assert rule("a", jax.ShapeDtypeStruct((), jnp.float32)) == P()


def test_rules_by_path_reach_the_moments():
    mesh = sharding.make_mesh(data=4, tensor=2)
    rule = sharding.by_path([("up/kernel", P(None, "tensor"))])
    tree = {"mu": {"up": {"kernel": jnp.ones((4, 6)), "bias": jnp.ones(6)}}, "count": jnp.int32(0)}
    placed = jax.device_put(tree, sharding.shardings(mesh, tree, rule))
    assert placed["mu"]["up"]["kernel"].addressable_shards[0].data.shape == (4, 3)
    assert placed["mu"]["up"]["bias"].is_fully_replicated and placed["count"].is_fully_replicated


def test_layers_are_split_in_pairs():
    """What attention, an MLP or a residual block begins with along outputs, what ends it along inputs."""
    mesh = sharding.make_mesh(data=1, fsdp=2, tensor=4)
    expected = {
        "blocks/attention/qkv/kernel": ((3, 64, 192), P(None, "fsdp", "tensor")),
        "blocks/attention/out/kernel": ((3, 64, 64), P(None, "tensor", "fsdp")),
        "input_blocks_1_0/in_conv/kernel": ((3, 3, 8, 16), P(None, None, "fsdp", "tensor")),
        "input_blocks_1_0/out_conv/kernel": ((3, 3, 16, 7), P(None, None, "tensor", None)),
        "hidden_0/kernel": ((5, 8), P(None, "tensor")),
        "hidden_0/bias": ((8,), P("tensor")),
        "hidden_1/kernel": ((8, 8), P("tensor", None)),
        "hidden_1/bias": ((8,), P()),
        "odd/hidden/kernel": ((8, 9), P()),
        "norm/scale": ((64,), P()),
    }
    tree = {path: jax.ShapeDtypeStruct(shape, jnp.float32) for path, (shape, _) in expected.items()}
    found = sharding.shardings(mesh, tree, sharding.by_layer(mesh, min_size=2**10))
    assert {path: place.spec for path, place in found.items()} == {
        path: p for path, (_, p) in expected.items()
    }
    alone = sharding.make_mesh(data=4, fsdp=2)
    same = [sharding.shardings(alone, tree, rule(alone, 8)) for rule in (sharding.by_layer, sharding.fsdp)]
    assert same[0] == same[1]


def test_batch_is_split_over_data_and_fsdp():
    batch = sharding.put_batch(_mesh(2, 4), {"x": np.arange(16.0)})
    assert batch["x"].shape == (16,)
    assert [shard.data.shape for shard in batch["x"].addressable_shards] == [(2,)] * 8
    np.testing.assert_array_equal(batch["x"], np.arange(16.0))


def test_batch_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="batch of 6 rows does not divide over the 8 devices of data x fsdp"):
        sharding.put_batch(_mesh(2, 4), {"x": np.zeros((6, 2))})


def test_mesh_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="mesh data=3 x fsdp=1 x tensor=1 does not use the 8 devices"):
        sharding.make_mesh(data=3)
    for value in (0, -1, 1.5, float("nan"), "all"):
        for axis in ("data", "fsdp", "tensor"):
            with pytest.raises(ValueError, match=f"{axis} must be a"):
                sharding.make_mesh(**{axis: value})


class Rounded(toy_training.Batches):
    def __next__(self):
        return {name: np.round(rows) for name, rows in super().__next__().items()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("plain")
    toy_training.run(workdir, 4, 4, 1, mesh=_mesh(2, 1), batches=Rounded())
    return _losses(workdir)


@pytest.mark.parametrize("kind", [np.float64, np.int64, "device", "split"])
def test_batches_of_other_kinds_train_alike(plain, tmp_path, kind):
    """Rows in double precision, on one device, or split already: as `Batches` may give them."""
    mesh = _mesh(2, 1)

    class Other(Rounded):
        def __next__(self):
            batch = super().__next__()
            if kind == "device":
                return jax.tree.map(jnp.asarray, batch)
            if kind == "split":
                return sharding.put_batch(mesh, batch)
            return {name: rows.astype(kind) for name, rows in batch.items()}

    toy_training.run(tmp_path, 4, 4, 1, mesh=mesh, batches=Other())
    if kind is not np.int64:
        assert _losses(tmp_path) == plain
    np.testing.assert_allclose(_losses(tmp_path), plain, rtol=1e-5)


def test_a_batch_that_is_split_already_stays_where_it_is():
    mesh = _mesh(2, 4)
    batch = sharding.put_batch(mesh, {"x": np.arange(16.0)})
    assert sharding.put_batch(mesh, batch)["x"] is batch["x"]


def test_another_batch_than_the_first_is_named(tmp_path):
    class Short(toy_training.Batches):
        def __next__(self):
            batch = super().__next__()
            return {name: rows[:4] for name, rows in batch.items()} if self.position == 3 else batch

    with pytest.raises(ValueError, match="batch 3 is not like the first one"):
        toy_training.run(tmp_path, 4, 4, 4, batches=Short(), mesh=_mesh(1, 1))


@pytest.mark.xfail(reason="XLA of JAX 0.10.2 on CPU: off by 3 of 6", strict=True)
def test_left_to_the_compiler_gradients_are_right():
    """Of JAX alone: two matrices split over `fsdp` and `tensor`. Where it passes, `in_use` may go."""
    mesh, draw = sharding.make_mesh(data=2, fsdp=2, tensor=2), np.random.default_rng(0)
    w, v, x = (draw.normal(size=(n, 4)).astype(np.float32) for n in (4, 4, 8))
    gradient = jax.grad(lambda w, v, x: jnp.mean((x @ w @ v) ** 2))
    split, rows = NamedSharding(mesh, P("fsdp", "tensor")), NamedSharding(mesh, P(sharding.BATCH_AXES))
    found = jax.jit(gradient, in_shardings=(split, split, rows), out_shardings=split)(w, v, x)
    np.testing.assert_allclose(found, jax.jit(gradient)(w, v, x), rtol=1e-4, atol=1e-5)

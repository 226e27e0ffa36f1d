"""What `make scale` says, by small cases: bytes, and what devices say to each other while they sample."""

import math
import re

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks import scale
from diffjax import commands, systems
from diffjax.commands import sampling
from diffjax.training import cost, sharding
from diffjax.training.system import Variables

_COLLECTIVES = r"= \S+ (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)[-a-z]*\("


def test_the_most_that_is_alive():
    """Of x W V: x, W, V and x W at first; x and W die with it, and x W V joins V and x W."""
    x, w, v = (jnp.zeros(shape) for shape in ((10, 20), (20, 30), (30, 500)))
    made = jax.make_jaxpr(lambda x, w, v: x @ w @ v)(x, w, v)
    assert scale.peak(made) == 4 * max(200 + 600 + 15000 + 300, 15000 + 300 + 5000)


def test_chains_of_elementwise_operations_leave_nothing():
    x, w = jnp.zeros((10, 20)), jnp.zeros((20, 30))
    plain = jax.make_jaxpr(lambda x, w: (x @ w) @ w.T)(x, w)
    fused = jax.make_jaxpr(lambda x, w: jnp.tanh(3 * (x @ w) + 1) @ w.T)(x, w)
    assert scale.peak(plain) == scale.peak(fused)


def test_loops_hold_one_round():
    x, w = jnp.zeros((10, 20)), jnp.zeros((20, 20))
    turns = lambda x, w: jax.lax.scan(lambda x, _: (x @ w @ w, None), x, None, length=9)[0]
    once = jax.make_jaxpr(lambda x, w: x @ w @ w)(x, w)
    assert scale.peak(jax.make_jaxpr(turns)(x, w)) <= scale.peak(once) + 4 * 400


def test_a_small_config_is_lowered_for_a_mesh():
    config = commands.config_module("configs/toys/ddpm.py").get_config()
    found = scale.of(config, devices=8)
    params, _ = jax.eval_shape(lambda: systems.build(config).init(jax.random.key(0), {}, {}))
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    assert found["parameters"] == count and found["rows"] == 512
    copies = 4 * 4 * count  # parameters, their average and two moments
    assert copies <= found["replicated"] <= copies + 100  # and some counts
    assert found["fsdp"] < 0.4 * found["replicated"] and found["peak_fsdp"] < found["peak_replicated"]
    assert "| x | " in scale.table({"x": found}) and "v5e (either)" in scale.table({"x": found})


@pytest.mark.slow
def test_the_compiler_of_tpus_is_asked():
    """Where `libtpu` is installed: arguments are the state that is counted, and FSDP, of less, gathers."""
    pytest.importorskip("libtpu")
    config = commands.config_module("configs/toys/ddpm.py").get_config()
    found, counted = scale.of_tpus(config, "v5e:2x4"), scale.of(config, devices=8)
    for axis, way in (("data", "replicated"), ("fsdp", "fsdp")):
        assert counted[way] <= found[axis]["arguments"] <= found[axis]["most"]
        assert found[axis]["arguments"] < 1.3 * counted[way]
    assert set(found["data"]["collectives"]) == {"all-reduce"}
    assert "all-gather" in found["fsdp"]["collectives"]


def test_a_step_is_three_calls_of_the_network_and_a_walk_one_a_step():
    """Nothing is computed twice: forward and two products backward; the samplers call what they say."""
    config, rows = commands.config_module("configs/digits/ddpm.py").get_config(), 4
    config.sampler.steps = 5
    system = systems.build(config)
    params, extra = jax.eval_shape(system.init, jax.random.key(0), dict(system.example), {})
    module, x = systems.read.network(config), jax.ShapeDtypeStruct((rows, 8, 8, 1), jnp.float32)
    cond, t = system.request.default(rows), jax.ShapeDtypeStruct((rows,), jnp.float32)
    encode = lambda variables: system.request.encode(variables, cond)
    call = lambda variables, x, t: module.apply(
        {"params": variables.params["network"]}, x, t, encode(variables)
    )
    variables = Variables(params, extra)
    one = cost.flops(call, variables, x, t)
    program, _, _ = scale.step_of(config, 1, rows)
    assert 2.9 * one < cost.flops(program.jaxpr) <= 1.02 * 3 * one
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), rows))
    (walk,) = system.passes
    assert walk.calls == {"network": 5}
    assert cost.flops(walk.run, variables, keys, cond, {}) == pytest.approx(5 * one, rel=0.02)


@pytest.mark.parametrize("name", ["toys/ddpm", pytest.param("digits/ddpm", marks=pytest.mark.slow)])
def test_devices_do_not_talk_while_they_sample(name):
    """Every device has its own rows and all variables: nothing is exchanged, in the loop or about it."""
    config = commands.config_module(f"configs/{name}.py").get_config()
    config.sampler.steps = 3
    system, mesh = systems.build(config), sharding.make_mesh(data=8)
    params, extra = jax.eval_shape(system.init, jax.random.key(0), dict(system.example), {})
    variables = Variables(params, extra)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 16))
    run = sampling.on_mesh(system.passes[0], mesh)
    text = run.lower(variables, keys, system.request.default(16), {}).compile().as_text()
    assert "num_partitions=8" in text and "while(" in text
    assert re.findall(_COLLECTIVES, text) == []
    mean = jax.jit(jnp.mean, in_shardings=NamedSharding(mesh, P("data")))  # which does need the others
    assert re.findall(_COLLECTIVES, mean.lower(jnp.zeros(16)).compile().as_text()) == ["all-reduce"]

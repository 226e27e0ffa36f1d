"""What `benchmarks.compiled` counts: closed forms, and a network's program beside its count by hand."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import compiled, ours
from benchmarks.networks import BATCH, NETWORKS, Network, Transformer
from diffjax.training import cost

SMALL = {
    "small unet": Network(size=8, channels=2, widths=(8, 16), blocks=1, groups=4),
    "small dit": Transformer(size=8, channels=3, patch=2, heads=2, width=8, depth=3, classes=4),
}
X, W = jnp.zeros((7, 12)), jnp.zeros((12, 12))


def counted(function, *arguments):
    return compiled.count(jax.jit(function).lower(*arguments).compile().as_text())


def test_a_product_reads_its_factors_and_writes_itself():
    assert counted(jnp.matmul, X, W) == compiled.Count(2 * 7 * 12 * 12, 4 * (7 * 12 + 12 * 12 + 7 * 12))


def test_a_loop_counts_as_often_as_it_runs():
    turns = lambda x, w: jax.lax.scan(lambda x, _: (jnp.tanh(x @ w), None), x, None, length=9)[0]
    once, all_of_them = counted(lambda x, w: jnp.tanh(x @ w), X, W), counted(turns, X, W)
    assert all_of_them.flops == 9 * once.flops and all_of_them.bytes >= 9 * 4 * (2 * 7 * 12 + 12 * 12)
    assert cost.flops(turns, X, W) == all_of_them.flops


def test_of_branches_the_dearest_counts():
    branch = lambda x, w: jax.lax.cond(x[0, 0] > 0, lambda x: x @ w @ w, lambda x: x @ w, x)
    assert counted(branch, X, W).flops == 2 * 2 * 7 * 12 * 12


@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_and_their_gradients_count_as_they_are_traced(stride):
    x, kernel = jnp.zeros((4, 6, 6, 3)), jnp.zeros((3, 3, 3, 5))
    run = lambda x, kernel: jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    slopes = jax.grad(lambda x, kernel: jnp.sum(run(x, kernel) ** 2), (0, 1))
    one = 2 * 4 * (6 // stride) ** 2 * 5 * 9 * 3
    assert counted(run, x, kernel).flops == one and counted(slopes, x, kernel).flops == 3 * one


@pytest.mark.parametrize("name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS)])
def test_a_call_by_hand_is_the_call_that_is_traced(name):
    network = {**SMALL, **NETWORKS}[name]
    module, t = ours.module(network), jax.ShapeDtypeStruct((BATCH,), "f")
    x = jax.ShapeDtypeStruct((BATCH, network.size, network.size, network.channels), "f")
    variables = jax.eval_shape(module.init, jax.random.key(0), x, t)
    assert cost.flops(module.apply, variables, x, t) == compiled.by_hand(network)


@pytest.mark.parametrize(
    "name", ["small dit", *(pytest.param(name, marks=pytest.mark.slow) for name in ("small unet", *NETWORKS))]
)
def test_compiled_operations_are_at_most_those_by_hand(name):
    """A step is three calls at most 1.02 times, and the walk its fifty: nothing is computed twice."""
    network = {**SMALL, **NETWORKS}[name]
    for traced, calls in compiled.programs(network).values():
        found = compiled.count(traced.lower().compile().as_text())
        assert 0.9 < found.flops / (calls * compiled.by_hand(network)) <= 1.02


def test_what_is_computed_twice_is_seen():
    """A step that recomputes its activations is four calls."""
    network = SMALL["small dit"]
    module, t = ours.module(network), jnp.zeros(BATCH)
    x = jnp.zeros((BATCH, network.size, network.size, network.channels))
    variables = jax.jit(module.init)(jax.random.key(0), x, t)
    loss = lambda variables: jnp.sum(jax.checkpoint(module.apply)(variables, x, t) ** 2)
    found = counted(jax.grad(loss), variables).flops / (3 * compiled.by_hand(network))
    assert found > 1.2

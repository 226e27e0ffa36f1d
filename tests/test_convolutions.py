"""Convolutions in order: the same numbers, by convolutions that XLA for CPU runs fast within loops."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diffjax import convolutions, training
from diffjax.convolutions import in_order
from diffjax.process import energy
from diffjax.training import ema

X = jax.random.normal(jax.random.key(0), (2, 6, 6, 4))
KERNEL = jax.random.normal(jax.random.key(1), (3, 3, 4, 4))
GROUPS = jax.random.normal(jax.random.key(2), (3, 3, 2, 4))
FORMS = {
    "plain": lambda x, k: jax.lax.conv_general_dilated(
        x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    ),
    "strided": lambda x, k: jax.lax.conv_general_dilated(
        x, k, (2, 1), ((2, 1), (0, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    ),
    "dilated, images last": lambda x, k: jax.lax.conv_general_dilated(
        x, k, (1, 1), ((2, 2), (2, 2)), (2, 1), (1, 2), dimension_numbers=("HWCN", "OHWI", "CNHW")
    ),
    "grouped": lambda x, k: jax.lax.conv_general_dilated(
        x, GROUPS, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=2
    ),
}


def _of(form, x=X):
    x = x.transpose(1, 2, 3, 0) if "last" in form else x
    kernel = KERNEL.transpose(3, 0, 1, 2) if "last" in form else KERNEL
    convolve = jax.jit(FORMS[form])  # a call is looked into

    def loss(x, kernel):
        return (jnp.tanh(convolve(x, kernel)) ** 3).sum()

    return jax.grad(loss, (0, 1)), (x, kernel)


def _convolutions(jaxpr):
    for each in jaxpr.eqns:
        if each.primitive.name == "conv_general_dilated":
            yield each.params["dimension_numbers"]
        for value in each.params.values():
            for inner in value if isinstance(value, tuple) else (value,):
                program = getattr(inner, "jaxpr", inner)
                if hasattr(program, "eqns"):
                    yield from _convolutions(program)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_the_same_and_in_order(form):
    gradient, given = _of(form)
    for ours, plain in zip(in_order(gradient)(*given), gradient(*given)):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-4)
    orders = {tuple(each) for each in _convolutions(jax.make_jaxpr(in_order(gradient))(*given).jaxpr)}
    assert orders == {((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))}
    assert len({tuple(each) for each in _convolutions(jax.make_jaxpr(gradient)(*given).jaxpr)}) > 1


def test_what_is_in_order_is_differentiated_again_and_mapped():
    gradient, given = _of("plain")
    total = lambda f: lambda x: (f(x, given[1])[0] ** 2).sum()
    ours, plain = (jax.vmap(jax.grad(total(f)))(X[:, None]) for f in (in_order(gradient), gradient))
    np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-2)


def test_trees_constants_and_programs_without_convolutions_pass():
    scale = jnp.arange(3.0)
    f = lambda asked: {
        "twice": 2 * scale * asked["x"],
        "one": 1.0,
        "key": jax.random.fold_in(asked["key"], 1),
    }
    ours, plain = (each({"x": jnp.ones(3), "key": jax.random.key(0)}) for each in (in_order(f), f))
    assert ours["twice"].tolist() == [0.0, 2.0, 4.0] and ours["one"] == 1
    assert (jax.random.key_data(ours["key"]) == jax.random.key_data(plain["key"])).all()


@pytest.mark.parametrize("rows", [16, 24, 15])
def test_a_sum_over_many_pictures_is_made_part_by_part(rows, monkeypatch):
    monkeypatch.setattr(convolutions, "_CACHE", 2**10)
    x = jax.random.normal(jax.random.key(3), (rows, 6, 6, 4))
    gradient, given = _of("plain", x)
    for ours, plain in zip(in_order(gradient)(*given), gradient(*given)):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-3)
    programs = (jax.make_jaxpr(f)(*given).jaxpr for f in (in_order(gradient), gradient))
    ours, plain = (len(list(_convolutions(program))) for program in programs)
    assert ours == plain + (max(1, rows // jax.device_count()) - 1 if rows % jax.device_count() == 0 else 0)


@pytest.mark.parametrize("accumulate, repeats", [(1, 1), (2, 1), (1, 2)])
def test_steps_have_their_convolutions_in_order(accumulate, repeats):
    """Parts of a batch, and updates that come several times, are loops."""

    def loss(variables, key, batch, step):
        made = FORMS["plain"](FORMS["plain"](batch["x"], variables.params["k"]), variables.params["k"])
        return (made**2).mean(), (variables.extra, {})

    update = training.Update("update", ("k",), training.from_loss(loss, ["k"]), repeats=repeats)
    shape = jax.ShapeDtypeStruct(X.shape[1:], jnp.float32)
    system = training.System({"x": shape}, lambda *_: ({"k": KERNEL}, {}), (update,), serves=("k",))
    step = training.step.make(system, optax.sgd(0.1), ema.constant(0.9), accumulate)
    optimizer = {"update": optax.sgd(0.1).init({"k": KERNEL})}
    state = training.TrainState(jnp.int32(0), {"k": KERNEL}, optimizer, {"ema": {"k": KERNEL}}, {})
    program = jax.make_jaxpr(step)(state, {}, jax.random.key(0), {"x": X}).jaxpr
    assert {tuple(each) for each in _convolutions(program)} == {((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))}


def _walked(x, kernel):
    """Three steps of a loop, one of them a branch's, and a loop with an end."""

    def once(x, go):
        return jax.lax.cond(go, lambda x: jnp.tanh(FORMS["plain"](x, kernel)), lambda x: x, x), None

    x = jax.lax.scan(once, x, jnp.array([True, False, True]))[0]
    loss = lambda x: (FORMS["plain"](x, kernel) ** 2).sum()
    return jax.lax.while_loop(
        lambda c: c[1] < 2, lambda c: (c[0] - 0.1 * jax.grad(loss)(c[0]), c[1] + 1), (x, 0)
    )[0]


def test_loops_and_branches_are_looked_into():
    given = X, KERNEL
    reverse = jax.grad(
        lambda x, k: jnp.sum(
            jax.lax.scan(lambda x, _: (jnp.tanh(FORMS["plain"](x, k)), None), x, None, length=2)[0] ** 3
        ),
        (0, 1),
    )
    for f in (_walked, reverse):
        for ours, plain in zip(jax.tree.leaves(in_order(f)(*given)), jax.tree.leaves(f(*given))):
            np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-4)
        orders = {tuple(each) for each in _convolutions(jax.make_jaxpr(in_order(f))(*given).jaxpr)}
        assert orders == {((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))}
        assert len({tuple(each) for each in _convolutions(jax.make_jaxpr(f)(*given).jaxpr)}) > 1


def test_what_is_recomputed_is_looked_into():
    """Within a loop, as of a network with `remat` whose gradients are accumulated."""
    block = jax.checkpoint(lambda x, k: jnp.tanh(FORMS["plain"](x, k)))
    gradient = jax.grad(lambda x, k: (block(block(x, k), k) ** 3).sum(), (0, 1))
    f = lambda x, k: jax.lax.map(lambda x: gradient(x, k), jnp.stack([x, 2 * x]))
    for ours, plain in zip(in_order(f)(X, KERNEL), f(X, KERNEL)):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-3)
    program = jax.make_jaxpr(in_order(f))(X, KERNEL).jaxpr
    assert re.search("checkpoint|remat", str(program))
    assert {tuple(each) for each in _convolutions(program)} == {((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))}


def test_the_score_of_an_energy_is_in_order():
    score = energy.score(lambda x, t, cond: (FORMS["plain"](x, KERNEL) ** 2).sum((1, 2, 3)))
    program = jax.make_jaxpr(lambda x: jax.lax.map(lambda x: score(x, jnp.zeros(2)), x[None]))(X).jaxpr
    assert {tuple(each) for each in _convolutions(program)} == {((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))}


def test_a_large_kernel_is_no_picture(monkeypatch):
    """A stem of 7x7 is one convolution, and only the gradient by its kernel is made part by part."""
    monkeypatch.setattr(convolutions, "_CACHE", 1)
    x, kernel = jnp.ones((16, 14, 14, 16)), jnp.ones((7, 7, 16, 4))
    program = jax.make_jaxpr(in_order(FORMS["plain"]))(x, kernel).jaxpr
    assert len(list(_convolutions(program))) == 1

"""What every network promises, whatever it computes; one compiled program of each serves most tests."""

import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.network_list import CASES

from diffjax.models import NETWORKS, Condition

B, MAP, LENGTH = 3, 2, 4
MIDDLE = np.array([0, 1, 0], "f")
ROUNDINGS = 100 * np.finfo("f").eps  # a hundred of them one after another, relative to the largest number
EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
CONDITIONED = pytest.mark.parametrize(
    "case", *[[case for case in CASES.values() if case.times]], ids=[n for n, c in CASES.items() if c.times]
)


def close(ours, theirs, tolerance=ROUNDINGS):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def full(case, **fields):
    """The module with everything that it can take, beside one time."""
    fields = {**({"times": 2} if case.times else {}), **({"map_channels": MAP} if case.map else {}), **fields}
    return case.make(**fields)


@cache
def inputs(case_name):
    """x, times and a condition for `full`."""
    case, rng = CASES[case_name], np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape).astype("f")
    x, t = draw(B, *case.shape), np.array([[1.0, 6.0], [3.0, 5.0], [2.0, 4.0]], "f")
    vector = draw(B, case.make().vector_features) if case.times else None
    tokens = None if case.tokens is None else draw(B, LENGTH, case.tokens)
    cond = Condition(vector, tokens, map=draw(B, *case.shape[:-1], MAP) if case.map else None)
    return x, t if case.times else t[:, 0], cond


def random_variables(module, *args):
    """Parameters that are nowhere zero, as wide as their fan-in asks for."""
    rng = np.random.default_rng(1)
    draw = lambda a: (rng.standard_normal(a.shape) / np.sqrt(max(1, np.prod(a.shape[:-1])))).astype("f")
    return jax.tree.map(draw, jax.eval_shape(module.init, jax.random.key(0), *args))


@cache
def tried(case_name):
    """Compiled `full`, its variables, and its output."""
    module, args = full(CASES[case_name]), inputs(case_name)
    apply, variables = jax.jit(module.apply), random_variables(module, *args)
    out = np.asarray(apply(variables, *args))
    assert np.isfinite(out).all()
    return apply, variables, out


def name_of(case):
    return next(name for name, each in CASES.items() if each is case)


def test_every_network_of_the_configs_is_here():
    assert {case.name for case in CASES.values()} == set(NETWORKS)


# what it computes in, what x comes in, a kind of times: each of them daily, all together in `make slow`
KINDS = list(itertools.product((None, jnp.bfloat16), (jnp.float32, jnp.bfloat16), range(4)))
DAILY = [KINDS[each] for each in (0, 5, 10, 15)]


@EVERY
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in DAILY else [pytest.mark.slow]) for kind in KINDS]
)
def test_shapes_and_dtypes(case, kind):
    """Parameters and output are float32, whatever the network computes in and x came in."""
    computes, comes, times = kind
    times = (4.0, np.ones(B, "f"), np.ones((B, 1), "f"), np.ones(B, int))[times]
    x = jax.ShapeDtypeStruct((B, *case.shape), comes)
    cond = Condition(tokens=inputs(name_of(case))[2].tokens)
    init = case.make(dtype=computes).init_with_output
    out, variables = jax.eval_shape(init, jax.random.key(0), x, times, cond)
    assert out.shape == (B, *case.out) and out.dtype == jnp.float32
    assert {a.dtype for a in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@CONDITIONED
def test_the_start_is_finite_and_zero_where_promised(case):
    """That a further time starts at zero is promised by every network that has one."""
    args = inputs(name_of(case))
    variables = jax.jit(full(case).init)(jax.random.key(0, impl="unsafe_rbg"), *args)  # compiles faster
    out = np.asarray(tried(name_of(case))[0](variables, *args))
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(variables))
    assert np.isfinite(out).all() and (np.abs(out).max() == 0) == case.zero
    jax.tree.map(lambda a: np.testing.assert_array_equal(a, 0), variables["params"]["embed"]["times_1_1"])


@pytest.mark.slow
@EVERY
def test_compiled_is_not_compiled(case):
    _, variables, out = tried(name_of(case))
    close(full(case).apply(variables, *inputs(name_of(case))), out)


@EVERY
def test_a_row_depends_on_its_own_row_alone(case):
    apply, variables, out = tried(name_of(case))
    args, structure = jax.tree.flatten(inputs(name_of(case)))
    seen = []
    for i, each in enumerate(args):
        moved = each + np.reshape(MIDDLE, (B, *[1] * (each.ndim - 1)))
        again = apply(variables, *jax.tree.unflatten(structure, [*args[:i], moved, *args[i + 1 :]]))
        close(again[::2], out[::2])
        seen.append(np.abs(again - out)[1].max() > 1e-3 * np.abs(out).max())
    sees_no_time = case.name == "refinenet" and "num_levels" not in case.fields
    assert seen == ([True, False] if sees_no_time else [True] * len(args))


@EVERY
def test_forward_mode_equals_finite_differences(case, x64):
    """In double precision, along a direction of everything at once: parameters, x, times and condition."""
    double = partial(jax.tree.map, lambda a: np.asarray(a, "d"))
    module, at = full(case), double((tried(name_of(case))[1], *inputs(name_of(case))))
    rng = np.random.default_rng(2)
    along = jax.tree.map(lambda a: rng.standard_normal(a.shape), at)
    slope = jax.jit(partial(jax.jvp, module.apply))
    at_step = lambda by: np.asarray(slope(jax.tree.map(lambda a, b: a + by * b, at, along), along)[0])
    # Central differences of second order, or of fourth where a step must be large beside float32's rounding.
    step, tolerance = (1e-3, 1e-4) if case.single else (1e-7, 1e-6)
    expected = (at_step(step) - at_step(-step)) / (2 * step)
    if case.single:
        expected = (4 * expected - (at_step(2 * step) - at_step(-2 * step)) / (4 * step)) / 3
    close(slope(at, along)[1], expected, tolerance)


@EVERY
def test_bfloat16_is_as_near_as_its_eight_bits(case):
    _, variables, out = tried(name_of(case))
    module = full(case, dtype=jnp.bfloat16)
    rounded = jax.jit(module.apply)(variables, *inputs(name_of(case)))
    assert 0 < np.abs(rounded - out).max() < 0.1 * np.abs(out).max()


@CONDITIONED
def test_the_vector_stands_where_the_bias_of_the_times_embedding_does(case):
    apply, variables, out = tried(name_of(case))
    x, t, cond = inputs(name_of(case))
    vector = np.broadcast_to(cond.vector[:1], cond.vector.shape)
    given = apply(variables, x, t, cond._replace(vector=vector))
    params = dict(variables["params"])
    last = params["embed"]["time_1"]
    params["embed"] = {**params["embed"], "time_1": {**last, "bias": last["bias"] + vector[0]}}
    none = cond._replace(vector=np.zeros_like(vector))
    close(apply({"params": params}, x, t, none), given)
    assert np.abs(given - out)[1:].max() > 1e-3 * np.abs(out).max()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.tokens])
def test_tokens_that_are_masked_are_not_seen_whatever_they_hold(name):
    """Nor is NaN made of them, or of a row that has no other, in the output or in a gradient."""
    _, variables, out = tried(name)
    module, (x, t, cond) = full(CASES[name]), inputs(name)

    def loss(tokens, mask):
        y = module.apply(variables, x, t, cond._replace(tokens=tokens, mask=mask))
        return jnp.sum(y**2), y

    slope = jax.jit(jax.grad(loss, has_aux=True))
    mask = np.array([[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
    for hidden in (0, 7, np.nan):
        gradient, given = slope(np.where(mask[..., None], cond.tokens, hidden).astype("f"), mask)
        assert np.isfinite(given).all() and np.isfinite(gradient).all()
        expected = given if hidden == 0 else expected
        np.testing.assert_array_equal(given, expected)
        assert np.abs(gradient[mask]).min() > 0 and np.abs(gradient[~mask]).max() == 0
    assert np.abs(expected - out).max() > 1e-3 * np.abs(out).max()
    close(slope(cond.tokens, np.ones_like(mask))[1], out)


@CONDITIONED
def test_a_further_time_and_a_map_are_seen_through_their_own_weights_alone(case):
    """Without these, which is how a further time starts, there is the network that has neither."""
    x, t, cond = inputs(name_of(case))
    apply, variables, out = tried(name_of(case))
    plain = Condition(tokens=cond.tokens)
    shapes = jax.eval_shape(case.make().init, jax.random.key(0), x, t[:, 0], plain)["params"]
    params = variables["params"]
    embed = {**params["embed"], "times_1_1": jax.tree.map(np.zeros_like, params["embed"]["times_1_1"])}
    blind = {"params": {**params, "embed": embed}}
    unseen = apply(blind, x, t, cond)
    assert np.abs(unseen - out).max() > 1e-3 * np.abs(out).max()
    close(apply(blind, x, t + np.array([0, 1], "f"), cond), unseen)

    fewer = {**params, "embed": {name: params["embed"][name] for name in shapes["embed"]}}
    same = jax.tree.map(lambda like, a: like.shape == a.shape, shapes, fewer)
    assert jax.tree.leaves(same).count(False) == case.map  # rows of the first layer

    def cut(like, a):
        return a if a.ndim == 1 else np.where(np.arange(a.shape[-2])[:, None] < like.shape[-2], a, 0)

    blind["params"] = {**params, **jax.tree.map(cut, shapes, fewer), "embed": embed}
    unseen = apply(blind, x, t, cond)
    close(apply(blind, x, t, cond._replace(map=cond.map + 1)), unseen)


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[pytest.mark.slow] if name == "efficient_unet" else [])  # of the same blocks
    for name, case in CASES.items() if case.remat
])  # fmt: skip
def test_remat_changes_neither_parameters_nor_gradients(name):
    case, args = CASES[name], inputs(name)
    plain, remat = full(case, **case.remat), full(case, **case.remat, remat=True)
    shapes = jax.eval_shape(remat.init, jax.random.key(0), *args)
    variables = random_variables(plain, *args)
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, variables)

    def gradient(module):
        return jax.jit(jax.grad(lambda v: jnp.mean(module.apply(v, *args) ** 2)))(variables)

    ours, theirs = gradient(remat), gradient(plain)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, theirs)


def refusals(case):
    """Arguments in place of those of `full`, and how the refusal begins."""
    x, t, cond = inputs(name_of(case))
    tokens = np.zeros((B, 2, 3), "f")
    yield {"x": x.reshape(-1)[:B]}, r"x must be a float array \[batch, .*\], got .*float32\[3\]"
    yield {"x": x.astype(int)}, r"x must be a float array \[batch, .*\], got .*int"
    yield {"x": x.astype("c8")}, r"x must be a float array \[batch, .*\], got .*complex64"
    yield {"t": t[:2]}, "t: must .*shape .*; got shape"
    yield {"t": np.stack([t] * 3, -1)}, "t: must .*; got shape"
    yield {"t": t.astype(bool)}, "t: must be real numbers; got bool"
    yield {"cond": np.zeros(B, int)}, "cond must be a Condition or None, got"
    if case.tokens is None:
        yield {"cond": cond._replace(tokens=tokens)}, "cond.tokens: must be None, as the network has no cross"
        yield {"cond": cond._replace(mask=tokens[..., 0] > 0)}, "cond.mask: must be None"
    else:
        yield {"cond": cond._replace(tokens=None)}, rf"cond.tokens: must have shape \({B}, M, {case.tokens}\)"
        for wrong in (cond.tokens[..., 1:], cond.tokens[:2], cond.tokens[:, :0], cond.tokens.astype(int)):
            yield {"cond": cond._replace(tokens=wrong)}, r"cond.tokens: must be .* of shape \(3, .*; got"
        for wrong in (np.ones((B, LENGTH + 1), bool), np.ones((B, LENGTH), "f")):
            yield {"cond": cond._replace(mask=wrong)}, r"cond.mask: must be bool of shape \(3, 4\); got"
    wide = np.zeros((B, 1 + (case.make().vector_features or 0)), "f")
    yield {"cond": cond._replace(vector=wide)}, r"cond.vector: must be .*; got (float32 of )?shape \(3, "
    picture = np.zeros((B, *case.shape[:-1], MAP), "f")
    if case.times:
        yield (
            {"cond": cond._replace(vector=wide[:2, 1:])},
            r"cond.vector: must be .* of shape \(3, \d+\); got",
        )
        yield {"cond": cond._replace(vector=wide[:, 1:].astype(int))}, "cond.vector: must be floating point"
    if case.map:
        yield (
            {"cond": cond._replace(map=None)},
            r"cond.map: must have shape \(3, .*map_channels=2.*; got None",
        )
        yield {"cond": cond._replace(map=picture[..., :1])}, r"cond.map: must be .* of shape \(3, .*; got"
        yield {"cond": cond._replace(map=picture[:, :-1])}, r"cond.map: must be .* of shape \(3, .*; got"
    else:
        yield (
            {"cond": cond._replace(map=picture)},
            "cond.map: must be None, as the network takes none; got shape",
        )


@EVERY
def test_bad_input_is_named(case):
    module, names = full(case), ("x", "t", "cond")
    for changed, message in refusals(case):
        args = {**dict(zip(names, inputs(name_of(case)))), **changed}
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(module.init, jax.random.key(0), *args.values())


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.map])
def test_a_map_that_nobody_asked_for_is_refused(name):
    case, (x, t, cond) = CASES[name], inputs(name)
    with pytest.raises(ValueError, match=r"cond\.map: must be None, as the network takes none; got shape"):
        jax.eval_shape(case.make().init, jax.random.key(0), x, t[:, 0], cond)


COUNTS = (
    "model_channels",
    "num_res_blocks",
    "num_heads",
    "num_groups",
    "width",
    "depth",
    "features",
    "num_levels",
    "hidden_size",
    "patch_size",
)


@EVERY
@pytest.mark.unchecked
def test_sizes_that_are_no_positive_integers_are_named(case):
    fields = [name for name in (*COUNTS, "times") if name in type(case.make()).__dataclass_fields__]
    x, t, cond = inputs(name_of(case))
    for name in fields:
        for wrong in (0, -1, 1.5, "2"):
            module = full(case, **{name: wrong})
            with pytest.raises(ValueError, match=f"{name} must be a positive integer, got {wrong!r}"):
                jax.eval_shape(module.init, jax.random.key(0), x, t, cond._replace(vector=None))

"""Attention's formula in double precision, what a mask hides, and the implementations by name."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import topologies
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from diffjax.models import splash
from diffjax.models.attention import Attention, FeedForward, attend
from diffjax.training import sharding

RNG = np.random.default_rng(0)
MASK = np.array([[1, 1, 0, 1], [0, 0, 0, 0]], bool)
BOTH = pytest.mark.parametrize("implementation", ["xla", "plain"])


def draw(*shape):
    return RNG.standard_normal(shape).astype("f")


Q, K, V = draw(2, 3, 2, 5), draw(2, 4, 2, 5), draw(2, 4, 2, 5)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())


def formula(q, k, v):
    weights = np.exp(np.einsum("bnhd,bmhd->bhnm", np.double(q), k) / np.sqrt(q.shape[-1]))
    return np.einsum("bhnm,bmhd->bnhd", weights / weights.sum(-1, keepdims=True), v)


@BOTH
def test_it_is_the_formula(implementation):
    close(jax.jit(partial(attend, implementation=implementation))(Q, K, V), formula(Q, K, V))


@BOTH
def test_masked_keys_are_not_there(implementation):
    """A row without any gets zeros, and no mean of what is hidden; nor does NaN get out of it."""
    masked = jax.jit(partial(attend, implementation=implementation))
    out, here = masked(Q, K, V, MASK), MASK[0]
    close(out[:1], formula(Q[:1], K[:1, here], V[:1, here]))
    np.testing.assert_array_equal(out[1], 0)
    for hidden in (7, np.nan):
        other = (np.where(MASK[..., None, None], h, np.float32(hidden)) for h in (K, V))
        np.testing.assert_array_equal(masked(Q, *other, MASK), out)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_splash_is_the_formula_and_so_are_its_gradients(mask):
    """Interpreted: padded to blocks, rows without a key, and a batch of batches."""
    weights, more = draw(2, 3, 2, 5), draw(3, 2, 3, 2, 5)

    def both(implementation):
        run = lambda q, k, v: jnp.vdot(weights, attend(q, k, v, mask, implementation=implementation))
        return jax.jit(jax.vmap(jax.value_and_grad(run, (0, 1, 2)), (0, None, None)))(more, K, V)

    jax.tree.map(close, both("splash"), both("plain"))


def test_splash_is_a_kernel_on_tpus_whatever_the_mesh():
    """Lowered for a TPU: three kernels of a gradient, each for the rows and heads of a device."""
    mesh = sharding.make_mesh(data=2, fsdp=2, tensor=2)
    assert (*splash.ROWS, *splash.HEADS) == (*sharding.BATCH_AXES, "tensor") == mesh.axis_names
    run = lambda q, k, v, mask: attend(q, k, v, mask, implementation="splash").sum()
    split, odd = ((4, 3, 2, 5), (4, 4, 2, 5)), ((1, 3, 3, 5), (1, 4, 3, 5))
    for queries, keys in (split, odd):
        of = lambda shape, kind="f": jax.ShapeDtypeStruct(shape, kind, sharding=NamedSharding(mesh, P()))
        given = of(queries), of(keys), of(keys), of(keys[:2], bool)
        slopes = jax.jit(sharding.told(mesh, jax.grad(run, (0, 1, 2))))
        text = slopes.trace(*given).lower(lowering_platforms=("tpu",)).as_text()
        assert text.count("tpu_custom_call") == 3 and text.count("manual_computation") >= 2
        heads = r"tensor<1x1x128x5xf32>" if queries is split[0] else r"tensor<1x3x128x5xf32>"
        assert heads in text


def test_cudnn_takes_the_mask(monkeypatch):
    """Lowered for a GPU that says it has cuDNN: its kernels, forward and back."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr("jax._src.cudnn.fused_attention_stablehlo.check_cudnn_version", lambda: 91000)
    q, k = (jax.ShapeDtypeStruct((2, n, 2, 64), jnp.bfloat16) for n in (8, 12))
    run = lambda implementation, q, k, v, mask: attend(q, k, v, mask, implementation=implementation).sum()
    for implementation in ("cudnn", "auto"):
        slopes = jax.jit(jax.grad(partial(run, implementation), (0, 1, 2)))
        traced = slopes.trace(q, k, k, jax.ShapeDtypeStruct((2, 12), bool))
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
        assert "@__cudnn$fmhaScaleBiasSoftmax(" in text and "@__cudnn$fmhaScaleBiasSoftmaxBackward(" in text


@pytest.mark.parametrize(
    "backend, kind, chosen",
    [("cpu", "f", "xla"), ("gpu", "f", "xla"), ("gpu", "e", "cudnn"), ("tpu", "f", "splash")],
)
def test_the_backend_decides(monkeypatch, backend, kind, chosen):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr("jax.nn.dot_product_attention", lambda *_, implementation, **__: implementation)
    monkeypatch.setattr(splash, "attend", lambda *_: "splash")
    assert attend.__wrapped__(*(h.astype(kind) for h in (Q, K, V)), implementation="auto") == chosen


def test_an_implementation_that_cannot_run_is_named():
    known = "auto, xla, cudnn, splash, plain"
    with pytest.raises(ValueError, match=f"implementation must be one of {known}, got 'flash'"):
        attend(Q, K, V, implementation="flash")
    needs = 'implementation="cudnn" needs half precision and a GPU, got float32 on cpu: take "xla"'
    with pytest.raises(ValueError, match=needs):
        attend(Q, K, V, implementation="cudnn")


@pytest.mark.slow
def test_the_compiler_of_tpus_takes_splash():
    """Where `libtpu` is installed, which needs no TPU to compile for one."""
    pytest.importorskip("libtpu")
    topology = topologies.get_topology_desc("v5e:2x2", "tpu")
    mesh = topologies.make_mesh(topology, (2, 1, 2), ("data", "fsdp", "tensor"))
    of = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=NamedSharding(mesh, P("data")))
    run = lambda q, k, v: attend(q, k, v, implementation="splash").astype(jnp.float32).sum()
    slopes = jax.jit(sharding.told(mesh, jax.grad(run, (0, 1, 2))))
    text = slopes.lower(of(2, 300, 4, 72), of(2, 77, 4, 72), of(2, 77, 4, 72)).compile().as_text()
    assert text.count("tpu_custom_call") >= 3


def test_a_context_of_one_answers_every_query_with_its_value():
    module, x, context = Attention(2, qk_norm=True), draw(2, 3, 4), draw(2, 1, 6)
    variables = random_variables(module, x, context)
    kv, out = variables["params"]["kv"], variables["params"]["out"]
    value = (context @ kv["kernel"] + kv["bias"])[..., 4:] @ out["kernel"] + out["bias"]
    close(jax.jit(module.apply)(variables, x, context), np.repeat(value, 3, axis=1))


@pytest.mark.parametrize("bias", [True, False])
def test_a_sequence_attends_to_the_tokens_that_are_there(bias):
    x, tokens = draw(2, 3, 4), draw(2, 4, 6)
    module = Attention(num_heads=2, bias=bias)
    variables = random_variables(module, x, tokens, MASK)
    p, here = variables["params"], tokens[:1, MASK[0]]
    assert ("bias" in p["q"], "bias" in p["kv"], "bias" in p["out"]) == (bias, bias, True)
    layer = lambda name, h: h @ p[name]["kernel"] + p[name].get("bias", 0)
    q, k, v = layer("q", x[:1]), *np.split(layer("kv", here), 2, axis=-1)
    mixed = formula(*(h.reshape(1, -1, 2, 2) for h in (q, k, v))).reshape(1, 3, 4)
    out = jax.jit(module.apply)(variables, x, np.where(MASK[..., None], tokens, np.float32(np.nan)), MASK)
    close(out[:1], layer("out", mixed))
    np.testing.assert_array_equal(out[1], np.broadcast_to(p["out"]["bias"], (3, 4)))  # it sees nothing


def test_the_logits_of_normalised_queries_do_not_depend_on_the_size_of_x():
    x, zero = draw(2, 3, 4), lambda variables: jax.tree.map(lambda a: a * (a.ndim > 1), variables)
    for qk_norm in (True, False):
        module = Attention(2, qk_norm=qk_norm)
        variables = random_variables(module, x)
        scales = {n: a for n, a in variables["params"].items() if n.endswith("_norm")}
        variables = {"params": {**zero(variables)["params"], **scales}}
        apply = jax.jit(module.apply)
        ratio = apply(variables, 100 * x) / apply(variables, x)
        assert (np.abs(ratio - 100).max() < 0.1) == qk_norm


def test_heads_that_do_not_divide_are_named():
    with pytest.raises(ValueError, match="num_heads: must divide the 4 channels of Attention; got 3"):
        jax.eval_shape(Attention(3).init, jax.random.key(0), draw(2, 3, 4))


def test_feed_forward_maps_each_element_alone():
    module, x = FeedForward(5), draw(2, 3, 4)
    variables = random_variables(module, x)
    apply = jax.jit(module.apply)
    out, moved = (apply(variables, each) for each in (x, x + np.eye(3, dtype="f")[1][:, None]))
    np.testing.assert_array_equal(np.abs(moved - out).max(-1) > 1e-3, [[False, True, False]] * 2)


def random_variables(module, *args):
    shapes = jax.eval_shape(module.init, jax.random.key(0), *args)
    return jax.tree.map(lambda a: draw(*a.shape), shapes)

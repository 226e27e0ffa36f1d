"""Conditions, how they merge, and the encoders that make them of a request."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.models import MLP, ClassTable, Condition, Encoders, Labelled, merge

RNG = np.random.default_rng(0)
KEEP = jnp.array([True, False, True])
LABELS = jnp.array([2, 0, 1])


def draw(*shape):
    return RNG.standard_normal(shape).astype("f")


def test_a_condition_is_a_pytree_whose_empty_fields_have_no_leaves():
    vector = draw(3, 4)
    leaves, structure = jax.tree.flatten(Condition(vector=vector))
    assert len(leaves) == 1 and jax.tree.unflatten(structure, leaves).vector is vector
    assert jax.tree.leaves(Condition()) == []


def test_merging_adds_vectors_and_puts_the_rest_side_by_side():
    first = Condition(draw(2, 3), draw(2, 4, 5), RNG.random((2, 4)) < 0.5, draw(2, 6, 6, 1))
    second = Condition(draw(2, 3), draw(2, 1, 5), None, draw(2, 6, 6, 2))
    both = merge(first, Condition(), second)
    np.testing.assert_array_equal(both.vector, first.vector + second.vector)
    np.testing.assert_array_equal(both.tokens, np.concatenate([first.tokens, second.tokens], 1))
    np.testing.assert_array_equal(both.mask, np.concatenate([first.mask, np.ones((2, 1), bool)], 1))
    np.testing.assert_array_equal(both.map, np.concatenate([first.map, second.map], -1))


def test_merging_one_changes_nothing_and_none_is_empty():
    alone = Condition(draw(2, 3), draw(2, 4, 5), np.ones((2, 4), bool), draw(2, 6, 6, 1))
    jax.tree.map(np.testing.assert_array_equal, merge(alone), alone)
    assert merge() == merge(Condition()) == Condition()
    assert merge(Condition(tokens=draw(2, 4, 5)), Condition(tokens=draw(2, 1, 5))).mask is None


@pytest.mark.parametrize(
    "first, second, message",
    [
        ({"vector": draw(2, 3)}, {"vector": draw(2, 4)}, r"vector: .* got \(2, 3\) and \(2, 4\)"),
        ({"vector": draw(2, 3)}, {"vector": draw(1, 3)}, r"vector: .* got \(2, 3\) and \(1, 3\)"),
        ({"tokens": draw(2, 3, 4)}, {"tokens": draw(2, 3, 5)}, r"tokens: .* got \(2, 3, 4\) and"),
        ({"map": draw(2, 8, 8, 1)}, {"map": draw(2, 4, 4, 1)}, r"map: .* got \(2, 8, 8, 1\) and"),
        ({"mask": np.ones((2, 3), bool)}, {}, "mask: must be .* tokens of none"),
        (
            {"tokens": draw(2, 3, 4), "mask": np.ones((2, 4), bool)},
            {},
            r"mask: .* got \(2, 4\) and tokens of",
        ),
    ],
)
def test_what_cannot_be_merged_is_named(first, second, message):
    with pytest.raises(ValueError, match=message):
        merge(Condition(**first), Condition(**second))


class OldNetwork(nn.Module):
    """The class table where it once stood: beside the time's layers, inside the network."""

    @nn.compact
    def __call__(self, t, label):
        return OldConditioning(name="embed")(t, label)


class OldConditioning(nn.Module):
    @nn.compact
    def __call__(self, t, label):
        h = nn.Dense(8, name="time_0")(t)
        table = nn.Embed(4, 8, embedding_init=nn.initializers.normal(1.0), name="label")
        return nn.Dense(8, name="time_1")(h) + table(label)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_class_table_starts_and_reads_as_it_did_inside_the_network(seed):
    old = OldNetwork().init(jax.random.key(seed), jnp.ones((3, 2)), LABELS)["params"]["embed"]["label"]
    encoders = Encoders({"label": ClassTable(3, 8, null=True), "image": ClassTable(5, 8)})
    request = {"label": LABELS, "image": LABELS}
    params = encoders.init(jax.random.key(seed), request)["params"]
    assert params["embed"].keys() == {"label", "image"}
    np.testing.assert_array_equal(params["embed"]["label"]["embedding"], old["embedding"])
    alone = Encoders({"label": ClassTable(3, 8, null=True)})
    found = alone.apply({"params": {"embed": {"label": old}}}, {"label": LABELS}).vector
    expected = nn.Embed(4, 8).apply({"params": old}, LABELS)
    np.testing.assert_array_equal(found, expected)


def test_what_is_not_kept_is_the_last_row():
    table = ClassTable(3, 8, null=True)
    variables = table.init(jax.random.key(0), LABELS)
    rows = variables["params"]["embedding"]
    assert rows.shape == (4, 8)
    expected = np.stack([rows[2], rows[3], rows[1]])
    np.testing.assert_array_equal(table.apply(variables, LABELS, KEEP).vector, expected)
    np.testing.assert_array_equal(table.apply(variables, LABELS, jnp.ones(3, bool)).vector, rows[LABELS])


def test_labels_may_be_bytes_where_there_are_more_classes_than_bytes():
    table = ClassTable(300, 2)
    variables = table.init(jax.random.key(0), LABELS)
    rows = variables["params"]["embedding"]
    found = table.apply(variables, np.array([255, 3], "u1")).vector
    np.testing.assert_array_equal(found, np.stack([rows[255], rows[3]]))


@pytest.mark.parametrize("null", [False, True])
def test_labels_out_of_range_give_nan_and_not_another_class(null):
    table = ClassTable(3, 8, null)
    variables = table.init(jax.random.key(0), LABELS)
    vectors = jax.jit(table.apply)(variables, jnp.array([0, -1, 3, 4])).vector
    assert np.isnan(vectors).all(-1).tolist() == [False, True, True, True]
    assert not np.isnan(vectors[0]).any()


def test_encoders_merge_their_parts_and_leave_out_what_is_not_for_the_network():
    encoders = Encoders({"label": ClassTable(3, 8, null=True), "style": ClassTable(3, 8)})
    request = {"label": LABELS, "style": LABELS[::-1], "init_image": draw(3, 4, 4, 1)}
    variables = encoders.init(jax.random.key(0), request)
    label, style = (variables["params"]["embed"][part]["embedding"] for part in ("label", "style"))
    kept = encoders.apply(variables, request).vector
    np.testing.assert_allclose(kept, label[LABELS] + style[LABELS[::-1]], rtol=1e-6)
    dropped = encoders.apply(variables, request, {"label": KEEP, "style": None}).vector
    np.testing.assert_allclose(dropped[1], label[3] + style[0], rtol=1e-6)
    np.testing.assert_array_equal(dropped[::2], kept[::2])


def test_a_labelled_network_is_the_network_with_the_vector_of_its_label():
    net = Labelled(MLP(8, 1), num_classes=3)
    x, t = draw(3, 2), np.ones(3, "f")
    out, variables = net.init_with_output(jax.random.key(0), x, t, LABELS)
    params = variables["params"]
    vector = params["label"]["embedding"][LABELS]
    expected = MLP(8, 1).apply({"params": params["network"]}, x, t, Condition(vector))
    np.testing.assert_array_equal(out, expected)


TABLE, NULL = ClassTable(3, 8), ClassTable(3, 8, null=True)


@pytest.mark.parametrize(
    "module, args, message",
    [
        (TABLE, (LABELS / 1.0,), r"label must be an integer array \[batch\], got .*float32\[3\]"),
        (TABLE, (LABELS[:, None],), r"label must be an integer array \[batch\], got .*int32\[3, 1\]"),
        (TABLE, (LABELS, KEEP), "keep: the table has no null"),
        (ClassTable(0, 8), (LABELS,), "num_classes must be a positive integer, got 0"),
        (NULL, (LABELS, KEEP[:2]), r"keep must be .*, got .*bool\[2\]; label has batch = 3"),
        (NULL, (LABELS, LABELS), r"keep must be a bool array .*, got .*int32\[3\]"),
        (Encoders({"label": TABLE}), ({"style": LABELS},), "request: 'label' is missing; got style"),
        (
            Encoders({"label": TABLE}),
            ({"label": LABELS}, {"style": KEEP}),
            "keep: the encoded parts are label;",
        ),
        (Labelled(MLP(8, 1), 3), (draw(3, 2), np.ones(3, "f")), "label: the network needs labels"),
        (
            Labelled(MLP(8, 1), 3),
            (draw(3, 2), np.ones(3, "f"), LABELS[:2]),
            r"label must be .*, got .*int32\[2\]; x has batch = 3",
        ),
    ],
)
def test_bad_calls_are_named(module, args, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(module.init, jax.random.key(0), *args)

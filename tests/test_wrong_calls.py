"""Nearly all wrong calls are named by one line before anything compiles, and none passes in silence."""

import collections
import functools

import pytest
import wrong_calls


@functools.cache
def _told():
    return wrong_calls.survey()[1]


@pytest.mark.parametrize("name", wrong_calls.TABLE)
def test_the_right_call_is_right(name):
    """What the wrong calls are made from is accepted: each is refused for what is wrong in it alone."""
    function, given = wrong_calls.TABLE[name]
    function(**{arg: each.right if isinstance(each, wrong_calls.A) else each for arg, each in given.items()})


def test_wrong_calls_are_named_by_one_line_before_anything_compiles():
    ends = collections.Counter(end for end, _, _ in _told())
    others = [f"{end}: {call} -> {said}" for end, call, said in _told() if end != "named"]
    assert sum(ends.values()) >= 2000
    assert ends["named"] >= 0.99 * sum(ends.values()), "\n".join(others)


@pytest.mark.parametrize("end", ["silent", "unclear"])
def test_none_ends_so(end):
    assert not [f"{call} -> {said}" for found, call, said in _told() if found == end]


def test_a_call_that_is_not_checked_counts_as_such():
    """The count itself can tell: a function that takes anything is silent, one that fails inside unclear."""
    ask = wrong_calls.ask
    assert ask(lambda a: a, "a", {"a": "x"})[0] == "silent"
    assert ask(lambda a: a + 1, "a", {"a": "x"})[0] == "unclear"

    def late(a):
        import jax.numpy as jnp

        jnp.cumsum(jnp.ones(wrong_calls.COMPILED.count + 12345)).block_until_ready()
        raise ValueError("a must be something else")

    assert ask(late, "a", {"a": "x"})[0] == "late"

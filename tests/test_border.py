"""The border on a closed list of calls: what it takes, and the one line of each that it refuses."""

import functools  # noqa: F401 (used by a call below)
import inspect
import pathlib
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.border import WrongCall, checked, returning
from diffjax.types import Array, ArrayLike, Extended, Float, Int, Key, Shaped

X, KEY = jnp.ones((4, 2)), jax.random.key(0)


class Tool(NamedTuple):
    weight: float


class Clock(Protocol):
    t_max: float

    def __call__(self, t: float) -> float: ...


class Wall:
    t_max = 1.0

    def __call__(self, t):
        return t


@checked
def hammer(weight: float = 1.0) -> Tool:
    """Make a tool."""
    return Tool(weight)


@checked
def wall() -> Clock:
    """Make a clock."""
    return Wall()


@checked
def number(a: float = 1.0, *, most: float = np.inf, any_: Extended = 0.0):
    return a


@checked
def whole(n: int, flag: bool = False, word: str = "", kind: Literal["eps", "x0"] = "eps"):
    return n


@checked
def arrays(
    x: Float[Array, "batch *shape"],
    eps: Float[Array, "batch *shape"] | None = None,
    t: float | Float[Array, " batch"] = 0.0,
    labels: Int[Array, " batch"] | None = None,
    image: Float[Array, "h w 3"] | None = None,
    twice: Float[Array, "batch ... 2*h"] | None = None,
    anything: ArrayLike | None = None,
):
    return x


@checked
def made(tool: Tool, clock: Clock | None = None, f: Callable[[int, int], int] | None = None):
    return tool


@checked
def many(
    times: Sequence[float] = (),
    steps: tuple[int, ...] = (),
    pair: tuple[float, float] = (0.0, 1.0),
    options: Mapping[str, object] | None = None,
):
    return steps


@checked
def random(key: Key[Array, ""], keys: Key[Array, " n"] | None = None, x: Shaped[Array, "..."] | None = None):
    return key


@checked
def rest(*tools: Tool, **weights: float):
    return tools, weights


class Box:
    @checked
    def put(self, n: int):
        return n


# ruff: noqa: E501
REFUSED = {
    "number('half')": "number: a must be a finite number, got 'half'",
    "number(nan)": "number: a must be a finite number, got nan",
    "number(inf)": "number: a must be a finite number, got inf",
    "number(True)": "number: a must be a finite number, got True",
    "number(None)": "number: a must be a finite number, got None",
    "number(jnp.ones(2))": "number: a must be a finite number, got float32[2]",
    "number(jnp.array(nan))": "number: a must be a finite number, got float32[]",
    "number(1j)": "number: a must be a finite number, got 1j",
    "number(KEY)": "number: a must be a finite number, got key<fry>[]",
    "number(most=nan)": "number: most must be a number, got nan",
    "number(1.0, 2.0)": "number: takes at most 1 arguments in order (a), got 2; by name only: most, any_",
    "number(b=1.0)": "number: b is no argument; there are a, most, any_",
    "number(mosst=1.0)": "number: mosst is no argument; there are a, most, any_; did you mean 'most'?",
    "number(1.0, a=2.0)": "number: a is given twice",
    "whole()": "whole: n must be given",
    "whole(2.5)": "whole: n must be an integer, got 2.5",
    "whole(nan)": "whole: n must be an integer, got nan",
    "whole(inf)": "whole: n must be an integer, got inf",
    "whole('2')": "whole: n must be an integer, got '2'",
    "whole(1, flag=1)": "whole: flag must be True or False, got 1",
    "whole(1, word=b'a')": "whole: word must be a string, got b'a'",
    "whole(1, kind='ep')": "whole: kind must be one of eps, x0, got 'ep'; did you mean 'eps'?",
    "whole(1, kind=None)": "whole: kind must be one of eps, x0, got None",
    "arrays(None)": "arrays: x must be a float array [batch, *shape], got None",
    "arrays([[1.0]])": "arrays: x must be a float array [batch, *shape], got [[1.0]]",
    "arrays(jnp.ones((4, 2), int))": "arrays: x must be a float array [batch, *shape], got int32[4, 2]",
    "arrays(np.float32(2))": "arrays: x must be a float array [batch, *shape], got float32 2.0",
    "arrays(X, X[:3])": "arrays: eps must be a float array [batch, *shape] or None, got float32[3, 2]; x has batch = 4",
    "arrays(X, X[:, :1])": "arrays: eps must be a float array [batch, *shape] or None, got float32[4, 1]; x has shape = [2]",
    "arrays(X, t=X)": "arrays: t must be a finite number or a float array [batch], got float32[4, 2]",
    "arrays(X, t=nan)": "arrays: t must be a finite number or a float array [batch], got nan",
    "arrays(X, t=X[:3, 0])": "arrays: t must be a finite number or a float array [batch], got float32[3]; x has batch = 4",
    "arrays(X, labels=X[:, 0])": "arrays: labels must be an integer array [batch] or None, got float32[4]",
    "arrays(X, image=jnp.ones((5, 5, 4)))": "arrays: image must be a float array [h, w, 3] or None, got float32[5, 5, 4]",
    "arrays(X, image=jnp.ones((5, 5, 3)), twice=jnp.ones((4, 7, 9)))": "arrays: twice must be a float array [batch, ..., 2*h] or None, got float32[4, 7, 9]",
    "arrays(X, anything='noon')": "arrays: anything must be an array or a number or None, got 'noon'",
    "made(hammer)": "made: tool must be a Tool, got the function hammer; did you forget the parentheses, hammer(...)?",
    "made(Tool)": "made: tool must be a Tool, got the class Tool",
    "made('hammer')": "made: tool must be a Tool, got 'hammer'",
    "made(hammer(), wall)": "made: clock must be a Clock or None, got the function wall; did you forget the parentheses, wall(...)?",
    "made(hammer(), 0.5)": "made: clock must be a Clock or None, got 0.5",
    "made(hammer(), lambda t: t)": "made: clock must be a Clock or None, got the function <lambda>, which has no t_max",
    "made(hammer(), Wall)": "made: clock must be a Clock or None, got the class Wall",
    "made(hammer(), f=lambda a: a)": "made: f must be a function of 2 arguments in order or None, got the function <lambda>",
    "made(hammer(), f=2)": "made: f must be a function or None, got 2",
    "many([0.1, nan])": "many: times must be a sequence, each a finite number, got [0.1, nan]",
    "many('uniform')": "many: times must be a sequence, got 'uniform'",
    "many(5)": "many: times must be a sequence, got 5",
    "many(jnp.ones((2, 2)))": "many: times must be a sequence, each a finite number, got float32[2, 2]",
    "many(steps=[0.5])": "many: steps must be a tuple, each an integer, got [0.5]",
    "many(steps=0)": "many: steps must be a tuple, got 0",
    "many(steps=[0])": "many: steps must be a tuple, got [0]; (0,) is one",
    "many(pair=(1.0,))": "many: pair must be a tuple of 2, got (1.0,)",
    "many(pair=('a', 'b'))": "many: pair must be a finite number, got ('a', 'b')",
    "many(options=[1])": "many: options must be a mapping or None, got [1]",
    "random(0)": "random: key must be a key without axes, got 0",
    "random(X)": "random: key must be a key without axes, got float32[4, 2]",
    "random(jax.random.split(KEY, 3))": "random: key must be a key without axes, got key<fry>[3]",
    "random(KEY, KEY)": "random: keys must be a key [n] or None, got key<fry>[]",
    "rest(1)": "rest: tools must be a Tool, got 1",
    "rest(hammer(), size=nan)": "rest: size must be a finite number, got nan",
    "Box().put('a')": "Box.put: n must be an integer, got 'a'",
}  # fmt: skip
NAMES = {"nan": float("nan"), "inf": float("inf")}


@pytest.mark.parametrize("call", REFUSED)
def test_a_wrong_call_is_refused_by_one_line(call):
    with pytest.raises(WrongCall) as refusal:
        eval(call, globals(), NAMES)
    assert str(refusal.value) == f"test_border.{REFUSED[call]}"
    assert isinstance(refusal.value, ValueError) and isinstance(refusal.value, TypeError)


TAKEN = """
number(1) == 1
number(jnp.array(0.5)) == 0.5 and type(number(jnp.array(0.5))) is float
number(np.float32(0.5)) == 0.5 and type(number(np.array(0.5))) is float
number(most=inf, any_=-inf) == 1
whole(3.0) == 3 and type(whole(3.0)) is int and type(whole(np.int64(3))) is int
whole(3, np.bool_(True), "a", "x0") == 3
arrays(X, X, 0.5) is X
arrays(X, X, X[:, 0], jnp.arange(4), jnp.ones((5, 6, 3)), jnp.ones((4, 1, 1, 10)), 3) is X
arrays(np.ones((4, 2)), X) is not None
arrays(jax.ShapeDtypeStruct((4, 2), jnp.bfloat16), X) is not None
arrays(X, t=jnp.array(0.5)) is X
made(hammer(), Wall(), lambda a, b=1, *c: a) == hammer()
made(hammer(), wall(), functools.partial(lambda a, b, c: a, 1)) == hammer()
made(hammer(), f=max) == hammer()
made(hammer(), f=lambda *a: a[0]) == hammer()
many([0, 0.5], (0, 1)) == (0, 1) and many(steps=(np.int64(0), 1.0)) == (0, 1)
many(np.linspace(0, 1, 5), pair=[0, 1], options={"a": 1}) == ()
many(iter([1.0])) == ()
random(KEY, jax.random.split(KEY, 3), X) is KEY
random(jax.random.PRNGKey(0), jax.random.split(jax.random.PRNGKey(0), 3)) is not None
rest(hammer(), hammer(2.0), size=1) == ((Tool(1.0), Tool(2.0)), {"size": 1})
Box().put(2) == 2
""".strip().splitlines()


@pytest.mark.parametrize("call", TAKEN)
def test_what_is_plainly_meant_is_taken(call):
    assert eval(call, globals(), NAMES)


def test_a_traced_number_is_refused_where_it_decides_the_program():
    with pytest.raises(WrongCall, match="a must be a finite number known on the host, got a traced float32"):
        jax.jit(number)(0.5)


def test_a_call_is_checked_while_it_is_traced():
    traced = []

    @checked
    def twice(x: Float[Array, " n"], y: Float[Array, " n"]):
        traced.append(x)
        return x + y

    run = jax.jit(twice)
    run(jnp.ones(3), jnp.ones(3))
    run(jnp.ones(3), jnp.ones(3))
    assert len(traced) == 1
    assert [str(each.primitive) for each in jax.make_jaxpr(twice)(jnp.ones(3), jnp.ones(3)).eqns] == ["add"]
    with pytest.raises(WrongCall, match="y must be a float array"):
        run(jnp.ones(3), jnp.ones(1))
    with pytest.raises(WrongCall, match="y must be a float array"):
        jax.vmap(twice)(jnp.ones((2, 3)), jnp.ones((2, 1)))


def test_the_function_stays_itself():
    assert hammer.__doc__ == "Make a tool."
    assert inspect.signature(hammer) == inspect.signature(inspect.unwrap(hammer))
    assert pickle.loads(pickle.dumps(hammer)) is hammer


def test_a_function_that_returns_something_else_is_refused_in_the_trace():
    denoise = returning(lambda x: x, "denoise", Tool, "make one with hammer()")
    with pytest.raises(
        WrongCall, match=r"^denoise must return a Tool, got a traced float32\[2\]; make one with"
    ):
        jax.eval_shape(denoise, jnp.ones(2))
    assert returning(hammer, "denoise", Tool, "")(2.0) == Tool(2.0)


def test_it_costs_microseconds():
    arrays(X, X, 0.5)
    best = np.inf
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(100):
            arrays(X, X, 0.5)
        best = min(best, (time.perf_counter() - start) / 100)
    assert best < 2e-4


def test_it_reads_the_same_without_jaxtyping():
    """The light classes of `diffjax.types` and jaxtyping's own give the same lines."""
    program = """
import sys
sys.path.insert(0, "tests")
import test_border as t
assert t.Float.__class__.__module__ == "diffjax.types"
for call, line in t.REFUSED.items():
    try:
        eval(call, vars(t), t.NAMES)
    except t.WrongCall as refusal:
        assert str(refusal) == f"test_border.{line}", (str(refusal), line)
    else:
        raise AssertionError(call)
for call in t.TAKEN:
    assert eval(call, vars(t), t.NAMES), call
"""
    root = pathlib.Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)

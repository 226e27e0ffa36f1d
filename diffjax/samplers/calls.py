"""What a walk costs: how often it calls the network, with guidance or without."""

from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp

from diffjax.border import checked
from diffjax.process.prediction import Denoiser, Prediction
from diffjax.samplers.solver import Rows, Solver


@checked
def network_calls(
    solver: Solver,
    rows: Rows,
    guide: Callable[[Denoiser], Denoiser] | None = None,
    x: Any = None,
    cond: Any = None,
) -> int:
    """Return how many times a walk along the planned rows calls the network for each sample.

    With a guide the steps are traced, not run, on the levels of their rows: what an interval or a strength
    of 0 leaves out is not counted, and one batched call for two conditions is two. Backward passes, and
    calls of other networks (a classifier, a weak model), are not counted.

    Args:
      solver: Solver.
      rows: its plan.
      guide: a function Denoiser -> Denoiser of `diffjax.guidance`, or None.
      x: `[B, ...]` samples or their shape (`jax.ShapeDtypeStruct`), for a guide.
      cond: the condition that the guide is called with.

    Raises:
      ValueError: for a guide without x.

    Example:
      >>> import jax.numpy as jnp
      >>> from diffjax import guidance, samplers
      >>> from diffjax.process import schedules
      >>> solver, x, labels = samplers.edm_heun(), jnp.ones((4, 2)), jnp.array([0, 1, 1, 0])
      >>> rows = samplers.plan(schedules.edm(), solver, [80.0, 10.0, 1.0, 0.1, 0.0])
      >>> twice = guidance.classifier_free(3.0, null=-1)
      >>> some = guidance.interval(twice, 0.5, 20.0)  # sigma = 10 and 1, each the end of a step as well
      >>> [samplers.network_calls(solver, rows, guide, x, labels) for guide in (None, twice, some)]
      [7, 14, 11]
    """
    steps = len(jax.tree.leaves(rows.steps)[0])
    if guide is None:
        return solver.nfe * steps + (0 if rows.last is None else solver.last_nfe)
    if x is None:
        raise ValueError("x must be given with a guide: samples [B, ...], or their shape")
    x = jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x))
    each = [(solver.step, jax.tree.map(lambda a, i=i: a[i], rows.steps)) for i in range(steps)]
    each += [] if rows.last is None else [(solver.last, rows.last)]
    guided = guide(_network)

    def once(step, row):
        walked = lambda x: step(lambda d: jnp.zeros(x.shape, x.dtype), guided, x, row, cond, solver.init(x))
        return _calls(jax.make_jaxpr(walked)(x).jaxpr) // prod(x.shape)

    return sum(once(step, row) for step, row in each)


def _network(x_t, level, cond=None):
    """Stand in for a network: a call is an equation of the traced program, of as many numbers as it makes."""
    del level
    made = _marked(x_t, [jnp.asarray(leaf) for leaf in jax.tree.leaves(cond)])
    return Prediction(made, made)


@jax.custom_vjp
def _marked(x_t, leaves):
    return _called(x_t, leaves)


# its backward pass is no call
_marked.defvjp(lambda x_t, leaves: (_marked(x_t, leaves), (x_t, leaves)), lambda kept, g: (g, None))


def _called_network(x_t, leaves):
    return x_t + sum(0 * leaf.sum().astype(x_t.dtype) for leaf in leaves)


_called = jax.jit(_called_network)


def _calls(jaxpr):
    """Return how many numbers the calls in a program make."""
    found = 0
    for equation in jaxpr.eqns:
        name, inside = equation.params.get("name"), list(_programs(equation.params))
        if name == _called_network.__name__:
            found += prod(equation.outvars[0].aval.shape)
        elif equation.primitive.name == "cond":  # what the host does not know: the dearest way
            found += max(map(_calls, inside))
        else:
            found += equation.params.get("length", 1) * sum(map(_calls, inside))
    return found


def _programs(params):
    for value in params.values():
        for each in value if isinstance(value, list | tuple) else (value,):
            inner = getattr(each, "jaxpr", each)
            if hasattr(inner, "eqns"):
                yield inner

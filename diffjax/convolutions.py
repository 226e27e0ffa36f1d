"""Convolutions of a gradient as XLA for CPU runs them fast.

The gradient of a convolution is a convolution whose kernel, or whose images, have their axes in another
order. XLA for CPU puts axes in order in a program's outermost computation alone: in the body of a loop, where
a sampler calls its denoiser, it falls back on a nest of scalar loops, here 10 to 40 times slower.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

_CONVOLUTION = "conv_general_dilated"
_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr"}  # where each has its program


def in_order(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f with transpositions written out before and after its convolutions, on a CPU; else f itself.

    What a function computes does not change, nor how it is differentiated. Convolutions within loops and
    branches of f itself are left as they are.

    Args:
      f: of arrays, and trees of them.
    """
    if jax.default_backend() != "cpu":
        return f

    def ordered(*args):
        leaves, tree = jax.tree.flatten(args)
        program, shape = jax.make_jaxpr(lambda *leaves: f(*tree.unflatten(leaves)), return_shape=True)(
            *leaves
        )
        convolve = any(map(_convolves, program.jaxpr.eqns))
        made = _run(program, leaves) if convolve else core.jaxpr_as_fun(program)(*leaves)
        return jax.tree.structure(shape).unflatten(made)

    return ordered


def _run(program: core.ClosedJaxpr, args: Any) -> list[Any]:
    """Evaluate a traced function."""
    jaxpr = program.jaxpr
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*program.consts, *args], strict=True))
    value = lambda atom: atom.val if isinstance(atom, core.Literal) else known[atom]
    for each in jaxpr.eqns:
        if each.primitive.name == _CONVOLUTION:
            made = [_convolve(*map(value, each.invars), **each.params)]
        elif _convolves(each):
            made = _run(each.params[_CALLS[each.primitive.name]], map(value, each.invars))
        else:
            needs = list(dict.fromkeys(atom for atom in each.invars if not isinstance(atom, core.Literal)))
            alone = core.Jaxpr((), needs, each.outvars, [each], each.effects, jaxpr.debug_info)
            made = core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))(*map(value, needs))
        known |= zip(each.outvars, made, strict=True)
    return [value(atom) for atom in jaxpr.outvars]


def _convolves(equation: Any) -> bool:
    """Say whether an equation is a convolution or a call with one in it."""
    name = equation.primitive.name
    if name in _CALLS:
        return any(map(_convolves, equation.params[_CALLS[name]].jaxpr.eqns))
    return name == _CONVOLUTION


def _convolve(x: Any, kernel: Any, *, dimension_numbers: Any, **how: Any) -> Any:
    """Convolve [N, ..., C] with a kernel [..., I, O], whatever the order of the axes that come and go."""
    (n, c, *places), (o, i, *taps), (m, d, *out) = dimension_numbers
    last = x.ndim - 1
    images, kernels = (0, last, *range(1, last)), (last, last - 1, *range(last - 1))
    found = jax.lax.conv_general_dilated(
        jnp.transpose(x, (n, *places, c)),
        jnp.transpose(kernel, (*taps, i, o)),
        dimension_numbers=jax.lax.ConvDimensionNumbers(images, kernels, images),
        **how,
    )
    back = (m, *out, d)
    return jnp.transpose(found, [back.index(axis) for axis in range(x.ndim)])

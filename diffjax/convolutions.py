"""Convolutions of a gradient as XLA for CPU runs them fast.

The gradient of a convolution is a convolution whose kernel, or whose images, have their axes in another
order. XLA for CPU puts axes in order in a program's outermost computation alone: in the body of a loop, where
a sampler calls its denoiser, it falls back on a nest of scalar loops, here 10 to 60 times slower.

The gradient by a kernel is a convolution with a picture as its window, and a sum over the batch. Where the
images of that sum are more than a core's cache holds, it is two to three times faster a part of them after
the other (`benchmarks.convolutions`).
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

_CONVOLUTION = "conv_general_dilated"
_CACHE = 2**20  # bytes of images that are summed over at a time
_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr"}  # where each has its program
# What stays one; `jax.checkpoint` has had two names.
_WITHIN = {"scan": "jaxpr", "while": "body_jaxpr", "cond": "branches"} | dict.fromkeys(
    ("checkpoint", "remat2"), "jaxpr"
)


def in_order(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f with transpositions written out before and after its convolutions, on a CPU; else f itself.

    Convolutions with a picture as their window are made part by part. What a function computes does not
    change, but for the order of a sum, nor how it is differentiated. Loops, branches and what is
    recomputed are looked into.

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
        elif each.primitive.name in _CALLS and _convolves(each):
            made = _run(each.params[_CALLS[each.primitive.name]], map(value, each.invars))
        else:
            one = each.replace(params=_ordered_within(each)) if _convolves(each) else each
            needs = list(dict.fromkeys(atom for atom in each.invars if not isinstance(atom, core.Literal)))
            alone = core.Jaxpr((), needs, each.outvars, [one], each.effects, jaxpr.debug_info)
            made = core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))(*map(value, needs))
        known |= zip(each.outvars, made, strict=True)
    return [value(atom) for atom in jaxpr.outvars]


def _convolves(equation: Any) -> bool:
    """Say whether an equation is a convolution, or has one within."""
    if equation.primitive.name == _CONVOLUTION:
        return True
    return any(any(map(_convolves, program.jaxpr.eqns)) for program in _within(equation))


def _within(equation):
    """Return the programs of an equation, or none."""
    name = equation.primitive.name
    held = equation.params[(_CALLS | _WITHIN)[name]] if name in _CALLS or name in _WITHIN else ()
    held = held if isinstance(held, tuple) else (held,)
    return [core.ClosedJaxpr(each, ()) if isinstance(each, core.Jaxpr) else each for each in held]


def _ordered_within(equation):
    """Return the parameters of a loop, of branches or of what is recomputed, with convolutions in order."""
    key = _WITHIN[equation.primitive.name]
    ordered = tuple(
        jax.make_jaxpr(lambda *args, program=program: _run(program, args))(*program.in_avals)
        for program in _within(equation)
    )
    if isinstance(equation.params[key], core.Jaxpr):
        return equation.params | {key: ordered[0].jaxpr}
    return equation.params | {key: ordered if isinstance(equation.params[key], tuple) else ordered[0]}


def _convolve(x: Any, kernel: Any, *, dimension_numbers: Any, **how: Any) -> Any:
    """Convolve [N, ..., C] with a kernel [..., I, O], whatever the order of the axes that come and go."""
    (n, c, *places), (o, i, *taps), (m, d, *out) = dimension_numbers
    last = x.ndim - 1
    images, kernels = (0, last, *range(1, last)), (last, last - 1, *range(last - 1))
    numbers = jax.lax.ConvDimensionNumbers(images, kernels, images)

    def of(x, kernel):
        x, kernel = jnp.transpose(x, (n, *places, c)), jnp.transpose(kernel, (*taps, i, o))
        return jax.lax.conv_general_dilated(x, kernel, dimension_numbers=numbers, **how)

    # Of a gradient by the kernel the window is a picture and the output is as small as the kernel.
    window = math.prod(kernel.shape[axis] for axis in taps)
    by_kernel = window > math.prod(jax.eval_shape(of, x, kernel).shape[1:-1])
    plain = how["feature_group_count"] == how["batch_group_count"] == 1
    count = _count(x.shape[c], x.nbytes) if by_kernel and plain else 1
    parts = (of(_strided(x, c, count, part), _strided(kernel, i, count, part)) for part in range(count))
    found = functools.reduce(jnp.add, parts)
    back = (m, *out, d)
    return jnp.transpose(found, [back.index(axis) for axis in range(x.ndim)])


def _count(rows, size):
    """Return into how many parts rows are split for one to fit each device's cache."""
    devices = jax.device_count()
    counts = [parts for parts in range(1, rows + 1) if rows % (parts * devices) == 0]
    return next((parts for parts in counts if size <= parts * devices * _CACHE), max(counts, default=1))


def _strided(a, axis, count, part):
    """Return rows part, part + count, ... of an axis: every device keeps rows of its own."""
    if count == 1:
        return a
    split = a.reshape(*a.shape[:axis], -1, count, *a.shape[axis + 1 :])
    return jax.lax.index_in_dim(split, part, axis + 1, keepdims=False)

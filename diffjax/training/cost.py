"""What a step costs before it is run: floating-point operations of its program, bytes of its state."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

from diffjax.training import trees

FILE = "cost.json"


class Memory(NamedTuple):
    """Bytes on each device, as the compiler counts them.

    Attributes:
      arguments: state, what is frozen, and a batch.
      scratch: what the program needs besides while it runs.
      outputs: that take no argument's place.
    """

    arguments: int
    scratch: int
    outputs: int

    @property
    def total(self) -> int:
        """Bytes that must be free before the first step."""
        return sum(self)


def flops(program: Jaxpr | ClosedJaxpr | Callable, *arguments: Any) -> float:
    """Count the floating-point operations of matrix products and convolutions, two for a multiply-add.

    They are what a network's cost is quoted in. A loop counts its body as often as it is run, which the
    compiler's own analysis does not; a `while` whose length is not known counts once, and of the branches of
    a `cond` the dearest.

    Args:
      program: a jaxpr, or a function.
      *arguments: of the function; shapes are enough.

    Returns:
      The count, of all devices together.

    Example:
      >>> import jax.numpy as jnp
      >>> w = jnp.ones((8, 8))
      >>> ten = lambda x: jax.lax.scan(lambda x, _: (x @ w, None), x, None, length=10)[0]
      >>> flops(ten, jnp.ones((4, 8))) == 10 * 2 * 4 * 8 * 8
      True
    """
    if not isinstance(program, Jaxpr | ClosedJaxpr):
        program = jax.make_jaxpr(program)(*arguments)
    jaxpr = program.jaxpr if isinstance(program, ClosedJaxpr) else program
    return float(sum(_of(equation) for equation in jaxpr.eqns))


def _of(equation) -> float:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(shape[i] for i in contracted)
    if name == "conv_general_dilated":
        return _convolution(equation)
    inner = [flops(each) for value in params.values() for each in programs(value)]
    if name == "cond":
        return max(inner, default=0.0)
    return params.get("length", 1) * sum(inner) if name == "scan" else sum(inner)


def _convolution(equation) -> float:
    """Every output sums over the kernel's window and input channels; zeros put between inputs cost none."""
    params, kernel = equation.params, equation.invars[1].aval.shape
    _, channels, *window = (kernel[i] for i in params["dimension_numbers"].rhs_spec)
    sums = math.prod(window) * channels / math.prod(params["lhs_dilation"])
    return 2 * math.prod(equation.outvars[0].aval.shape) * sums


def programs(value: Any) -> Iterator[Jaxpr | ClosedJaxpr]:
    """Give the programs in a parameter of an equation."""
    if isinstance(value, Jaxpr | ClosedJaxpr):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from programs(each)


def memory(compiled: Any) -> Memory | None:
    """Return what a compiled program needs of each device; None where the backend does not say.

    Args:
      compiled: of `jax.jit(...).lower(...).compile()`.
    """
    found = compiled.memory_analysis()
    if found is None:
        return None
    outputs = found.output_size_in_bytes - found.alias_size_in_bytes
    return Memory(found.argument_size_in_bytes, found.temp_size_in_bytes, max(outputs, 0))


def about(program: Jaxpr | ClosedJaxpr, compiled: Any, state: Any) -> dict[str, Any]:
    """Return what is known of a step's cost before the first one, as JSON data.

    Args:
      program: the step's jaxpr.
      compiled: the step.
      state: shapes and dtypes of the training state.

    Returns:
      "flops" of a step, "state_bytes" by the state's parts, all devices together, and "device_bytes", what
      the compiler says that each device needs, where it does.
    """
    needed = memory(compiled)
    return {
        "flops": flops(program),
        "state_bytes": {name: trees.size_of(part) for name, part in state._asdict().items()},
        "device_bytes": None if needed is None else needed._asdict(),
    }


def check_memory(compiled: Any, devices: Any) -> None:
    """Raise before the first step if its program cannot fit.

    Args:
      compiled: the program.
      devices: that it runs on; those that do not say how much memory they have are not checked.

    Raises:
      ValueError: naming what is needed, and what there is.
    """
    needed = memory(compiled)
    limits = [limit for limit in map(limit_of, devices) if limit is not None]
    if needed is not None and limits and needed.total > min(limits):
        gib = lambda count: f"{count / 2**30:.2f} GiB"
        raise ValueError(
            f"a step needs {gib(needed.total)} on each device ({gib(needed.arguments)} of state and batch, "
            f"{gib(needed.scratch)} of scratch) and there are {gib(min(limits))}: lower training.batch_size, "
            "raise training.accumulate, or split the state by training.mesh"
        )


def limit_of(device: Any) -> int | None:
    """Return the bytes that a device has for programs, or None if it does not say."""
    return (device.memory_stats() or {}).get("bytes_limit")

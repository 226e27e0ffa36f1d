"""Pictures that are restored from what was measured of them: `config.sampler.measurement`.

    config.sampler.measurement = {"operator": "average", "factor": 4, "noise_std": 0.05}
    config.sampler.measurement = {"operator": "blur", "width": 1.5, "noise_std": 0.02}  # or "kernel"
    config.sampler.measurement = {"operator": "mask", "noise_std": 0.05, "method": "dps"}

A request then has the part "measured", the picture that the operator made, and of a mask the part "mask",
True (white) where it was seen. Networks are told of neither: the walk is steered by
`guidance.linear_inverse`, whose options (`noise_std`, `method`, `data_std`, `scale`) stand beside the
operator's.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import guidance
from diffjax.guidance import operators
from diffjax.guidance.operators import Operator
from diffjax.pixels import to_uint8
from diffjax.process.schedules import Schedule
from diffjax.systems import pictures
from diffjax.systems.edits import MASK, files_of, given_of
from diffjax.systems.options import call, is_section, pick
from diffjax.systems.strengths import strength
from diffjax.training.system import Conditioning, Part, Request

MEASURED = "measured"
_FIELD = "sampler.measurement"
_HOW = ("noise_std", "method", "data_std", "scale")  # of `guidance.linear_inverse`
_UNSEEN = 0.0  # grey


class Measurement(NamedTuple):
    """How pictures were measured.

    Attributes:
      operator: of all samples alike; None for a mask of each.
      how: options of `guidance.linear_inverse`.
    """

    operator: Operator | None
    how: Mapping[str, Any]

    def steers(self, asked: Request) -> list[guidance.Transformation]:
        """Return what steers towards the measured pictures; ValueError of a system that is asked for none."""
        if MEASURED not in asked:
            raise ValueError(f"{_FIELD} needs a system that is asked with {MEASURED}, and this one is not")
        return [guidance.linear_inverse(self._of(asked), asked[MEASURED], **self.how)]

    def asks(self, request: Conditioning, shape: tuple[int, ...], gives: str | None) -> Conditioning:
        """Return what a system may be asked, with what was measured.

        Raises:
          ValueError: for a system that makes no images, or pictures of another size than the operator takes.
        """
        if gives != "images":
            raise ValueError(f"{_FIELD} is for models of images, and this one makes {gives}")
        small = _measured_shape(self.operator, shape)
        parts = {MEASURED: Part(small)}
        if self.operator is None:
            if MASK in request.parts:
                raise ValueError(f"sampler.edit.mask must be left out with {_FIELD}.operator='mask'")
            parts[MASK] = Part((*shape[:-1], 1), bool)
        why = f"{_FIELD} restores a picture"

        def of_user(given, n):
            own = {part: given_of(given, part, why) for part in parts}
            rest = {part: value for part, value in given.items() if part not in parts}
            made = {MEASURED: pictures.images(MEASURED, files_of(MEASURED, own[MEASURED]), n, small)}
            if MASK in parts:
                made[MASK] = pictures.masks(MASK, own[MASK], n, shape[:-1])
            return {**(request.of_user(rest, n) if rest else request.default(n)), **made}

        def of_batch(variables, key, batch):
            if MASK in parts:
                given_of({}, MASK, why)
            y = self._of({}).apply(batch["x"])
            noise = self.how.get("noise_std", 0.0) * jax.random.normal(jax.random.fold_in(key, 2), y.shape)
            return {**request.of_batch(variables, key, batch), MEASURED: y + noise}

        def shown(asked):
            y = np.asarray(asked[MEASURED])
            y = np.where(np.asarray(asked[MASK]), y, _UNSEEN) if MASK in parts else y
            return [*request.pictures(asked), to_uint8(np.clip(y, -1, 1).astype(np.float32))]

        return request._replace(
            parts={**request.parts, **parts}, of_user=of_user, of_batch=of_batch, pictures=shown,
            default=lambda n: of_user({}, n),
        )  # fmt: skip

    def _of(self, asked):
        return operators.mask(asked[MASK]) if self.operator is None else self.operator


def of_config(given: Any, noise: Schedule) -> Measurement | None:
    """Make the Measurement of the section `config.sampler.measurement`; None where there is none.

    Raises:
      ValueError: naming the option that does not fit.
    """
    if given is None:
        return None
    if not is_section(given):
        told = "a section such as {'operator': 'average', 'factor': 4}"
        raise ValueError(f"{_FIELD} must be {told}, got {given!r}")
    own = dict(given)
    make = pick(f"{_FIELD}.operator", own.pop("operator", None), _OPERATORS)
    how = {name: own.pop(name) for name in _HOW if name in own}
    if "scale" in how:
        how["scale"] = strength(f"{_FIELD}.scale", how["scale"], noise)
    operator = call(_FIELD, make, own)
    call(_FIELD, guidance.linear_inverse, how, operators.average(1), jnp.zeros((1, 1, 1, 1)))  # refused now
    return Measurement(operator, how)


def require_said(config: Any, measured: Any) -> None:
    """Raise a ValueError for pictures that were measured, of a config that does not say how."""
    if measured and not (config.get("sampler") or {}).get("measurement"):
        example = "--option=\"measurement={'operator': 'average', 'factor': 4, 'noise_std': 0.05}\""
        raise ValueError(f"{MEASURED} needs {_FIELD}, how it was measured, such as {example}")


def _average(factor: int) -> Operator:
    return operators.average(factor)


def _blur(kernel: Any = None, width: float | None = None) -> Operator:
    """Return a blur by a kernel, or by a Gaussian of a standard deviation in pixels."""
    if (kernel is None) == (width is None):
        raise ValueError("one of kernel and width must be given")
    if width is None:
        return operators.blur(kernel)
    if not isinstance(width, int | float) or not 0 < width < math.inf:
        raise ValueError(f"width must be positive, a standard deviation in pixels; got {width!r}")
    reach = math.ceil(3 * width)
    one = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    return operators.blur(np.outer(one, one) / one.sum() ** 2)


def _mask() -> None:
    """Return no operator: each sample has its own."""


_OPERATORS: Mapping[str, Callable[..., Operator | None]] = {"average": _average, "blur": _blur, "mask": _mask}


def _measured_shape(operator, shape):
    if operator is None:
        return shape
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    return tuple(call(_FIELD, jax.eval_shape, {}, operator.apply, x).shape[1:])

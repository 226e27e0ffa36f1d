"""Names for annotations: arrays with shapes, as jaxtyping spells them; without jaxtyping they mean anything.

`import diffjax` and sampling need jax and numpy alone, so annotations come from here and from nowhere else.
"""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

Array = jax.Array | np.ndarray  # what lives on a device, and what the host computes in float64
ArrayLike = jax.typing.ArrayLike  # these, numpy's scalars and Python's numbers

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Integer, Key, Num, PyTree, Shaped, UInt8
else:
    try:
        from jaxtyping import Bool, Float, Int, Integer, Key, Num, PyTree, Shaped, UInt8
    except ImportError:

        class _Anything:
            """Stand for any annotation: `Float[Array, "batch"]` is `Any`."""

            def __class_getitem__(cls, item):
                return Any

        Bool = Float = Int = Integer = Key = Num = PyTree = Shaped = UInt8 = _Anything

__all__ = [
    "Array", "ArrayLike", "Bool", "Float", "Int", "Integer", "Key", "Num", "PyTree", "Shaped", "UInt8",
]  # fmt: skip

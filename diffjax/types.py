"""Names for annotations: arrays with their shapes as jaxtyping spells them, and numbers.

`Float[Array, "batch *shape"]` is jaxtyping's to a type checker, and at run time where jaxtyping was imported
before diffjax (the tests do so, to check every call inside). Otherwise it is a light class that says the same
of itself, so that `import diffjax` and sampling need jax and numpy alone. `diffjax.readers` reads either.

    Float Int Integer UInt8 Bool Key Num Shaped     what the elements are (Key: random keys)
    "batch *shape"   axes by name: equal names are equal sizes within one call; *shape is any number of axes
    "" "3" "..."     a scalar, a fixed size, any axes;  " n" (one name alone) keeps its space for linters
    Extended         a number that may be infinite; `float` may not, unless its default is
"""

import functools
import sys
from typing import TYPE_CHECKING, Annotated, Any

import jax
import numpy as np

if TYPE_CHECKING:  # a type checker cannot calculate with the unions below
    Array = ArrayLike = Any
else:
    Array = jax.Array | np.ndarray  # what lives on a device, and what the host computes in float64
    ArrayLike = jax.typing.ArrayLike  # these, numpy's scalars and Python's numbers
Extended = Annotated[float, "may be infinite"]

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int, Integer, Key, Num, PyTree, Shaped, UInt8
else:

    class _Elements:
        """Make light array annotations: classes that hold `dtypes` and `dim_str`, as jaxtyping's do."""

        def __init__(self, name, dtypes):
            self.name, self.dtypes = name, dtypes

        @functools.cache  # noqa: B019 (nine of these live as long as the program)
        def __getitem__(self, item):
            array_type, dim_str = item
            fields = {"dtypes": self.dtypes, "dim_str": dim_str.strip(), "array_type": array_type}
            return type(f"{self.name}[Array, {dim_str!r}]", (), fields)

    class PyTree:
        """Stand for any tree."""

        def __class_getitem__(cls, item):
            return Any

    _signed = tuple(f"int{bits}" for bits in (2, 4, 8, 16, 32, 64))
    _whole = (*(f"u{name}" for name in _signed), *_signed)
    _eights = ("e4m3b11fnuz", "e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz")
    _floats = (*(f"float8_{name}" for name in _eights), "bfloat16", "float16", "float32", "float64")
    Bool = _Elements("Bool", ("bool",))
    Float = _Elements("Float", _floats)
    Int = _Elements("Int", _signed)
    Integer = _Elements("Integer", _whole)
    Key = _Elements("Key", ("prng_key",))
    Num = _Elements("Num", (*_whole, *_floats, "complex64", "complex128"))
    Shaped = _Elements("Shaped", None)
    UInt8 = _Elements("UInt8", ("uint8",))

__all__ = [
    "Array", "ArrayLike", "Bool", "Extended", "Float", "Int", "Integer", "Key", "Num", "PyTree", "Shaped",
    "UInt8",
]  # fmt: skip

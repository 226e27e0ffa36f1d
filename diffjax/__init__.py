"""Diffusion models in JAX: pure functions around one value, the noise level.

`import diffjax` brings the mathematics and the samplers and neither flax, optax nor orbax.
"""

from diffjax import exact as exact
from diffjax import guidance as guidance
from diffjax import objectives as objectives
from diffjax import process as process
from diffjax import samplers as samplers
from diffjax.version import __version__ as __version__

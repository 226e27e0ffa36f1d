"""Data sets and batches of them. `digits` and `prepared` bring TFDS and are not imported here."""

from diffjax.data.catalog import load as load
from diffjax.data.lazy import LazyImages as LazyImages
from diffjax.data.pipeline import Batches as Batches
from diffjax.data.pipeline import batches as batches
from diffjax.data.pipeline import epoch as epoch
from diffjax.data.sources import Source as Source
from diffjax.data.sources import to_model as to_model
from diffjax.data.sources import to_uint8 as to_uint8

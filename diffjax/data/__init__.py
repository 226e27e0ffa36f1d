"""Data sets and batches of them. What one needs, TFDS, grain or Pillow, is imported when it is asked for."""

from diffjax.data.catalog import load as load
from diffjax.data.lazy import LazyImages as LazyImages
from diffjax.data.pipeline import Batches as Batches
from diffjax.data.pipeline import batches as batches
from diffjax.data.pipeline import epoch as epoch
from diffjax.data.sources import Source as Source
from diffjax.pixels import to_model as to_model
from diffjax.pixels import to_uint8 as to_uint8

"""Published weights as our networks' parameters, and back."""

from diffjax.pretrained.loading import load

__all__ = ["load"]

"""Published weights as our networks' parameters, and back."""

import typing

if typing.TYPE_CHECKING:
    from diffjax.pretrained.loading import load

__all__ = ["load"]


def __getattr__(name: str) -> typing.Any:
    if name == "load":  # with every architecture: imported where weights are read
        from diffjax.pretrained import loading

        return loading.load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

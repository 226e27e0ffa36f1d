"""Published weights as our networks' parameters, and back."""

import typing

if typing.TYPE_CHECKING:
    from diffjax.pretrained.loading import describe, load

__all__ = ["describe", "load"]


def __getattr__(name: str) -> typing.Any:
    if name in __all__:  # with every architecture: imported where weights are read
        from diffjax.pretrained import loading

        return getattr(loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

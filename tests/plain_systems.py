"""Systems that train nothing, for tests: a denoiser, a schedule, and what is asked of them."""

import jax
import jax.numpy as jnp

from diffjax.training.system import Conditioning, Part, Pass, System, Variables


def make(*, shape=(4, 4, 1), gives=None, request=None, sample=None, **fields):
    """A System; `sample` is (variables, keys, request) -> x."""
    passes = ()
    if sample is not None:
        run = lambda variables, keys, asked, made: sample(variables, keys, asked)
        passes = (Pass("walk", run, {"network": 1}),)
    one = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    return System(
        example={"x": one}, init=lambda key, batch, frozen: ({}, {}), updates=(), serves=(),
        request=request or Conditioning(), passes=passes, gives=gives, **fields,
    )  # fmt: skip


def denoising(denoise, schedule, *, labelled=False, **fields):
    """A System of `denoise`, params -> Denoiser, whose condition is the label if it takes any."""
    return make(
        denoiser=lambda variables, key=None: denoise(variables.params["network"]),
        schedule=lambda variables: schedule, request=labels() if labelled else None, **fields,
    )  # fmt: skip


def labels(classes=10):
    """The part "label", handed to the denoiser as it is."""
    return Conditioning(
        parts={"label": Part((), jnp.int32)},
        of_batch=lambda variables, key, batch: {"label": batch["label"]},
        default=lambda n: {"label": jnp.arange(n) % classes},
        encode=lambda variables, request, keep=None: request["label"],
    )


def variables(network=()):
    """Variables with parameters of the network."""
    return Variables({"network": network}, {}, {})

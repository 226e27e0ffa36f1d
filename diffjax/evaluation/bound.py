"""Bits per dimension of held-out images: the variational bound, averaged, with its terms and its error.

`measure_bound` is that of a chain, `measure_continuous_bound` that of a continuous schedule.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from diffjax.data import to_model
from diffjax.process import continuous_elbo, elbo
from diffjax.process.schedules import Chain, Continuous


def measure_bound(
    denoiser: Callable[[Any], Callable],
    params: Any,
    schedule: Chain,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    variance: str,
    key: jax.Array,
    batch_size: int = 64,
    progress: str | None = "bound",
) -> dict[str, Any]:
    """Average the bound on -log2 p(x_0) per dimension over images, one draw of noise a step and image.

    Each image costs one network call for each of the T steps.

    Args:
      denoiser: params -> Denoiser.
      params: of the network, an argument of the compiled program.
      schedule: the chain.
      images: uint8 [N, H, W, C], N at least 2.
      labels: int [N] conditions, or None.
      variance: of the model's transitions, see `process.forward.reverse`.
      key: of the noise.
      batch_size: images at a time.
      progress: title of the progress bar, or None for no bar.

    Returns:
      "count" N; "bits_per_dim", its "standard_error" over the images, and the parts that it is the sum of:
      "prior", "decoder" (-log p(x_0 | x_1)) and "between" (the other terms); "variance"; and means over the
      images for n = 1..T, each a list [T]: "terms", "x0_mse", "eps_mse".

    Raises:
      ValueError: if the schedule is no chain, the images are not uint8 or fewer than 2.

    Reference:
      Ho et al. 2020, equation (5); Nichol & Dhariwal 2021, section 3.
    """
    if not isinstance(schedule, Chain):
        raise ValueError("the bound in bits/dim is that of a chain, and the schedule is continuous")

    def batch(params, key, x0, cond):
        found = elbo.bits_per_dim(key, denoiser(params), schedule, x0, cond=cond, variance=variance)
        return {name: found[name] for name in ("total", "prior", "terms", "x0_mse", "eps_mse")}

    every = per_image(batch, params, images, labels, key=key, batch_size=batch_size, progress=progress)
    means = {name: value.mean(axis=0) for name, value in every.items()}
    return {
        **average(every["total"]),
        "variance": variance,
        "prior": float(means["prior"]),
        "decoder": float(means["terms"][0]),
        "between": float(means["terms"][1:].sum()),
        **{name: means[name].tolist() for name in ("terms", "x0_mse", "eps_mse")},
    }


def measure_continuous_bound(
    denoiser: Callable[[Any], Callable],
    params: Any,
    levels: Callable[[Any], Continuous],
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    key: jax.Array,
    num_steps: int | None = None,
    draws: int = 64,
    batch_size: int = 64,
    progress: str | None = "bound",
) -> dict[str, Any]:
    """Average a continuous schedule's bound on -log2 p(x_0) per dimension over images.

    Args:
      levels: params -> schedule, which may have been trained.
      num_steps: T of the bound of the chain that takes T equal steps of time; None for continuous time, its
        limit.
      draws: of time and noise for each image, a network call each.
      denoiser, params, images, labels, key, batch_size, progress: see `measure_bound`.

    Returns:
      "count" N; "num_steps"; "draws"; "bits_per_dim", its "standard_error" over the images, and the parts
      that it is the sum of: "prior", "reconstruction" and "diffusion".

    Raises:
      ValueError: if the images are not uint8 or fewer than 2.

    Reference:
      Kingma et al. 2021, equations (11), (14) and (17).
    """

    def batch(params, key, x0, cond):
        return continuous_elbo.bits_per_dim(
            key, denoiser(params), levels(params), x0, cond=cond, num_steps=num_steps, draws=draws
        )

    every = per_image(batch, params, images, labels, key=key, batch_size=batch_size, progress=progress)
    parts = {name: float(every[name].mean()) for name in ("prior", "reconstruction", "diffusion")}
    return {**average(every["total"]), "num_steps": num_steps, "draws": draws, **parts}


def per_image(
    batch: Callable,
    params: Any,
    images: np.ndarray,
    labels: np.ndarray | None,
    *,
    key: jax.Array,
    batch_size: int,
    progress: str | None,
    prepare: Callable[[np.ndarray], np.ndarray] = to_model,
) -> dict[str, np.ndarray]:
    """Compute something of every image, a batch at a time and in one compiled program.

    Args:
      batch: (params, key, prepared images, cond) -> dict of `[B, ...]`.
      params, images, labels, key, batch_size, progress: see `measure_bound`.
      prepare: what is done to a batch of uint8 images on the host.

    Returns:
      The dict for all images, float64 `[N, ...]`.

    Raises:
      ValueError: if the images are not uint8 or fewer than 2.
    """
    if images.dtype != np.uint8 or len(images) < 2:
        found = f"{len(images)} of {images.dtype}"
        raise ValueError(
            f"images must be at least 2 of uint8, whose 256 values the bound counts; got {found}"
        )
    compiled, count, size, parts = jax.jit(batch), len(images), min(batch_size, len(images)), []
    with tqdm(total=count, desc=progress, unit="image", disable=progress is None) as bar:
        for start in range(0, count, size):
            rows = np.minimum(np.arange(start, start + size), count - 1)  # whole batches: one compilation
            cond = None if labels is None else jnp.asarray(labels[rows], jnp.int32)
            found = compiled(params, jax.random.fold_in(key, start), prepare(images[rows]), cond)
            parts.append({name: np.asarray(value)[: count - start] for name, value in found.items()})
            bar.update(min(size, count - start))
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in parts[0]}


def average(bits: np.ndarray) -> dict[str, Any]:
    """Return "count", the mean "bits_per_dim" and its "standard_error" of one number an image, [N]."""
    return {
        "count": len(bits),
        "bits_per_dim": float(bits.mean()),
        "standard_error": float(bits.std(ddof=1) / np.sqrt(len(bits))),
    }

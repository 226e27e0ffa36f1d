"""Pictures whose unknown part a walk in latents makes up.

Inpainting by what a network sees (Rombach et al. 2022, section 4.5): the latents of a picture whose unknown
part is grey, and the mask, lie beside the noised latents as further channels. In training the mask is drawn,
one or more rectangles that hide what they cover; a user gives "init_image" and "mask", white where the
picture is known, as of any system under `config.sampler.edit`.

An edit of latents is told the latents of the picture. What is known of a picture is given back as it was.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.models.encoders import PictureMap, resized
from diffjax.systems import edits, pictures
from diffjax.systems.about import About
from diffjax.systems.requests import Asked, listed
from diffjax.training.system import Codec, Conditioning, Part

NAME = "known"
IMAGE, MASK = edits.IMAGE, edits.MASK
_MOST = 3  # rectangles
_GREY = 0.0


def section_of(shape: tuple[int, ...]) -> dict[str, Any]:
    """Return what `config.conditions` has of it, for latents of a shape."""
    return {"encoder": "known", "shape": shape}


def asked(about: About, *, shape: tuple[int, ...]) -> Asked:
    """Make the part: the latents of a masked picture and the mask, float32 [n, h, w, C + 1].

    Args:
      about: see `About`.
      shape: of the latents.
    """
    del about
    *space, channels = shape
    whole = (*space, channels + 1)

    def never(*_):
        raise ValueError(f"{NAME} is made of {IMAGE} and {MASK}: give these")

    return Asked(
        parts={"": Part(whole, jnp.float32)},
        module=PictureMap(),
        of_batch=lambda key, batch: {"": batch[NAME]},
        of_user=never,
        default=lambda n: {"": np.zeros((n, *whole), np.float32)},  # until the picture is there
        nothing=lambda n: {"": np.full((n, *whole), np.nan, np.float32)},
    )


def masks(key: jax.Array, n: int, space: tuple[int, int]) -> jax.Array:
    """Draw masks [n, H, W, 1], 1 where a picture is known: up to three rectangles are not."""
    height, width = space

    def one(key):
        of_count, of_corners = jax.random.split(key)
        count = jax.random.randint(of_count, (), 1, _MOST + 1)
        corners = jax.random.uniform(of_corners, (_MOST, 2, 2))
        low, high = corners.min(1), corners.max(1)
        rows, columns = jnp.arange(height)[:, None] / height, jnp.arange(width)[None, :] / width
        inside = lambda a, b: (rows >= a[0]) & (rows < b[0]) & (columns >= a[1]) & (columns < b[1])
        hidden = jax.vmap(inside)(low, high) & (jnp.arange(_MOST) < count)[:, None, None]
        return 1.0 - hidden.any(0)[..., None].astype(jnp.float32)

    return jax.vmap(one)(jax.random.split(key, n))


def beside(codec: Codec, image: jax.Array, mask: jax.Array) -> jax.Array:
    """Return the latents of a picture [B, H, W, C] where it is known, and the mask, [B, h, w, c + 1]."""
    z = codec.encode(None, jnp.where(mask > 0, image, _GREY))
    return jnp.concatenate([z, resized(mask, (z.shape[1], z.shape[2]))], axis=-1)


def of_batch(codec: Codec, key: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
    """Return what a batch has of it in training."""
    return {NAME: beside(codec, x, masks(jax.random.fold_in(key, 1), len(x), (x.shape[1], x.shape[2])))}


def in_latents(codec: Codec, request: Any, inpaint: bool) -> dict[str, Any]:
    """Return the request that the system within is asked, of one of pictures.

    Args:
      codec: of latents.
      request: with a picture and perhaps a mask, or neither.
      inpaint: whether the network sees them. Else the walk does: a latent is known where all its pixels are.
    """
    if IMAGE not in request:
        return request
    image, mask = request[IMAGE], request.get(MASK)
    if inpaint:
        return {**others(request), NAME: beside(codec, image, mask.astype(jnp.float32))}
    z = codec.encode(None, image)
    if mask is None:
        return {**request, IMAGE: z}
    whole = resized(mask.astype(jnp.float32), (z.shape[1], z.shape[2])) > 1 - 1e-6
    return {**request, IMAGE: z, MASK: whole}


def kept(request: Any, x: jax.Array) -> jax.Array:
    """Return pictures with what is known of them, if something is, as it was given."""
    return jnp.where(request[MASK], request[IMAGE], x) if MASK in (request or {}) else x


def others(request: Any) -> dict[str, Any]:
    """Return what else is asked than of a picture to begin from."""
    return {part: value for part, value in request.items() if part not in (IMAGE, MASK)}


def _without(asked):
    """Return a request without the part of latents."""
    return {part: value for part, value in asked.items() if part != NAME}


def conditioning(request: Conditioning, shape: tuple[int, ...]) -> Conditioning:
    """Return what may be asked: a picture and its mask in the place of their latents.

    Args:
      request: of the system within.
      shape: of a picture.
    """
    parts = {name: part for name, part in request.parts.items() if name != NAME}
    parts |= {IMAGE: Part(shape), MASK: Part((*shape[:-1], 1), bool)}

    def of_user(given, n):
        for part in (IMAGE, MASK):
            if part not in given:
                raise ValueError(f"{part} must be given: the model fills what is not known of a picture")
        rest = others(given)
        own = _without(request.of_user(rest, n) if rest else request.default(n))
        image = pictures.images(IMAGE, listed(given[IMAGE]), n, shape)
        return {**own, IMAGE: image, MASK: pictures.masks(MASK, listed(given[MASK]), n, shape[:-1])}

    def of_rows(variables, key, batch):
        mask = masks(jax.random.fold_in(key, 1), len(batch["x"]), (shape[0], shape[1]))
        blank = {NAME: jnp.zeros((len(batch["x"]), *request.parts[NAME].shape))}
        own = request.of_batch(variables, key, {**batch, **blank})
        return {**_without(own), IMAGE: batch["x"], MASK: mask > 0}

    def shown(asked):
        known = np.where(np.asarray(asked[MASK]), np.asarray(asked[IMAGE]), _GREY)
        blank = {NAME: np.zeros((len(known), *request.parts[NAME].shape), np.float32)}
        return [
            *request.pictures({**others(asked), **blank}), pictures.to_uint8(known.astype(np.float32))
        ]  # fmt: skip

    return request._replace(
        parts=parts, of_user=of_user, of_batch=of_rows, pictures=shown, default=lambda n: of_user({}, n)
    )

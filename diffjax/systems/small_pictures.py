"""Pictures that lack something, small or blurred ones, as parts of a request: what a cascade hands on.

In training they are made of the picture itself, by one rule. Conditioning augmentation (Ho et al. 2022,
section 4) spoils them there by as much as what a model before this one makes is spoiled: by Gaussian noise at
a level that is drawn for each sample and told to the network, apart from the time, or by a slight blur, of
which it is not told.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffjax.models.encoders import Noisy, PictureMap, resized
from diffjax.models.encoders import blurred as blur_by
from diffjax.systems.about import About
from diffjax.systems.pictures import optional, pictures_of, shown
from diffjax.systems.requests import Asked
from diffjax.training.system import Part

LEVEL, SEED, NOISED = "_level", "_seed", "_noised"  # what goes with a picture that has noise of its own
_BLUR = 7  # folded into the key of a batch


def low_resolution(
    about: About,
    *,
    size: int,
    augmentation: float = 0.0,
    level: float = 0.0,
    blur: tuple[float, float] | None = None,
    blur_share: float = 0.5,
) -> Asked:
    """Make a small picture, float32 [n, size, size, C], of which a larger one is asked.

    In training it is made of the picture by `models.encoders.resized`. A user gives one of the small size, or
    of the full one, which is made small. With `augmentation` it gets noise of its own, see `_noisy`.

    Args:
      about: see `About`.
      size: its side.
      augmentation: the most noise in training, a standard deviation in [0, 1); 0 for none.
      level: of the noise where a user does not say it, by "<name>_level".
      blur: (least, most) standard deviation, in small pixels, of a blur over 3x3 of them that training adds,
        and sampling does not; None for none.
      blur_share: of the pictures that are blurred.

    Reference: Saharia et al. 2021 (SR3); Ho et al. 2022, section 4 (noise; for larger pictures a blur of 0.4
    to 0.6 of half of them).
    """
    *space, channels = about.shape
    if not 1 <= size < min(space) or any(side % size for side in space):
        raise ValueError(f"size must be below the picture's {space} and divide it, got {size}")
    small = lambda x: resized(x, (size, size))
    takes = {(size, size, channels): lambda x: x, about.shape: small}
    spoil = None if blur is None else _blur(blur, blur_share)
    return _of_picture(about, (size, size, channels), small, takes, augmentation, level, spoil)


def blurred(about: About, *, width: float, augmentation: float = 0.0, level: float = 0.0) -> Asked:
    """Make a blurred picture, float32 [n, H, W, C], of which a sharp one is asked.

    In training it is made of the picture by `models.encoders.blurred`. A user's is taken as it is.

    Args:
      about: see `About`.
      width: standard deviation of the blur, in pixels.
      augmentation, level: see `low_resolution`.

    Reference: Whang et al. 2022 (deblurring); Ho et al. 2022, section 4 (its blur as an augmentation).
    """
    if not 0 < width < min(about.shape[:-1]):
        raise ValueError(f"width must be a positive number of pixels, got {width}")
    takes = {about.shape: lambda x: x}
    return _of_picture(about, about.shape, lambda x: blur_by(x, width), takes, augmentation, level)


def _of_picture(about, shape, make, takes, augmentation, level, spoil=None):
    """Return a part that is made of the picture x of a batch, with noise of its own where there is some.

    The noise is no part of a request, which holds its level and a seed for each sample: so a request says all
    that a network is told, however often it is encoded. A picture that has its noise already, as the stage of
    a cascade that stops early leaves one, is marked so, and gets no other.
    """
    if len(about.shape) != 3:
        raise ValueError(f"{about.name} is made of images [H, W, C], and data.shape is {about.shape}")
    if not 0 <= augmentation < 1 or not 0 <= level <= augmentation:
        raise ValueError(
            f"augmentation must be in [0, 1) and level in [0, augmentation], got {augmentation} and {level}"
        )
    name, noisy = about.name, augmentation > 0
    parts = {"": Part(shape, jnp.float32)}
    own = {LEVEL: Part((), jnp.float32), SEED: Part((), jnp.uint32), NOISED: Part((), bool)}
    parts |= own if noisy else {}
    features = about.vector_features() if noisy else None

    def beside(n, levels=(level,)):
        if not noisy:
            return {}
        return {
            LEVEL: np.resize(np.asarray(levels, np.float32), n),
            SEED: np.arange(n, dtype=np.uint32),
            NOISED: np.zeros(n, bool),
        }

    def blank(n):
        return {"": np.full((n, *shape), np.nan, np.float32), **beside(n)}

    def of_batch(key, batch):
        own, n = {"": make(batch["x"])}, len(batch["x"])
        if spoil is not None:
            own[""] = spoil(jax.random.fold_in(key, _BLUR), own[""])
        if noisy:
            of_level, of_seed = jax.random.split(key)
            own[LEVEL] = augmentation * jax.random.uniform(of_level, (n,))
            own[SEED] = jax.random.bits(of_seed, (n,), jnp.uint32)
            own[NOISED] = jnp.zeros(n, bool)
        return own

    def of_user(given, n):
        if "" not in given:
            raise ValueError(f"{name} must be given beside {name}{next(iter(given))}")
        levels = [_level(name, each, augmentation) for each in given.get(LEVEL, [level])]
        return {"": pictures_of(about, given[""], n, takes), **beside(n, levels)}

    def value(own):
        if not noisy:
            return own[""], None
        picture = _noisy(own[""], own[LEVEL], own[SEED])
        if NOISED in own:
            picture = jnp.where(own[NOISED].reshape(-1, *[1] * len(shape)), own[""], picture)
        return Noisy(picture, own[LEVEL]), None

    return Asked(
        parts=parts,
        module=PictureMap(about.shape[:2], features),
        of_batch=of_batch,
        of_user=of_user,
        default=optional(about, blank),
        nothing=blank,
        says=("", LEVEL) if noisy else ("",),
        value=value,
        picture=shown,
    )


def _noisy(picture, level, seed):
    """Return sqrt(1 - s^2) x + s eps at level s [B], eps of each row's own seed.

    Reference: Ho et al. 2022, section 4.1: the forward process of the picture that is conditioned on.
    """
    draw = lambda each: jax.random.normal(jax.random.key(each), picture.shape[1:], picture.dtype)
    s = level.reshape(-1, *[1] * (picture.ndim - 1)).astype(picture.dtype)
    return jnp.sqrt(1 - s**2) * picture + s * jax.vmap(draw)(seed)


def _blur(width: Any, share: float) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Return (key, pictures [B, h, w, C]) -> a share of them blurred, each by a width of its own."""
    try:
        least, most = map(float, width)
    except (TypeError, ValueError):
        least = most = np.nan
    if not 0 < least <= most:
        raise ValueError(f"blur must be (least, most) widths above 0 such as (0.4, 0.6), got {width!r}")
    if not 0 <= share <= 1:
        raise ValueError(f"blur_share must be in [0, 1], got {share}")

    def spoil(key, x):
        of_width, of_share = jax.random.split(key)
        own = jax.random.uniform(of_width, (len(x),), minval=least, maxval=most)
        hit = jax.random.bernoulli(of_share, share, (len(x), 1, 1, 1))
        return jnp.where(hit, softened(x, own), x)

    return spoil


def softened(x: jax.Array, width: jax.Array) -> jax.Array:
    """Return pictures x [B, h, w, C] blurred over 3x3 pixels, by Gaussians of widths [B] in pixels.

    What lies outside repeats the border.

    Reference: Ho et al. 2022, section 4.2; Ramesh et al. 2022, section 2.1 (the kernel of 3 pixels).
    """
    side = jnp.exp(-0.5 / width**2).reshape(-1, 1, 1, 1).astype(x.dtype)
    for axis in (1, 2):
        wide = jnp.pad(x, [(int(each == axis),) * 2 for each in range(4)], mode="edge")
        before, after = (jax.lax.slice_in_dim(wide, at, at + x.shape[axis], axis=axis) for at in (0, 2))
        x = (x + side * (before + after)) / (1 + 2 * side)
    return x


def _level(name, value, most):
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = np.nan
    if not 0 <= found <= most:
        raise ValueError(f"{name}{LEVEL} must be in [0, {most}], as it was in training; got {value!r}")
    return found


def beside(name: str) -> tuple[str, ...]:
    """Return the names of the parts of a request that are a picture, itself first, and its noise."""
    return (name, *(f"{name}{suffix}" for suffix in (LEVEL, SEED, NOISED)))

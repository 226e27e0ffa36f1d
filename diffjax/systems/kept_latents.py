"""What a system in latents makes once of its training data and keeps: their scale, and the latents.

In `<run>/prepared/latents.npz` are shift and scale of a run, which go wherever it goes. In `<run>/cache/` are
the moments of every picture's latent, and of its mirror image where pictures are mirrored; they may be
deleted, and are made again where training goes on. Both say of which first stage they are.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from diffjax import archives, files
from diffjax.data import Source
from diffjax.evaluation import batches
from diffjax.rows import in_turn
from diffjax.systems.stages import checksum
from diffjax.training import workdir
from diffjax.training.system import Codec, Variables

Per = Literal["model", "channel"]
MOMENTS, SIDE = "latent_moments", "latent_side"  # arrays of a batch
_CACHE, _ROWS = "cache", 64
_SIDES = np.array([0, 1], np.int8).reshape(1, 2, 1)  # is mirrored with the picture, and so tells that it was


def moments_of(batch: Mapping[str, Any]):
    """Return the kept moments [B, ...] of a batch, of the pictures as they are there; None where none are."""
    if MOMENTS not in batch:
        return None
    if SIDE not in batch:
        return batch[MOMENTS]
    side = batch[SIDE][:, 0, 0, 0]
    return jax.vmap(lambda both, i: both[i])(batch[MOMENTS], side)


def example(shape: tuple[int, ...], flip: bool) -> dict[str, jax.ShapeDtypeStruct]:
    """Return one row of what a batch has of kept moments [*shape]."""
    sides = (2,) if flip else ()
    found = {MOMENTS: jax.ShapeDtypeStruct((1, *sides, *shape), jnp.float32)}
    return found | ({SIDE: jax.ShapeDtypeStruct((1, *_SIDES.shape), jnp.int8)} if flip else {})


def cached(
    folder: Path, first: Variables, codec: Callable[..., Codec] | None, source: Source, flip: bool
) -> dict[str, np.ndarray]:
    """Return the moments of a source's pictures as arrays of a batch, made where they are not there yet.

    Args:
      folder: of the run.
      first: variables of the first stage.
      codec: `variables -> Codec`, with moments.
      source: the training data.
      flip: whether they are mirrored at random.
    """
    place, about = folder / _CACHE, {"of": checksum(first), "data": source.fingerprint(), "flip": flip}
    with workdir.first_process(place) as alone:
        if alone and (_read_about(place) != about or not _whole(place, len(source))):
            _write(place, first, codec, source, flip)
            files.write(place / "about.json", json.dumps(about, indent=2) + "\n")
    found = {MOMENTS: np.load(place / "moments.npy", mmap_mode="r")}
    if flip:
        found[SIDE] = np.broadcast_to(_SIDES, (len(source), *_SIDES.shape)).copy()
    return found


def _read_about(place: Path) -> Any:
    try:
        return json.loads((place / "about.json").read_text()) if (place / "moments.npy").is_file() else None
    except ValueError:
        return None


def _whole(place: Path, rows: int) -> bool:
    """Say whether the moments of so many pictures are there; what was cut off is made again."""
    try:
        return len(np.load(place / "moments.npy", mmap_mode="r")) == rows
    except (ValueError, OSError, EOFError, TypeError):
        return False


def _write(place: Path, first, codec, source: Source, flip: bool) -> None:
    """Write the moments of every picture, some rows at a time."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "about.json").unlink(missing_ok=True)
    encode = jax.jit(lambda variables, x: codec(variables).moments(x))
    sides = (False, True) if flip else (False,)
    target = None
    for where, rows in in_turn(len(source), _ROWS):
        both = []
        for mirrored in sides:
            x = source.gather(rows, np.full(len(rows), mirrored))["x"]
            both.append(np.asarray(encode(first, x), np.float32)[: where.stop - where.start])
        made = np.stack(both, axis=1) if flip else both[0]
        if target is None:
            shape = (len(source), *made.shape[1:])
            target = np.lib.format.open_memmap(place / "moments.npy", "w+", np.float32, shape)
        target[where] = made
    if target is not None:
        target.flush()


def measured(folder: Path | None, first: Variables, encode: Any, source: Source | None, per: Per):
    """Return shift and scale of the latents of the training set, `[C]` each: z is (latent - shift) * scale.

    Per model the shift is 0 and the scale one over the standard deviation of all numbers, as published; per
    channel each has mean 0 and standard deviation 1.

    Args:
      folder: of the run, which keeps them; None keeps nothing.
      first: variables of the first stage.
      encode: (variables, key, batch) -> latents [B, h, w, C].
      source: the training data; None where they must be there already.
      per: "model" or "channel".

    Raises:
      ValueError: if they are neither there nor can be measured, or are of another first stage.
    """
    path = None if folder is None else folder / workdir.PREPARED / "latents.npz"
    if path is not None and path.is_file():
        return _of_file(path, first, per)
    if source is None:
        where = "a run's folder" if path is None else str(path)
        raise ValueError(f"latents.scale is measured over the training data, and {where} has none: give data")
    shift, scale = _moments(first, encode, source, per)
    if path is not None:
        with workdir.first_process(path.parent) as alone:
            if alone:
                path.parent.mkdir(parents=True, exist_ok=True)
                with files.whole(path) as file:
                    of, sealed = np.array(checksum(first)), np.array(_sealed(shift, scale))
                    np.savez(file, shift=shift, scale=scale, per=np.array(per), of=of, checksum=sealed)
    return shift, scale


def _sealed(shift, scale) -> str:
    return checksum({"shift": shift, "scale": scale})


def _of_file(path: Path, first: Variables, per: Per):
    kept = archives.read(path, ("shift", "scale", "per", "of", "checksum"))
    if str(kept["of"]) != checksum(first):
        raise ValueError(
            f"{path} was measured with another first stage than the run's copy: its checksum differs"
        )
    if str(kept["per"]) != per:
        raise ValueError(f"latents.per is {per!r}, but {path} was measured per {kept['per']}")
    shift, scale = kept["shift"], kept["scale"]
    if str(kept["checksum"]) != _sealed(shift, scale):
        raise ValueError(
            f"{path} is not what was measured: shift or scale were changed; without it both are made again"
        )
    return shift, scale


def _moments(first, encode, source: Source, per: Per):
    def sums(variables, key, batch):
        z = encode(variables, key, batch)
        z = z.reshape(len(z), -1, z.shape[-1])
        return {"mean": z.mean(1), "square": (z**2).mean(1)}

    found = batches.per_example(sums, first, source, key=jax.random.key(0), batch_size=_ROWS)
    mean, square = (found[name].astype(np.float64).mean(0) for name in ("mean", "square"))
    if per == "model":
        deviation = np.full(len(mean), np.sqrt(square.mean() - mean.mean() ** 2))
        mean = np.zeros(len(mean))
    else:
        deviation = np.sqrt(square - mean**2)
    if not (np.isfinite(deviation) & (deviation > 0)).all():
        raise ValueError(
            f"latents must vary over the training data; their standard deviations are {deviation}"
        )
    return mean.astype(np.float32), (1 / deviation).astype(np.float32)

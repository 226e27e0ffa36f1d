"""Pictures that sampling begins from or keeps a part of: `config.sampler.edit`.

    config.sampler.edit = {"strength": 0.6}  # SDEdit: the last 60 % of the steps, from a noised picture
    config.sampler.edit = {"mask": True, "resamplings": 4}  # inpainting by replacement, as RePaint resamples

A request then has the part "init_image", and with a mask the part "mask": True (white) where the picture is
known and kept. Networks are told of neither; only the walk reads them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diffjax import guidance, samplers
from diffjax.data import image_files
from diffjax.pixels import to_uint8
from diffjax.process.schedules import Schedule
from diffjax.systems import pictures
from diffjax.systems.options import call, is_section
from diffjax.systems.requests import listed
from diffjax.training.system import Conditioning, Part, Request
from diffjax.types import Array

IMAGE, MASK = "init_image", "mask"
_WHY = "sampler.edit edits a picture"
_UNKNOWN = 0.0  # grey, where a mask hides a picture


class Edit(NamedTuple):
    """What a walk does with a picture.

    Attributes:
      strength: the part of the grid's steps that are walked, from the noised picture; None for all of them,
        from noise alone.
      mask: whether a part of the picture is known and kept.
      resamplings, jump_length: of `samplers.repaint`; one resampling is none.
      pictures: shape of the pictures that are asked with, where the walk is in latents of them and is given
        those; None where they are what is sampled.
    """

    strength: float | None = None
    mask: bool = False
    resamplings: int = 1
    jump_length: int = 10
    pictures: tuple[int, ...] | None = None

    def times(self, grid: np.ndarray) -> np.ndarray:
        """Return the times that are walked."""
        if self.strength is None:
            return grid
        return call("sampler.edit", samplers.times_from, {}, grid, self.strength)

    def solver(self, solver: samplers.Solver, times: np.ndarray) -> samplers.Solver:
        """Return the solver, with RePaint's jumps where some are asked for."""
        if self.resamplings == 1:
            return solver
        made = call("sampler.edit", samplers.repaint, {}, solver, self.jump_length, self.resamplings)
        if len(times) - 1 <= self.jump_length:
            raise ValueError(
                f"sampler.edit.jump_length must be below the {len(times) - 1} steps that are walked, got "
                f"{self.jump_length}"
            )
        return made

    def start(self, keys: Array, schedule: Schedule, asked: Request | None, times: np.ndarray) -> Array:
        """Return the picture noised to the first time; ValueError for a system that is asked for none."""
        if asked is None or IMAGE not in asked:
            raise ValueError(f"sampler.edit needs a system that is asked with {IMAGE}, and this one is not")
        return samplers.start_from(keys, schedule, asked[IMAGE], times[0])

    def fill(self, keys: Array, solver: samplers.Solver, asked: Request) -> list[guidance.Transformation]:
        """Return what keeps the known part, `guidance.inpaint`, or nothing.

        A solver that draws noise leads the known part along no path of its own: there it is noised afresh.
        """
        if not self.mask:
            return []
        return [guidance.inpaint(asked[IMAGE], asked[MASK], key=keys if solver.draws else None)]

    def asks(self, request: Conditioning, shape: tuple[int, ...], gives: str | None) -> Conditioning:
        """Return what a system may be asked, with the picture that is edited and its mask.

        Raises:
          ValueError: for a system that makes no images.
        """
        if self.strength is None and not self.mask:
            return request
        shape = self.pictures or shape
        if gives != "images" and self.pictures is None:
            raise ValueError(f"sampler.edit is for models of images, and this one makes {gives}")
        parts = {IMAGE: Part(shape)} | ({MASK: Part((*shape[:-1], 1), bool)} if self.mask else {})

        def of_user(given, n):
            own = {part: given_of(given, part, _WHY) for part in parts}
            rest = {part: value for part, value in given.items() if part not in parts}
            made = {IMAGE: pictures.images(IMAGE, files_of(IMAGE, own[IMAGE]), n, shape)}
            if self.mask:
                made[MASK] = pictures.masks(MASK, own[MASK], n, shape[:-1])
            return {**(request.of_user(rest, n) if rest else request.default(n)), **made}

        def of_batch(variables, key, batch):
            if self.mask:
                given_of({}, MASK, _WHY)
            return {**request.of_batch(variables, key, batch), IMAGE: batch["x"]}

        def shown(asked):
            x = np.asarray(asked[IMAGE])
            x = np.where(np.asarray(asked[MASK]), x, _UNKNOWN) if self.mask else x
            return [*request.pictures(asked), to_uint8(x.astype(np.float32))]

        return request._replace(
            parts={**request.parts, **parts}, of_user=of_user, of_batch=of_batch, pictures=shown,
            default=lambda n: of_user({}, n),
        )  # fmt: skip


def of_config(given: Any, shape_of_pictures: tuple[int, ...] | None = None) -> Edit:
    """Make the Edit of the section `config.sampler.edit`, see `Edit.pictures`; None edits nothing."""
    if given is None:
        return Edit()
    if not is_section(given):
        raise ValueError(f"sampler.edit must be a section such as {{'strength': 0.6}}, got {given!r}")
    return call("sampler.edit", edit, dict(given))._replace(pictures=shape_of_pictures)


def edit(
    strength: float | None = None, mask: bool = False, resamplings: int = 1, jump_length: int = 10
) -> Edit:
    """Make an Edit; ValueError unless there is something to be edited, see its attributes."""
    if strength is None and not mask:
        raise ValueError("give a strength in (0, 1], or mask=True")
    if strength is not None and not (isinstance(strength, int | float) and 0 < strength <= 1):
        raise ValueError(f"strength must be in (0, 1], got {strength!r}")
    if not isinstance(mask, bool):
        raise ValueError(f"mask must be True or False, got {mask!r}")
    for name, count in (("resamplings", resamplings), ("jump_length", jump_length)):
        if type(count) is not int or count < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {count!r}")
    if resamplings > 1 and not mask:
        raise ValueError(f"resamplings need mask=True, got {resamplings}")
    return Edit(strength, mask, resamplings, jump_length)


def given_of(given: Mapping[str, Any], part: str, why: str) -> list[Any]:
    """Return what is asked for in turn of a part that cannot be left out, and why not."""
    value = given.get(part)
    if value is None or (isinstance(value, list | tuple) and not value):
        raise ValueError(f"{part} must be given: {why}")
    return listed(value)


def files_of(part: str, values: Sequence[Any]) -> list[Any]:
    """Return what is given, with the image files in it where a folder is named."""
    found = []
    for each in values:
        if isinstance(each, str | Path) and Path(each).expanduser().is_dir():
            inside = sorted(Path(each).expanduser().iterdir())
            inside = [file for file in inside if file.suffix.lower() in image_files.ENDINGS]
            if not inside:
                raise ValueError(f"{part}: folder {each} has no image ({', '.join(image_files.ENDINGS)})")
            found += inside
        else:
            found.append(each)
    return found

"""What the studies on emoji share: held-out captions, and what a CLIP of pictures and captions says of them.

They need the runs of `configs/emoji` whose folders they name, and their data, `emoji64.npz`. Pictures are of
the size that a config has, of 32x32 where nothing is said.
"""

import functools
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from diffjax import systems
from diffjax.commands import references
from diffjax.evaluation import captions, kid, retrieval
from diffjax.pixels import to_model, to_uint8
from experiments import study

CLIP, MODEL = "runs/emoji_clip", "runs/emoji_text"
_TEXT = "emoji/text.py"  # the config of the model, and of the data


@functools.cache
def held_out(count: int, file: str = _TEXT) -> tuple[list[str], np.ndarray]:
    """Return held-out captions, spread over the alphabet, and a picture [H, W, 3] in [-1, 1] of each."""
    source = systems.load_data(study.config_of(file), "test")
    picked = source.take(captions.chosen(np.asarray(source["caption"]), count))
    return [str(each) for each in picked["caption"]], to_model(np.asarray(picked.x))


@functools.cache
def judge() -> captions.Judge:
    """Return the CLIP that tells captions from pictures."""
    return cast(captions.Judge, references.judge({"workdir": CLIP}))


@functools.cache
def texts(count: int) -> np.ndarray:
    """Return its features of the held-out captions, [count, D] of unit norm."""
    return judge().text(held_out(count)[0])


@functools.cache
def training(file: str = _TEXT) -> np.ndarray:
    """Return its features of the pictures that a model of a config is trained on."""
    source = systems.load_data(study.config_of(file), "train")
    return judge().image(np.asarray(source.x))


def told(features: np.ndarray, among: np.ndarray) -> dict[str, float]:
    """Return how often rows of features are nearest to their own row among others: R@1 and R@10, in %."""
    found = retrieval.scores(np.asarray(features) @ among.T, np.eye(len(among), dtype=bool))
    return {f"R@{k}": 100 * found[f"recall_{k}"] for k in retrieval.AT}


def of_pictures(x: np.ndarray, file: str = _TEXT) -> dict[str, float]:
    """Return R@1 and R@10 of pictures x [N, H, W, 3], one of each caption, and their distance to training.

    The distance is the kernel distance in the CLIP's features, times 100.
    """
    seen = judge().image(to_uint8(x))
    return {**told(seen, texts(len(x))), "distance": distance(seen, training(file))}


def distance(seen: np.ndarray, real: np.ndarray) -> float:
    """Return the kernel distance of features [N, D] of unit norm to those of real pictures, times 100."""
    scale = np.sqrt(seen.shape[1])  # so that numbers are about 1, as the kernel expects
    return 100 * kid.squared_mmd(scale * seen, scale * real)


def grain(x: np.ndarray) -> float:
    """Return the root of the mean squared difference of pixels side by side of pictures [N, H, W, C]."""
    return float(np.sqrt(np.mean(np.diff(x, axis=1) ** 2) + np.mean(np.diff(x, axis=2) ** 2)))


def asked(system: Any, said: Sequence[str], **more: Any) -> Any:
    """Return a request of captions, and of other parts."""
    return system.request.of_user({"text": list(said), **more}, len(said))

"""Measure variations of held-out pictures: do they keep the category, and do they differ?

    python -m experiments.unclip_prior.variations

Each of 60 held-out emoji of 64x64 is shown to the CLIP, whose embedding takes the prior's place; the decoder
and the step up make three pictures of it. The judge is that CLIP: a picture is of the category, of ten, whose
training pictures' mean feature is nearest. Beside the variations stand the pictures themselves, and what the
judge says when sources are exchanged. They differ by the root mean square between two of one picture, beside
that between variations of two pictures, in [-1, 1].

The runs are those of `experiments/text_to_emoji/run.py`.
"""

import jax
import numpy as np

from diffjax import commands, systems
from diffjax.evaluation.captions import chosen
from diffjax.pixels import to_model
from experiments import emoji, study
from experiments.text_to_emoji import run

NUM, EACH = 60, 3


def main() -> None:
    """Sample, and print what was found."""
    config = study.config_of(run.FILE)
    config.data.arrays = ("caption", "category")
    train, test = (systems.load_data(config, split) for split in ("train", "test"))
    test = test.take(chosen(np.asarray(test["caption"]), NUM))
    see = emoji.judge().image
    features, category = see(np.asarray(train.x)), np.asarray(train["category"])
    names = np.unique(category)
    means = np.stack([features[category == name].mean(0) for name in names])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    judged = lambda x: names[np.argmax(see(x) @ means.T, axis=1)]

    made = _variations(np.repeat(np.asarray(test.x), EACH, axis=0))
    own = np.asarray(test["category"])
    real, seen = judged(np.asarray(test.x)), judged(made.reshape(-1, *made.shape[2:])).reshape(NUM, EACH)
    other = np.roll(np.arange(NUM), NUM // 2)
    x = to_model(made)
    between = lambda a, b: float(np.sqrt(np.mean((a - b) ** 2)))
    for told, value in (
        ("real pictures: of their category", (real == own).mean()),
        ("variations: of their picture's category", (seen == own[:, None]).mean()),
        ("... sources exchanged", (seen == own[other][:, None]).mean()),
        ("variations: judged as their picture is", (seen == real[:, None]).mean()),
        ("... sources exchanged", (seen == real[other][:, None]).mean()),
    ):
        print(f"{told:45s} {100 * value:.1f} %")
    print(f"{'difference of two variations of a picture':45s} {between(x[:, 0], x[:, 1]):.3f}")
    print(f"{'... of variations of two pictures':45s} {between(x[:, 0], x[other, 1]):.3f}")


def _variations(images: np.ndarray) -> np.ndarray:
    """Return uint8 [NUM, EACH, H, W, 3] made of pictures uint8 [NUM * EACH, H, W, 3]."""
    system, variables = run.loaded("unCLIP")
    made = commands.sample_in_batches(
        system,
        variables,
        key=jax.random.key(0),
        num=len(images),
        batch_size=run.BATCH,
        request=system.request.of_user({"image": list(images)}, len(images)),
        progress="variations",
    )
    return np.asarray(made.x).reshape(NUM, EACH, *made.x.shape[1:])


if __name__ == "__main__":
    main()

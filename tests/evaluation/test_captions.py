"""Captions told from pictures: exact where a picture is its caption, and nothing without it."""

import jax
import jax.numpy as jnp
import numpy as np
import plain_systems
import pytest

from diffjax.commands import references
from diffjax.data import Source
from diffjax.evaluation import captions
from diffjax.evaluation.evaluator import Task
from diffjax.systems import stages
from diffjax.training.system import Conditioning, Part, Variables

N = 12
GREYS = np.linspace(0, 255, N).astype(np.uint8)


def _source(names):
    """Pictures of one grey each, named by its number; every one twice."""
    number = np.repeat(names, 2)
    x = np.broadcast_to(GREYS[number][:, None, None, None], (len(number), 4, 4, 1)).copy()
    return Source(
        x, arrays={"caption": np.array([f"grey {i:02d}" for i in number]), "grey": number.astype(np.int32)}
    )


def _painter():
    """A system that paints the grey that it is asked for, and white where nothing is."""
    request = Conditioning(
        parts={"grey": Part((), jnp.int32)},
        of_batch=lambda v, key, batch: {"grey": batch["grey"]},
        default=lambda n: {"grey": np.full(n, -1, np.int32)},
    )

    def paint(v, keys, asked):
        grey = jnp.where(asked["grey"] < 0, 1.0, jnp.asarray(GREYS / 127.5 - 1)[asked["grey"]])
        return jnp.broadcast_to(grey[:, None, None, None], (len(keys), 4, 4, 1))

    return plain_systems.make(gives="images", request=request, sample=paint)


def _angle(grey):
    grey = np.asarray(grey, float) / 255 * np.pi / 2
    return np.stack([np.cos(grey), np.sin(grey)], 1)


JUDGE = captions.Judge(
    "the eye",
    lambda x: _angle(x.mean((1, 2, 3))),
    lambda said: _angle([GREYS[int(each[-2:])] for each in said]),
)


def _task(system, judge=JUDGE, **settings):
    settings = {"captions": 10, "caption_array": "caption", "batch_size": 3} | settings
    held_out, train = _source(np.arange(N)), _source(np.arange(6))
    return Task(system, Variables(), settings, train, held_out, judge=judge)


def test_a_judge_sees_pictures_at_its_own_size(monkeypatch):
    """Of four times its pixels the mean of 2x2, as its own data were made."""
    system = _painter()._replace(
        example={"x": jax.ShapeDtypeStruct((1, 4, 4, 1), jnp.float32)},
        features=lambda v: {"image": lambda x: x.reshape(len(x), -1), "text": None},
    )
    its_own = stages.Stage(system, lambda folder: Variables(), Variables)
    monkeypatch.setattr(stages, "stage", lambda given, folder, name: its_own)
    judge = references.judge({"workdir": "runs/clip"})
    small = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1)).astype(np.uint8)
    seen = (small / 127.5 - 1).reshape(3, -1)
    np.testing.assert_allclose(judge.image(small), seen, atol=1e-6)
    np.testing.assert_allclose(judge.image(small.repeat(2, 1).repeat(2, 2)), seen, atol=1e-6)


def test_a_picture_of_its_caption_is_found_and_none_without():
    found = captions.EVALUATOR.prepare(_task(_painter()))()["captions"]
    for name, count in (("held_out", 10), ("train", 6)):
        for arm in ("made", "real"):
            assert found[name][arm]["recall_1"] == 1 and found[name][arm]["candidates"] == count
        assert found[name]["shuffled"]["recall_1"] == 0
        assert found[name]["nothing"]["recall_1"] == pytest.approx(found[name]["made"]["recall_1_chance"])
    page = "\n".join(captions.EVALUATOR.pages({"captions": found}))
    assert "| real pictures | 100.0% ± 0.0% | 100.0% ± 0.0% | 1 |" in page and "10 held-out" in page


def test_captions_are_different_and_spread():
    names = np.array(["b", "a", "b", "d", "c", "a"])
    assert captions.chosen(names, 9).tolist() == [1, 0, 4, 3]
    assert captions.chosen(names, 2).tolist() == [1, 4]


def test_shuffled_pictures_never_keep_their_caption():
    features = np.eye(7)
    for seed in range(3):
        found = captions.scores({"made": features}, features, seed)
        assert found["made"]["recall_1"] == 1 and found["shuffled"]["recall_1"] == 0


def test_what_cannot_be_judged_is_said():
    assert captions.EVALUATOR.prepare(_task(_painter(), judge=None)) is None
    with pytest.raises(ValueError, match=r"evaluation\.caption_array: data has no array 'title'"):
        captions.EVALUATOR.prepare(_task(_painter(), caption_array="title"))
    unasked = plain_systems.make(
        gives="images", sample=lambda v, keys, asked: jax.numpy.zeros((len(keys), 4, 4, 1))
    )
    with pytest.raises(ValueError, match=r"evaluation\.judge needs a system that is asked for captions"):
        captions.EVALUATOR.prepare(_task(unasked))

"""Semantic guidance as a system: texts, pictures and style steer a denoiser by an encoder's features."""

import jax
import jax.numpy as jnp
import numpy as np
import plain_systems
import pytest
from ml_collections import ConfigDict
from systems import tools

from diffjax import exact, samplers
from diffjax.process import schedules
from diffjax.systems import read
from diffjax.systems.semantic import semantic
from diffjax.systems.stages import Stage
from diffjax.training.system import Variables

CHAIN, SHAPE = schedules.cosine_beta(100), (2, 1, 1)
NORMAL = exact.gaussian_mixture([1.0], [[0.3, -0.2]], [0.5])
WORDS = np.array([[1.0, 0.0], [0.6, 0.8]], "f")


def _denoise(network):
    del network

    def denoise(x_t, level, cond=None):
        found = NORMAL.predict(x_t.reshape(-1, 2), level)
        return type(found)(*(each.reshape(x_t.shape) for each in found[:2]), None)

    return denoise


def _stage(system):
    v = Variables({"network": ()}, {}, {})
    return Stage(system, lambda folder: v, lambda: v)


def _texts():
    named = plain_systems.labels(2)
    part = {"word": named.parts["label"]}
    return named._replace(
        parts=part,
        of_user=lambda given, n: {
            "word": np.resize([["east", "north"].index(each) for each in given["word"]], n)
        },
        of_batch=lambda v, key, batch: {"word": batch["label"]},
        default=lambda n: {"word": np.arange(n) % 2},
        describe=lambda request: [("east", "north")[each] for each in np.asarray(request["word"])],
    )


def _features(v):
    return {
        "image": lambda x, level: x.reshape(-1, 2),
        "maps": lambda x, level: [x, 9 * x],
        "text": lambda request: jnp.asarray(WORDS)[request["word"]],
    }


def _made(weights, intervals=None, sampler=None, of_x0=False, **changes):
    own = plain_systems.denoising(
        _denoise, CHAIN, shape=SHAPE, gives="images", sample=lambda v, keys, asked: keys
    )
    encoder = plain_systems.make(
        shape=SHAPE, request=_texts(), features=_features, schedule=lambda v: CHAIN
    )._replace(**changes)
    stages = {"denoiser": _stage(own), "encoder": _stage(encoder)}
    sampler = sampler or tools.sampler(CHAIN, samplers.ddim(), np.arange(100, -1, -25))
    made = semantic(stages, CHAIN, sampler, weights, intervals=intervals, of_x0=of_x0)
    return made, Variables(frozen=made.prepare(None)[0])


def _shift(made, v, request, x, level):
    """Return by how much eps is shifted, over -sigma."""
    guided = made.denoiser(v)(x, level, made.request.encode(v, request))
    return np.asarray((guided.eps - _denoise(None)(x, level).eps) / -level.sigma).reshape(-1, 2)


def test_a_text_pulls_along_the_sphere_of_features():
    """grad of x . l / |x| is (l - (x . l) x / |x|^2) / |x|; each sample has a text of its own."""
    made, v = _made({"text": 3.0})
    x, level = jax.random.normal(jax.random.key(0), (3, *SHAPE)), CHAIN(40)
    found = _shift(made, v, made.request.of_user({"word": ["east", "north"]}, 3), x, level)
    flat, said = np.asarray(x).reshape(3, 2), WORDS[[0, 1, 0]]
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    expected = 3 * (said - (flat * said).sum(1, keepdims=True) * flat / norm**2) / norm
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_an_encoder_of_clean_pictures_is_asked_about_x0():
    """Of a normal law x_0-hat is straight in x_t, and the pull there comes back times its slope."""
    made, v = _made({"text": 3.0}, of_x0=True, schedule=None)
    x, level = jax.random.normal(jax.random.key(0), (3, *SHAPE)), CHAIN(40)
    found = _shift(made, v, made.request.of_user({"word": ["east", "north"]}, 3), x, level)
    flat = np.asarray(_denoise(None)(x, level).x0).reshape(3, 2)
    said, norm = WORDS[[0, 1, 0]], np.linalg.norm(flat, axis=1, keepdims=True)
    pull = 3 * (said - (flat * said).sum(1, keepdims=True) * flat / norm**2) / norm
    back = level.alpha * 0.5 / (0.5 * level.alpha**2 + level.sigma**2)
    np.testing.assert_allclose(found, back * pull, atol=2e-4)
    with pytest.raises(ValueError, match=r"sampler\.guides_of_x0 must be True, as config\.encoder has no"):
        _made({"text": 3.0}, schedule=None)


def test_what_is_not_said_steers_nothing_and_what_is_adds_up():
    weights = {"text": 2.0, "image": 1.0, "layout": 0.5, "style": 0.25}
    made, v = _made(weights)
    x, level = jax.random.normal(jax.random.key(0), (2, *SHAPE)), CHAIN(40)
    picture = np.array([[[0.5]], [[-1.0]]], "f")
    asked = {"text": {"word": ["north"]}, **{name: {name: [picture]} for name in weights if name != "text"}}
    alone = {name: _shift(made, v, made.request.of_user(each, 2), x, level) for name, each in asked.items()}
    assert all(np.abs(each).max() > 1e-3 for each in alone.values())
    both = made.request.of_user(asked["text"] | asked["style"], 2)
    np.testing.assert_allclose(_shift(made, v, both, x, level), alone["text"] + alone["style"], atol=1e-3)
    first = {**both, "says": both["says"] * np.array([[1.0], [0.0]], "f")}
    assert np.abs(_shift(made, v, first, x, level)[1]).max() < 1e-4
    assert made.request.describe(both) == ["north", "north"] and len(made.request.pictures(both)) == 1
    assert made.request.describe(made.request.of_user(asked["image"], 2)) == ["", ""]


def test_a_guide_steers_within_its_interval_alone():
    x, words = jax.random.normal(jax.random.key(0), (2, *SHAPE)), {"word": ["north"]}
    asked = words | {"image": [np.array([[[0.5]], [[-1.0]]], "f")]}
    (whole, v), (partly, _) = (
        _made({"text": 2.0, "image": 1.0}, given) for given in (None, {"image": (0.0, 1.0)})
    )
    for t, given in ((20, asked), (80, words)):  # sigma / alpha is 0.3 and 3
        expected, found = (
            _shift(made, v, made.request.of_user(each, 2), x, CHAIN(t))
            for made, each in ((whole, given), (partly, asked))
        )
        np.testing.assert_allclose(found, expected, atol=1e-3)
    with pytest.raises(ValueError, match=r"must meet the schedule's sigma / alpha"):
        _made({"text": 2.0}, {"text": (1e6, 1e7)})


@pytest.mark.parametrize("edit", [{"mask": True}, {"strength": 0.5}, {"measurement": True}])
def test_pictures_are_edited_while_they_are_steered(edit):
    """What is known stays, the rest goes where the text pulls; what is measured is measured again."""
    own = {"measurement": {"operator": "mask"}} if "measurement" in edit else {"edit": edit}
    config = ConfigDict({"sampler": {"solver": "ddim", "steps": 4, **own}})
    made, v = _made({"text": 3.0}, sampler=read.sampler(config, CHAIN))
    part = "measured" if "measurement" in edit else "init_image"
    given, mask = np.array([[[0.5]], [[-1.0]]], "f"), np.array([[1], [0]])
    asked = {part: given} | ({} if "strength" in edit else {"mask": mask})
    keys = jax.random.split(jax.random.key(0), 2)
    run = jax.jit(lambda request: made.passes[0].run(v, keys, request, {}))
    draw = lambda **more: np.asarray(run(made.request.of_user(asked | more, 2)))
    plain, steered = draw(), draw(word=["north"])
    assert np.abs(plain - steered)[:, 1].max() > 1e-3
    assert made.passes[0].calls == dict.fromkeys(("denoiser", "encoder"), 2 if "strength" in edit else 4)
    if "mask" in edit:
        np.testing.assert_allclose(steered[:, 0], given[None, 0].repeat(2, 0), atol=1e-5)
    other = draw(**{part: -given})
    assert np.abs(other - plain).max() > 1e-2
    assert len(made.request.pictures(made.request.of_user(asked, 2))) == 1


def test_a_sample_depends_on_its_own_key_alone():
    """The reference's noise is the sample's: in another batch it is the same picture."""
    made, v = _made({"image": 5.0})
    picture = np.array([[[0.5]], [[-1.0]]], "f")
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), jnp.arange(3))
    draw = lambda n: made.sample(v, keys[:n], made.request.of_user({"image": [picture]}, n), n)
    many, few = jax.jit(draw, static_argnums=0)(3), jax.jit(draw, static_argnums=0)(2)
    np.testing.assert_allclose(many[:2], few, atol=1e-5)
    assert made.passes[0].calls == {"denoiser": 4, "encoder": 4}


def test_what_is_asked_by_a_batch():
    batch = {"x": jnp.zeros((2, *SHAPE)), "label": jnp.array([1, 0])}
    for weights, says in (({"text": 1.0, "image": 1.0}, [1, 0]), ({"image": 1.0}, [1])):
        made, v = _made(weights)
        assert made.request.of_batch(v, jax.random.key(0), batch)["says"].tolist() == [says] * 2
    assert made.request.default(1)["says"].tolist() == [[0]]


def test_what_cannot_steer_is_refused():
    for weights, changes, message in (
        ({}, {}, "sampler.guides must be some of text, image, layout, style; got none"),
        ({"image": 1.0}, {"features": None}, "config.encoder must be a run of a system with features"),
        (
            {"text": 1.0},
            {"request": plain_systems.make().request},
            "needs an encoder that is asked with texts",
        ),
        (
            {"image": 1.0},
            {"example": plain_systems.make().example},
            r"config.encoder is of examples \(4, 4, 1\)",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            _made(weights, **changes)
    made, v = _made({"text": 1.0, "image": 1.0})
    with pytest.raises(ValueError, match="a guided denoiser needs a request"):
        made.denoiser(v)(jnp.zeros((1, *SHAPE)), CHAIN(40))
    with pytest.raises(ValueError, match="image"):
        made.request.of_user({"image": [np.zeros((3, 3, 1), "f")]}, 1)

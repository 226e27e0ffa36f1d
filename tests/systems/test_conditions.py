"""Requests of many parts: read from a config, made of batches and by users, dropped, encoded, refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image
from systems.asked import CAPTIONS, PARTS, RNG, N, built, config_of, source
from systems.tools import tiny

from diffjax import data, models, systems
from diffjax.models.encoders import blurred, resized
from diffjax.systems import conditions, read, requests
from diffjax.training.system import Variables


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    return built(config_of(*PARTS, labels=True), tmp_path_factory.mktemp("run"))


def test_a_batch_has_every_part_and_trains_all_of_their_encoders(mixture):
    system, v, batch = mixture
    asked = system.request.of_batch(v, jax.random.key(1), batch)
    assert set(asked) == set(system.request.parts)
    for part, about in system.request.parts.items():
        assert asked[part].shape == (8, *about.shape) and asked[part].dtype == about.dtype
    grads, _, metrics = jax.jit(system.updates[0].gradients)(v, jax.random.key(2), batch, 0)
    assert np.isfinite(metrics["loss"]) and all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    for part, own in grads["conditions"]["embed"].items():
        moved = any(np.abs(g).max() > 0 for g in jax.tree.leaves(own))
        assert moved != (part in ("depth", "soft")), part  # these have a null alone, and are never dropped


def test_what_is_made_of_the_picture(mixture):
    system, v, batch = mixture
    asked, x = system.request.of_batch(v, jax.random.key(1), batch), batch["x"]
    np.testing.assert_allclose(asked["image"], resized(x, (4, 4)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(asked["soft"], blurred(x, 1.0), rtol=1e-5, atol=1e-5)
    coarse = np.clip(np.floor((np.asarray(resized(x, (4, 4)))[..., 0] + 1) * 2), 0, 3)
    np.testing.assert_array_equal(asked["colours"], coarse.repeat(2, 1).repeat(2, 2))
    level, seed = asked["image_level"], asked["image_seed"]
    assert level.min() >= 0 and level.max() <= 0.5 and len(set(np.asarray(seed).tolist())) == 8


def test_it_is_said_and_shown(mixture):
    system, v, batch = mixture
    asked = system.request.of_batch(v, jax.random.key(1), batch)
    said = system.request.describe(asked)
    assert sorted(said[0].split(", ")) == ["0", "0", "A red apple", "a red apple"] and len(said) == 8
    sizes = sorted(each.shape[1:] for each in system.request.pictures(asked))
    assert sizes == [(4, 4, 1), (8, 8, 1), (8, 8, 1), (8, 8, 3), (8, 8, 3)]
    assert all(each.dtype == np.uint8 for each in system.request.pictures(asked))
    assert any((each[..., 0] == asked["colours"] * 85).all() for each in system.request.pictures(asked))


def test_a_whole_walk_depends_on_every_part(mixture):
    system, v, batch = mixture
    asked = system.request.of_batch(v, jax.random.key(1), batch)
    walk = jax.jit(system.sample, static_argnums=3)
    keys = jax.random.split(jax.random.key(3), 8)
    x = walk(v, keys, asked, 8)
    for part in (*PARTS, "label", "image_level"):
        other = asked | {part: jnp.roll(asked[part], 1, axis=0)}
        assert not np.allclose(walk(v, keys, other, 8), x), part
    np.testing.assert_allclose(walk(v, keys, asked | {"said_utf8": asked["said_utf8"] * 0}, 8), x, rtol=1e-5)


def test_noise_of_the_picture_is_of_its_level_and_its_seed(tmp_path):
    config = config_of("image", **{"image": {"size": 4, "augmentation": 0.6}})
    asked = conditions.parts(config, models.MLP(8, 1), (8, 8, 1), False, tmp_path)[0]["image"]
    clean, n = jnp.asarray(RNG.uniform(-1, 1, (4000, 2, 2, 1)), "float32"), 4000
    own = {"": clean, "_level": jnp.full(n, 0.6), "_seed": jnp.arange(n, dtype=jnp.uint32)}
    (noisy, level), _ = asked.value(own)
    noise = np.asarray((noisy - 0.8 * clean) / 0.6)
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size) and abs(noise.std() - 1) < 0.03
    assert np.abs(np.corrcoef(noise.reshape(n, 4).T) - np.eye(4)).max() < 0.08
    np.testing.assert_array_equal(asked.value(own)[0].picture, noisy)  # as often as it is encoded
    np.testing.assert_array_equal(asked.value(own | {"_level": jnp.zeros(n)})[0].picture, clean)
    np.testing.assert_array_equal(level, own["_level"])


def test_an_array_that_the_data_lack_is_refused_as_they_are_read():
    config = tiny("toys/ddpm")
    config.conditions = ConfigDict({"text": {"encoder": "tokens", "length": 4, "vocab_size": 9}})
    with pytest.raises(ValueError, match=r"conditions\.text\.array: ring8/train has no array 'caption'"):
        systems.load_data(config, "train")


def test_files_that_are_damaged_are_named(asker, tmp_path):
    np.save(tmp_path / "whole.npy", np.zeros((8, 8), int))
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    whole = (tmp_path / "whole.npy").read_bytes()
    Image.fromarray(RNG.integers(0, 3, (8, 8), np.uint8), "L").save(tmp_path / "whole.png")
    png = (tmp_path / "whole.png").read_bytes()
    at = png.index(b"IDAT") + 9
    files = {"cut.npy": whole[:-9], "longer.npy": whole + b"more", "text.npy": b"words", "empty.npy": b""}
    files["flipped.png"] = png[:at] + bytes([png[at] ^ 4]) + png[at + 1 :]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for name in (*files, "objects.npy"):
        with pytest.raises(ValueError, match=rf"{name} cannot be read"):
            asker.of_user({"map": str(tmp_path / name), "image": SMALL}, 1)


@pytest.mark.parametrize("together", [0.0, 0.25])
def test_parts_are_dropped_apart_and_together(together):
    request = systems.build(config_of("text", "map", "image", together=together)).request
    n = 8000
    keep = {part: np.asarray(mask) for part, mask in request.drop(jax.random.key(0), n).items()}
    assert set(keep) == ({"text", "map", "image"} if together else {"text", "map"})
    share = {"text": 0.2, "map": 0.5, "image": 0.0}
    near = lambda found, p: abs(found - p) <= 4 * np.sqrt(p * (1 - p) / n)
    for part, mask in keep.items():
        hidden = share[part] + (1 - share[part]) * together
        assert near(np.mean(~mask), hidden) and request.parts[part].drop == pytest.approx(hidden)
    both = together + (1 - together) * 0.1
    assert near(np.mean(~keep["text"] & ~keep["map"]), both)
    if together:
        assert near(np.mean(~keep["image"] & keep["map"]), 0) and not keep["image"].all()


def test_what_is_hidden_is_the_null_and_what_is_never_dropped_stays(mixture):
    system, v, batch = mixture
    asked = system.request.of_batch(v, jax.random.key(1), batch)
    encode = jax.jit(system.request.encode)
    dropped = [part for part, about in system.request.parts.items() if about.drop]
    assert sorted(dropped) == ["label", "map", "style", "text"]
    keep = lambda *parts: {part: jnp.full(8, part in parts) for part in dropped}
    told, null = (encode(v, asked, keep(*parts)) for parts in (dropped, ()))
    others = asked | {part: jnp.roll(asked[part], 1, axis=0) for part in dropped}
    jax.tree.map(np.testing.assert_array_equal, encode(v, others, keep()), null)
    changed = np.abs(told.map - null.map).max((0, 1, 2)) > 0
    assert changed.sum() == 3  # of the ten channels those of the map, in which no class is told
    np.testing.assert_array_equal(np.asarray(null.map)[..., changed], 0)
    np.testing.assert_array_equal(np.asarray(told.map)[..., changed].sum(-1), 1)
    for part in ("text", "label", "style"):
        assert (np.abs(encode(v, asked, keep(part)).vector - null.vector).max(1) > 0).all(), part
    quiet = {"label": jnp.full(8, 10), "style": jnp.full(8, 2), "text": asked["text"] * 0}
    unsaid = encode(v, asked | quiet, keep(*dropped))
    np.testing.assert_allclose(unsaid.vector, null.vector, rtol=1e-5, atol=1e-6)
    away = jax.jit(lambda v, asked: requests.nothing(system.request, v, asked, 8))(v, asked)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), away, null)


def test_labels_begin_and_are_dropped_as_they_are_alone():
    made = [read.request(config_of(*names, labels=True), models.MLP(8, 1)) for names in (["style"], [])]
    tables = [each.init(jax.random.key(0))["conditions"]["embed"]["label"]["embedding"] for each in made]
    np.testing.assert_array_equal(*tables)
    key = jax.random.key(3)
    kept = [each.conditioning.drop(key, 50)["label"] for each in made]
    np.testing.assert_array_equal(*kept)
    np.testing.assert_array_equal(kept[0], ~jax.random.bernoulli(key, 0.1, (50,)))


def test_a_channel_a_class_has_no_parameters():
    request = read.request(config_of("map"), models.MLP(8, 1, map_channels=3))
    assert request.init(jax.random.key(0)) == {}
    found = request.conditioning.encode(Variables(), {"map": jnp.full((1, 8, 8), 2)})
    np.testing.assert_array_equal(found.map, np.broadcast_to([0, 0, 1], (1, 8, 8, 3)))


FULL, SMALL = np.zeros((8, 8, 1), "u1"), np.zeros((4, 4, 1), "f")


@pytest.mark.parametrize(
    "given, message",
    [
        ({"text": "a red apple and the sea"}, "text must be at most 5 tokens, got .* of 'a red apple"),
        ({"text": [3]}, "text must be texts, got 3"),
        ({"text": []}, "text must be at least one, or left out"),
        ({"map": np.zeros((4, 4), int)}, r"map must be integers of shape \(8, 8\), the size of the picture"),
        ({"map": np.zeros((8, 8))}, r"map must be integers of shape \(8, 8\), .* got float64"),
        ({"map": np.full((8, 8), 3)}, r"map must be in 0\.\.2, got 3 to 3"),
        ({"map": "nowhere.png"}, r"there is no file nowhere\.png"),
        ({"image": np.zeros((5, 5, 1), "f")}, r"image must be uint8 or float of shape \(4, 4, 1\) or \(8"),
        ({"image": SMALL + 2}, r"image must be in \[-1, 1\]"),
        ({"image": SMALL, "image_level": 0.7}, r"image_level must be in \[0, 0\.5\], as it was in training"),
        ({"image_level": 0.1}, "image must be given beside image_level"),
        ({"map": np.zeros((8, 8), int)}, "image must be given: the model was trained with one always"),
        ({"image": "none"}, "there is no file none"),
        ({"style": [2], "image": SMALL}, r"style must be in 0\.\.1, or 'none', got 2"),
        ({"said": np.zeros(5, "f"), "image": SMALL}, r"said must be floats of shape \(6,\), got float32"),
        ({"said": np.full(6, np.nan, "f"), "image": SMALL}, "said must be finite"),
        ({"image_seed": 3}, "the model is asked for .*, not for 'image_seed'"),
        ({"imgae": SMALL}, "not for 'imgae'; did you mean 'image'"),
    ],
)  # fmt: skip
def test_what_a_user_may_not_ask(asker, given, message):
    with pytest.raises(ValueError, match=message):
        asker.of_user(given, 3)


@pytest.fixture(scope="module")
def asker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asked")
    system = systems.build(config_of("text", "map", "image", "style", "said"), folder)
    system.prepare(folder, source())
    return system.request


def test_a_text_model_without_images_refuses_and_a_caption_is_refused_by_a_model_without_text():
    request = systems.build(config_of(labels=True)).request
    with pytest.raises(ValueError, match="the model is asked for a label, not for 'text'"):
        request.of_user({"text": ["a cat"]}, 2)
    with pytest.raises(ValueError, match="this model takes no request"):
        systems.build(config_of()).request.of_user({"text": ["a cat"]}, 2)


def test_files_and_arrays_in_turn(asker, tmp_path):
    classes = RNG.integers(0, 3, (8, 8), np.uint8)
    picture = Image.fromarray(classes, "L")
    picture.save(tmp_path / "grey.png")
    palette = picture.convert("P")
    palette.putdata(classes.ravel().tolist())
    palette.save(tmp_path / "palette.png")
    np.save(tmp_path / "map.npy", classes)
    full = RNG.integers(0, 256, (8, 8, 1), np.uint8)
    Image.fromarray(full[..., 0]).save(tmp_path / "full.png")
    maps = [str(tmp_path / name) for name in ("grey.png", "palette.png", "map.npy")]
    given = {"map": [*maps, "none"], "image": [str(tmp_path / "full.png"), SMALL], "text": CAPTIONS[:2]}
    found = asker.of_user(given | {"image_level": ["0.2"]}, 6)
    for row in (0, 1, 2, 4, 5):
        np.testing.assert_array_equal(found["map"][row], classes)
    assert (found["map"][3] == 3).all() and found["map"].dtype == np.int32
    expected = resized(full[None] / np.float32(127.5) - 1, (4, 4))[0]
    np.testing.assert_allclose(found["image"][0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["image"][1::2], np.zeros((3, 4, 4, 1)))
    assert found["image_level"].tolist() == pytest.approx([0.2] * 6)
    said = asker.describe(found)
    assert [set(each.split(", ")) for each in said] == [{"none", "a red apple"}, {"none", "the sea"}] * 3
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "colours.png")
    with pytest.raises(
        ValueError, match=r"colours\.png cannot be read .* a pixel is a class where it is grey"
    ):
        asker.of_user({"map": str(tmp_path / "colours.png"), "image": SMALL}, 1)


@pytest.mark.parametrize(
    "names, change, message",
    [
        (["map"], {"model.map_channels": 2}, r"model\.map_channels must be 3 \(conditions: map 3\), got 2"),
        (["text"], {"model.map_channels": 2}, r"model\.map_channels must be 0 \(conditions: no map\), got 2"),
        (["text"], {"conditions.text.to": "tokens"}, "text: to must be 'vector', as network MLP takes no"),
        (["text"], {"conditions.text.to": "words"}, "to must be one of tokens, vector, both"),
        (["text"], {"conditions.text.tokenizer": "x"}, "one of vocab_size and tokenizer must be given"),
        (["text"], {"conditions.text.lenght": 3}, "text.lenght is not an option of tokens; did you"),
        (["text"], {"conditions.text.drop": 1.5}, r"text\.drop must be a number, in \[0, 1\]; got 1\.5"),
        (["text"], {"conditions.text.encoder": "token"}, "text.encoder must be one of .*did you"),
        (["image"], {"conditions.image.size": 3}, "image: size must be below the picture's .* divide"),
        (["image"], {"conditions.image.level": 0.7}, r"augmentation must be in \[0, 1\) and level in"),
        (["soft"], {"conditions.soft.width": 9.0}, "soft: width must be a positive number of pixels"),
        (["depth"], {"conditions.depth.num_classes": 3}, "one of num_classes and channels must be given"),
        (["said"], {"conditions.said.shape": (1, 2, 3)}, r"shape must be \(D,\) or \(M, D\)"),
        ([], {"conditions": {"label": {"encoder": "map"}}}, r"conditions\.label: class labels are said by"),
        ([], {"objective.condition_dropout": 0.1}, "condition_dropout needs a model with conditions"),
        ([], {"conditions": 3}, r"config\.conditions must be a section"),
    ],
)  # fmt: skip
def test_a_config_that_does_not_fit(names, change, message):
    config = config_of(*names)
    with config.unlocked(), config.ignore_type():
        for key, value in change.items():
            *path, last = key.split(".")
            place = config
            for part in path:
                place = place[part]
            place[last] = value
    with pytest.raises(ValueError, match=message):
        systems.build(config)


@pytest.mark.parametrize(
    "name, arrays, message",
    [
        ("map", {"map": np.full((N, 8, 8), 3, np.int32)}, "map: array 'map' must be .*, got values from 3"),
        ("map", {"map": np.zeros((N, 4, 4), np.int32)}, r"map: array 'map' must be integers \[N, 8, 8\] "),
        ("style", {"style": np.arange(N, dtype=np.int32)}, r"style: array 'style' must be integers \[N\] in"),
        ("said", {"said": np.zeros((N, 5), "f")}, r"said: array 'said' must be floats \[N, 6\], got float32"),
        ("depth", {"depth": np.zeros((N, 8, 8, 1), "f")}, r"depth: array 'depth' must be floats \[N, 8, 8, "),
        ("text", {"caption": np.array(["a b c d e f"] * N)}, "text: array 'caption' must be at most 5"),
    ],
)  # fmt: skip
def test_data_that_do_not_fit(name, arrays, message):
    with pytest.raises(ValueError, match=message):
        systems.build(config_of(name)).prepare(None, source(**arrays))


def test_data_without_what_a_part_is_made_of():
    bare = data.Source(np.zeros((N, 8, 8, 1), np.uint8), name="bare")
    for name, array in (("text", "caption"), ("map", "map"), ("said", "said"), ("style", "style")):
        with pytest.raises(ValueError, match=f"bare has no array '{array}'"):
            systems.build(config_of(name)).prepare(None, bare)

"""Two towers, and a noise-aware one taught by them: what they learn, who teaches, and what is refused."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from models.network_list import HALF
from systems import tools

from diffjax import commands, evaluate, guidance, systems, train
from diffjax.models import HalfUNet
from diffjax.systems import towers
from diffjax.training import checkpoints
from diffjax.training.system import Variables

CLIP = "toys/clip"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each, the second taught by the first."""
    folder = tmp_path_factory.mktemp("clip")
    train.train(_tiny(), folder / "clip", progress=False)
    train.train(_aware(folder / "clip"), folder / "aware", progress=False)
    return folder


def _tiny(**changes):
    config = tools.tiny(CLIP, **changes)
    config.training.batch_size = 11  # on one device: nothing here is of several
    config.evaluation.reference = 16
    return config


def _aware(clean, **changes):
    config = _tiny()
    del config["conditions"]
    config.system = "noise_aware"
    config.clean = ConfigDict({"workdir": str(clean)})
    config.schedule = ConfigDict({"name": "cosine_beta", "num_steps": 100})
    config.objective = ConfigDict({"warm_start": True})
    config.levels = ConfigDict({"steps": 3})
    config.training.checkpoint_every = 1
    return commands.overridden(config, changes)


def _features(run):
    system, variables, _ = commands.load(run)
    return system, variables, system.features(variables)


X = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)


def test_features_are_of_unit_norm_and_of_one_space(runs):
    for run in ("clip", "aware"):
        system, _, features = _features(runs / run)
        level = None if run == "clip" else system.schedule(None)(50)
        text = features["text"](system.request.of_user({"name": ["3", "1"]}, 2))
        image = features["image"](X, level)
        assert text.shape == (2, 16) and image.shape == (5, 16)
        for each in (text, image):
            np.testing.assert_allclose(jnp.linalg.norm(each, axis=1), 1, rtol=1e-5)
    both = [features["text"](_features(runs / "clip")[0].request.of_user({"name": [2]}, 1))]
    both += [_features(runs / "clip")[2]["text"]({"name": np.array([2])})]
    np.testing.assert_array_equal(*both)  # the texts are the clean encoder's


def test_it_steers(runs):
    """Semantic guidance takes it as it is: the slope of e(x_t) . l."""
    system, _, features = _features(runs / "aware")
    text = features["text"](system.request.of_user({"name": [0]}, 1))
    score, level = guidance.resembles_text(features["image"], text), system.schedule(None)(50)
    slope = guidance.gradient_of(score)(X, level, None)
    step = 1e-2 * slope / jnp.linalg.norm(slope, axis=1, keepdims=True)
    assert (score(X + step, level, None) > score(X, level, None)).all()


def test_a_warm_start_is_the_clean_tower(runs):
    system = systems.build(_aware(runs / "clip"))
    frozen, _ = system.prepare(None)
    params, _ = system.init(jax.random.key(0), {"x": X}, frozen)
    jax.tree.map(np.testing.assert_array_equal, params["network"], frozen["clean"].params["network"])
    assert "label" not in system.example and list(system.example) == ["x"]


def test_taught_runs_go_on_bit_for_bit_without_their_teacher(runs, tmp_path):
    whole = checkpoints.restore_params(runs / "aware", ema=False)
    again = shutil.copytree(runs / "aware", tmp_path / "again")
    last = [path for path in again.rglob("3") if path.is_dir()]
    assert last
    for path in last:
        shutil.rmtree(path)
    assert checkpoints.latest_step(again) == 2
    config = _aware(tmp_path / "gone")
    train.train(config, again, progress=False)
    jax.tree.map(np.testing.assert_array_equal, whole, checkpoints.restore_params(again, ema=False))


def test_both_are_measured(runs):
    found = evaluate.evaluate(runs / "clip", progress=False)["retrieval"]["embeddings"]
    texts = found["image_to_text"]["candidates"]
    assert found["count"] == 16 and texts == found["text_to_image"]["queries"] <= 8  # points share a name
    assert found["image_to_text"]["recall_1_chance"] == pytest.approx(1 / texts)
    assert "picture → text" in (runs / "clip/evaluation.md").read_text()
    found = evaluate.evaluate(runs / "aware", progress=False)["retrieval_by_level"]["features_by_level"]
    assert [level["t"] for level in found["levels"]] == sorted(level["t"] for level in found["levels"])[::-1]
    assert found["levels"][0]["noised_recall_1_chance"] == pytest.approx(1 / 16)
    assert "unaware" in (runs / "aware/evaluation.md").read_text()


def test_the_scale_is_clamped_and_can_come_back():
    a, b = jnp.eye(2), jnp.asarray([[0.0, 1.0], [1.0, 0.0]])  # right, and all wrong
    at = lambda log_scale: {towers.TEMPERATURE: {"log_scale": jnp.asarray(log_scale)}}
    same = {"name": jnp.arange(2)}
    contrast = jax.jit(lambda log_scale, b: towers.contrast(at(log_scale), a, b, same)[1])
    for log_scale, scale in ((1.0, np.e), (np.log(100.0), 100), (9.0, 100)):
        assert contrast(log_scale, a)["scale"] == pytest.approx(scale, rel=1e-5)
    slope = jax.jit(jax.grad(lambda s: towers.contrast(at(s), a, b, same)[0].mean()))(9.0)
    assert slope > 0  # a smaller one is better, and is found from beyond

    def held(slope, now):
        moved = towers.held_back(lambda *_: (at(slope), {}, {}))(Variables(at(now)), None, None, 0)
        return moved[0][towers.TEMPERATURE]["log_scale"]

    assert held(-1.0, 9.0) == 0 and held(1.0, 9.0) == 1 and held(-1.0, 2.0) == -1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conditions.name.drop": 0.1}, "conditions.name.drop must be 0 for system 'clip'"),
        ({"conditions.name.encoder": "colour_map"}, "array is not an option|conditions"),
        ({"objective": {"kind": "v"}}, "objective.kind is not an option of clip"),
        ({"conditions": None}, "config.conditions is missing"),
        ({"model.name": "refinenet"}, "model"),
    ],
)
def test_what_are_no_towers_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        systems.build(_tiny(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.out_features": 5}, "model.out_features must be 16, as config.clean gives; got 5"),
        ({"data.shape": (3,)}, r"config.clean is of examples \(2,\), and the data of \(3,\)"),
        ({"model.width": 12}, "objective.warm_start needs the model of config.clean"),
        ({"levels.grid": "kaaras"}, "levels: grid must be one of"),
    ],
)
def test_a_student_that_does_not_fit_is_refused(runs, changes, message):
    with pytest.raises(ValueError, match=message):
        systems.build(_aware(runs / "clip", **changes))


def test_maps_are_what_its_blocks_make_of_pictures():
    """From the largest to the smallest, as layout and style guidance take them."""
    module = HalfUNet(**{**HALF, "channel_mult": (1, 2)})
    x, t = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((2, 4, 4, 1), (2,)))

    def maps(x, t):
        params = module.init(jax.random.key(0), x, t)["params"]
        return towers.maps(module, Variables({"network": params}), x, t)

    sizes = [each.shape[1:] for each in jax.eval_shape(maps, x, t)]
    assert sizes[0] == (4, 4, 4) and sizes[-1] == (2, 2, 8) and sizes == sorted(sizes, key=lambda s: -s[0])

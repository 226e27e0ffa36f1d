"""Diffusion in latents: what is kept and copied, scales, conditions made of pictures, refusals by name."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from systems.tools import CONFIGS, on_eight_devices

from diffjax import commands, data, evaluate, systems, train
from diffjax.systems import known
from diffjax.systems.stages import Stage
from diffjax.training.system import Variables

PIXELS, SHAPE = (8, 8, 3), (4, 4, 2)
AUTOENCODER = {"name": "kl", "channels": (4, 4), "num_res_blocks": 1, "num_groups": 2, "latent_channels": 2,
               "middle_attention": False}  # fmt: skip
ADAM = {"name": "adam", "learning_rate": 1e-2}
TRAINING = {"num_steps": 2, "batch_size": 4, "seed": 0, "log_every": 1, "checkpoint_every": 2,
            "ema": {"name": "constant", "decay": 0.9}}  # fmt: skip
X = np.random.default_rng(0).integers(0, 256, (12, *PIXELS), dtype=np.uint8)


def pixels(path, **more):
    return {"name": "npz", "path": str(path), "images": "image", "labels": None, "shape": PIXELS, **more}


def config(first, path="x.npz", latents=(), **sections):
    """A tiny DDPM of two dense layers in latents."""
    return ConfigDict(
        {
            "system": "latent",
            "data": pixels(path),
            "first_stage": {"workdir": str(first)},
            "latents": {"system": "ddpm", **dict(latents)},
            "schedule": {"name": "cosine_beta", "num_steps": 20},
            "model": {"name": "mlp", "width": 8, "depth": 1},
            "objective": {"kind": "v"},
            "sampler": {"solver": "ddim", "steps": 2},
            "optimizer": ADAM,
            "training": TRAINING,
            **sections,
        }
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data and the run of a tiny autoencoder."""
    folder = tmp_path_factory.mktemp("latent")
    np.savez(folder / "x.npz", image=X)
    own = {"system": "autoencoder", "data": pixels(folder / "x.npz"), "model": AUTOENCODER,
           "objective": {"discriminator": None}, "optimizer": ADAM, "training": TRAINING}  # fmt: skip
    train.train(ConfigDict(own), folder / "first", progress=False)
    return folder


UNET = {"name": "unet", "model_channels": 2, "channel_mult": (1,), "num_res_blocks": 1, "num_groups": 1,
        "attention_resolutions": ()}  # fmt: skip


def prepared(place, folder, latents=(), flip=False, **sections):
    """The system, its frozen variables, and the source as training sees it."""
    own = config(place / "first", place / "x.npz", latents, **sections)
    own.data.flip = flip
    system = systems.build(own, folder)
    source = data.Source(X)
    frozen, source = system.prepare(folder, source)
    params, extra = system.init(jax.random.key(0), system.example, frozen)
    return system, Variables(params, extra, frozen), source


@pytest.mark.parametrize("per, posterior", [("model", "sample"), ("channel", "mean")])
def test_latents_have_the_deviation_1_after_scaling(place, tmp_path, per, posterior):
    system, v, source = prepared(place, tmp_path, {"per": per, "posterior": posterior})
    z = np.asarray(
        jax.jit(lambda v, x: system.codec(v).encode(jax.random.key(1), x))(
            v, source.gather(np.arange(12))["x"]
        )
    )
    assert z.shape[1:] == SHAPE
    if per == "channel":
        np.testing.assert_allclose(z.std((0, 1, 2)), 1, atol=0.05)
        np.testing.assert_allclose(z.mean((0, 1, 2)), 0, atol=0.05)
    else:
        np.testing.assert_allclose(z.std(), 1, atol=0.05)
        np.testing.assert_array_equal(v.frozen["latents"]["shift"], 0)
    again = system.prepare(tmp_path)[0]["latents"]  # kept: no data are needed
    jax.tree.map(np.testing.assert_array_equal, again, v.frozen["latents"])


@pytest.mark.parametrize("flip", [pytest.param(False, marks=pytest.mark.slow), True])
def test_kept_latents_are_those_of_the_pictures_at_hand(place, tmp_path, flip):
    """The same gradients, to digits that another program rounds; mirrored pictures have their own."""
    system, v, source = prepared(place, tmp_path, {"cache": True, "scale": 0.5}, flip)
    mirrored = np.array([True, False, True, True]) if flip else None
    batch = source.gather(np.arange(3, 7), mirrored)
    assert set(system.example) <= set(batch)
    plain = {"x": batch["x"]}
    gradients = jax.jit(system.updates[0].gradients)
    kept, fresh = (gradients(v, jax.random.key(1), rows, 0) for rows in (batch, plain))
    np.testing.assert_allclose(kept[2]["loss"], fresh[2]["loss"], rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), kept[0], fresh[0])
    other = gradients(v, jax.random.key(1), {**batch, "x": 0 * batch["x"]}, 0)
    np.testing.assert_allclose(other[2]["loss"], kept[2]["loss"], rtol=1e-6)  # the encoder is not asked
    moments = tmp_path / "cache/moments.npy"
    whole = moments.read_bytes()
    for damaged in (whole[:-9], whole[:40], b""):
        moments.write_bytes(damaged)
        prepared(place, tmp_path, {"cache": True, "scale": 0.5}, flip)
        assert moments.read_bytes() == whole


def test_latents_are_kept_where_a_condition_adds_arrays_to_the_data(place, tmp_path):
    """Ids of captions say nothing of which pictures these are: those that are trained on, and no others."""
    text = {"encoder": "tokens", "length": 4, "vocab_size": 50, "width": 4, "depth": 1, "num_heads": 1}
    own = config(
        place / "first", place / "x.npz", {"cache": True, "scale": 0.5}, model={**UNET, "token_features": 4}
    )
    own.data.arrays, own.conditions = ("caption",), ConfigDict({"text": text})
    system, source = (
        systems.build(own, tmp_path),
        data.Source(X, arrays={"caption": np.array(["a cat"] * 12)}),
    )
    (tmp_path / "data.json").write_text(json.dumps({"fingerprint": source.fingerprint()}))
    assert set(system.example) <= {"x", *system.prepare(tmp_path, source)[1].arrays}
    others = system.prepare(tmp_path, source.take(np.arange(5)))[1]
    assert "latent_moments" not in others.arrays


@pytest.mark.slow
@pytest.mark.parametrize("cache", [False, True])
def test_eight_devices_make_the_numbers_of_one(place, tmp_path, cache):
    system, v, source = prepared(place, tmp_path, {"cache": cache})
    batch = source.gather(np.arange(8))
    gradients = jax.jit(system.updates[0].gradients)
    one, many = (
        gradients(at(v, False), jax.random.key(1), at(batch, True), 0)
        for at in (lambda tree, rows: tree, on_eight_devices)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), many, one)


@pytest.mark.slow
def test_what_only_a_map_needs_is_made_of_the_picture(place, tmp_path):
    """A colour map of the pixels lies beside the latents, as small as they are."""
    colours = {"map": {"encoder": "colour_map", "shades": 2, "drop": 0.5}}
    model = {**UNET, "map_channels": 8}
    system, v, source = prepared(place, tmp_path, {"scale": 1.0}, conditions=colours, model=model)
    batch = source.gather(np.arange(4))
    asked = system.request.of_batch(v, jax.random.key(0), batch)
    assert asked["map"].shape == (4, 8, 8)
    cond = system.request.encode(v, asked)
    bright = (batch["x"] >= 0).astype(int) @ np.array([4, 2, 1])
    one_hot = np.eye(8)[bright].reshape(4, 4, 2, 4, 2, 8).mean((2, 4))
    np.testing.assert_allclose(cond.map, one_hot, atol=1e-6)
    jax.eval_shape(system.updates[0].gradients, v, jax.random.key(0), batch, 0)


@pytest.mark.slow
def test_inpainting_sees_the_masks_and_the_latents_of_what_is_known(place, tmp_path):
    system, v, source = prepared(
        place, tmp_path, {"scale": 2.0, "inpaint": True}, model={**UNET, "map_channels": 3}
    )
    mask = np.zeros((8, 8), np.uint8)
    mask[:, :4] = 1
    asked = system.request.of_user({"init_image": [X[0]], "mask": [mask]}, 2)
    assert asked["init_image"].shape == (2, *PIXELS)
    cond = system.request.encode(v, asked)
    np.testing.assert_array_equal(cond.map[..., -1], np.repeat(mask[None, ::2, ::2], 2, axis=0))
    grey = np.where(mask[..., None], asked["init_image"], 0)
    np.testing.assert_allclose(cond.map[..., :2], system.codec(v).encode(None, grey), atol=1e-5)
    with pytest.raises(ValueError, match="mask must be given"):
        system.request.of_user({"init_image": [X[0]]}, 1)
    rows = source.gather(np.arange(2))
    assert system.request.of_batch(v, jax.random.key(0), rows)["mask"].shape == (2, 8, 8, 1)
    drawn = known.masks(jax.random.key(0), 200, (8, 8))
    assert 0.2 < drawn.mean() < 0.9 and set(np.unique(drawn)) == {0, 1}
    jax.eval_shape(system.updates[0].gradients, v, jax.random.key(0), rows, 0)


def test_inpainting_beside_other_conditions(place, tmp_path):
    """What is hidden is made up, asked for by a map as well; what is known is given back."""
    shades = {"map": {"encoder": "colour_map", "shades": 2, "drop": 0.5}}
    system, v, _ = prepared(
        place,
        tmp_path,
        {"scale": 1.0, "inpaint": True},
        conditions=shades,
        model={**UNET, "map_channels": 11},
    )
    mask = np.zeros((8, 8), np.uint8)
    mask[:, :4] = 1
    asked = system.request.of_user({"init_image": [X[0]], "mask": [mask]}, 2)
    assert set(asked) == {"init_image", "mask", "map"} and len(system.request.pictures(asked)) == 2
    x = np.asarray(jax.jit(system.sample, static_argnums=3)(v, jax.random.key(0), asked, 2))
    np.testing.assert_array_equal(x[:, :, :4], asked["init_image"][:, :, :4])
    assert np.abs(x - asked["init_image"])[:, :, 4:].max() > 0.01


@pytest.mark.parametrize("edit", [{"strength": 0.5}, {"mask": True}])
def test_pictures_are_edited_in_their_latents(place, tmp_path, edit):
    """The walk begins from latents of what is given, or keeps those all of whose pixels are known."""
    sampler = {"solver": "ddim", "steps": 4, "edit": edit}
    system, v, source = prepared(place, tmp_path, {"scale": 1.5}, sampler=sampler)
    mask = np.ones((8, 8), np.uint8)
    mask[3:] = 0
    given = {"init_image": [X[0]]} | ({"mask": [mask]} if "mask" in edit else {})
    asked = system.request.of_user(given, 2)
    assert asked["init_image"].shape == (2, *PIXELS)
    walk = system.passes[0]
    keys = jax.random.split(jax.random.key(0), 2)
    z, latents = walk.run(v, keys, asked, {}), system.codec(v).encode(None, asked["init_image"])
    other = system.request.of_user({**given, "init_image": [X[1]]}, 2)
    assert np.abs(z - walk.run(v, keys, other, {})).max() > 1e-3
    if "mask" in edit:
        np.testing.assert_allclose(z[:, :1], latents[:, :1], atol=1e-5)
        assert np.abs(z - latents)[:, 1:].max() > 0.1
        x = np.asarray(system.sample(v, jax.random.key(0), asked, 2))
        np.testing.assert_array_equal(x[:, :3], asked["init_image"][:, :3])
    else:
        rows = source.gather(np.arange(2))
        assert system.request.of_batch(v, jax.random.key(0), rows)["init_image"].shape == (2, *PIXELS)


@pytest.mark.slow
def test_a_moved_run_samples_without_its_first_stage(place, tmp_path):
    first = shutil.copytree(place / "first", tmp_path / "first")
    own = config(first, place / "x.npz", {"cache": True})
    own.training.sample_every = 2
    train.train(own, tmp_path / "run", progress=False)
    assert (tmp_path / "run/samples/step_0000002.png").is_file()
    draw = lambda run, size: (
        commands.sample_in_batches(
            *commands.load(run)[:2], key=jax.random.key(0), num=5, batch_size=size, progress=None
        ).x
    )
    x = draw(tmp_path / "run", 5)
    moved = tmp_path / "moved"
    (tmp_path / "run").rename(moved)
    shutil.rmtree(first)
    shutil.rmtree(tmp_path / "moved/cache")
    np.testing.assert_array_equal(draw(moved, 2), x)
    assert x.shape == (5, *PIXELS) and x.dtype == np.uint8
    system = commands.load(moved).system
    assert [each.name for each in system.passes] == ["walk", "decode"]
    assert all(name.startswith("latent") for name in system.measures)

    about = json.loads((moved / "stages/first_stage/stage.json").read_text())
    about["checksum"] = "0" * 64
    (moved / "stages/first_stage/stage.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="variables is not what was written: its checksum is another one"):
        commands.load(moved)


@pytest.mark.slow
def test_latents_are_steered_by_a_classifier_of_them_and_by_a_weaker_run(place, tmp_path):
    """Autoguidance by itself is itself; a classifier in other latents is refused where it is read."""
    for split in ("train", "test"):
        np.savez(tmp_path / f"{split}.npz", image=X, label=np.arange(12) % 3)
    path = tmp_path / "{split}.npz"
    told = {"labels": "label", "num_classes": 3}
    made = {"denoiser": {}, "classifier": {"system": "classifier", "scale": 2.0}, "other": {"scale": 1.5}}
    made["other"] |= made["classifier"] | {"scale": 1.5}
    for name, latents in made.items():
        own = config(place / "first", path, {"scale": 2.0, **latents})
        own.data.update(told)
        if latents:
            own.model.update({"out_features": 3, "whole": True})
            own.objective = ConfigDict({})
            del own["sampler"]
        train.train(own, tmp_path / name, progress=False)
    measured = evaluate.evaluate(tmp_path / "classifier", progress=False)
    assert measured["by_level"]["latent_by_level"]["levels"]

    def draw(run, own=None, **sampler):
        own = own or commands.load_config(run)
        own.sampler.update(sampler)
        system, v, _ = commands.load(run or own, config=own if run else None)
        request = system.request.default(4)
        key = jax.random.key(0)
        return commands.sample_in_batches(
            system, v, key=key, num=4, batch_size=4, request=request, progress=None
        ).x.astype(int)

    plain = draw(tmp_path / "denoiser")
    itself = {"name": "autoguidance", "workdir": str(tmp_path / "denoiser")}
    assert np.abs(draw(tmp_path / "denoiser", guidance=itself, guidance_weight=2.0) - plain).max() <= 1
    sections = {
        "system": "guided", "data": {**pixels(path), **told},
        "denoiser": {"workdir": str(tmp_path / "denoiser")}, "sampler": {"solver": "ddim", "steps": 2},
    }  # fmt: skip
    steered = lambda name, scale: draw(
        None,
        ConfigDict({**sections, "classifier": {"workdir": str(tmp_path / name)}}),
        classifier_scale=scale,
    )
    assert np.abs(steered("classifier", 0.0) - plain).max() <= 1
    assert np.abs(steered("classifier", 30.0) - plain).max() > 1
    with pytest.raises(ValueError, match=r"config\.classifier must be in the latents of config\.denoiser"):
        steered("other", 1.0)


def test_a_scale_of_the_command_line_is_a_number(place, tmp_path):
    """A config that says "measured" keeps what is set there as a word."""
    _, v, _ = prepared(place, tmp_path, {"scale": "0.18215"})
    np.testing.assert_allclose(v.frozen["latents"]["scale"], 0.18215, rtol=1e-6)


def test_a_scale_of_another_first_stage_is_refused(place, tmp_path):
    prepared(place, tmp_path)
    path = tmp_path / "prepared/latents.npz"
    kept = dict(np.load(path))
    for changes, message in (
        ({"of": np.array("another")}, r"latents\.npz was measured with another first stage"),
        (
            {"per": np.array("channel")},
            r"latents\.per is 'model', but .*latents\.npz was measured per channel",
        ),
        ({"scale": 2 * kept["scale"]}, r"latents\.npz is not what was measured: shift or scale were changed"),
    ):
        np.savez(path, **{**kept, **changes})
        with pytest.raises(ValueError, match=message):
            prepared(place, tmp_path)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"latents": {"scale": 0}}, r"latents\.scale must be 'measured' or a positive number, got 0"),
        ({"latents": {"scale": "measure"}}, r"latents\.scale must be 'measured' or a positive number"),
        ({"latents": {"scale": 1.0, "per": "channel"}}, r"latents\.per must be 'model' where latents\.scale"),
        ({"latents": {"posterior": "mode"}}, r"latents\.posterior must be one of sample, mean"),
        ({"latents": {"cach": True}}, r"latents\.cach is not an option"),
        ({"latents": {"system": "ddmp"}}, "system must be one of"),
        (
            {"data": pixels("x.npz", shape=(16, 8, 3))},
            r"config\.first_stage was trained on pictures \(8, 8, 3\)",
        ),
        (
            {
                "latents": {"inpaint": True},
                "sampler": {"solver": "ddim", "steps": 2, "edit": {"strength": 0.5}},
            },
            r"sampler\.edit must be left out with latents\.inpaint",
        ),
        (
            {"first_stage": {"workdir": "no/such/run"}},
            r"config\.first_stage\.workdir must be the folder of a run",
        ),
    ],
)
def test_what_does_not_fit_is_refused(place, changes, message):
    latents = {"system": "ddpm", **changes.pop("latents", {})} if "latents" in changes else {}
    with pytest.raises(ValueError, match=message):
        systems.build(config(place / "first", latents=latents, **changes))


def test_a_published_first_stage_needs_no_file_to_be_described():
    """Stable Diffusion's autoencoder makes 32x32x4 of 256x256 pixels, whatever the folder."""
    published = {"attn_resolutions": (), "ch": 128, "ch_mult": (1, 2, 4, 4), "double_z": True,
                 "in_channels": 3, "num_res_blocks": 2, "out_ch": 3, "resolution": 256,
                 "z_channels": 4}  # fmt: skip
    own = config("", latents={"scale": 0.18215})
    own.data.shape = (256, 256, 3)
    own.first_stage = {"pretrained": "none.safetensors", "architecture": "ldm_autoencoder_kl",
                       "config": {"ddconfig": published, "embed_dim": 4}}  # fmt: skip
    system = systems.build(own)
    first = system.stages["first_stage"]
    assert isinstance(first, Stage) and system.codec(Variables(frozen=system.frozen)).shape == (32, 32, 4)
    assert sum(leaf.size for leaf in jax.tree.leaves(system.frozen["first_stage"])) == 83_653_863
    params, _ = jax.eval_shape(system.init, jax.random.key(0), system.example, system.frozen)
    assert jax.tree.leaves(params)
    with pytest.raises(FileNotFoundError, match=r"no file or folder none\.safetensors"):
        system.prepare(None)
    own.first_stage = {"pretrained": "none.npz", "architecture": "lpips_vgg16"}
    with pytest.raises(ValueError, match=r"config\.first_stage must be a run of a system with a codec"):
        systems.build(own)
    assert jnp.float32 == first.shapes().params["network"]["decoder"]["out_conv"]["kernel"].dtype


@pytest.mark.parametrize("name", ["consistency", "progressive"])
def test_a_run_in_latents_teaches_no_pixels(place, tmp_path, name):
    """Its denoiser is of latents, whose shape may well be that of a network for pictures."""
    teacher = config(place / "first", place / "x.npz", schedule={"name": "cosine_beta", "num_steps": 64})
    (tmp_path / "config.json").write_text(teacher.to_json())
    student = commands.config_module(CONFIGS / "toys" / f"{name}.py").get_config()
    student.data, student.teacher.workdir = ConfigDict(pixels(place / "x.npz")), str(tmp_path)
    with pytest.raises(ValueError, match=r"config\.teacher must be a run that denoises the data themselves"):
        systems.build(student)

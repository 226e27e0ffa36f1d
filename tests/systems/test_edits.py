"""Pictures that sampling begins from or keeps a part of: what the walk does with them, what is refused."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from diffjax import sample, samplers
from diffjax.process import prediction, schedules
from diffjax.systems import ddpm, edits, pictures, read
from diffjax.training.system import Variables

N, SHAPE, GIVEN = 3, (2, 2, 1), 0.3
NOISE = schedules.rectified_flow()  # which ends in noise alone
PICTURE = np.array([[-1.0, 0.5], [0.25, 1.0]], np.float32)[..., None]
HALF = np.array([[1, 0], [0, 1]])


class Line:
    """A stand-in for a network that says said + slope x: exact for data in one point as x_0 at slope 0."""

    def __init__(self, said, slope):
        self.said, self.slope = said, slope

    def init(self, key, x, t, cond=None):
        return {"params": {"said": jnp.full((), self.said)}}

    def apply(self, variables, x, t, cond=None, train=False, rngs=None):
        return variables["params"]["said"] + self.slope * x


def config_of(**sampler):
    return ConfigDict({"system": "ddpm", "sampler": {"solver": "ddim", "steps": 4} | sampler})


def system_of(kind="x0", gives="images", slope=0.0, **sampler):
    made = read.sampler(config_of(**sampler), NOISE)
    module: Any = Line(GIVEN if kind == "x0" else 0.0, slope)
    return ddpm.ddpm(
        module, NOISE, made, shape=SHAPE,
        reading=prediction.reading(kind), gives=gives,
    )  # fmt: skip


def sampled(system, **asked):
    v = Variables(*system.init(jax.random.key(0), system.example, {}))
    request = system.request.of_user(asked, N) if asked else system.request.default(N)
    return np.asarray(jax.jit(system.sample, static_argnums=3)(v, jax.random.key(1), request, N))


@pytest.mark.parametrize(
    "sampler",
    [
        {}, {"solver": "ancestral", "edit": {"mask": True, "resamplings": 3, "jump_length": 2}},
        {"edit": {"mask": True, "strength": 0.5}},
    ],
)  # fmt: skip
def test_what_is_known_is_kept_and_the_rest_made_up(sampler):
    system = system_of(**{"edit": {"mask": True}} | sampler)
    x = sampled(system, init_image=PICTURE, mask=[HALF, 1 - HALF])
    known = np.stack([HALF, 1 - HALF, HALF])[..., None]
    np.testing.assert_allclose(x, np.where(known, PICTURE, GIVEN), atol=1e-6)


def test_at_strength_1_nothing_of_the_picture_is_left():
    system = system_of(slope=0.5, edit={"strength": 1.0})  # samples depend on where they begin
    assert system.passes[0].calls == {"network": 4}
    asked = {"init_image": [PICTURE, -PICTURE]}
    x = sampled(system_of(slope=0.5))
    np.testing.assert_array_equal(sampled(system, **asked), x)
    assert x.std() > 0.1


def test_an_edit_begins_from_the_noised_picture():
    # without noise in the prediction a walk divides by alpha alone: x = x_0 + sigma / alpha eps at its start
    system = system_of("eps", edit={"strength": 0.5}, grid="uniform")
    assert system.passes[0].calls == {"network": 2}
    t = read.sampler(config_of(edit={"strength": 0.5}), NOISE).times[0]
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(1), jnp.arange(N))
    x = np.asarray(jax.jit(system.sample, static_argnums=3)(
        Variables(*system.init(jax.random.key(0), system.example, {})), keys,
        system.request.of_user({"init_image": PICTURE}, N), N,
    ))  # fmt: skip
    eps = np.asarray(samplers.start(keys, NOISE, (N, *SHAPE)))
    np.testing.assert_allclose(x, PICTURE + t / (1 - t) * eps, rtol=2e-5, atol=2e-6)


def test_calls_are_those_of_the_steps_that_are_walked():
    for edit, calls in [({"strength": 0.25}, 1), ({"mask": True}, 4), ({"mask": True, "strength": 0.5}, 2)]:
        assert read.sampler(config_of(edit=edit), NOISE).network_calls() == calls
    solver = samplers.repaint(samplers.ddim(), 1, 3)
    rows = samplers.plan(NOISE, solver, read.sampler(config_of(), NOISE).times)
    made = read.sampler(config_of(edit={"mask": True, "resamplings": 3, "jump_length": 1}), NOISE)
    assert made.network_calls() == samplers.network_calls(solver, rows) > 4


def test_files_and_folders_are_read_and_shown(tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    for i, value in enumerate((0, 255)):
        Image.fromarray(np.full((2, 2), value, np.uint8)).save(folder / f"{i}.png")
    Image.fromarray(np.array([[255, 0], [100, 200]], np.uint8)).save(tmp_path / "mask.png")
    system = system_of(edit={"mask": True})
    asked = system.request.of_user({"init_image": [str(folder)], "mask": [str(tmp_path / "mask.png")]}, N)
    np.testing.assert_array_equal(asked["init_image"][:, 0, 0, 0], [-1, 1, -1])
    np.testing.assert_array_equal(asked["mask"], np.stack([[[1, 0], [0, 1]]] * N)[..., None] > 0)
    (shown,) = system.request.pictures(asked)  # what is unknown is grey
    np.testing.assert_array_equal(shown[1, ..., 0], [[255, 128], [128, 255]])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"strength": 0.0}, r"sampler\.edit: strength must be in \(0, 1\], got 0\.0"),
        ({"strength": 1.5}, r"sampler\.edit: strength must be in \(0, 1\], got 1\.5"),
        ({}, r"sampler\.edit: give a strength"),
        (0.5, r"sampler\.edit must be a section"),
        ({"mask": 1}, r"sampler\.edit: mask must be True or False, got 1"),
        ({"strenght": 0.5}, r"sampler\.edit\.strenght is not an option of edit; did you mean 'strength'"),
        ({"strength": 0.5, "resamplings": 2}, r"resamplings need mask=True, got 2"),
        ({"mask": True, "resamplings": 0}, r"resamplings must be an integer of at least 1, got 0"),
        ({"mask": True, "resamplings": 2}, r"sampler\.edit\.jump_length must be below the 4 steps"),
    ],
)
def test_sections_are_refused(edit, message):
    with pytest.raises(ValueError, match=message):
        read.sampler(config_of(edit=edit), NOISE)


def test_requests_are_refused(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    system = system_of(edit={"mask": True})
    ask = lambda **asked: system.request.of_user(asked, N)
    for asked, message in [
        ({"init_image": PICTURE}, "mask must be given"),
        ({"mask": HALF}, "init_image must be given"),
        ({"init_image": np.zeros((3, 2, 1), np.uint8), "mask": HALF}, "init_image must be .*(2, 2, 1)"),
        ({"init_image": PICTURE, "mask": np.ones((3, 2))}, "mask must be of shape (2, 2), .*got (3, 2)"),
        ({"init_image": PICTURE, "mask": 0 * HALF}, "mask must have a known pixel, which is white"),
        ({"init_image": PICTURE, "mask": 2 * HALF}, "mask must hold 0 and 1 alone"),
        ({"init_image": str(tmp_path / "text.png"), "mask": HALF}, "text.png cannot be read as an image"),
        ({"init_image": str(tmp_path / "none.png"), "mask": HALF}, "there is no file"),
        ({"init_image": PICTURE, "mask": HALF, "label": [1]}, "label must be left out"),
    ]:
        pattern = re.escape(message).replace(r"\.\*", ".*")
        with pytest.raises(ValueError, match=pattern):
            ask(**asked)
    with pytest.raises(ValueError, match="init_image must be given"):
        system.request.default(N)
    with pytest.raises(ValueError, match=r"sampler\.edit is for models of images, and this one makes points"):
        system_of(gives="points", edit={"strength": 0.5})
    with pytest.raises(ValueError, match=r"folder .* has no image"):
        (tmp_path / "empty").mkdir()
        ask(init_image=tmp_path / "empty", mask=HALF)


def test_flags_of_the_command_become_the_section():
    config = config_of()
    config.schedule = ConfigDict({"name": "rectified_flow"})
    found = sample.edit_of(config, ["a.png"], ["m.png"], None, 4)
    assert found == {"mask": True, "resamplings": 4}
    assert sample.with_sampler(config, solver="ancestral", edit=found).sampler.edit.to_dict() == found
    assert sample.edit_of(config) is None
    steered = ConfigDict({"system": "guided", "denoiser": {"workdir": "runs/own"}, "sampler": {}})
    assert sample.edit_of(steered, ["a.png"], strength=0.5) == {"strength": 0.5}
    inpainting = ConfigDict(
        {"latents": {"inpaint": True}, "schedule": {"name": "edm"}, "sampler": {}}
    )  # by what the network sees
    assert sample.edit_of(inpainting, ["a.png"], ["m.png"]) is None
    assert sample.edit_of(inpainting, ["a.png"], ["m.png"], strength=0.5) == {"strength": 0.5}
    for given, message in [
        ({"strength": 0.5}, "strength needs init_image"),
        ({"masks": ["m.png"]}, "mask needs init_image"),
        ({"images": ["a.png"]}, r"give strength in \(0, 1\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            sample.edit_of(config, **given)
    with pytest.raises(ValueError, match="system 'ebm' has no schedule"):
        sample.edit_of(ConfigDict({"system": "ebm", "sampler": {}}), ["a.png"], strength=0.5)


def test_a_system_that_does_not_ask_for_a_picture_refuses_the_edit():
    made = read.sampler(config_of(edit={"strength": 0.5}), NOISE)
    with pytest.raises(ValueError, match=r"sampler\.edit needs a system that is asked with init_image"):
        made.start(jax.random.split(jax.random.key(0), N), NOISE, (N, *SHAPE))
    assert edits.of_config(None) == edits.Edit()
    assert pictures.masks("mask", [np.ones((2, 2), bool)], 1, (2, 2)).shape == (1, 2, 2, 1)

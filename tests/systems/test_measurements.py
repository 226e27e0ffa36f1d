"""Pictures restored from what was measured of them, as a config says it: what is sampled, what is refused."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from diffjax import guidance, sample, samplers
from diffjax.process import prediction, schedules
from diffjax.systems import ddpm, measurements, read
from diffjax.training.system import Variables

N, SHAPE, STD = 3, (4, 4, 1), 0.5
NOISE, KEY = schedules.rectified_flow(), jax.random.key(1)
PICTURE = np.clip(np.random.default_rng(0).normal(0, STD, SHAPE), -1, 1).astype(np.float32)
HALF = np.tile([[1, 0], [0, 1]], (2, 2))
AVERAGE = {"operator": "average", "factor": 2, "data_std": STD}


class Normal:
    """The exact x_0 of data N(0, STD^2 I), as a network that is told the time."""

    def init(self, key, x, t, cond=None):
        return {"params": {"scale": jnp.ones(())}}

    def apply(self, variables, x, t, cond=None, train=False, rngs=None):
        t = jnp.reshape(t, (-1, 1, 1, 1))
        alpha = variables["params"]["scale"] - t
        return alpha * STD**2 * x / (alpha**2 * STD**2 + t**2)


def config_of(**sampler):
    return ConfigDict({"system": "ddpm", "sampler": {"solver": "ddim", "steps": 8} | sampler})


def system_of(gives="images", shape=SHAPE, **sampler):
    module: Any = Normal()
    return ddpm.ddpm(
        module, NOISE, read.sampler(config_of(**sampler), NOISE), shape=shape, gives=gives,
        reading=prediction.reading("x0"),
    )  # fmt: skip


def restored(measurement, **asked):
    system = system_of(measurement=measurement)
    v = Variables(*system.init(KEY, system.example, {}))
    return np.asarray(jax.jit(system.sample, static_argnums=3)(v, KEY, system.request.of_user(asked, N), N))


def test_without_noise_a_restored_picture_measures_the_same():
    small = guidance.operators.average(2).apply(PICTURE[None])
    x = restored(AVERAGE, measured=np.asarray(small[0]))
    np.testing.assert_allclose(
        guidance.operators.average(2).apply(x), np.tile(small, (N, 1, 1, 1)), atol=1e-5
    )
    assert x.std(0).max() > 0.1  # what was not measured is made up
    seen = restored({"operator": "mask", "data_std": STD}, measured=PICTURE, mask=[HALF, 1 - HALF])
    mask = np.stack([HALF, 1 - HALF, HALF])[..., None]
    np.testing.assert_allclose(np.where(mask, seen, 0), np.where(mask, PICTURE, 0), atol=1e-5)


@pytest.mark.parametrize("method", ["pigdm", "dps"])
def test_a_section_is_the_guide_of_the_code(method):
    kernel = ((0.25, 0.5), (0.25, 0.0))
    own = {"noise_std": 0.5, "method": method, "data_std": STD, "scale": 0.5}
    x = restored({"operator": "blur", "kernel": kernel, **own}, measured=PICTURE)
    y = jnp.tile(PICTURE, (N, 1, 1, 1))
    guide = guidance.linear_inverse(guidance.operators.blur(kernel), y, **own)
    network = lambda x, t, cond=None: Normal().apply({"params": {"scale": 1.0}}, x, t)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(KEY, jnp.arange(N))
    times = samplers.grids.make(NOISE, 8, "uniform")
    denoise = guide(prediction.reading("x0").denoiser(network))
    walk = lambda: samplers.sample(keys, denoise, NOISE, samplers.ddim(), times, shape=(N, *SHAPE))
    np.testing.assert_allclose(x, jax.jit(walk)(), atol=1e-5)


def test_a_gaussian_blur_keeps_grey_and_spreads_as_far_as_its_width():
    spread = measurements.of_config({"operator": "blur", "width": 1.5}, NOISE).operator
    np.testing.assert_allclose(spread.apply(jnp.full((1, 16, 16, 1), 0.3)), 0.3, atol=1e-6)
    point = spread.apply(jnp.zeros((1, 17, 17, 1)).at[:, 8, 8].set(1.0))[0, ..., 0]
    from_centre = np.arange(17) - 8
    assert float((point.sum(0) * from_centre**2).sum()) == pytest.approx(1.5**2, rel=0.05)


def test_the_scale_may_follow_the_noise_and_pictures_of_a_batch_are_measured():
    of_level = {"name": "levels", "at": ((0.1, 1.0), (1.0, 0.0))}
    system = system_of(measurement={**AVERAGE, "scale": of_level, "noise_std": 0.1})
    assert system.passes[0].calls == {"network": 8}
    x = jnp.tile(PICTURE, (200, 1, 1, 1))
    y = system.request.of_batch(Variables(), KEY, {"x": x})["measured"]
    assert y.shape == (200, 2, 2, 1)
    missed = np.asarray(y - guidance.operators.average(2).apply(x))
    assert missed.std() == pytest.approx(0.1, rel=0.1) and abs(missed.mean()) < 0.02


def test_files_are_read_and_shown(tmp_path):
    Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).save(tmp_path / "small.png")
    system = system_of(measurement=AVERAGE)
    asked = system.request.of_user({"measured": [str(tmp_path)]}, N)
    np.testing.assert_array_equal(asked["measured"][..., 0], [[[-1, 1], [1, -1]]] * N)
    (shown,) = system.request.pictures(asked)
    assert shown.shape == (N, 2, 2, 1) and set(np.unique(shown)) == {0, 255}
    masked = system_of(measurement={"operator": "mask"})
    (shown,) = masked.request.pictures(masked.request.of_user({"measured": PICTURE, "mask": HALF}, 1))
    assert (shown[0, ..., 0][HALF == 0] == 128).all()


@pytest.mark.parametrize(
    ("measurement", "message"),
    [
        ("average", r"sampler\.measurement must be a section such as"),
        ({"operator": "averag"}, r"sampler\.measurement\.operator must be one of .*did you mean 'average'"),
        ({"operator": "average"}, r"sampler\.measurement: missing a required argument: 'factor'"),
        ({**AVERAGE, "factor": 0}, r"sampler\.measurement: factor must be"),
        ({**AVERAGE, "factor": 3}, r"sampler\.measurement: factor must divide pictures .*got 3"),
        ({**AVERAGE, "kernel": ((1.0,),)}, r"sampler\.measurement\.kernel is not an option of"),
        ({**AVERAGE, "method": "ddrm"}, r"sampler\.measurement.*method must be .*ddrm"),
        ({**AVERAGE, "method": "dps"}, r"sampler\.measurement: noise_std must be positive for method 'dps'"),
        ({**AVERAGE, "noise_std": -1.0}, r"sampler\.measurement: noise_std must"),
        ({"operator": "blur"}, r"sampler\.measurement: one of kernel and width must be given"),
        ({"operator": "blur", "width": 0.0}, r"sampler\.measurement: width must be positive"),
        ({"operator": "blur", "width": 5.0}, r"sampler\.measurement: kernel \[31, 31\] must fit into"),
    ],
)
def test_sections_are_refused(measurement, message):
    with pytest.raises(ValueError, match=message):
        system_of(measurement=measurement)


def test_requests_are_refused():
    system = system_of(measurement={"operator": "mask"})
    for asked, message in [
        ({"measured": PICTURE}, "mask must be given: sampler.measurement restores a picture"),
        ({"mask": HALF}, "measured must be given"),
        ({"measured": PICTURE[:2], "mask": HALF}, "measured must be uint8 or float of shape (4, 4, 1)"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            system.request.of_user(asked, N)
    with pytest.raises(ValueError, match="measured must be given"):
        system_of(measurement=AVERAGE).request.default(N)
    with pytest.raises(ValueError, match=r"measured must be .*of shape \(2, 2, 1\), got float32 \(4, 4, 1\)"):
        system_of(measurement=AVERAGE).request.of_user({"measured": PICTURE}, N)
    with pytest.raises(ValueError, match=r"measurement is for models of images, and this one makes points"):
        system_of(gives="points", measurement=AVERAGE)
    with pytest.raises(ValueError, match=r"edit\.mask must be left out with .*operator='mask'"):
        system_of(measurement={"operator": "mask"}, edit={"mask": True})
    with pytest.raises(ValueError, match=r"measurement must be left out with .*cfg_plus_plus"):
        system_of(measurement=AVERAGE, guidance="cfg_plus_plus")


def test_the_command_says_what_is_missing():
    with pytest.raises(ValueError, match=r"measured needs sampler\.measurement, .*'factor': 4"):
        measurements.require_said(config_of(), ["small.png"])
    option = "measurement={'operator': 'average', 'factor': 2}"
    changed = sample.with_sampler(config_of(), options=[option])
    measurements.require_said(changed, ["small.png"])
    assert system_of(measurement=changed.sampler.measurement).request.parts["measured"].shape == (2, 2, 1)

"""Autoguidance as `config.sampler` says it: from a weaker run, a stage; what it costs, what is refused."""

import json
import shutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import plain_systems
import pytest
from ml_collections import ConfigDict
from systems import tools

from diffjax import commands, evaluate, systems
from diffjax.process import prediction, schedules
from diffjax.systems import ddpm, ncsn, read, vdm
from diffjax.systems.stages import Stage
from diffjax.training.system import Variables

NOISE, KEY = schedules.cosine_beta(20), jax.random.key(1)
STRONG, WEAK = np.array([2.0, -1.0]), np.array([1.5, 1.0])


class Said(nn.Module):
    """Stands for a network that predicts x_0 = STRONG."""

    @nn.compact
    def __call__(self, x, t, cond=None, train=False):
        return 0 * x + self.param("said", lambda key: jnp.asarray(STRONG, x.dtype))


def _sampler(noise=NOISE, **options):
    auto = {"solver": "ddim", "steps": 20, "guidance_weight": 0.5}
    auto |= {"guidance": {"name": "autoguidance", "workdir": "runs/weak"}}
    return read.sampler(ConfigDict({"sampler": auto | options, "objective": {"kind": "x0"}}), noise)


READING = prediction.reading("x0", ask=lambda level: -level.log_snr)
POINTS = {"shape": (2,), "reading": READING, "gives": "points"}
GEOMETRIC, LINEAR = schedules.geometric(10.0, 0.01, 20), schedules.log_snr_linear(30.0)
MAKE = {
    "ddpm": lambda own, weak, **how: ddpm.ddpm(own, NOISE, _sampler(**how), weak=weak, **POINTS),
    "ncsn": lambda own, weak: ncsn.ncsn(own, GEOMETRIC, _sampler(GEOMETRIC), weak=weak, **POINTS),
    "vdm": lambda own, weak: vdm.vdm(own, vdm.trained(30.0, width=4), _sampler(LINEAR), weak=weak, **POINTS),
}


def _system(shape=(2,), noise=NOISE, labelled=False, name="ddpm", **options):
    of_x0 = prediction.reading("x0").denoiser(lambda x, t, cond=None: 0 * x + jnp.asarray(WEAK))
    weak = plain_systems.denoising(lambda params: of_x0, noise, shape=shape, labelled=labelled)
    variables = plain_systems.variables()
    return MAKE[name](Said(), Stage(weak, lambda folder: variables, lambda: variables), **options)


@pytest.mark.parametrize(
    "how",
    [
        {"guidance_weight": 0.5},
        {"guidance_weight": {"name": "linear", "first": 0.0, "last": 0.5}},
        {"noise": schedules.linear_beta(30)},
        {"noise": schedules.edm(), "name": "vdm"},
        {"name": "ncsn"},
    ],
    ids=("number", "linear", "another chain", "vdm", "ncsn"),
)
def test_a_sample_goes_on_from_the_weaker_through_the_own(how):
    """Whatever the system is, and the noise schedule of the weaker one."""
    system = _system(**how)
    v = Variables(*system.init(KEY, system.example, {}), system.prepare(None)[0])
    x = np.asarray(jax.jit(system.sample, static_argnums=3)(v, KEY, {}, 3))
    np.testing.assert_allclose(x, np.tile(WEAK + 1.5 * (STRONG - WEAK), (3, 1)), atol=1e-5)


def test_both_networks_are_counted():
    assert _system().passes[0].calls == {"network": 20, "weak": 20}
    inside = _system(guidance_interval=(0.2, 5.0)).passes[0].calls
    levels = np.exp(-np.asarray(NOISE(np.arange(1, 21)).log_snr) / 2)
    assert inside == {"network": 20, "weak": int(((levels >= 0.2) & (levels <= 5)).sum())}
    assert _sampler(guidance_weight=0.0).weak is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (3,)}, r"sampler\.guidance\.workdir is of examples \(3,\), and this run of \(2,\)"),
        ({"labelled": True}, "must be asked as this run is, and 'label' differs"),
        ({"guidance": "autoguidance"}, r"sampler\.guidance\.workdir must be the folder of the weaker run"),
        ({"guidance_weight": -1.0}, "guidance_weight must not be -1 with autoguidance"),
        (
            {"guidance": {"name": "autoguidance", "workdir": "a", "stp": 3}},
            r"sampler\.guidance\.stp is not an option of autoguidance",
        ),
        ({"guidance_scales": {"label": 1.0}, "guidance_weight": 0.0}, "guidance must be left out with"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        _system(**changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weaker")
    for name in ("own", "weak"):
        shutil.copytree(tools.trained(), folder / name)
    return folder


def _draw(run, **sampler):
    config = commands.load_config(run / "own")
    changed = commands.overridden(config, {f"sampler.{name}": value for name, value in sampler.items()})
    loaded = commands.load(run / "own", config=changed)
    return commands.sample_in_batches(
        loaded.system, loaded.variables, key=KEY, num=4, batch_size=4, progress=None
    ).x


def test_a_run_is_copied_with_its_checksum_and_needed_no_more(run, tmp_path):
    weak = shutil.copytree(run / "weak", tmp_path / "weak")
    auto = {"name": "autoguidance", "workdir": str(weak)}
    own = _draw(run)
    np.testing.assert_allclose(_draw(run, guidance=auto, guidance_weight=2.0), own, rtol=1e-4)  # of itself
    raw = {**auto, "ema": False}
    guided = _draw(run, guidance=raw, guidance_weight=2.0)
    assert np.abs(guided - own).max() > 1e-4
    about = [json.loads(file.read_text()) for file in run.glob("own/stages/weak_*/stage.json")]
    assert {each["ema"] for each in about if each["from"] == str(weak)} == {True, False}
    shutil.move(weak, tmp_path / "gone")
    np.testing.assert_array_equal(_draw(run, guidance=raw, guidance_weight=2.0), guided)


def test_a_run_may_be_guided_by_itself_earlier(run):
    """Its copies lie within it, and do not hold each other."""
    itself = [{"name": "autoguidance", "workdir": str(run / "own"), "ema": ema} for ema in (False, True)]
    draws = [_draw(run, guidance=each, guidance_weight=1.0) for each in itself]
    np.testing.assert_allclose(draws[1], _draw(run), rtol=1e-4)
    assert np.abs(draws[0] - draws[1]).max() > 1e-4
    assert not [*run.glob("own/stages/*/stages/*")]


def test_arms_of_an_evaluation_have_weaker_runs_of_their_own(run):
    arms = [
        {"title": f"ema {ema}", "sampler.guidance_weight": 1.0, "sampler.guidance": guidance}
        for ema in (True, False)
        for guidance in [{"name": "autoguidance", "workdir": str(run / "weak"), "ema": ema}]
    ]
    config = commands.overridden(commands.load_config(run / "own"), {"evaluation.arms": tuple(arms)})
    found = evaluate.evaluate(run / "own", config=config, evaluators=["frechet"], num=16, progress=False)
    plain, same, other = (each["frechet"] for each in found["samples"])
    assert plain == pytest.approx(same, rel=1e-3) and abs(other - plain) > 1e-6
    assert [each["network_calls"] for each in found["samples"]] == [3, 6, 6]


def test_what_is_no_run_is_refused(run):
    auto = {"name": "autoguidance", "workdir": str(run / "nowhere")}
    changes = {"sampler.guidance": auto, "sampler.guidance_weight": 1.0}
    with pytest.raises(ValueError, match=r"config\.sampler\.guidance\.workdir must be the folder of a run"):
        systems.build(commands.overridden(commands.load_config(run / "own"), changes), run / "own")

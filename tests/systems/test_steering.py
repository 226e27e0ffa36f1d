"""Any denoiser is steered by any guide: of another schedule, of its latents, of what these are decoded to."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import plain_systems
import pytest
from ml_collections import ConfigDict
from systems import tools

from diffjax import exact, samplers, systems
from diffjax.process import schedules
from diffjax.systems import same_latents, steering, vdm
from diffjax.systems.classifier import classifier
from diffjax.systems.guided import guided
from diffjax.systems.stages import Stage
from diffjax.training.system import Codec, Pass, Variables

MODES, LABEL = mixtures.tilted(), jnp.array([0, 1, 1, 0])
CHAIN = schedules.linear_beta(100, 1e-3, 0.1)
NOISES = {
    "vp_linear": schedules.vp_linear(), "sub_vp": schedules.sub_vp(), "ve": schedules.ve(),
    "edm": schedules.edm(), "rectified_flow": schedules.rectified_flow(),
    "log_snr_linear": schedules.log_snr_linear(), "cosine_beta": schedules.cosine_beta(50),
    "geometric": schedules.geometric(10.0, 0.01, 20),
}  # fmt: skip
RATIOS = np.array([0.05, 0.4, 2.0, 8.0])  # sigma / alpha; CHAIN has 0.03 to 12
X = jax.random.normal(jax.random.key(1), (4, 2))
A, SHIFT = np.array([[2.0, 0.5], [0.0, -1.5], [1.0, 1.0]]), np.array([0.3, -0.2, 0.1])  # x = A z + shift


class Bayes(nn.Module):
    """The exact classifier of the mixture, told the chain's time."""

    @nn.compact
    def __call__(self, x, t, cond=None, train=False):
        heat = self.param("heat", nn.initializers.zeros, ())
        return (1 + heat) * MODES.class_log_prob(x, CHAIN.continuous()(t))


BAYES = classifier(Bayes(), CHAIN, shape=(2,), num_classes=2)


def _made(denoise, noise, guide, *, changes=None, solver=None, **how):
    """Steer a denoiser of points in the plane, or of latents there, by a guide at scale 1."""
    sample = lambda v, keys, asked: keys
    own = plain_systems.denoising(
        lambda network: denoise, noise, shape=(2,), gives="points", sample=sample
    )._replace(**(changes or {}))
    variables = {"denoiser": plain_systems.variables(), "classifier": tools.variables(guide)}
    stages = {
        name: Stage(each, lambda folder, name=name: variables[name], lambda name=name: variables[name])
        for name, each in {"denoiser": own, "classifier": guide}.items()
    }
    times = samplers.grids.make(noise, 4, "uniform")
    made = guided(stages, noise, tools.sampler(noise, solver or samplers.ddim(), times), **how)
    return made, Variables(frozen=made.prepare(None)[0])


def _guided(made, v, x, level, label=LABEL):
    asked = {"denoiser": {}, "classifier": {"label": label}}
    return jax.jit(lambda x: made.denoiser(v)(x, level, made.request.encode(v, asked))[:2])(x)


def _require_conditional(made, v, noise):
    level = noise.at_ratio(RATIOS)
    x = jnp.asarray(np.hypot(level.alpha, level.sigma))[:, None] * X
    expected = jax.jit(lambda x: MODES.predict(x, level, LABEL)[:2])(x)
    for found, wanted in zip(_guided(made, v, x, level), expected):
        np.testing.assert_allclose(found, wanted, atol=2e-3)


DAILY = ("edm", "rectified_flow")


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[] if each in DAILY else [pytest.mark.slow]) for each in NOISES]
)
def test_a_classifier_of_another_schedule_makes_it_the_conditional_denoiser(name):
    """EDM, a flow or a variance-exploding walk, steered by the exact classifier of a chain."""
    made, v = _made(MODES.denoiser(), NOISES[name], BAYES)
    _require_conditional(made, v, NOISES[name])


def test_a_trained_schedule_is_that_of_the_checkpoint():
    own = plain_systems.denoising(lambda network: MODES.denoiser(), CHAIN)
    trained = vdm.trained(log_snr_max=9.0, log_snr_min=-6.0, width=4)
    params = trained.init(jax.random.key(0))
    v = Variables({"network": (), "schedule": params})
    own = own._replace(
        serves=("network", "schedule"), schedule=lambda v: trained.schedule(v.params["schedule"])
    )
    found = steering.schedule_of({"denoiser": Stage(own, lambda folder: v, lambda: v)})(np.array([0.0, 1.0]))
    assert isinstance(found.log_snr, np.ndarray)
    np.testing.assert_allclose(found.log_snr, [9.0, -6.0], rtol=2e-5)  # of float32 parameters


def _latent(decode=lambda z: z @ A.T + SHIFT):
    """What a plain system of points [2] has as one of pictures [3] in latents."""
    walk = Pass("walk", lambda v, keys, asked, made: keys, {"network": 1})
    after = Pass("decode", lambda v, keys, asked, made: decode(made["walk"]), {"decoder": 1})
    return {
        "example": {"x": jax.ShapeDtypeStruct((1, 3), jnp.float32)}, "space": (2,), "passes": (walk, after),
        "codec": lambda v: Codec(lambda key, x: x[:, :2], decode, (2,)),
    }  # fmt: skip


def test_latents_are_steered_by_a_classifier_of_the_same_latents():
    """At scale 1 the conditional denoiser of an affine latent space; samples are decoded."""
    example = {**BAYES.example, **_latent()["example"]}
    guide, noise = BAYES._replace(**{**_latent(), "passes": (), "example": example}), NOISES["geometric"]
    made, v = _made(MODES.denoiser(), noise, guide, changes=_latent())
    _require_conditional(made, v, noise)
    asked = {"denoiser": {}, "classifier": {"label": LABEL}}
    sample = jax.jit(lambda: made.sample(v, jax.random.key(2), asked, 4))()
    told = lambda x, level, cond: MODES.predict(x, level, LABEL)
    times = samplers.grids.make(noise, 4, "uniform")
    z = jax.jit(
        lambda: samplers.sample(jax.random.key(2), told, noise, samplers.ddim(), times, shape=(4, 2))
    )()
    np.testing.assert_allclose(sample, z @ A.T + SHIFT, atol=1e-2)
    assert [dict(each.calls) for each in made.passes] == [{"denoiser": 4, "classifier": 4}, {"decoder": 1}]


class Linear(nn.Module):
    """The second of two classes is so unlikely that its log probability is linear, to all digits."""

    @nn.compact
    def __call__(self, x, t, cond=None, train=False):
        slope = self.param("slope", lambda key: jnp.array([0.3, -0.2, 0.4]))
        return jnp.stack([50 + 0 * x[:, 0], x @ slope], -1)


def test_latents_are_steered_by_a_classifier_of_what_they_are_decoded_to():
    """Of N(m, S) and log p = w . (A z) + c the conditional law is N(m + S A^T w, S), whose denoiser it is."""
    noise, w, covariance = NOISES["edm"], np.array([0.3, -0.2, 0.4]), np.array([[0.5, 0.2], [0.2, 0.3]])
    mean = np.array([0.4, -0.1])
    law, moved = (
        exact.gaussian_mixture([1.0], [m], [covariance]) for m in (mean, mean + covariance @ A.T @ w)
    )
    pictures = classifier(Linear(), CHAIN, shape=(3,), num_classes=2)
    made, v = _made(law.denoiser(), noise, pictures, changes=_latent(), of_x0=True)
    level = noise(RATIOS)
    expected = jax.jit(lambda x: moved.predict(x, level)[:2])(X)
    for found, wanted in zip(_guided(made, v, X, level, jnp.ones(4, int)), expected):
        np.testing.assert_allclose(found, wanted, atol=2e-4)
    assert made.passes[0].calls == {"denoiser": 4, "classifier": 4, "decoder": 4}
    assert made.codec is not None and made.space == (2,)
    with pytest.raises(ValueError, match=r"classifier_of_x0 must be True where config.classifier is of"):
        _made(law.denoiser(), noise, pictures, changes=_latent())
    with pytest.raises(ValueError, match=r"config.classifier is of latents, and config.denoiser is not"):
        _made(law.denoiser(), noise, BAYES._replace(**_latent()))


def test_runs_in_other_latents_are_refused():
    def run(weight=1.0, scale=2.0):
        stats = {"shift": np.zeros(2), "scale": np.full(2, scale)}
        first = Variables({"network": np.full(3, weight)})
        return Variables(frozen={same_latents.FIRST: first, same_latents.LATENTS: stats})

    same_latents.require({"one": run(), "of data": Variables(), "same": run(scale=2.000001)})
    with pytest.raises(
        ValueError, match="other must be in the latents of one: its first stage is another one"
    ):
        same_latents.require({"one": run(), "other": run(weight=2.0)})
    with pytest.raises(ValueError, match=r"their scales differ, \[3. 3.\] and \[2. 2.\]; latents.scale as a"):
        same_latents.require({"one": run(), "of data": Variables(), "other": run(scale=3.0)})


PIXELS = (8, 8, 3)
DATA = {
    "name": "npz",
    "path": "x.npz",
    "images": "image",
    "labels": "label",
    "shape": PIXELS,
    "num_classes": 3,
}
MLP = {"name": "mlp", "width": 8, "depth": 1}
TOWER = {**MLP, "out_features": 3, "whole": True}
KL = {"name": "kl", "channels": (4, 4), "num_res_blocks": 1, "num_groups": 2, "latent_channels": 2,
      "middle_attention": False}  # fmt: skip
NAME = {"name": {"encoder": "classes", "array": "label", "num_classes": 3}}
FLOW = {"data": DATA, "schedule": {"name": "rectified_flow"}, "model": MLP, "objective": {"kind": "velocity"}}
HEUN = {"solver": "heun", "steps": 2}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of runs that are begun and no more: {name: section}."""
    folder = tmp_path_factory.mktemp("steering")
    found = {name: {"workdir": str(folder / name)} for name in ("first", "flow", "latent", "clip", *GUIDES)}
    latent = {"system": "latent", "first_stage": found["first"]}
    within = lambda system: latent | {"latents": {"system": system, "scale": 1.0}}
    told = {
        "data": DATA,
        "schedule": {"name": "cosine_beta", "num_steps": 9},
        "model": TOWER,
        "objective": {},
    }
    sections = {
        "first": {"system": "autoencoder", "data": DATA, "model": KL, "objective": {"discriminator": None}},
        "flow": {"system": "ddpm", **FLOW, "sampler": HEUN},
        "latent": {**FLOW, "sampler": HEUN, **within("ddpm")},
        "clip": {"system": "clip", "data": DATA, "model": TOWER, "conditions": NAME},
        "classifier": {"system": "classifier", **told},
        "noise_aware": {"system": "noise_aware", **told, "clean": found["clip"]},
        "latent_classifier": {**told, **within("classifier")},
    }
    for name, each in sections.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(ConfigDict(each).to_json())
    return found


GUIDES = ("classifier", "noise_aware", "latent_classifier")
CASES = [  # denoiser, guide, options of the sampler, None or what is refused
    ("flow", "classifier", {}, None),
    ("flow", "clip", {"guides_of_x0": True}, None),
    ("flow", "clip", {}, "sampler.guides_of_x0 must be True, as config.encoder has no noise schedule"),
    ("flow", "latent_classifier", {}, r"config.classifier is of examples \(4, 4, 2\), and config.den"),
    ("latent", "latent_classifier", {}, None),
    ("latent", "latent_classifier", {"classifier_shift": "mean", "solver": "ancestral"}, None),
    ("latent", "latent_classifier", {"edit": {"mask": True}}, None),
    ("latent", "classifier", {"classifier_of_x0": True}, None),
    ("latent", "classifier", {}, "classifier_of_x0 must be True where config.classifier is of pictures"),
    ("latent", "noise_aware", {"guides_of_x0": True}, None),
    ("latent", "noise_aware", {}, "sampler.guides_of_x0 must be True where config.encoder is of pictures"),
    ("latent", "noise_aware", {"guides_of_x0": 1}, "sampler.guides_of_x0 must be True or False, got 1"),
    ("latent", "classifier", {"measurement": {"operator": "mask"}, "classifier_of_x0": True},
     "sampler.measurement is not for a denoiser of latents"),
    ("classifier", "classifier", {"solver": "ddim"}, "config.denoiser must be a run with a denoiser, which"),
]  # fmt: skip


QUICK = [CASES[i] for i in (2, 6, 11, 13)]


@pytest.mark.parametrize(
    ("denoiser", "guide", "options", "refused"),
    [pytest.param(*each, marks=[] if each in QUICK else [pytest.mark.slow]) for each in CASES],
)
def test_configs_of_two_runs_trace_or_say_why_not(runs, denoiser, guide, options, refused):
    by_classes = guide.endswith("classifier")
    config = {"data": DATA, "denoiser": runs[denoiser], "sampler": {**HEUN, **options}}
    config |= {"classifier": runs[guide]} if by_classes else {"encoder": runs[guide]}
    if not by_classes:
        config["sampler"]["guides"] = {"text": 1.0, "image": 1.0}
    config = ConfigDict({"system": "guided" if by_classes else "semantic", **config})
    if refused is not None:
        with pytest.raises(ValueError, match=refused):
            systems.build(config)
        return
    system = systems.build(config)
    picture = np.zeros(PIXELS, np.uint8)
    asked = {"label": [1]} if by_classes else {"name": [1], "image": [picture]}
    if "edit" in options:
        asked |= {"init_image": [picture], "mask": [np.ones(PIXELS[:2], np.uint8)]}
    asked, v = system.request.of_user(asked, 2), Variables(frozen=system.frozen)
    made = jax.eval_shape(lambda v, asked: system.sample(v, jax.random.key(0), asked, 2), v, asked)
    assert made.shape == (2, *PIXELS) and system.gives == "images"

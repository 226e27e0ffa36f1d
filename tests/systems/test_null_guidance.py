"""Guidance as `config.sampler` says it: by name, in an interval, rescaled; what it costs; what is refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from diffjax import guidance, samplers
from diffjax.process import prediction, schedules
from diffjax.systems import ddpm, read, requests
from diffjax.training.system import Variables

N, NOISE = 4, schedules.cosine_beta(20)
LABELS = jnp.array([0, 1, 2, 3])
NO, RISING = {"guidance_weight": 0.0}, {"name": "linear", "first": 0.0, "last": 2.0}
LEVELS = np.exp(-np.asarray(NOISE(np.arange(1, 21)).log_snr) / 2)  # sigma / alpha of the chain's steps


def both():
    """Return a request of two classes, of 4 and 3, and the table in which class c of the second is 10 c."""
    parts = {"label": requests.classes(4, 1, True), "kind": requests.classes(3, 1, True, name="kind")}
    rows = {"label": jnp.arange(5.0)[:, None], "kind": 10 * jnp.arange(4.0)[:, None]}
    embed = {name: {"embedding": table} for name, table in rows.items()}
    return requests.of_parts(parts, dict.fromkeys(parts, 0.1)), {"conditions": {"embed": embed}}


class Told:
    """A stand-in for a module that predicts x_0 = (2, class), of no class (2, 4)."""

    vector_features = 1

    def init(self, key, x, t, cond=None):
        return {"params": {"scale": jnp.ones(())}}

    def apply(self, variables, x, t, cond=None, train=False, rngs=None):
        return jnp.concatenate([jnp.full((len(x), 1), 2.0), cond.vector], 1)


def sampler(**options):
    options = {"solver": "ddim", "steps": 20, "guidance_weight": 1.0} | options
    config = ConfigDict({"system": "ddpm", "sampler": options, "objective": {"kind": "x0"}})
    return read.sampler(config, NOISE)


def one():
    """Return a request of one of four classes, and the table in which class c is c."""
    table = {"conditions": {"embed": {"label": {"embedding": jnp.arange(5.0)[:, None]}}}}
    return requests.labels(4, 1, 0.1), table


def sampled(parts=one, request=None, **options):
    asked, table = parts()
    module: Any = Told()
    system = ddpm.ddpm(
        module, NOISE, sampler(**options), shape=(2,), reading=prediction.reading("x0"), gives="points",
        requests=asked._replace(init=lambda key: table),
    )  # fmt: skip
    v = Variables(*system.init(jax.random.key(0), system.example, {}))
    return np.asarray(
        jax.jit(system.sample, static_argnums=3)(v, jax.random.key(1), request or {"label": LABELS}, N)
    )


def test_an_interval_guides_inside_and_nowhere_else():
    # the last step, from the least noise, says where samples land: at x_0 of class c, or at 4 + 2 (c - 4)
    plain, guided = np.asarray(LABELS, float), 2.0 * LABELS - 4
    least = float(LEVELS[0])
    for interval, expected in [
        ((0, np.inf), guided), ((least / 2, 1.0), guided), ((2 * least, 50.0), plain)
    ]:  # fmt: skip
        x = sampled(guidance_interval=interval)
        np.testing.assert_allclose(x[:, 1], expected, atol=1e-5)
    # an interval between two levels of the chain is one in which nothing happens
    between = float(np.sqrt(LEVELS[3] * LEVELS[4]))
    outside = sampled(guidance_interval=(between * 0.999, between * 1.001))
    np.testing.assert_array_equal(outside, sampled(guidance_weight=0.0))


def test_an_interval_costs_what_its_segments_say():
    inside = int(((LEVELS >= 0.2) & (LEVELS <= 5)).sum())
    assert 0 < inside < 20
    assert sampler(guidance_interval=(0.2, 5.0)).network_calls() == 20 + inside
    assert sampler().network_calls() == 40 and sampler(guidance_weight=0.0).network_calls() == 20
    assert sampler(guidance_weight=-1.0).network_calls() == 20  # s = 0 is the unconditional model alone
    assert sampler(guidance_weight=0.0, guidance_interval=(0.2, 5.0)).network_calls() == 20


def test_a_weight_may_follow_the_noise():
    """Where samples land is said by the last step, whose weight is the last; a weight of 0 costs nothing."""
    at = lambda w: 4 + (1 + w) * (np.asarray(LABELS, float) - 4)
    for name, more in [("linear", {}), ("cosine", {"exponent": 2.0}), ("power", {"exponent": 3.0})]:
        own = {"name": name, "first": 0.0, "last": 2.0, **more}
        np.testing.assert_allclose(sampled(guidance_weight=own)[:, 1], at(2.0), atol=1e-5)
        assert sampler(guidance_weight=own).network_calls() == 39  # the first step's weight is 0
        back = {**own, "first": 2.0, "last": 0.0}
        np.testing.assert_array_equal(sampled(guidance_weight=back)[:, 1], at(0.0))
        assert sampler(guidance_weight=back).network_calls() == 39
    of_part = {"label": {"name": "linear", "first": 1.0, "last": 3.0}}
    np.testing.assert_allclose(sampled(guidance_scales=of_part, **NO)[:, 1], at(2.0), atol=1e-5)


def test_levels_with_nothing_around_are_an_interval():
    lo, hi = (float(np.sqrt(LEVELS[i] * LEVELS[i + 1])) for i in (3, 12))
    pairs = ((lo * 0.999, 0.0), (lo, 1.0), (hi, 1.0), (hi * 1.001, 0.0))
    by_level = {"guidance_weight": {"name": "levels", "at": pairs}}
    by_interval = {"guidance_interval": (lo, hi)}
    np.testing.assert_allclose(sampled(**by_level), sampled(**by_interval), atol=1e-6)
    assert sampler(**by_level).network_calls() == sampler(**by_interval).network_calls() == 20 + 9
    middle = {"name": "levels", "at": ((LEVELS[0] / 4, 0.0), (LEVELS[0] * 4, 3.0))}  # half way
    np.testing.assert_allclose(
        sampled(guidance_weight=middle)[:, 1], 4 + 2.5 * (np.asarray(LABELS) - 4), atol=1e-4
    )


def test_names_are_those_of_the_guidance():
    away = 4.0 + 0.5 * (np.asarray(LABELS) - 4)
    x = sampled(guidance="cfg_plus_plus", guidance_weight=0.5)
    np.testing.assert_allclose(x[:, 1], away, atol=1e-5)
    # with its parallel part and no threshold APG is classifier-free guidance
    same = sampled(guidance={"name": "apg", "parallel": 1.0})
    np.testing.assert_allclose(same, sampled(), atol=1e-5)
    # x_0 of class c is (2, c): the spread over its two numbers is |c - 2| / 2, which phi = 1 keeps
    rescaled = sampled(guidance_rescale=1.0)
    np.testing.assert_allclose(rescaled.std(1)[:2], [1.0, 0.5], atol=1e-5)


def test_each_part_of_a_request_has_a_scale_of_its_own():
    """x_0 is a sum over the parts here, so that each moves away from its own null by its own scale."""
    kind, away = np.array([2, 0, 1, 2]), {"label": 4.0, "kind": 30.0}
    told, request = {"label": np.asarray(LABELS, float), "kind": 10.0 * kind}, {"label": LABELS, "kind": kind}
    at = lambda scales: sampled(both, request, guidance_weight=0.0, guidance_scales=scales)[:, 1]
    for scales in ({"label": 3.0, "kind": -0.5}, {"kind": 2.0}):
        expected = sum(away[part] + scales.get(part, 1) * (told[part] - away[part]) for part in told)
        np.testing.assert_allclose(at(scales), expected, atol=1e-4)
    np.testing.assert_allclose(
        sampled(guidance_weight=0.0, guidance_scales={"label": 3.0}), sampled(guidance_weight=2.0), atol=1e-5
    )


def test_scales_cost_a_call_each_and_the_null():
    costs = lambda **options: sampler(guidance_weight=0.0, **options).network_calls()
    assert costs(guidance_scales={"label": 3.0, "kind": 1.5}) == 60
    assert costs(guidance_scales={"label": 3.0, "kind": 0.0}) == 40
    assert costs(guidance_scales={"label": 0.5, "kind": 0.5}) == 40  # the null has coefficient 0
    inside = int(((LEVELS >= 0.2) & (LEVELS <= 5)).sum())
    own = {"guidance_scales": {"label": 3.0, "kind": 1.5}, "guidance_interval": (0.2, 5.0)}
    assert costs(**own) == 20 + 2 * inside


def test_scales_are_of_parts_that_training_dropped():
    message = r"sampler\.guidance_scales.* must be one of label; got 'lable'; did you mean 'label'"
    with pytest.raises(ValueError, match=message):
        sampled(guidance_weight=0.0, guidance_scales={"lable": 3.0})
    never = lambda: (requests.labels(4, 1), one()[1])
    with pytest.raises(ValueError, match=r"guidance_scales needs a class-conditional .*got {'label': 3\.0}"):
        sampled(never, guidance_weight=0.0, guidance_scales={"label": 3.0})


def test_the_weight_alone_is_classifier_free_guidance_bit_for_bit():
    plain = read.Sampler(samplers.ddim(), sampler().times, 1.0, None, 20)
    of_config, of_code = (each.guided(jnp.zeros(1)) for each in (sampler(), plain))
    assert type(of_config) is type(of_code) is type(guidance.classifier_free(weight=1.0, null=0))
    x, level = jnp.ones((2, 1)), NOISE(5)
    denoise = prediction.reading("x0").denoiser(lambda x, t, cond=None: 0.3 * x + cond[:, None])
    for a, b in zip(of_config(denoise)(x, level, jnp.ones(2)), of_code(denoise)(x, level, jnp.ones(2))):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance_interval": (0.2, 0.1)}, r"sampler\.guidance_interval: interval needs 0 <= lo < hi"),
        ({"guidance_interval": (1e5, 1e6)}, r"sampler\.guidance_interval: .*must meet the schedule's"),
        ({"guidance_interval": 0.2}, r"sampler\.guidance_interval must be two numbers .*got 0\.2"),
        ({"guidance_interval": (1e5, 1e6), "guidance_weight": 0.0}, "must meet the schedule's"),
        ({"guidance_rescale": 1.5}, r"sampler\.guidance_rescale must be a number, in \[0, 1\]; got 1\.5"),
        ({"guidance": "agp"}, r"sampler\.guidance must be one of classifier_free, apg.*did you mean 'apg'"),
        ({"guidance": {"name": "apg", "eta": 1.0}}, r"sampler\.guidance\.eta is not an option of apg"),
        ({"guidance": "cfg_plus_plus", "guidance_weight": 2.0}, r"guidance_weight .*in \[0, 1\]; got 2"),
        ({"guidance": "cfg_plus_plus", "solver": "ancestral"}, r"needs sampler\.solver='ddim'.*'ancestral'"),
        ({"guidance": "cfg_plus_plus", "threshold": "static"}, r"sampler\.threshold must keep the eps"),
        ({"guidance": "cfg_plus_plus", "guidance_rescale": 0.5}, r"guidance_rescale must be left out"),
        ({"guidance_weight": {"name": "linear", "first": 1.0}}, r"missing a required argument: 'last'"),
        ({"guidance_weight": {"name": "liner"}}, r"guidance_weight must be one of .*did you mean 'linear'"),
        ({"guidance_weight": {"name": "levels", "at": ((1.0, 2.0),)}}, r"guidance_weight: at must be pairs"),
        ({"guidance_weight": {"name": "levels", "at": ((2.0, 0.0), (1.0, 1.0))}}, "above 0 that grow"),
        ({"guidance_weight": {"name": "power", "first": 0, "last": 1, "exponent": 0}}, "exponent must"),
        ({"guidance": "cfg_plus_plus", "guidance_weight": RISING}, r"guidance_weight .*in \[0, 1\]; got 2"),
        ({"guidance_scales": {"label": 1.0}}, r"sampler\.guidance_weight must be left out with .*got 1\.0"),
        ({"guidance_scales": 3.0}, r"sampler\.guidance_scales must be a section such as .*got 3\.0"),
        ({"guidance_scales": {"label": np.nan}, **NO}, r"guidance_scales\.label must be a number.*got nan"),
        ({"guidance_scales": {"label": 1.0}, "guidance": "apg", **NO}, r"sampler\.guidance must be left out"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        sampler(**options)


def test_a_time_that_is_sigma_has_no_linear_weight():
    config = ConfigDict({"sampler": {"solver": "edm_heun", "steps": 4, "guidance_weight": RISING}})
    with pytest.raises(ValueError, match=r"guidance_weight: schedule must have a time of its own.*by levels"):
        read.sampler(config, schedules.edm())

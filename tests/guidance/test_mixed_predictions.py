"""Guidance that mixes two predictions or more: references, identities, and what each call costs."""

import collections

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest
import reference

from diffjax import guidance, samplers
from diffjax.process import prediction, schedules

MIXTURE, EDM = mixtures.tilted(), schedules.edm()
LABELS, KEY = jnp.array([0, 1, 1, 0]), jax.random.key(0)
X = np.random.default_rng(0).normal(size=(4, 2))
LEVEL = EDM(np.array([0.05, 0.7, 3.0, 40.0]))
CFG = guidance.classifier_free(3.0, null=-1)


# --- references ------------------------------------------------------------------------------------


def test_imagen(x64):
    golden, hyper = reference.load("imagen_cfg")
    x, time, cond = (jnp.asarray(golden[name]) for name in ("x", "time", "cond"))

    def network(x, t, c):
        c, t = (jnp.reshape(each, (-1, 1, 1, 1)) for each in (c, t))
        return 0.5 * jnp.tanh(x) + 0.2 * c * x + 0.05 * t

    denoise = prediction.reading("eps").denoiser(network)
    for scale in hyper["scales"]:
        eps = guidance.classifier_free(scale, null=0.0)(denoise)(x, _at(time), cond).eps
        np.testing.assert_allclose(eps, golden[f"cfg_w{scale}"], rtol=1e-9)


def test_diffusers(x64):
    golden, hyper = reference.load("diffusers_guidance")
    null, text = golden["noise_pred_uncond"], golden["noise_pred_text"]
    level, x, cond = schedules.vp_linear()(0.5), jnp.zeros(null.shape), jnp.ones(len(null), int)
    network = lambda x, t, c: jnp.where(jnp.reshape(c, (-1, 1, 1, 1)) == 1, text, null)
    denoise = prediction.reading("eps").denoiser(network)
    for scale in hyper["scales"]:
        guide = guidance.classifier_free(scale, null=0)
        eps = guide(denoise)(x, level, cond).eps
        np.testing.assert_allclose(eps, golden[f"cfg_w{scale}"], rtol=1e-9, atol=1e-12)
        for phi in hyper["phis"]:
            eps = guidance.rescale(guide, phi)(denoise)(x, level, cond).eps
            np.testing.assert_allclose(eps, golden[f"cfg_w{scale}__rescale_phi{phi}"], rtol=1e-6)
    ratio, most = hyper["dynamic_thresholding_ratio"], hyper["sample_max_value"]
    fixed = lambda x, level, cond: prediction.from_x0(jnp.asarray(golden["thr_in"]), x, level)
    x0 = guidance.dynamic_threshold(ratio, most)(fixed)(x, level).x0
    np.testing.assert_allclose(x0, golden["thr_out"], rtol=1e-6)


def _at(time):
    return schedules.vp_linear()(0.5)._replace(t=time)


# --- identities ------------------------------------------------------------------------------------


def _same(ours, theirs, **tolerance):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, **({"rtol": 1e-6, "atol": 1e-6} | tolerance))


def _guided(guide, level=LEVEL):
    return guide(MIXTURE.denoiser())(jnp.asarray(X) * (1 + np.reshape(level.sigma, (-1, 1))), level, LABELS)


def test_a_strength_of_the_level_is_at_each_level_that_number():
    ramp = lambda level: 2 * level.sigma / (1 + level.sigma)
    _same(
        _guided(guidance.classifier_free(weight=ramp, null=-1)),
        _guided(guidance.classifier_free(weight=ramp(LEVEL).astype(np.float32), null=-1)),
    )
    traced = jax.jit(lambda s: _guided(guidance.classifier_free(s, null=-1)))(jnp.array([0.0, 1, 2, 3]))
    _same(traced, _guided(guidance.classifier_free(np.array([0.0, 1, 2, 3]), null=-1)))


def test_an_interval_is_the_guide_inside_and_nothing_outside():
    guide = guidance.interval(CFG, 0.7, 3.0)
    inside, outside, mixed = _guided(CFG), MIXTURE.denoiser(), _guided(guide)
    plain = _guided(lambda denoise: outside)
    for i, within in enumerate([False, True, True, False]):  # its edges are inside
        np.testing.assert_array_equal(mixed.x0[i], (inside if within else plain).x0[i])
    # each level alone, on the host and traced
    for sigma, within in ((0.5, False), (0.7, True), (2.0, True), (3.0, True), (3.1, False)):
        expected = _guided(CFG if within else guidance.chain(), EDM(sigma))
        _same(_guided(guide, EDM(sigma)), expected, rtol=1e-7)
        _same(jax.jit(lambda level: _guided(guide, level))(EDM(sigma)), expected, rtol=1e-5)


def test_a_walk_with_an_interval_is_a_walk_of_segments():
    times = samplers.grids.karras(8, 0.02, 80.0)
    guide = guidance.interval(CFG, times[5] * 0.9, times[2] * 1.1)
    plain = MIXTURE.denoiser()
    options = {"shape": (4, 2), "cond": LABELS}
    ours = samplers.sample(KEY, guide(plain), EDM, samplers.ddim(0.5), times, **options)
    parts = [(times[:3], plain), (times[2:7], CFG(plain)), (times[6:], plain)]
    _same(ours, samplers.sample_segments(KEY, parts, EDM, samplers.ddim(0.5), **options), rtol=1e-5)


def test_composed_conditions_are_a_sum_of_scores(x64):
    s, x = [1.5, -0.5], jnp.asarray(X) * (1 + LEVEL.sigma[:, None])
    composed = guidance.compose_conditions(s, null=-1)(MIXTURE.denoiser())(x, LEVEL, [LABELS, 1 - LABELS])
    free = MIXTURE.score(x, LEVEL)
    score = free + sum(w * (MIXTURE.score(x, LEVEL, y) - free) for w, y in zip(s, (LABELS, 1 - LABELS)))
    np.testing.assert_allclose(prediction.score(composed, LEVEL), score, rtol=1e-9, atol=1e-11)
    alone = guidance.compose_conditions([2.5], null=-1)(MIXTURE.denoiser())(x, LEVEL, [LABELS])
    _same(alone, guidance.classifier_free(2.5, null=-1)(MIXTURE.denoiser())(x, LEVEL, LABELS), rtol=1e-12)


@pytest.mark.parametrize("scale", [0.0, 0.3, 4.0])
def test_autoguidance_by_itself_is_itself_and_otherwise_extrapolates(scale):
    _same(_guided(guidance.autoguidance(MIXTURE.denoiser(), scale)), _guided(guidance.chain()))
    weak = lambda x, level, cond=None: MIXTURE.predict(x, level)
    free = _guided(guidance.classifier_free(scale, null=-1))
    _same(_guided(guidance.autoguidance(weak, scale)), free, rtol=1e-5)


def test_projected_guidance_without_projection_is_classifier_free():
    _same(_guided(guidance.apg(3.0, null=-1, parallel=1.0)), _guided(CFG), rtol=1e-4, atol=1e-5)
    ours = _guided(guidance.apg(3.0, null=-1, threshold=0.1)).x0 - _guided(guidance.chain()).x0
    along = (ours * _guided(guidance.chain()).x0).sum(1)
    np.testing.assert_allclose(along, 0, atol=1e-6)
    assert (jnp.linalg.norm(ours, axis=1) <= 0.2 + 1e-6).all()


def test_cfg_plus_plus_noises_again_by_the_unconditional_eps():
    """One DDIM step of Chung et al.: x_s = alpha_s x_0(lambda) + sigma_s eps(null)."""
    level, lower, x = EDM(3.0), EDM(1.0), jnp.asarray(X, jnp.float32)
    null, cond = MIXTURE.predict(x, level), MIXTURE.predict(x, level, LABELS)
    for scale in (0.0, 0.4, 1.0):
        guided = guidance.cfg_plus_plus(scale, null=-1)(MIXTURE.denoiser())
        ours = samplers.sample(KEY, guided, EDM, samplers.ddim(), [3.0, 1.0], x_init=x, cond=LABELS)
        _same(ours, null.x0 + scale * (cond.x0 - null.x0) + lower.sigma * null.eps, rtol=1e-5)


def test_rescaled_guidance_has_the_conditional_spread():
    images = np.random.default_rng(1).normal(size=(2, 4, 3, 3, 1))
    network = lambda x, t, c: jnp.where(c.reshape(-1, 1, 1, 1) == 1, images[0], images[1])
    denoise, level = prediction.reading("v").denoiser(network), schedules.vp_linear()(1.0)
    x, cond = jnp.ones((4, 3, 3, 1)), jnp.ones(4, int)
    guided = guidance.rescale(guidance.classifier_free(8.0, null=0), 1.0, "v")(denoise)(x, level, cond)
    v = prediction.target("v", guided.x0, guided.eps, level)
    np.testing.assert_allclose(v.std((1, 2, 3)), images[0].std((1, 2, 3)), rtol=1e-4)


# --- calls -----------------------------------------------------------------------------------------

TIMES = samplers.grids.karras(6, 0.02, 80.0)
MASK = guidance.operators.mask(jnp.array([1, 0]))
HIGH = lambda level: jnp.where(level.sigma > TIMES[3] * 1.01, 2.0, 0.0)  # a weight on the first three levels
COSTS = {  # calls of 6 DDIM steps, and of 6 steps of EDM's Heun, the last of which makes one
    "none": (guidance.chain(), 6, 11),
    "classifier_free": (CFG, 12, 22),
    "no weight": (guidance.classifier_free(weight=0.0, null=-1), 6, 11),
    "unconditional": (guidance.classifier_free(0.0, null=-1), 6, 11),
    "interval": (guidance.interval(CFG, TIMES[4], TIMES[2]), 9, 17),
    "of the level": (guidance.classifier_free(weight=HIGH, null=-1), 9, 16),
    "rescaled": (guidance.rescale(CFG), 12, 22),
    "within": (guidance.chain(guidance.interval(CFG, TIMES[4], TIMES[2]), guidance.clip()), 9, 17),
    "classifier": (guidance.classifier(lambda x, level, cond: -x), 6, 11),
    "inverse": (guidance.linear_inverse(MASK, jnp.ones((4, 2)), 0.1), 6, 11),
}  # fmt: skip


@pytest.mark.parametrize("name", COSTS)
def test_calls_are_what_is_reported(name):
    guide, *expected = COSTS[name]
    counted = collections.Counter()

    def denoise(x, level, cond):
        jax.debug.callback(lambda label: counted.update([name]), cond[0])
        return MIXTURE.predict(x, level, cond)

    for solver, calls in zip((samplers.ddim(), samplers.edm_heun()), expected):
        rows = samplers.plan(EDM, solver, TIMES)
        assert samplers.network_calls(solver, rows, guide, jnp.ones((4, 2)), LABELS) == calls
        if solver is samplers.ddim() or name in ("interval", "of the level"):
            counted.clear()
            samplers.sample(KEY, guide(denoise), EDM, solver, TIMES, shape=(4, 2), cond=LABELS)
            jax.effects_barrier()
            assert counted[name] == calls


def test_calls_of_composed_conditions_leave_out_what_has_no_part():
    solver, two = samplers.ddim(), [LABELS, 1 - LABELS]
    rows = samplers.plan(EDM, solver, TIMES)
    for scales, calls in (([1.0, 2.0], 18), ([0.5, 0.5], 12), ([1.0, 0.0], 6), ([0.0, 0.0], 6)):
        guide = guidance.compose_conditions(scales, null=-1)
        assert samplers.network_calls(solver, rows, guide, jnp.ones((4, 2)), two) == calls


# --- refusals --------------------------------------------------------------------------------------


def _call(guide, cond=LABELS):
    return lambda: guide()(MIXTURE.denoiser())(jnp.ones((4, 2)), EDM(1.0), cond)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: guidance.interval(CFG, 3.0, 1.0), "interval needs 0 <= lo < hi, got lo = 3 and hi = 1"),
        (lambda: guidance.interval(CFG, -1.0, 1.0), "interval needs 0 <= lo < hi"),
        (lambda: guidance.interval(CFG, 90.0, 99.0, schedule=EDM), "must meet the schedule's sigma / alpha"),
        (
            lambda: guidance.interval(CFG, 0.0, 1e-4, schedule=schedules.linear_beta(9)),
            "must meet the schedule",
        ),
        (lambda: guidance.interval(3.0, 1.0, 2.0), "guide must be a function"),
        (lambda: guidance.rescale(guidance.clip()), "guide must be made by"),
        (lambda: guidance.rescale(CFG, 1.5), "phi must be in"),
        (lambda: guidance.rescale(CFG, 0.5, "mean"), "kind must be one of"),
        (lambda: guidance.apg(2.0, null=-1, threshold=0.0), "threshold must be positive"),
        (lambda: guidance.apg(null=-1), "exactly one of scale"),
        (lambda: guidance.cfg_plus_plus(np.nan, null=-1), "scale must be"),
        (lambda: guidance.autoguidance(None, 2.0), "weak must be a Denoiser"),
        (lambda: guidance.compose_conditions([], null=-1), "scales must be one for each condition"),
        (lambda: guidance.compose_conditions([np.inf], null=-1), "scales must be"),
        (_call(lambda: guidance.compose_conditions([1.0, 2.0], null=-1)), "cond must be a sequence of 2"),
        (_call(lambda: guidance.compose_conditions([1.0], null=-1), [LABELS[:3]]), "cond must hold"),
        (_call(lambda: guidance.classifier_free(weight=jnp.ones(3), null=-1)), "weight must be a scalar or"),
        (
            lambda: guidance.classifier_free(weight=[3], null=-1),
            r"weight must be a finite number, .*got \[3\]",
        ),
        (_call(lambda: guidance.classifier_free(lambda level: np.nan, null=-1)), "scale must be finite"),
        (_call(lambda: guidance.classifier_free(lambda level: level, null=-1)), "scale must give a number"),
        (_call(lambda: guidance.classifier_free(2.0, null=jnp.ones(3, int))), "null must broadcast against"),
        (_call(lambda: guidance.classifier_free(2.0, null={"label": -1})), "in the structure of null"),
    ],
)
def test_wrong_calls_are_named_before_anything_compiles(make, message):
    with pytest.raises(ValueError, match=message) as told:
        make()
    assert "\n" not in str(told.value)

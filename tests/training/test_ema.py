"""Moving averages against recorded arrays of the reference implementations, and closed forms."""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from diffjax.training import ema

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "ema.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def _average(params, decays):
    average, history = params[0], []
    for p, decay in zip(params[1:], decays):
        average = ema.update(average, p, decay)
        history.append(average)
    return np.stack(history)


def test_constant_decay_as_guided_diffusion(x64, golden):
    rule = ema.constant(0.9)
    got = _average(jnp.asarray(golden["params"]), [rule(n) for n in range(5)])
    np.testing.assert_allclose(got, golden["ema"], rtol=1e-9)


def test_half_life_as_edm(x64, golden):
    # The recorded run counts 800 images a step and a batch of 16: ask for the decay at 50 updates a step.
    rule = ema.half_life(images=100, batch_size=16, rampup=0.05)
    decays = [rule(jnp.int64(50 * n)) for n in range(5)]
    np.testing.assert_allclose(decays, golden["edm_beta"], rtol=1e-9)
    got = _average(jnp.asarray(golden["params"]), decays)
    np.testing.assert_allclose(got, golden["edm_ema"], rtol=1e-9)


def test_warm_up_as_diffusers(x64, golden):
    # diffusers counts the update that is being made, we count those made before it.
    got = [ema.warmed_up(0.999)(jnp.int64(n - 1)) for n in golden["diffusers_decay_steps"]]
    np.testing.assert_allclose(got, golden["diffusers_decay"], rtol=1e-9)


def test_half_life_halves(x64):
    rule = ema.half_life(images=1000, batch_size=10, rampup=None)
    np.testing.assert_allclose(rule(0) ** (1000 / 10), 0.5, rtol=1e-12)


def test_inverse_power_closed_form(x64):
    rule = ema.inverse_power(0.9999, inv_gamma=2.0, power=0.75)
    np.testing.assert_allclose(rule(jnp.int64(30)), 1 - 16**-0.75, rtol=1e-12)
    assert rule(jnp.int64(0)) == 0 and rule(jnp.int64(10**9)) == 0.9999


@pytest.mark.parametrize("dtype, kept", [(jnp.bfloat16, jnp.float32), (jnp.float32, jnp.float32)])
def test_average_is_float32(dtype, kept):
    params = {"w": jnp.ones(3, dtype)}
    average = ema.init(params)
    assert average["w"].dtype == kept
    # In bfloat16 a step of 1e-3 towards 2 would be lost.
    moved = ema.update(average, {"w": jnp.full(3, 2, dtype)}, 0.999)
    assert moved["w"].dtype == kept
    np.testing.assert_allclose(moved["w"], 1.001, rtol=1e-6)


@pytest.mark.parametrize("rule", [ema.constant, ema.warmed_up, ema.inverse_power])
def test_decay_out_of_range_is_refused(rule):
    with pytest.raises(ValueError, match=r"ema decay=1.5 must be in \[0, 1\]"):
        rule(1.5)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "many"])
@pytest.mark.parametrize(
    "rule, name, others",
    [
        (ema.half_life, "images", {"batch_size": 16}),
        (ema.half_life, "batch_size", {"images": 100}),
        (ema.half_life, "rampup", {"images": 100, "batch_size": 16}),
        (ema.inverse_power, "inv_gamma", {"decay": 0.99}),
        (ema.inverse_power, "power", {"decay": 0.99}),
    ],
)
def test_numbers_out_of_range_are_refused(rule, name, others, value):
    with pytest.raises(ValueError, match=f"{name} must be (positive|a positive|a finite|an integer)"):
        rule(**{name: value}, **others)

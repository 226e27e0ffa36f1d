"""Bits per dimension of whole run folders, whose networks say nothing: in closed form."""

import functools
import json

import numpy as np
import pytest
from evaluation.runs import BITS, DIGITS, MLP, config_of, run_of, silent

from diffjax.data import load, to_model
from diffjax.evaluate import evaluate
from diffjax.evaluation import dequantiser
from diffjax.process import schedules


def _held_out(count):
    """The pixels [count, D] that bits are measured of."""
    x = load("digits", "test").x
    return np.asarray(to_model(x[np.arange(count) * len(x) // count]), np.float64).reshape(count, -1)


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_bits_of_a_chain_whose_network_says_zero(tmp_path, judged, variance):
    """x_0 is guessed as 0: each mean is off by its coefficient of x_0, without any noise. What two Gaussians
    of known variances differ by is Ho et al. 2020, equations (2), (7) and (8), here from the betas."""
    config = config_of(DIGITS, MLP, kind="x0")
    config.evaluation.bound_variance = variance
    found = evaluate(
        run_of(tmp_path, config, silent), num=12, bound_images=7, evaluators=BITS, progress=False
    )["bound"]
    n = np.arange(20)
    f = lambda t: np.cos((t / 20 + 0.008) / 1.008 * np.pi / 2) ** 2
    beta = np.minimum(1 - f(n + 1) / f(n), 0.999)
    alpha_bar = np.cumprod(1 - beta)
    before = np.concatenate([[1.0], alpha_bar[:-1]])
    small = beta * (1 - before) / (1 - alpha_bar)
    model = small if variance == "fixed_small" else beta
    square = (_held_out(7) ** 2).mean(1)[:, None]
    off = (np.sqrt(before) * beta / (1 - alpha_bar)) ** 2 * square
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = 0.5 * (np.log(model / small) + (small + off) / model - 1) / np.log(2)
    last = alpha_bar[-1]
    prior = 0.5 * (last * square[:, 0] + (1 - last) - 1 - np.log(1 - last)) / np.log(2)
    np.testing.assert_allclose(found["between"], terms[:, 1:].sum(1).mean(), rtol=1e-4)
    np.testing.assert_allclose(found["terms"][1:], terms[:, 1:].mean(0), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found["prior"], prior.mean(), rtol=1e-3, atol=1e-6)
    parts = found["prior"] + found["between"] + found["decoder"]
    np.testing.assert_allclose(found["bits_per_dim"], parts, rtol=1e-5)
    assert found["variance"] == variance and found["count"] == 7


def test_bits_of_an_ode_whose_network_says_zero(tmp_path, judged):
    """Without noise to take away x only shrinks, by alpha: the density is a Gaussian of a known width."""
    config = config_of(DIGITS, MLP, kind="eps")
    config.schedule, config.sampler = {"name": "vp_linear"}, {"solver": "ddim", "steps": 3}
    folder = run_of(tmp_path, config, silent)
    found = evaluate(folder, num=12, bound_images=7, evaluators=BITS, progress=False)
    assert "bound" not in found and found["samples"] == []  # nothing is drawn where nothing is of samples
    noise = schedules.vp_linear()
    first, last = (noise(np.float64(t)) for t in (noise.t_min, noise.t_max))
    shrinks = np.log(last.alpha / first.alpha)
    # uniform noise in bins of 2/255 adds its variance
    square = (_held_out(7) ** 2 + (2 / 255) ** 2 / 12).mean(1)
    nats = 0.5 * (square * np.exp(2 * shrinks) + np.log(2 * np.pi)) - shrinks - np.log(2 / 255)
    np.testing.assert_allclose(found["likelihood"]["bits_per_dim"], nats.mean() / np.log(2), rtol=1e-4)
    assert found["likelihood"]["count"] == 7
    text = (folder / "evaluation.md").read_text()
    assert "## Bits per dimension" in text and "with uniform dequantisation" in text


@pytest.mark.parametrize("num_steps", [None, 8])
def test_bits_of_a_vdm_whose_network_says_zero(tmp_path, judged, num_steps):
    """All of the noise is missed, E eps^2 = 1: the diffusion part is half the reach of log SNR in continuous
    time (Kingma et al. 2021, equation 17), T (e^(reach / T) - 1) / 2 in T steps (14)."""
    config = config_of(DIGITS, MLP, kind="eps", num_steps=num_steps)
    config.system, config.schedule = "vdm", {"name": "learned", "width": 4}
    config.sampler = {"solver": "ddim", "steps": 3}
    folder = run_of(tmp_path, config, silent)
    found = evaluate(folder, num=12, bound_images=7, evaluators=BITS, progress=False)
    bound, reach = found["continuous_bound"], 13.3 + 5.0
    assert "bound" not in found and bound["num_steps"] == num_steps
    diffusion = reach / 2 if num_steps is None else num_steps * np.expm1(reach / num_steps) / 2
    # 7 x 64 x 64 squares of noise: 0.8 % of standard deviation
    np.testing.assert_allclose(bound["diffusion"], diffusion / np.log(2), rtol=0.03)
    last = 1 / (1 + np.exp(5.0))  # alpha^2 at the end
    prior = 0.5 * (last * (_held_out(7) ** 2).mean(1) - last - np.log(1 - last)) / np.log(2)
    np.testing.assert_allclose(bound["prior"], prior.mean(), rtol=1e-3)
    assert bound["standard_error"] > 0
    said = f"in {num_steps} steps" if num_steps else "in continuous time"
    assert f"| diffusion, {said} |" in (folder / "evaluation.md").read_text()


def test_dequantisation_of_a_conditional_model(tmp_path, judged, monkeypatch):
    """The law is fitted with the training labels; a chain or another name is refused before the work."""
    config = config_of(DIGITS, MLP | {"num_classes": 10}, kind="eps")
    config.schedule, config.sampler = {"name": "vp_linear"}, {"solver": "ddim", "steps": 3}
    config.evaluation.dequantisation = "variational"
    soon = functools.partial(dequantiser.fit, num_steps=20)
    monkeypatch.setitem(dequantiser.DEQUANTISATIONS, "variational", soon)
    folder = run_of(tmp_path, config)
    found = evaluate(folder, num=12, bound_images=3, evaluators=BITS, progress=False)
    assert found["likelihood"]["dequantisation"] == "variational"
    assert "with variational dequantisation" in (folder / "evaluation.md").read_text()

    config.evaluation.dequantisation = "gaussian"
    with pytest.raises(ValueError, match=r"evaluation\.dequantisation must be one of uniform, variational"):
        evaluate(folder, config=config, bound_images=3)
    config.evaluation.dequantisation = "variational"
    config.schedule = {"name": "cosine_beta", "num_steps": 20}
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(ValueError, match=r"dequantisation is of the likelihood of a continuous schedule"):
        evaluate(folder, bound_images=3)

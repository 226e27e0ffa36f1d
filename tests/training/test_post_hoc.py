"""Averages by a power of time, and others made of them afterwards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import toy_training

from diffjax import commands
from diffjax.training import checkpoints, ema, post_hoc


@pytest.mark.parametrize("width", [0.05, 0.1, 0.25])
def test_a_power_average_weighs_time_by_a_power(width):
    """The weights of a long run: their standard deviation is the width, relative to its length."""
    rule, n = ema.power(width), 20_000
    decays = np.asarray(rule(np.arange(n)), np.float64)
    shares = (1 - decays) * np.append(np.cumprod(decays[::-1])[::-1][1:], 1.0)
    assert shares.sum() == pytest.approx(1) and decays[0] == 0
    time = (np.arange(n) + 0.5) / n
    mean = (shares * time).sum()
    assert np.sqrt((shares * (time - mean) ** 2).sum()) == pytest.approx(width, rel=2e-3)
    gamma = ema.exponent(width)
    np.testing.assert_allclose(shares[n // 10 :] * n, ((gamma + 1) * time**gamma)[n // 10 :], rtol=2e-2)


@pytest.mark.parametrize("n", [0, 1, 100, 10**4, 10**6])
def test_the_decay_of_a_late_update_in_float32(n):
    """What a late update moves is small, (gamma + 1) / n, and known to what one minus it can hold."""
    rule = ema.power(0.05)
    moved = 1 - np.float64(rule(jnp.int32(n)))
    assert moved == pytest.approx(1 - (1 - 1 / (n + 1)) ** (rule.gamma + 1), rel=1e-5, abs=6e-8)


@pytest.mark.parametrize("width", [0.0, -0.1, 0.3, float("nan")])
def test_widths_have_a_range(width):
    with pytest.raises(ValueError, match="width"):
        ema.power(width)


def test_the_weights_of_one_that_is_there_are_its_own():
    found = post_hoc.weights([10, 20, 20], [16.9, 16.9, 6.9], 20, 6.9)
    np.testing.assert_allclose(found, [0, 0, 1], atol=1e-9)


def _walk(n=4000):
    """A slow curve with noise, as parameters are in training."""
    time = np.linspace(0, 1, n)
    return np.sin(3 * time) + 0.1 * np.random.default_rng(0).standard_normal(n)


@pytest.mark.parametrize("width", [0.04, 0.07, 0.12, 0.2])
def test_an_average_that_was_not_followed(width):
    """Made of two that were, kept forty times: within a percent of the one that had been followed."""

    def followed(width):
        value, kept, x = 0.0, [], _walk()
        for decay, now in zip(np.asarray(ema.power(width)(np.arange(len(x))), np.float64), x):
            value = decay * value + (1 - decay) * now
            kept.append(value)
        return kept

    tracks, times = {w: followed(w) for w in (0.05, 0.1)}, range(100, 4001, 100)
    stored = [(t, w) for t in times for w in tracks]
    shares = post_hoc.weights(
        [t for t, _ in stored], [ema.exponent(w) for _, w in stored], 4000, ema.exponent(width)
    )
    made = sum(share * tracks[w][t - 1] for share, (t, w) in zip(shares, stored))
    assert made == pytest.approx(followed(width)[-1], abs=0.01)


def test_a_run_keeps_snapshots_and_is_read_by_a_width(tmp_path):
    rules = {"ema": ema.power(0.05), "wide": ema.power(0.1), "other": 0.9}
    options = {"ema_decay": rules, "snapshot_every": 10}
    toy_training.run(tmp_path, 40, 20, 20, **options)
    assert post_hoc.steps(tmp_path) == [10, 20, 30, 40]
    for width, track in ((0.05, "ema"), (0.1, "wide")):
        made, step = checkpoints.restore_served(tmp_path, ("dense",), ema=width)
        own = checkpoints.restore_params(tmp_path, ema=track)
        assert step == 40
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), made, own)
    early, step = checkpoints.restore_served(tmp_path, ("dense",), ema=0.1, step=25)
    assert step == 25 and np.isfinite(early["dense"]["kernel"]).all()
    with pytest.raises(ValueError, match="step must be at most 40, the last snapshot"):
        post_hoc.average(tmp_path, 0.1, step=1000)
    last = tmp_path / "snapshots" / "40"
    largest = max(
        (path for path in (last / "wide").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    whole = largest.read_bytes()
    largest.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(ValueError, match="snapshots/40 is damaged, remove it to do without"):
        post_hoc.average(tmp_path, 0.1)
    for content in ('{"ema": "wide"}', '{"ema": 7.0}', "[]"):
        (last / "widths.json").write_text(content)
        with pytest.raises(ValueError, match=r"snapshots/40/widths\.json"):
            post_hoc.average(tmp_path, 0.1)


def test_what_has_no_snapshots_says_how_to_have_them(tmp_path):
    with pytest.raises(ValueError, match="snapshot_every needs an average by the rule 'power'"):
        toy_training.run(tmp_path / "a", 4, 2, 2, snapshot_every=2)
    toy_training.run(tmp_path / "b", 4, 2, 2)
    with pytest.raises(ValueError, match="has no snapshots: training"):
        post_hoc.average(tmp_path / "b", 0.1)
    with pytest.raises(ValueError, match="no such workdir"):
        commands.load(tmp_path / "c", ema=0.1)

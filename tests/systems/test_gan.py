"""What a game of two players promises beside what every system does."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from systems.tools import tiny, variables

from diffjax import systems
from diffjax.models import adversaries
from diffjax.models.conditions import ClassTable
from diffjax.objectives import adversarial
from diffjax.systems import gan, requests
from diffjax.training import checkpoints

KEY, B = jax.random.key(0), 16
POINTS = adversaries.MLPGenerator((2,), latent=3, width=8, depth=1)
JUDGE = adversaries.MLPDiscriminator(8, 1)


def _loss(system, which, v, batch, key=KEY):
    found = jax.jit(system.updates[which].gradients)(v, key, batch, 0)
    return found[0], found[1], jax.tree.map(float, found[2])


def test_each_player_has_its_own_loss_of_the_same_answers():
    """At a discriminator that says 0 everywhere the losses are log 4 and log 2, and neither hears of x."""
    system = gan.gan(POINTS, JUDGE, adversarial.GAMES["non_saturating"], gives="points")
    v = variables(system)
    params = {**v.params, "discriminator": jax.tree.map(jnp.zeros_like, v.params["discriminator"])}
    blind, x = v._replace(params=params), {"x": jax.random.normal(KEY, (B, 2))}
    grads, _, metrics = _loss(system, 0, blind, x)
    np.testing.assert_allclose(metrics["loss"], np.log(4), rtol=1e-6)
    assert set(grads) == {"discriminator"} and metrics["real"] == metrics["fake"] == 0
    grads, _, metrics = _loss(system, 1, blind, x)
    np.testing.assert_allclose(metrics["loss"], np.log(2), rtol=1e-6)
    assert set(grads) == {"generator"} and all((g == 0).all() for g in jax.tree.leaves(grads))


def test_the_penalty_is_of_data_alone_and_adds_to_the_loss():
    systems_ = [
        gan.gan(POINTS, JUDGE, adversarial.GAMES["wasserstein"], penalty, gives="points")
        for penalty in (None, gan.r1(3.0))
    ]
    v, x = variables(systems_[0]), jax.random.normal(KEY, (B, 2))
    plain, penalised = (_loss(system, 0, v, {"x": x})[2] for system in systems_)
    critic = lambda x: JUDGE.apply({"params": v.params["discriminator"]}, x)
    exact = adversarial.r1(critic, x, 3.0).mean()
    np.testing.assert_allclose(penalised["penalty"], exact, rtol=1e-5)
    np.testing.assert_allclose(penalised["loss"] - plain["loss"], exact, rtol=1e-4)
    np.testing.assert_allclose(plain["loss"], plain["fake"] - plain["real"], rtol=1e-4)


def test_the_average_follows_the_generator_and_its_statistics_alone():
    generator = adversaries.ConvGenerator((4, 4, 1), 3, 2, doublings=1)
    judge = adversaries.ConvDiscriminator(2, spectral_norm=True)
    system = gan.gan(generator, judge, adversarial.GAMES["hinge"], discriminator_steps=2)
    assert system.serves == ("generator", "generator_state") and system.updates[0].repeats == 2
    assert not any(update.rowwise for update in system.updates)  # it has statistics of a batch
    v, batch = variables(system), {"x": jax.random.uniform(KEY, (B, 4, 4, 1))}
    moved = lambda extra: {name for name in extra if not _same(extra[name], v.extra[name])}
    assert moved(_loss(system, 0, v, batch)[1]) == {"discriminator_state"}
    assert moved(_loss(system, 1, v, batch)[1]) == {"generator_state"}


def _same(one, two):
    return all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), one, two)))


def test_both_players_hear_of_the_class_by_tables_of_their_own():
    asked, judged = (requests.labels(3, each.vector_features) for each in (POINTS, JUDGE))
    system = gan.gan(POINTS, JUDGE, adversarial.GAMES["non_saturating"], None, asked, judged, gives="points")
    v = variables(system)
    assert set(v.params) == {
        f"{who}{what}" for who in ("generator", "discriminator") for what in ("", "_conditions")
    }
    assert system.serves == ("generator", "generator_conditions")
    batch = {"x": jax.random.normal(KEY, (B, 2)), "label": jnp.arange(B) % 3}
    for which, who in enumerate(("discriminator", "generator")):
        grads = _loss(system, which, v, batch)[0]
        assert set(grads) == {who, f"{who}_conditions"}
        table = grads[f"{who}_conditions"]["embed"]["label"]["embedding"]
        assert (np.abs(table).max(1) > 0).all()
    keys = jax.random.split(KEY, 3)
    same = jax.vmap(lambda _: KEY)(keys)
    made = system.sample(v, same, system.request.of_user({"label": [2, 0]}, 3), 3)
    np.testing.assert_allclose(made[0], made[2], rtol=1e-5)
    assert np.abs(made[0] - made[1]).max() > 1e-4
    table = v.params["generator_conditions"]["embed"]["label"]
    vector = ClassTable(3, 3).apply({"params": table}, jnp.array([2]))
    z = jax.vmap(lambda key: jax.random.normal(key, (3,)))(same[:1])
    expected = POINTS.apply({"params": v.params["generator"]}, z, vector)
    np.testing.assert_allclose(made[:1], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("path", "changes", "message"),
    [
        ("toys/gan", {"discriminator": None}, "config.discriminator is missing"),
        ("toys/gan", {"model": None}, "config.model is missing"),
        ("toys/gan", {"discriminator.name": None}, "config.discriminator.name is missing"),
        ("toys/gan", {"discriminator.name": "cnn"}, "discriminator.name must be one of mlp, conv; got 'cnn'"),
        ("toys/gan", {"model.name": "unet"}, "model.name must be one of mlp, conv; got 'unet'"),
        ("toys/gan", {"model.shape": (2,)}, "model.shape is not an option of MLPGenerator"),
        ("toys/gan", {"model.latent": 0}, "model: latent must be a positive integer, got 0"),
        ("toys/gan", {"model.width": 1.5}, "model: adversaries.MLPGenerator: width must be an integer"),
        ("toys/gan", {"objective.loss": "gan"}, "objective.loss must be one of non_saturating, saturating"),
        ("toys/gan", {"objective.loss": None}, "config.objective.loss is missing"),
        ("toys/gan", {"objective.penalty": "r2"}, "objective.penalty must be one of r1, gradient_penalty"),
        ("toys/gan", {"objective.penalty": {"name": "r1", "weight": -1.0}}, "objective.penalty: weight must"),
        ("toys/gan", {"objective.discriminator_steps": 0}, "objective.discriminator_steps must be"),
        ("toys/gan", {"objective.label_dropout": 0.1}, "objective.label_dropout is not for system 'gan'"),
        ("toys/gan", {"objective.temperature": 1.0}, "objective.temperature is not an option of gan"),
        ("digits/gan", {"model.doublings": 4}, "model: x: height and width must be divisible by 16"),
        ("digits/gan", {"model.num_classes": 11}, "model.num_classes must be 10, got 11"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(path, changes, message):
    own = tiny(path)
    for field, value in changes.items():
        section, _, key = field.partition(".")
        own[section] = ConfigDict({**own[section].to_dict(), key: value}) if key else value
    with pytest.raises(ValueError) as error:
        systems.build(own)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


ROOT = pathlib.Path(__file__).parents[2]
SHORT = {"num_steps": 40, "batch_size": 16, "log_every": 1, "checkpoint_every": 2, "sample_every": 0}
CHANGES = {  # a state of each player, several moves of one, a random penalty, classes
    "toys/gan.py": {"objective.penalty": {"name": "gradient_penalty"}, "objective.discriminator_steps": 2},
    "digits/gan.py:classes": {"model.features": 2, "discriminator": {"name": "conv", "spectral_norm": True}},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_killed_it_resumes_bit_for_bit(name, tmp_path):
    changes = CHANGES[name] | {f"training.{key}": value for key, value in SHORT.items()}
    changes |= {f"optimizer.{who}.warmup_steps": 1 for who in ("discriminator", "generator")}
    words = [f"--config=configs/{name}", *(f"--config.{key}={value}" for key, value in changes.items())]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}

    def start(workdir):
        argv = [sys.executable, "-m", "diffjax.train", *words, f"--workdir={workdir}"]
        return subprocess.Popen(argv, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)

    whole, victim = tmp_path / "whole", tmp_path / "victim"
    process = start(victim)
    while process.poll() is None and (checkpoints.latest_step(victim) or 0) < 6:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 6 <= (checkpoints.latest_step(victim) or 0) < SHORT["num_steps"]
    for folder in (victim, whole):
        process = start(folder)
        _, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
    for ema in (True, False):
        both = [checkpoints.restore_params(folder, ema=ema) for folder in (whole, victim)]
        jax.tree.map(np.testing.assert_array_equal, *both)
    kept = checkpoints.restore_params(victim)
    assert kept and not any("discriminator" in part for part in kept)

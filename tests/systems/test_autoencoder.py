"""Autoencoders: two players whose gradients never mix, the weight between them, and tables kept in use."""

import functools
import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict
from systems import tools
from systems.tools import variables

from diffjax import commands, evaluate, systems, train
from diffjax.models.autoencoder import KLAutoencoder
from diffjax.models.patches import PatchDiscriminator
from diffjax.objectives import adversarial
from diffjax.process import gaussian
from diffjax.process.gaussian import Gaussian
from diffjax.systems.autoencoder import Game, Regulariser, autoencoder
from diffjax.training import optimizer, step
from diffjax.training.state import TrainState

SHAPE = (12, 8, 1)
X = jnp.clip(jax.random.normal(jax.random.key(9), (4, *SHAPE)), -1, 1)
SMALL = {
    "channels": (4, 4),
    "num_res_blocks": 1,
    "num_groups": 2,
    "latent_channels": 2,
    "middle_attention": False,
}
CRITIC = {"features": 4, "layers": 1, "norm": "spectral", "start": 3}
NAMES = ("network", "discriminator")


def config(name="kl", model=(), discriminator=CRITIC, **objective):
    model = {"name": name, **SMALL, **({"codes": 8} if name == "vq" else {}), **dict(model)}
    objective = {"discriminator": discriminator and dict(discriminator), **objective}
    return ConfigDict(
        {"system": "autoencoder", "data": {"shape": SHAPE}, "model": model, "objective": objective}
    )


@functools.cache
def case(name, **changes):
    own = systems.build(config(name, **changes))
    return own, variables(own)


def moved(own, i=0):
    return jax.jit(own.updates[i].gradients)


def close(ours, theirs, rtol=1e-4):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6), ours, theirs)


class Last(nn.Module):
    @nn.compact
    def __call__(self, z):
        return nn.Dense(2, use_bias=False, name="out_conv")(z)


class Linear(KLAutoencoder):
    """z = x W without noise, y = z K."""

    def setup(self):
        self.to, self.decoder = nn.Dense(1, use_bias=False), Last()

    def encode(self, x, *, train=False):
        return self.to(x), jnp.full((*x.shape[:-1], 1), -jnp.inf)

    def decode(self, z, *, train=False):
        return self.decoder(z)


class LinearCritic(nn.Module):
    """D(y) = y w."""

    norm: str = "none"

    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(1, use_bias=False, name="out")(x)


def test_of_linear_players_both_gradients_and_the_weight_between_are_those_by_hand():
    """Two pictures of one pixel of two colours: z = (2, 1), y = ((1/2, 2), (1/4, 1)), D(y) = (19, 9.5) / 20.

    The signs of y - x are (-1, 1), (1, -1), so that the error pulls K by (-1, 1) / 2, and W by (3, -3) / 4;
    -D(y) pulls K by -3/2 w, and W by -(w K) (1, 1). The critic's own gradient is mean y - mean x, at the
    network that has moved, and moves nothing of that.
    """
    module = Linear(latent_channels=1, image_channels=2, channels=(1,))
    own = autoencoder(
        module,
        shape=(1, 1, 2),
        game=Game(LinearCritic(), start=3, weight=0.5),
        regulariser=Regulariser(kl=0.0),
    )
    x, w = np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0.3, 0.4])
    to, last = np.array([1.0, 0.5]), np.array([0.25, 1.0])
    tree = lambda to, last: {
        "to": {"kernel": to.reshape(2, 1)},
        "decoder": {"out_conv": {"kernel": last[None]}},
    }
    v = variables(own, network=tree(to, last), discriminator={"out": {"kernel": w.reshape(2, 1)}})
    v = v._replace(params=jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), v.params))
    batch = {"x": jnp.asarray(x.reshape(2, 1, 1, 2), jnp.float32)}
    by_error, by_game = (np.array([0.75, -0.75]), np.array([-0.5, 0.5])), (-(w @ last) * np.ones(2), -1.5 * w)
    adapt = np.sqrt(0.5) / (1.5 * 0.5 + 1e-4)
    by_hand = tree(*(a + 0.5 * adapt * b for a, b in zip(by_error, by_game)))

    run = moved(own)
    before, _, _ = run(v, jax.random.key(0), batch, 2)
    close(before, {"network": tree(*by_error)}, rtol=1e-5)
    found, _, metrics = run(v, jax.random.key(0), batch, 3)
    np.testing.assert_allclose(metrics["adaptive_weight"], adapt, rtol=1e-5)
    close(found, {"network": by_hand}, rtol=1e-5)

    after, _ = stepped(own, v, batch)
    moved_to, moved_last = (
        to - 0.1 * by_hand["to"]["kernel"][:, 0],
        last - 0.1 * by_hand["decoder"]["out_conv"]["kernel"][0],
    )
    close(after.params["network"], tree(moved_to, moved_last), rtol=1e-5)
    y = (x @ moved_to)[:, None] * moved_last
    assert (x @ w < 1).all() and (y @ w > -1).all()  # within the margins, where the hinge has a slope
    close(after.params["discriminator"]["out"]["kernel"][:, 0], w - 0.1 * (y - x).mean(0), rtol=1e-5)


@pytest.mark.slow
def test_before_its_start_the_discriminator_changes_nothing_of_the_network():
    """The network's gradients are those without a discriminator, and each update gives those of its own."""
    own, v = case("kl")
    alone, w = case("kl", discriminator=None)
    assert [u.rowwise for u in alone.updates] == [True]
    w = w._replace(params={"network": v.params["network"]})
    key = jax.random.key(1)
    grads, extra, metrics = moved(own)(v, key, {"x": X}, 2)
    close(grads, moved(alone)(w, key, {"x": X}, 2)[0])
    jax.tree.map(np.testing.assert_array_equal, extra, v.extra)
    after, _, later = moved(own)(v, key, {"x": X}, 3)
    assert later["l1"] == metrics["l1"] and later["loss"] != metrics["loss"]
    assert not np.allclose(optax.tree.norm(after), optax.tree.norm(grads), rtol=1e-6)


def _losses(own, v, key):
    """The two losses of a Gaussian code by hand, of the network's parameters."""
    module = KLAutoencoder(**SMALL, image_channels=1)
    critic = lambda y: _critic(v, y)

    def image(params):
        law = Gaussian(*module.apply({"params": params}, X, method="encode"))
        z = gaussian.sample(jax.random.split(key, 4)[0], law)
        kl = gaussian.kl(law, Gaussian(jnp.zeros(z.shape), jnp.zeros(()))).sum() / len(X)
        y: Any = module.apply({"params": params}, z, method="decode")
        return y, kl

    error = lambda params: jnp.abs(image(params)[0] - X).sum() / len(X)
    game = lambda params: -critic(image(params)[0]).mean()
    return error, game, lambda params: image(params)[1]


def _critic(v, y):
    module = PatchDiscriminator(features=4, layers=1, norm="spectral")
    state = {"params": v.params["discriminator"], **v.extra["discriminator_state"]}
    return module.apply(state, y, train=True, mutable=["batch_stats"])[0]


@pytest.mark.slow
def test_the_networks_gradient_is_that_of_the_losses_by_hand():
    own, v = case("kl", kl=0.01)
    params, key = v.params["network"], jax.random.key(1)
    grads, _, metrics = moved(own)(v, key, {"x": X}, 5)
    error, game, kl = _losses(own, v, key)
    by_error, by_game, by_kl = (jax.jit(jax.grad(f))(params) for f in (error, game, kl))
    last = lambda tree: np.linalg.norm(tree["decoder"]["out_conv"]["kernel"])
    weight = last(by_error) / (last(by_game) + 1e-4)
    np.testing.assert_allclose(metrics["adaptive_weight"], weight, rtol=1e-3)
    by_hand = jax.tree.map(lambda a, b, c: a + 0.5 * weight * b + 0.01 * c, by_error, by_game, by_kl)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3 * np.abs(b).max() + 1e-5),
        grads["network"], by_hand,
    )  # fmt: skip


def stepped(own, v, batch, place=lambda tree, rows: tree):
    """One whole step of gradient descent after five."""
    rates = {name: optimizer.make("sgd", 0.1, b1=0.0) for name in NAMES}
    moments = {name: rates[name].init({name: v.params[name]}) for name in NAMES}
    average = {"ema": {name: {**v.params, **v.extra}[name] for name in own.serves}}
    state = place(TrainState(jnp.int32(5), v.params, moments, average, v.extra), False)
    run = jax.jit(step.make(own, rates, lambda n: 0.9))
    return run(state, {}, jax.random.key(0), place(batch, True))


@pytest.mark.slow
def test_the_discriminator_sees_the_network_that_has_just_moved():
    """One whole step: its gradient is that at the network's new parameters, and moves nothing of it."""
    own, v = case("vq")
    after, _ = stepped(own, v, {"x": X})
    new = v._replace(params={**v.params, "network": after.params["network"]})
    grads, _, metrics = moved(own, 1)(new, jax.random.key(0), {"x": X}, 5)  # a table draws nothing
    by_hand = jax.tree.map(lambda p, g: p - 0.1 * g, v.params["discriminator"], grads["discriminator"])
    close(after.params["discriminator"], by_hand)
    assert {name for name in after.ema["ema"]} == {"network"}
    y = own.codec(new).decode(own.codec(new).encode(None, X))
    hinge = adversarial.hinge(_critic(new, X), _critic(new, y)).mean()
    np.testing.assert_allclose(metrics["loss"], hinge, rtol=0.05)  # the power iteration moved between the two


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kl", "vq"])
def test_eight_devices_make_the_numbers_of_one(name):
    """Statistics, the adaptive weight and a table's averages are of all rows, wherever they lie."""
    table = {"model": (("averaged", True),), "restart": 1.0} if name == "vq" else {}
    own, v = case(name, discriminator=tuple({**CRITIC, "norm": "batch"}.items()), **table)
    batch = {"x": jnp.concatenate([X, -X])}
    after, told = stepped(own, v, batch, tools.on_eight_devices)
    one, metrics = stepped(own, v, batch)
    close(told, metrics, rtol=1e-3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4 * max(1, np.abs(b).max())),
                 (after.params, after.extra), (one.params, one.extra))  # fmt: skip


@pytest.mark.slow
def test_a_table_that_follows_averages_moves_without_an_optimizer():
    own, v = case("vq", model=(("averaged", True),), restart=1.0, decay=0.9)
    assert own.serves == ("network", "network_state") and not own.updates[0].rowwise
    grads, extra, _ = moved(own)(v, jax.random.key(1), {"x": X}, 0)
    assert "quantiser" not in grads["network"]
    before, after = (e["network_state"]["codes"]["quantiser"] for e in (v.extra, extra))
    z = own.codec(v).encode(None, X).reshape(-1, 2)
    begun = np.asarray(after["count"] == 1.0)
    assert begun.any() and not begun.all()
    assert all(
        np.isclose(np.asarray(z), row, atol=1e-5).all(1).any()
        for row in np.asarray(after["embedding"])[begun]
    )
    assert not np.allclose(before["embedding"], after["embedding"])


@pytest.mark.slow
def test_a_table_that_gradients_move_begins_anew_where_hardly_any_vector_takes_it():
    """What is dead lands on vectors of the batch, what is alive is left to its gradient; counts follow."""
    plain, _ = case("vq", discriminator=None)
    own, v = case("vq", discriminator=None, restart=1.0, decay=0.9)
    assert plain.updates[0].rowwise and not own.updates[0].rowwise
    assert plain.serves == ("network",) and own.serves == ("network", "network_state")
    grads, extra, _ = moved(own)(v, jax.random.key(1), {"x": X}, 0)
    before, after = (e["network_state"]["codes"]["quantiser"] for e in (v.extra, extra))
    table = v.params["network"]["quantiser"]["embedding"]
    z = own.codec(v).encode(None, X).reshape(-1, 2)
    taken = np.bincount(np.argmin(((z[:, None] - table) ** 2).sum(-1), 1), minlength=len(table))
    dead = 0.9 + 0.1 * taken < 1
    assert dead.any() and not dead.all() and not np.asarray(before["moved"]).any()
    np.testing.assert_allclose(after["count"], np.where(dead, 1.0, 0.9 + 0.1 * taken), rtol=1e-5)
    np.testing.assert_array_equal(after["moved"][~dead], 0)
    anew = np.asarray(table + after["moved"])[dead]
    assert all(np.isclose(np.asarray(z), row, atol=1e-5).all(1).any() for row in anew)
    assert np.abs(np.asarray(grads["network"]["quantiser"]["embedding"])[taken > 0]).max() > 0
    held = own.codec(v._replace(extra=extra)).decode(z.reshape(len(X), 6, 4, 2))  # rounded to what is new
    assert np.abs(held - own.codec(v).decode(z.reshape(len(X), 6, 4, 2))).max() > 0


@pytest.mark.parametrize("name", ["kl", pytest.param("vq", marks=pytest.mark.slow)])
def test_the_codec_keeps_what_it_encodes_of(name):
    """What is drawn from kept moments is what encodes at once; without a key the mean."""
    own, v = case(name)
    codec, key = own.codec(v), jax.random.key(3)
    z = codec.encode(key, X)
    assert z.shape[1:] == codec.shape == (6, 4, 2)
    np.testing.assert_array_equal(z, codec.draw(key, codec.moments(X)))
    assert (name == "vq") == bool((codec.draw(None, codec.moments(X)) == z).all())
    assert codec.decode(z).shape == X.shape


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kll": 1.0}, "objective.kll is not for model.name='kl': it has kl"),
        ({"restart": 1.0}, "objective.restart is not for model.name='kl'"),
        ({"kl": -1.0}, "objective.kl must be a number, finite; got -1.0"),
        ({"name": "vq", "order": "older"}, "objective.order must be one of paper, legacy; got 'older'"),
        ({"name": "vq", "kl": 1.0}, "objective.kl is not for model.name='vq' with averaged=False"),
        (
            {"discriminator": {"layers": 3}},
            "objective.discriminator: layers: 3 need pictures of at least 24x24",
        ),
        ({"discriminator": {"norm": "layer"}}, "norm"),
        (
            {"discriminator": {"features": 4, "layers": 1, "start": -1}},
            "objective.discriminator.start must be",
        ),
        ({"model": {"channels": (4,) * 4}}, "model: x: height and width must be divisible by 8; got 12x8"),
        ({"model": {"num_groups": 3}}, "model: num_groups: must divide"),
        ({"model": {"chanels": (4,)}}, "model.chanels is not an option"),
        ({"name": "ae"}, "model.name must be one of kl, vq"),
        ({"perceptual_weight": -1.0}, "objective.perceptual_weight must be a number"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        systems.build(config(**changes))


def test_a_perceptual_distance_needs_its_file_and_its_shapes_do_not(tmp_path):
    own = config(discriminator=None)
    own.perceptual = {"pretrained": str(tmp_path / "none.npz"), "architecture": "lpips_alexnet"}
    own.data.shape = (32, 32, 3)
    shapes = systems.build(own).frozen["perceptual"]
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 2_470_848  # AlexNet's convolutions, heads
    with pytest.raises(ValueError, match=r"config.perceptual.pretrained: there is no file .*none.npz"):
        systems.build(own, tmp_path / "run")
    own.perceptual = {**own.perceptual, "architecture": "inception_v3_fid"}
    with pytest.raises(ValueError, match=r"config\.perceptual\.architecture must be one of lpips_alexnet"):
        systems.build(own)


@pytest.mark.slow
def test_a_run_is_trained_measured_and_resumed_bit_for_bit(tmp_path):
    """Two players, a table with restarts; a report beside bicubic, with its picture."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 12, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", image=images, is_test=np.arange(40) < 10)
    own = config("vq", model=(("averaged", True),), restart=0.1, discriminator={**CRITIC, "norm": "batch"})
    own.data = {"name": "npz", "path": str(tmp_path / "x.npz"), "images": "image", "labels": None,
                "is_test": "is_test", "shape": SHAPE}  # fmt: skip
    adam = {"name": "adam", "learning_rate": 1e-2}
    own.optimizer = {"network": adam, "discriminator": adam}
    own.training = {"num_steps": 6, "batch_size": 8, "seed": 0, "log_every": 1, "checkpoint_every": 2,
                    "ema": {"name": "constant", "decay": 0.9}}  # fmt: skip
    whole = train.train(own, tmp_path / "whole", progress=False)
    count = iter(range(100))
    half = train.train(own, tmp_path / "run", progress=False, should_stop=lambda: next(count) >= 3)
    assert int(half.step) < 6
    again = train.train(own, tmp_path / "run", progress=False)
    jax.tree.map(np.testing.assert_array_equal, (again.params, again.extra), (whole.params, whole.extra))
    evaluate.evaluate(tmp_path / "run", progress=False)
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())["reconstruction"]["reconstruction"]
    assert found["count"] == 10 and found["values"] == 6 * 4 * 2 and 0 < found["codes"]["used"] <= 1
    assert {"psnr", "ssim"} <= found["given back"].keys() == found["bicubic"].keys()
    assert (tmp_path / "run" / "evaluation" / "reconstruction.png").is_file()
    assert commands.load(tmp_path / "run").variables.params.keys() == {"network"}

"""Models of several parts from training to samples: what a run keeps, a network of tokens, the commands."""

import shutil

import flax.linen as nn
import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image
from systems.asked import CAPTIONS, N, config_of, source

from diffjax import data, sample, systems, train
from diffjax.systems import conditions, ddpm, read, requests
from diffjax.training.system import Variables


def test_a_run_keeps_its_tokenizer_wherever_it_is_moved(tmp_path):
    config = config_of("text")
    system = systems.build(config, tmp_path / "run")
    with pytest.raises(ValueError, match="text: its tokenizer is made by training, and there is none yet"):
        system.request.of_user({"text": "two cats"}, 1)
    first = system.prepare(tmp_path / "run", source())[1]
    again = systems.build(config, tmp_path / "run").prepare(
        tmp_path / "run", source(caption=np.array(["x"] * N))
    )
    assert set(again[1]["text_tokens"].ravel().tolist()) == {0, 1}  # of other data, yet by the same tokenizer
    shutil.move(tmp_path / "run", tmp_path / "moved")
    there = systems.build(config, tmp_path / "moved").request
    asked = there.of_user({"text": CAPTIONS}, 4)
    np.testing.assert_array_equal(asked["text"], first["text_tokens"][:4])
    assert there.describe(asked) == [each.lower() for each in CAPTIONS]


class Attentive(nn.Module):
    """A network of tokens alone."""

    token_features: int = 6
    vector_features = None

    @nn.compact
    def __call__(self, x, t, cond=None, train=False):
        q = nn.Dense(self.token_features)(x.reshape(len(x), -1))[:, None, None]
        k = cond.tokens[:, :, None]
        mask = None if cond.mask is None else cond.mask[:, None, None]
        h = jax.nn.dot_product_attention(q, k, k, mask=mask)[:, 0, 0]
        return nn.Dense(x[0].size)(h).reshape(x.shape)


def test_a_network_of_tokens_trains_and_samples(tmp_path):
    config = config_of("text")
    noise = read.schedule(config)
    asked, drops = conditions.parts(config, Attentive(), (8, 8, 1), False, tmp_path)
    system = ddpm.ddpm(
        Attentive(), noise, read.sampler(config, noise), shape=(8, 8, 1),
        reading=read.reading(config, noise), requests=requests.of_parts(asked, drops),
    )  # fmt: skip
    batch = system.prepare(tmp_path, source())[1].gather(np.arange(8))
    v = Variables(*jax.jit(system.init)(jax.random.key(0), batch, {}))
    grads, _, _ = jax.jit(system.updates[0].gradients)(v, jax.random.key(1), batch, 0)
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in jax.tree.leaves(grads["conditions"]))
    told = system.request.of_user({"text": ["the sea", ""]}, 4)
    x = jax.jit(system.sample, static_argnums=3)(v, jax.random.key(2), told, 4)
    assert x.shape == (4, 8, 8, 1) and np.isfinite(x).all()


def test_from_training_to_a_picture_of_samples(tmp_path, monkeypatch):
    config = config_of("text", "map")
    config.training = ConfigDict({
        "num_steps": 1, "batch_size": 8, "seed": 0, "log_every": 1, "checkpoint_every": 1, "sample_every": 1,
        "ema": {"name": "constant", "decay": 0.5},
    })  # fmt: skip
    config.optimizer = ConfigDict({"name": "adam", "learning_rate": 1e-3})
    monkeypatch.setattr(data, "load", lambda *args, **options: source())
    train.train(config, tmp_path / "run", progress=False)
    assert (tmp_path / "run/samples/step_0000001.png").is_file()
    shutil.move(tmp_path / "run", tmp_path / "moved")
    np.save(tmp_path / "map.npy", np.zeros((8, 8), int))
    words = ["sample", f"--workdir={tmp_path / 'moved'}", "--num=4", "--text=two cats", "--text=the sea"]
    monkeypatch.setattr("sys.argv", [*words, f"--map={tmp_path / 'map.npy'}"])
    with pytest.raises(SystemExit) as end:
        sample.cli()
    sample.flags.FLAGS.unparse_flags()
    assert not end.value.code
    found = np.load(tmp_path / "moved/samples.npz")
    assert found["said"].tolist() == ["two cats", "the sea"] * 2 and found["images"].shape == (4, 8, 8, 1)
    assert found["request/text"].shape == (4, 5) and not found["request/map"].any()
    # two rows: 150 pixels of caption, the map, and two samples of 64 pixels
    assert Image.open(tmp_path / "moved/samples.png").size == (150 + 3 * 66 + 2, 2 * 66 + 2)

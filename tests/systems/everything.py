"""A system with all that a system may have, and its config, in one file that nothing else knows of.

A generator with batch statistics and a data-dependent start imitates a frozen teacher's denoised pictures
beside a critic that moves twice a step; it is asked by words and samples latents, which a codec decodes.
`get_config("<npz file>,<teacher's run>")`; the commands learn of it as they read this file.
"""

import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffjax import systems
from diffjax.process import forward
from diffjax.systems import networks, stages
from diffjax.training.system import Codec, Conditioning, Part, Pass, System, Update, from_loss

WORDS = ("", "light", "dark", "left", "right")
SHAPE, LENGTH = (8, 8, 1), 2


def tokens(texts):
    ids = np.zeros((len(texts), LENGTH), np.int32)
    for row, text in zip(ids, texts):
        for i, word in enumerate(str(text).split()):
            if word not in WORDS or i >= LENGTH:
                raise ValueError(f"text must be at most {LENGTH} of {', '.join(WORDS[1:])}; got {text!r}")
            row[i] = WORDS.index(word)
    return ids


class Generator(nn.Module):
    @nn.compact
    def __call__(self, z, words, train=False):
        h = nn.Dense(16)(z) + nn.Embed(len(WORDS), 16)(words).sum(1)
        return nn.Dense(64)(nn.relu(nn.BatchNorm(use_running_average=not train)(h)))


def from_config(config, folder=None):
    module, critic = Generator(), nn.Dense(1)
    teacher = stages.stage(config.teacher, folder, "teacher")
    schedule = teacher.system.schedule(None)
    read_teacher = stages.prepare({"teacher": teacher})

    def prepare(folder, source=None):  # tokens are made once, on the host
        return read_teacher(folder, source and source.add(tokens=tokens(source["caption"])))

    def init(key, batch, frozen):
        params, extra = networks.init(module, key, jnp.zeros((1, 4)), jnp.zeros((1, LENGTH), int))
        mean = jnp.zeros(SHAPE) if not hasattr(batch["x"], "mean") else batch["x"].mean(0)
        return {**params, "codec": mean, "critic": critic.init(key, jnp.zeros((1, 64)))["params"]}, extra

    def codec(v):
        mean = v.params["codec"]
        return Codec(lambda key, x: (x - mean).reshape(-1, 64), lambda z: z.reshape(-1, *SHAPE) + mean, (64,))

    def judged(v, z):
        return critic.apply({"params": v.params["critic"]}, z)

    def judge(v, key, batch, step):
        real = codec(v).encode(key, batch["x"])
        return (judged(v, jax.random.normal(key, real.shape)) ** 2 + (judged(v, real) - 1) ** 2).mean(), (
            v.extra,
            {},
        )

    def generate(v, key, batch, step):
        level = schedule(jnp.full(len(batch["x"]), 5))
        x_t = forward.perturb(batch["x"], jax.random.normal(key, batch["x"].shape), level)
        goal = codec(v).encode(key, teacher.system.denoiser(v.frozen["teacher"])(x_t, level).x0)
        network, state = networks.training(module, v, key)
        z = network(jax.random.normal(key, (len(goal), 4)), batch["tokens"])
        return ((z - goal) ** 2).mean() - 0.01 * judged(v, z).mean(), ({**v.extra, **state()}, {})

    def latents(v, keys, asked, made):
        noise = jax.vmap(lambda key: jax.random.normal(key, (4,)))(keys)
        return networks.evaluating(module, v)(noise, asked["text"])

    def decode(v, keys, asked, made):
        return jnp.clip(codec(v).decode(made["latents"]), -1, 1)

    def said(request):
        return [" ".join(WORDS[i] for i in row if i) for row in np.asarray(request["text"])]

    text = Part((LENGTH,), jnp.int32)
    return System(
        example={"x": jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32),
                 "tokens": jax.ShapeDtypeStruct((1, LENGTH), jnp.int32)},
        init=init, frozen={"teacher": teacher.shapes()}, prepare=prepare,
        updates=(Update("critic", ("critic",), from_loss(judge, ("critic",)), repeats=2),
                 Update("network", ("network",), from_loss(generate, ("network",)), rowwise=False)),
        serves=("network", "network_state", "codec"),
        request=Conditioning(
            {"text": text}, lambda v, key, batch: {"text": batch["tokens"]},
            lambda given, n: {"text": np.resize(tokens(given["text"]), (n, LENGTH))},
            lambda n: {"text": np.zeros((n, LENGTH), np.int32)},
            describe=said,
        ),
        passes=(Pass("latents", latents, {"network": 1}, batch_size=6),
                Pass("decode", decode, {"decoder": 1})),
        gives="images", codec=codec, stages={"teacher": teacher},
        measures={"error": lambda v, key, batch: {"square": (codec(v).encode(key, batch["x"]) ** 2).mean(1)}},
    )  # fmt: skip


systems.register(
    "everything",
    types.SimpleNamespace(from_config=from_config, SECTIONS=("data", "teacher"), IDENTITY=("data",)),
)


def get_config(argument):
    path, teacher = argument.split(",")
    adam = {"name": "adam", "learning_rate": 1e-3, "schedule": "cosine"}
    training = {"num_steps": 24, "batch_size": 8, "seed": 0, "log_every": 1, "checkpoint_every": 2,
                "sample_every": 12, "ema": {"name": "constant", "decay": 0.9}}  # fmt: skip
    return ConfigDict({
        "system": "everything", "teacher": {"workdir": teacher}, "training": training,
        "data": {"name": "npz", "path": path, "arrays": ("caption",), "labels": None, "shape": SHAPE},
        "optimizer": {"critic": adam, "network": adam}, "evaluation": {"num_samples": 16, "batch_size": 8},
    })  # fmt: skip

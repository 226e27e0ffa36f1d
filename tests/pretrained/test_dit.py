"""The published DiT and diffusers': their own outputs from their own weights, guided too, and back."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy as safetensors

from diffjax import guidance, pretrained
from diffjax.pretrained import diffusers_dit, dit
from diffjax.process import prediction, schedules

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
FILES = {"dit": "dit_p2_h64", "diffusers_dit": "diffusers_dit"}
BOTH = pytest.mark.parametrize("architecture", FILES)


def golden(architecture):
    """Return arrays NHWC, the config, and the path of the weights."""
    with np.load(GOLDEN / f"{FILES[architecture]}.npz") as file:
        arrays = {name: a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for name, a in file.items()}
    hyper = json.loads(str(arrays.pop("_hyper_json")))
    return arrays, hyper, GOLDEN / hyper["weights"]


def loaded(architecture):
    arrays, hyper, path = golden(architecture)
    return *pretrained.load(path, architecture, hyper["config"]), arrays, hyper


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * theirs.std())


def test_outputs_equal_the_published_network_alone_and_guided():
    """Guided as there: its first three channels are, the fourth of the four of the noise is not."""
    labelled, variables, g, hyper = loaded("dit")
    assert g["in__y"][-1] == hyper["config"]["num_classes"]  # the null
    assert sum(a.size for a in jax.tree.leaves(variables)) == hyper["n_params"] - 16 * 64  # the positions
    close(jax.jit(labelled.apply)(variables, g["in__x"], g["in__t"], g["in__y"]), g["out__y"])

    # The batch's second half is the null's: of the same two images, but recorded at other times.
    x, t, (label, null) = g["in__x"][:2], g["in__t"], np.split(g["in__y_cfg"], 2)
    at = lambda asked: jnp.where(asked == null, t[2:], t[:2])
    network = lambda x, n, asked: labelled.apply(variables, x, at(asked), asked)
    denoise = prediction.denoiser(network, "eps")
    level = schedules.linear_beta(1000)(t[:2] + 1)
    guided = jax.jit(lambda scale: guidance.classifier_free(scale, null=null)(denoise)(x, level, label))
    alone, steered = guided(jnp.float32(1)), guided(jnp.float32(hyper["cfg_scale"]))
    close(jnp.concatenate([steered.eps[..., :3], alone.eps[..., 3:]], -1), g["out__cfg"][:2, ..., :4])
    close(steered.variance, g["out__cfg"][:2, ..., 4:])
    assert np.abs(steered.eps - alone.eps)[..., 3].max() > 0.01


def test_outputs_equal_diffusers():
    labelled, variables, g, hyper = loaded("diffusers_dit")
    assert sum(a.size for a in jax.tree.leaves(variables)) == hyper["n_params"]
    close(jax.jit(labelled.apply)(variables, g["in__x"], g["in__t"], g["in__class_labels"]), g["out__y"])


def export(architecture, variables, config):
    return dit.export(variables, config) if architecture == "dit" else diffusers_dit.export(variables)


@BOTH
def test_export_returns_the_file_it_was_loaded_from(architecture):
    _, variables, _, hyper = loaded(architecture)
    original = safetensors.load_file(GOLDEN / hyper["weights"])
    exported = export(architecture, variables, hyper["config"])
    assert exported.keys() == original.keys()
    for name, array in original.items():
        # the published table of positions is of single precision
        np.testing.assert_allclose(exported[name], array, rtol=0, atol=1e-6 * (name == "pos_embed"))


OTHERS = [
    ("dit", {"depth": 2, "patch_size": 4, "num_heads": 2, "mlp_ratio": 2.5, "learn_sigma": False}),
    ("dit", {"in_channels": 3, "num_classes": 7, "class_dropout_prob": 0.0, "hidden_size": 24}),
    ("diffusers_dit", {"num_layers": 3, "patch_size": 4, "out_channels": None, "num_embeds_ada_norm": 7}),
    ("diffusers_dit", {"_class_name": "DiTTransformer2DModel", "attention_head_dim": 8, "in_channels": 3}),
]


@pytest.mark.parametrize("architecture, changes", OTHERS)
def test_convert_inverts_export(architecture, changes):
    config, rng = golden(architecture)[1]["config"] | changes, np.random.default_rng(0)
    module = {"dit": dit, "diffusers_dit": diffusers_dit}[architecture]
    net = module.build(config)
    x, one = np.zeros((1, 8, 8, config["in_channels"]), "f"), np.zeros(1, "i")
    out, shapes = jax.eval_shape(net.init_with_output, jax.random.key(0), x, one, one)
    learned = 2 if config.get("learn_sigma") else 1
    assert out.shape[-1] == (config.get("out_channels") or learned * config["in_channels"])
    variables = jax.tree.map(lambda a: rng.standard_normal(a.shape).astype("f"), shapes)
    again, converted = module.convert(export(architecture, variables, config), config)
    assert again == net
    jax.tree.map(np.testing.assert_array_equal, converted, variables)


def test_arguments_reach_their_fields():
    config = {"patch_size": 4, "hidden_size": 96, "depth": 5, "num_heads": 3, "mlp_ratio": 2.0}
    net = dit.build({**config, "input_size": 64, "class_dropout_prob": 0})
    assert {name: getattr(net.network, name) for name in config} == config and net.num_classes == 1000
    config = {"patch_size": 4, "num_attention_heads": 3, "attention_head_dim": 20, "num_layers": 5}
    net = diffusers_dit.build({**config, "norm_eps": 1e-4}).network
    assert (net.patch_size, net.num_heads, net.hidden_size, net.depth) == (4, 3, 60, 5)
    assert (net.mlp_epsilon, net.time_shift, net.own_embeddings) == (1e-4, 1, True)
    assert dit.build({}).network.depth == diffusers_dit.build({}).network.depth == 28  # DiT-XL/2


@pytest.mark.parametrize(
    "architecture, changes, message",
    [
        ("dit", None, "config: dit needs the arguments its network was built with; got None"),
        ("dit", {"dept": 3}, "dept is no argument; .* did you mean 'depth'"),
        ("dit", {"depth": 0}, "depth must be a positive integer, got 0"),
        ("dit", {"depth": "3"}, "depth must be an integer, got '3'"),
        ("dit", {"mlp_ratio": -1.0}, "mlp_ratio must be positive and finite, got -1.0"),
        ("dit", {"class_dropout_prob": 1.5}, r"class_dropout_prob must be in \[0, 1\], got 1.5"),
        ("dit", {"patch_size": 3}, "patch_size must divide input_size=8, got 3"),
        ("dit", {"num_heads": 5}, "hidden_size must be a multiple of 4 and of num_heads=5, got 64"),
        ("dit", {"depth": 4}, r"checkpoint: .*10 missing \(blocks.3.*\[dit_p2_h64.safet"),
        ("dit", {"depth": 2}, r"checkpoint: .*10 left over \(blocks.2"),
        ("dit", {"num_classes": 9}, r"checkpoint: y_embedder.* must have shape \(10, 64\).*got \(11, 64\)"),
        ("dit", {"learn_sigma": False}, r"checkpoint: final_layer.linear.* must have shape"),
        (
            "dit",
            {"input_size": 16},
            r"checkpoint: pos_embed must have shape \(1, 64, 64\).*got \(1, 16, 64\)",
        ),
        (
            "diffusers_dit",
            {"norm_type": "ada_norm"},
            "norm_type must be one of ada_norm_zero, got 'ada_norm'",
        ),
        (
            "diffusers_dit",
            {"activation_fn": "geglu"},
            "activation_fn must be one of gelu-approximate, got 'geglu'",
        ),
        ("diffusers_dit", {"attention_bias": False}, "attention_bias must be True, got False"),
        ("diffusers_dit", {"dropout": 0.1}, "dropout must be 0, got 0.1"),
        ("diffusers_dit", {"num_embeds_ada_norm": None}, "num_embeds_ada_norm must be an integer, got None"),
        ("diffusers_dit", {"norm_eps": 0.0}, "norm_eps must be positive and finite, got 0.0"),
        ("diffusers_dit", {"patch_size": 3}, "patch_size must divide sample_size=8, got 3"),
        ("diffusers_dit", {"num_layers": 1}, r"checkpoint: .*left over \(transformer_blocks.1"),
        (
            "diffusers_dit",
            {"num_attention_heads": 1, "attention_head_dim": 6},
            "num_attention_heads.*must be a multiple of 4, got 1 . 6",
        ),
    ],
)
def test_a_config_that_does_not_fit_is_refused(architecture, changes, message):
    _, hyper, path = golden(architecture)
    with pytest.raises(ValueError, match=message):
        pretrained.load(path, architecture, changes and hyper["config"] | changes)


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("pos_embed", lambda a: -a, "pos_embed must be the fixed table of sines and cosines; it is 2 off"),
        ("blocks.1.mlp.fc1.bias", lambda a: a + np.inf, "blocks.1.mlp.fc1.bias must be finite in float32"),
        ("blocks.1.mlp.fc1.bias", lambda a: a.astype(int), "blocks.1.mlp.fc1.bias must be floating point"),
    ],
)
def test_weights_that_are_not_its_own_are_refused(name, change, message):
    _, hyper, path = golden("dit")
    tensors = safetensors.load_file(path)
    with pytest.raises(ValueError, match=f"checkpoint: {message}"):
        dit.convert({**tensors, name: change(tensors[name])}, hyper["config"])

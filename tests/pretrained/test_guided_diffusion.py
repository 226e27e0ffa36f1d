"""guided-diffusion's U-Net: its own outputs from its own weights, and the mapping of parameters both ways."""

import json
import pathlib

import jax
import numpy as np
import pytest
import safetensors.numpy as safetensors
from reference import weights

from diffjax import pretrained
from diffjax.pretrained import guided_diffusion

SHIPPED = pathlib.Path(__file__).parents[1] / "golden"
PLAIN = SHIPPED / "gd_unet_plain.safetensors"
CONFIG = json.loads(str(np.load(SHIPPED / "gd_unet_plain.npz")["_hyper_json"]))["config"]

VARIANTS = {
    "plain": {},
    "adm": {"resblock_updown": True, "use_scale_shift_norm": True, "num_classes": 4, "num_head_channels": 16},
    "pooled": {
        "conv_resample": False,
        "channel_mult": [1, 2, 2],
        "num_res_blocks": 2,
        "attention_resolutions": [4],
    },
}


@pytest.mark.parametrize("name", ["gd_unet_plain", "gd_unet_adm"])
def test_outputs_equal_the_original_network(name):
    golden = np.load(weights(name) / f"{name}.npz")
    hyper = json.loads(str(golden["_hyper_json"]))
    unet, variables = pretrained.load(
        weights(name) / f"{name}.safetensors", "guided_diffusion_unet", hyper["config"]
    )
    assert sum(a.size for a in jax.tree.leaves(variables)) == hyper["n_params"]
    x = golden["in__x"].transpose(0, 2, 3, 1)
    cond = golden.get("in__y")
    apply = jax.jit(unet.apply)
    for times, outputs in (("in__t", "out__y"), ("in__t_frac", "out__y_frac_t")):
        expected = golden[outputs].transpose(0, 2, 3, 1)
        ours = apply(variables, x, golden[times], cond)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4 * expected.std())


def test_export_returns_the_file_it_was_loaded_from():
    original = safetensors.load_file(PLAIN)
    _, variables = guided_diffusion.convert(original, CONFIG)
    exported = guided_diffusion.export(variables)
    assert exported.keys() == original.keys()
    for name, array in original.items():
        np.testing.assert_array_equal(exported[name], array, err_msg=name)


@pytest.mark.parametrize("variant", VARIANTS)
def test_convert_inverts_export(variant):
    config = {**CONFIG, **VARIANTS[variant]}
    net, rng = guided_diffusion.build(config), np.random.default_rng(0)
    label = None if config.get("num_classes") is None else np.zeros(1, "i")
    abstract = jax.eval_shape(
        net.init, jax.random.key(0), np.zeros((1, 16, 16, 3), "f"), np.zeros(1, "f"), label
    )
    variables = jax.tree.map(lambda a: rng.standard_normal(a.shape).astype("f"), abstract)
    again, converted = guided_diffusion.convert(guided_diffusion.export(variables), config)
    assert again == net
    jax.tree.map(np.testing.assert_array_equal, converted, variables)


def test_every_argument_of_the_original_reaches_its_field():
    config = {
        **{"image_size": 64, "in_channels": 3, "model_channels": 192, "out_channels": 6, "num_res_blocks": 3},
        **{
            "attention_resolutions": [2, 4, 8],
            "dropout": 0.1,
            "channel_mult": [1, 2, 3, 4],
            "conv_resample": False,
        },
        **{"num_classes": 1000, "use_checkpoint": True, "num_heads": 4, "num_head_channels": 64},
        **{"num_heads_upsample": 2, "use_scale_shift_norm": True, "resblock_updown": True},
        **{"use_new_attention_order": True, "use_fp16": True, "dims": 2},
    }
    labelled = guided_diffusion.build(config)
    assert labelled.num_classes == 1000
    net = labelled.network
    renamed = {"use_checkpoint": net.remat, "use_fp16": net.dtype == np.float16}
    for key in config.keys() - {"image_size", "in_channels", "dims", "num_classes"}:
        value = config[key]
        expected = tuple(value) if isinstance(value, list) else value
        assert renamed.get(key, getattr(net, key, None)) == expected, key
    unset = guided_diffusion.build({**CONFIG, "num_head_channels": -1, "num_heads_upsample": -1})
    assert unset.num_head_channels is None and unset.num_heads_upsample is None


def without(key):
    return {k: v for k, v in CONFIG.items() if k != key}


@pytest.mark.parametrize(
    "config, message",
    [
        (None, "config: guided_diffusion_unet needs the arguments"),
        (without("num_res_blocks"), "num_res_blocks must be given"),
        ({**CONFIG, "num_head": 2}, "num_head is no argument; there are image_size, .*num_heads"),
        (
            {**CONFIG, "attention_resolutions": "16,8"},
            "attention_resolutions must be .*, got '16,8'",
        ),
        ({**CONFIG, "dims": 3}, "dims must be 2"),
        ({**CONFIG, "model_channels": 0}, "model_channels must be a positive integer, got 0"),
        ({**CONFIG, "num_heads": "4"}, "num_heads must be an integer, got '4'"),
        ({**CONFIG, "num_head_channels": 0}, "num_head_channels must be a positive integer, got 0"),
        ({**CONFIG, "channel_mult": [1, float("nan")]}, "channel_mult must be .*, got"),
        ({**CONFIG, "channel_mult": []}, r"channel_mult must be positive numbers, got \[\]"),
        ({**CONFIG, "dropout": 1.5}, r"dropout must be in \[0, 1\), got 1.5"),
        ([("image_size", 16)], "config must be a mapping"),
        ({**CONFIG, "num_classes": 10}, "checkpoint: .* 1 missing \\(label_emb.weight\\)"),
        (
            {**CONFIG, "attention_resolutions": [2]},
            "checkpoint: .* left over \\(input_blocks.1.1.norm.bias, .*\\.\\.\\.",
        ),
        (
            {**CONFIG, "use_scale_shift_norm": True},
            "checkpoint: .*emb_layers.1.* must have shape \\(64.*got \\(32",
        ),
    ],
)
def test_a_config_that_does_not_fit_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        pretrained.load(PLAIN, "guided_diffusion_unet", config)


def test_unknown_architectures_are_refused():
    with pytest.raises(ValueError, match=r"architecture: must be one of guided_.*_unet, .*; got 'unet'"):
        pretrained.load(PLAIN, "unet", CONFIG)

"""U-Nets beside guided-diffusion's own: their outputs from their own weights, and the mapping both ways.

Some weights are in ../shared/golden, which is not part of this repository: without it their tests are
skipped.
"""

import functools
import json
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy as safetensors
from reference import load, weights

from diffjax import pretrained
from diffjax.models import UNet
from diffjax.models.levels import Attention
from diffjax.models.published import Contextual, SuperResolution
from diffjax.pretrained import diffusers_unet, guided_diffusion, latent_diffusion


def nhwc(a):
    return a.transpose(0, 2, 3, 1) if a.ndim == 4 else a


def near(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * theirs.std())


def golden(name, architecture):
    folder = weights(name)
    arrays = np.load(folder / f"{name}.npz")
    hyper = json.loads(str(arrays["_hyper_json"]))
    module, variables = pretrained.load(folder / f"{name}.safetensors", architecture, hyper["config"])
    assert sum(a.size for a in jax.tree.leaves(variables)) == hyper["n_params"]
    return {key: nhwc(arrays[key]) for key in arrays.files}, hyper, module, variables


def test_latent_diffusion():
    arrays, _, module, variables = golden("ldm_unet_xattn", "ldm_unet_xattn")
    apply = jax.jit(functools.partial(module.apply, variables, arrays["in__x"], arrays["in__t"]))
    near(apply(arrays["in__context"]), arrays["out__y"])
    near(apply(0 * arrays["in__context"]), arrays["out__y_null"])


def test_diffusers_unet2d():
    arrays, _, module, variables = golden("diffusers_unet2d", "diffusers_unet2d")
    near(jax.jit(module.apply)(variables, arrays["in__x"], arrays["in__t"]), arrays["out__y"])


def test_diffusers_unet2d_cond():
    arrays, _, module, variables = golden("diffusers_unet2d_cond", "diffusers_unet2d_cond")
    inputs = [arrays[f"in__{name}"] for name in ("x", "t", "encoder_hidden_states")]
    apply = jax.jit(functools.partial(module.apply, variables, *inputs))
    near(apply(mask=np.ones_like(arrays["in__mask"])), arrays["out__y"])
    near(apply(mask=arrays["in__mask"]), arrays["out__y_masked"])


def test_the_classifier_and_its_gradient():
    arrays, hyper, module, variables = golden("gd_classifier_attention", "guided_diffusion_classifier")
    t, label = arrays["in__t"], arrays["in__y"]

    def score(x):
        logits = module.apply(variables, x, t)
        return jax.nn.log_softmax(logits)[np.arange(len(x)), label].sum() * hyper["classifier_scale"], logits

    gradient, logits = jax.jit(jax.grad(score, has_aux=True))(arrays["in__x"])
    near(logits, arrays["out__logits"])
    near(gradient, arrays["out__cond_grad"])


RECORDED = load("diffusers_unets")


def recorded(name):
    """Inputs, output, weights in single precision, and what made them."""
    arrays, case = RECORDED[0], RECORDED[1]["cases"][name]
    under = lambda start: {k.removeprefix(start): a for k, a in arrays.items() if k.startswith(start)}
    tensors = {key: a.astype("f") for key, a in under(f"{name}/weights/").items()}
    inputs = {key: nhwc(a) for key, a in under(f"{name}/in/").items()}
    return inputs, nhwc(arrays[f"{name}/out"]), tensors, case["architecture"], case["config"]


@pytest.mark.parametrize("name", RECORDED[1]["cases"])
def test_other_configurations_of_diffusers(name, tmp_path):
    inputs, expected, tensors, architecture, config = recorded(name)
    safetensors.save_file(tensors, tmp_path / "model.safetensors")
    module, variables = pretrained.load(tmp_path, architecture, {"_class_name": "UNet", **config})
    near(jax.jit(module.apply)(variables, **inputs), expected)

    conditional = architecture == "diffusers_unet2d_cond"
    export = diffusers_unet.export_conditional if conditional else diffusers_unet.export
    exported = export(variables, config)
    assert exported.keys() == tensors.keys()
    for key, array in tensors.items():
        np.testing.assert_array_equal(exported[key], array, err_msg=key)


def test_old_names_of_diffusers_attention_are_known():
    _, _, tensors, _, config = recorded("ddpm")
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, array in tensors.items():
        for now, before in old.items():
            name = name.replace(f".{now}.", f".{before}.")
        renamed[name] = array
    assert renamed.keys() != tensors.keys()
    again = [diffusers_unet.convert(each, config)[1] for each in (renamed, tensors)]
    jax.tree.map(np.testing.assert_array_equal, *again)


LDM = {
    **{"image_size": 8, "in_channels": 4, "model_channels": 32, "out_channels": 4, "num_res_blocks": 1},
    **{"attention_resolutions": [1, 2], "channel_mult": [1, 2], "num_heads": 4},
    **{"use_spatial_transformer": True, "context_dim": 24},
}
GD = {key: value for key, value in LDM.items() if key not in ("use_spatial_transformer", "context_dim")}
HALF = {**GD, "num_head_channels": 16, "resblock_updown": True}
POOLS = ("attention", "adaptive", "spatial", "spatial_v2")
TAKEN = {
    "ldm": (latent_diffusion, {**LDM, "transformer_depth": 2}),
    "ldm, linear": (
        latent_diffusion,
        {**LDM, "use_linear_in_transformer": True, "num_classes": 3, "num_res_blocks": [1, 2]},
    ),
    "superres": (guided_diffusion, {**GD, "num_classes": 5}),
    **{pool: (guided_diffusion, {**HALF, "pool": pool}) for pool in POOLS},
}
NAMES = {
    "ldm": {
        "middle_block.1.transformer_blocks.1.attn2.to_k.weight": (64, 24),
        "output_blocks.3.1.proj_in.weight": (32, 32, 1, 1),
        "output_blocks.1.1.transformer_blocks.0.ff.net.0.proj.bias": (512,),
    },
    "ldm, linear": {"input_blocks.1.1.proj_out.weight": (32, 32), "label_emb.weight": (3, 128)},
    "superres": {"input_blocks.0.0.weight": (32, 8, 3, 3), "label_emb.weight": (5, 128)},
    "attention": {"out.2.positional_embedding": (64, 17), "out.2.c_proj.weight": (4, 64, 1)},
    "adaptive": {"out.0.weight": (64,), "out.3.weight": (4, 64, 1, 1)},
    "spatial": {"out.0.weight": (2048, 32 * 3 + 64 * 2), "out.2.weight": (4, 2048)},
    "spatial_v2": {"out.1.weight": (2048,), "out.3.weight": (4, 2048)},
}


def ways(name):
    """build, convert and export of a case."""
    room = TAKEN[name][0]
    if room is latent_diffusion:
        return room.build, room.convert, room.export
    if name == "superres":
        export = lambda variables, config: room.export(variables)
        return room.build_super_resolution, room.convert_super_resolution, export
    export = lambda variables, config: room.export_classifier(variables, config["pool"])
    return room.build_classifier, room.convert_classifier, export


@pytest.mark.parametrize("name", TAKEN)
def test_convert_inverts_export(name):
    (build, convert, export), config = ways(name), TAKEN[name][1]
    module = build(config)
    rng, image = np.random.default_rng(0), np.zeros((1, 8, 8, 4), "f")
    context = (np.zeros((1, 2, 24), "f"), None) if isinstance(module, Contextual) else ()
    low = (image,) if isinstance(module, SuperResolution) else ()
    label = (np.zeros(1, "i"),) if config.get("num_classes") else ()
    shapes = jax.eval_shape(module.init, jax.random.key(0), image, np.zeros(1, "f"), *context, *low, *label)
    variables = jax.tree.map(lambda a: rng.standard_normal(a.shape).astype("f"), shapes)
    tensors = export(variables, config)
    for tensor, shape in NAMES[name].items():
        assert tensors[tensor].shape == shape, tensor
    if name == "superres":
        assert guided_diffusion.convert(tensors, config)[0] == module
    again, converted = convert(tensors, config)
    assert again == module
    jax.tree.map(np.testing.assert_array_equal, converted, variables)


def attentions(unet):
    levels = range(len(unet.channel_mult))
    return {(way, level): unet.attention(level, way) for way in ("down", "up") for level in levels}


def test_heads_of_latent_diffusion():
    """A transformer on the way up has `num_heads`, an attention block there `num_heads_upsample`."""
    heads = lambda **more: attentions(latent_diffusion.build({**LDM, **more}).network)
    assert set(heads(num_heads_upsample=8).values()) == {Attention(4, 1, 32)}
    wide = heads(num_heads=-1, num_head_channels=16, attention_resolutions=[2], transformer_depth=3)
    assert wide == dict.fromkeys([("down", 0), ("up", 0)]) | dict.fromkeys(
        [("down", 1), ("up", 1)], Attention(4, 3, 32)
    )
    plain = {**GD, "num_heads_upsample": 8}
    found = attentions(latent_diffusion.build(plain))
    assert found["down", 0] == Attention(4, 0, 32) and found["up", 0] == Attention(8, 0, 32)
    assert attentions(latent_diffusion.build({**plain, "legacy": False}))["up", 0] == Attention(4, 0, 32)


SD1 = {
    **{"image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320, "num_res_blocks": 2},
    **{"attention_resolutions": [4, 2, 1], "channel_mult": [1, 2, 4, 4], "num_heads": 8, "legacy": False},
    **{"use_spatial_transformer": True, "transformer_depth": 1, "context_dim": 768},
}
DDPM_CIFAR10 = {
    **{"act_fn": "silu", "attention_head_dim": None, "block_out_channels": [128, 256, 256, 256]},
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    **{"downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1, "norm_eps": 1e-6},
    **{"mid_block_scale_factor": 1, "center_input_sample": False, "sample_size": 32},
}
CLASSIFIER_64 = {
    **{"image_size": 64, "in_channels": 3, "model_channels": 128, "out_channels": 1000},
    **{"num_res_blocks": 4, "attention_resolutions": [2, 4, 8], "channel_mult": [1, 2, 3, 4]},
    **{"num_head_channels": 64, "resblock_updown": True, "use_scale_shift_norm": True, "pool": "attention"},
}


@pytest.mark.parametrize(
    "build, config, shape, context, count",
    [
        pytest.param(
            *(
                latent_diffusion.build,
                SD1,
                (32, 32, 4),
                (77, 768),
                859_520_964,
            ),  # Stable Diffusion 1: 859.52 M
            marks=pytest.mark.slow,
        ),
        pytest.param(  # google/ddpm-cifar10-32; the config of this size is counted every day
            *(diffusers_unet.build, DDPM_CIFAR10, (32, 32, 3), None, 35_746_307),
            marks=pytest.mark.slow,
        ),
        (guided_diffusion.build_classifier, CLASSIFIER_64, (64, 64, 3), None, 65_438_568),  # ADM: 65 M
    ],
)
def test_published_networks_have_their_numbers_of_parameters(build, config, shape, context, count):
    inputs = [shape, (), *([context] if context else [])]
    structs = [jax.ShapeDtypeStruct((1, *each), jnp.float32) for each in inputs]
    made = jax.eval_shape(build(config).init, jax.random.key(0), *structs)
    assert sum(math.prod(a.shape) for a in jax.tree.leaves(made)) == count


class Shown(nn.Module):
    """Gives the map that it is told."""

    @nn.compact
    def __call__(self, x, t, cond, *, train=False):
        return cond.map


@pytest.mark.parametrize("low, high", [((2, 4), (8, 4)), ((3, 3), (8, 7)), ((8, 6), (4, 9))])
def test_a_small_picture_is_interpolated_between_the_centres_of_its_pixels(low, high):
    picture = np.random.default_rng(0).standard_normal((2, *low, 3)).astype("f")

    def weights(n, size):
        at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)[:, None]
        return np.maximum(0, 1 - np.abs(at - np.arange(n)))

    expected = np.einsum("ih,jw,bhwc->bijc", weights(low[0], high[0]), weights(low[1], high[1]), picture)
    shown = SuperResolution(Shown()).apply({}, np.zeros((2, *high, 1), "f"), np.zeros(2), picture)
    np.testing.assert_allclose(shown, expected, atol=1e-6)


def without(config, key):
    return {k: v for k, v in config.items() if k != key}


ldm, half = latent_diffusion.build, guided_diffusion.build_classifier
u2d, cond = diffusers_unet.build, diffusers_unet.build_conditional
U2, UC = {"block_out_channels": [32, 64]}, {"block_out_channels": [32, 64], "cross_attention_dim": 8}
U2 |= {"down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2}
UC |= {"down_block_types": ["CrossAttnDownBlock2D"] * 2, "up_block_types": ["CrossAttnUpBlock2D"] * 2}


@pytest.mark.parametrize(
    "build, config, message",
    [
        (ldm, without(LDM, "image_size"), "image_size must be given"),
        (ldm, {**LDM, "heads": 2}, "heads is no argument; there are image_size"),
        (ldm, {**LDM, "n_embed": 9}, "n_embed must be None"),
        (ldm, {**LDM, "channel_mult": [2, 2]}, "channel_mult must begin with 1, got"),
        (ldm, without(LDM, "context_dim"), "context_dim must be given with use_spatial"),
        (ldm, {**GD, "context_dim": 8}, "context_dim must be None without use_spatial"),
        (ldm, {**LDM, "num_heads": -1}, "num_heads or num_head_channels must be given"),
        (ldm, {**LDM, "transformer_depth": [1, 1, 1]}, "transformer_depth must be one"),
        (ldm, {**LDM, "num_res_blocks": 0}, "num_res_blocks must be a positive integer"),
        (ldm, {**LDM, "dims": 3}, "dims must be 2"),
        (
            guided_diffusion.build_classifier,
            {**HALF, "pool": "max"},
            "pool must be one of adaptive, att.*'max'",
        ),
        (
            guided_diffusion.build_classifier,
            {**GD, "pool": "attention"},
            "num_head_channels must be given for",
        ),
        (
            guided_diffusion.build_classifier,
            {**GD, "num_classes": 4},
            "num_classes is no argument of a class",
        ),
        (u2d, {**U2, "act_fn": "gelu"}, "act_fn must be 'silu' or 'swish', as ours has no"),
        (u2d, {**U2, "mid_block_type": None}, "mid_block_type must be 'UNetMidBlock2D'"),
        (
            u2d,
            {**U2, "down_block_types": ["DownBlock2D"]},
            "down_block_types must be one for",
        ),
        (
            u2d,
            {**U2, "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"]},
            "up_block_types must be of UpBlock2D, AttnUpBlock2D, .*, got 'CrossAttnUpBlock2D'",
        ),
        (
            u2d,
            {**U2, "attention_head_dim": 24},
            "attention_head_dim must divide the 64 chan",
        ),
        (u2d, {**U2, "freq": 1}, "freq is no argument; there are sample_size"),
        (cond, {**UC, "only_cross_attention": [True, False]}, "only_cross_atten"),
        (cond, {**UC, "cross_attention_dim": [8, 9]}, "cross_attention_dim must"),
        (cond, {**UC, "attention_head_dim": 5}, "attention_head_dim must divide"),
        (
            diffusers_unet.build_conditional,
            {**UC, "attention_head_dim": [2]},
            "attention_head_dim must be one",
        ),
        (cond, {**UC, "addition_embed_type": "text_time"}, "addition_embed_type"),
    ],
)
def test_a_config_that_ours_cannot_be_is_refused(build, config, message):
    with pytest.raises(ValueError, match=message):
        build(config)


def test_weights_of_another_configuration_are_refused():
    _, _, tensors, _, config = recorded("ddpm")
    for changed, message in (
        ({"layers_per_block": 2}, r"\d+ missing \(down_blocks.0.resnets.1"),
        ({"add_attention": False}, r"\d+ left over \(mid_block.attentions.0"),
        ({"out_channels": 1}, r"conv_out.bias must have shape \(1,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            diffusers_unet.convert(tensors, {**config, **changed})
    broken = {**tensors, "conv_in.bias": np.full(8, np.nan, "f")}
    with pytest.raises(ValueError, match=r"conv_in\.bias must be finite"):
        diffusers_unet.convert(broken, config)


def test_labels_and_contexts_that_nobody_asked_for_are_refused():
    tokens = np.zeros((1, 2, 3), "f")
    unet = UNet(model_channels=32, channel_mult=(1,), num_res_blocks=1, token_features=3)
    inputs = (np.zeros((1, 4, 4, 1), "f"), np.zeros(1, "f"))
    for module, given, message in (
        (Contextual(unet), {"context": tokens, "label": np.zeros(1, int)}, "label: must be None, as the net"),
        (Contextual(unet, 4), {"context": tokens}, r"label: must be int \[B\]"),
        (Contextual(unet), {"context": tokens[..., 1:]}, r"cond.tokens: must be .* \(1, 2, 3\); got"),
        (Contextual(unet), {}, "context must be given"),
        (Contextual(unet), {"context": tokens, "mask": np.ones((1, 3))}, "mask must be .*length = 2"),
        (SuperResolution(unet), {}, "low_res must be given"),
    ):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(functools.partial(module.init, **given), jax.random.key(0), *inputs)

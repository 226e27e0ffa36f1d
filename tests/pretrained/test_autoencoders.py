"""Latent diffusion's and diffusers' autoencoders: their own outputs from their own weights, and back."""

import functools
import json
import math

import jax
import numpy as np
import pytest
import safetensors.numpy as safetensors
from reference import weights

from diffjax import pretrained
from diffjax.models import quantiser
from diffjax.pretrained import autoencoders
from diffjax.process import gaussian
from diffjax.process.level import sum_of_each

ARCHITECTURES = ("ldm_autoencoder_kl", "ldm_vqmodel", "diffusers_autoencoder_kl", "diffusers_vqmodel")
ALL = pytest.mark.parametrize("architecture", ARCHITECTURES)
LDM = {
    "ddconfig": {
        "attn_resolutions": [], "ch": 8, "ch_mult": [1, 2], "double_z": True, "in_channels": 3,
        "num_res_blocks": 1, "out_ch": 3, "resolution": 16, "z_channels": 4,
    },
    "embed_dim": 4,
}  # fmt: skip
DIFFUSERS = {
    "block_out_channels": [8, 16], "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2, "norm_num_groups": 8,
}  # fmt: skip


def golden(architecture):
    """Return arrays NHWC, hyperparameters, the config, and the path of the weights."""
    folder = weights(architecture)
    with np.load(folder / f"{architecture}.npz") as file:
        arrays = {name: a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for name, a in file.items()}
    hyper = json.loads(str(arrays.pop("_hyper_json")))
    own = {
        name: hyper[name] for name in ("ddconfig", "embed_dim", "n_embed", "beta", "legacy") if name in hyper
    }
    return arrays, hyper, hyper.get("config", own), folder / hyper["weights"]


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * theirs.std())


def require_the_same_law(encoded, arrays, monkeypatch):
    """Moments, a draw with the noise that was drawn there, its log density, and the KL from N(0, 1)."""
    law = gaussian.Gaussian(*encoded)
    if "out__moments" in arrays:
        close(np.concatenate(law, -1), arrays["out__moments"])
        close(np.exp(0.5 * law.log_variance), arrays["out__std"])
    standard = gaussian.Gaussian(*jax.tree.map(np.zeros_like, encoded))
    close(sum_of_each(gaussian.kl(law, standard)), arrays["out__kl"])
    with monkeypatch.context() as patched:
        patched.setattr(jax.random, "normal", lambda key, shape, dtype: arrays["in__eps"].astype(dtype))
        z = gaussian.sample(jax.random.key(0), law)
    close(z, arrays["out__z"])
    if "out__nll_z" in arrays:
        close(-sum_of_each(gaussian.log_prob(law, z)), arrays["out__nll_z"])


@ALL
def test_outputs_equal_the_published_network(architecture, monkeypatch):
    arrays, hyper, config, path = golden(architecture)
    module, variables = pretrained.load(path, architecture, config)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == hyper["n_params"]
    applied = lambda method, x: jax.jit(functools.partial(module.apply, method=method))(variables, x)
    encoded, decoded = applied("encode", arrays["in__x"]), functools.partial(applied, "decode")
    if "out__mean" in arrays:
        close(encoded[0], arrays["out__mean"])
        close(encoded[1], arrays["out__logvar"])
        require_the_same_law(encoded, arrays, monkeypatch)
        both = decoded(np.concatenate([arrays["out__mean"], arrays["out__z"]]))
        close(both, np.concatenate([arrays["out__decode_mode"], arrays["out__decode_z"]]))
        return
    z = arrays.get("out__prequant", arrays.get("out__latents"))
    close(encoded, z)
    rounded, codes = applied("quantise", z)
    close(rounded, arrays["out__quant"])
    np.testing.assert_array_equal(codes.reshape(-1), arrays["out__indices"])
    cost = quantiser.commitment(z, rounded, order="legacy").mean()  # of its value: the order moves gradients
    np.testing.assert_allclose(cost, arrays.get("out__emb_loss", arrays.get("out__commit_loss")), rtol=1e-4)
    close(decoded(z), arrays["out__decode"])
    assert len(np.unique(codes)) == hyper["codes_used"]


def build(library, config):
    if library == "ldm":
        return autoencoders.build_ldm(config)
    return autoencoders.build_diffusers(config, codes=library == "diffusers_vq")


def export(library, variables, config):
    if library == "ldm":
        return autoencoders.export_ldm(variables, config)
    return autoencoders.export_diffusers(variables, config, codes=library == "diffusers_vq")


@ALL
def test_export_returns_the_file_it_was_loaded_from(architecture):
    _, _, config, path = golden(architecture)
    _, variables = pretrained.load(path, architecture, config)
    library = "ldm" if "ldm" in architecture else "diffusers_vq" if "vq" in architecture else "diffusers"
    original, exported = safetensors.load_file(path), export(library, variables, config)
    assert exported.keys() == original.keys()
    for name, array in original.items():
        np.testing.assert_array_equal(exported[name], array)


DD = lambda **changes: {**LDM, "ddconfig": {**LDM["ddconfig"], "ch": 32, **changes}}
VQ = lambda **changes: {**DD(double_z=False, **changes), "n_embed": 7}
MORE = [
    ("ldm", DD(ch_mult=[1], resolution=8)),
    ("ldm", DD(ch_mult=[2, 1, 1], attn_resolutions=[16, 4], tanh_out=True, in_channels=1)),
    ("ldm", {**VQ(ch_mult=[1, 1, 1, 1, 1, 1], resolution=64, resamp_with_conv=False), "embed_dim": 3}),
    ("ldm", VQ(attn_type="none", out_ch=2, num_res_blocks=2)),
    ("diffusers", {**DIFFUSERS, "use_quant_conv": False, "use_post_quant_conv": False, "_class_name": "A"}),
    ("diffusers", {**DIFFUSERS, "up_block_types": ["AttnUpDecoderBlock2D", "UpDecoderBlock2D"]}),
    ("diffusers", {**DIFFUSERS, "mid_block_add_attention": False, "layers_per_block": 2, "out_channels": 1}),
    ("diffusers_vq", {**DIFFUSERS, "down_block_types": ["AttnDownEncoderBlock2D"] * 2, "vq_embed_dim": 5}),
]


@pytest.mark.parametrize("library, config", MORE)
def test_convert_inverts_export_and_sizes_are_whole(library, config):
    module, rng = build(library, config), np.random.default_rng(0)
    size = 2 * module.factor
    x = np.zeros((1, size, 2 * size, module.image_channels), "f")  # rectangular
    out, shapes = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    out_channels = config.get("ddconfig", {}).get("out_ch", config.get("out_channels", 3))
    assert out.shape == (1, size, 2 * size, out_channels)
    assert module.latent_shape(x.shape[1:]) == (2, 4, module.latent_channels)
    made = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype("f"), shapes)
    tensors = export(library, made, config)
    assert sum(each.size for each in tensors.values()) == sum(each.size for each in jax.tree.leaves(made))
    kind = "vqmodel" if library == "diffusers_vq" or "n_embed" in config else "autoencoder_kl"
    convert = {
        "ldm_vqmodel": autoencoders.convert_ldm_vq,
        "ldm_autoencoder_kl": autoencoders.convert_ldm_kl,
        "diffusers_vqmodel": autoencoders.convert_diffusers_vq,
        "diffusers_autoencoder_kl": autoencoders.convert_diffusers_kl,
    }[f"{library.removesuffix('_vq')}_{kind}"]
    again, back = convert(
        {**tensors, "loss.logvar": np.zeros((), "f")} if library == "ldm" else tensors, config
    )
    assert again == module
    jax.tree.map(np.testing.assert_array_equal, back, made)


def count(library, config):
    module = build(library, config)
    x = jax.ShapeDtypeStruct((1, module.factor, module.factor, 3), np.float32)
    return sum(
        math.prod(leaf.shape) for leaf in jax.tree.leaves(jax.eval_shape(module.init, jax.random.key(0), x))
    )


def test_stable_diffusions_autoencoder_has_its_number_of_parameters():
    """83,653,863, as `stabilityai/sd-vae-ft-mse` has them; the same network in both libraries."""
    published = DD(ch=128, ch_mult=[1, 2, 4, 4], num_res_blocks=2, resolution=256, dropout=0.0)
    channels = [128, 256, 512, 512]
    theirs = {"block_out_channels": channels, "layers_per_block": 2, "latent_channels": 4, "sample_size": 256}
    types = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    assert count("ldm", published) == count("diffusers", {**theirs, **types}) == 83_653_863


@pytest.mark.parametrize(
    "library, config, message",
    [
        ("ldm", {**LDM, "n_embed": 8}, "ddconfig.double_z must be False with n_embed; got True"),
        ("ldm", DD(double_z=False), "ddconfig.double_z must be True without n_embed"),
        ("ldm", DD(chh=3), "chh is no argument"),
        ("ldm", DD(attn_type="linear"), "ddconfig.attn_type must be 'vanilla' or 'none'"),
        ("ldm", DD(ch=0), "ddconfig.ch must be a positive integer, got 0"),
        ("ldm", {**LDM, "embed_dims": 4}, "embed_dims is no argument"),
        ("ldm", {**LDM, "remap": "a.npy"}, "remap must be None"),
        ("diffusers", {**DIFFUSERS, "act_fn": "gelu"}, "act_fn must be 'silu'"),
        ("diffusers", {**DIFFUSERS, "block_out_channels": [8]}, "down_block_types must be one for each"),
        ("diffusers", {**DIFFUSERS, "up_block_types": ["UpBlock2D"] * 2}, "up_block_types must be of"),
        ("diffusers", {**DIFFUSERS, "norm_groups": 8}, "norm_groups is no argument"),
        ("diffusers_vq", {**DIFFUSERS, "norm_type": "spatial"}, "norm_type must be 'group'"),
    ],
)
def test_what_does_not_fit_is_refused(library, config, message):
    with pytest.raises(ValueError, match=message):
        build(library, config)

"""That both sides compute the same: diffusers' weights in diffjax's networks, one call and 50 DDIM steps.

    python -m benchmarks.parity

prints one line of JSON for each network.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import torch
from diffusers import DDIMScheduler

from benchmarks import ours, theirs
from benchmarks.networks import (
    BATCH,
    CHAIN,
    DDIM_STEPS,
    NETWORKS,
    THREADS,
    Transformer,
    dit_arguments,
)
from diffjax import guidance, samplers
from diffjax.pretrained import diffusers_dit
from diffjax.process import prediction, schedules

LIMITS = {"output": 1e-4, "images": 1e-3}

# With random weights the walk is chaotic: a relative change of the start by 1e-6 turns signs of pixels, in
# one library alone. A small output keeps the walk smooth.
_DAMPING = 0.03

_LAYERS = {"norm1": "in_norm", "conv1": "in_conv", "time_emb_proj": "emb", "norm2": "out_norm",
           "conv2": "out_conv", "conv_shortcut": "skip"}  # fmt: skip


def convert(weights, network):
    """Rename and transpose the weights of a UNet2DModel into the parameters of `models.UNet`.

    Args:
      weights: the state dict.
      network: a Network.

    Returns:
      `{"params": ...}`, numpy float32.
    """
    array = {name: tensor.numpy() for name, tensor in weights.items()}

    def layer(name):
        w, b = array[f"{name}.weight"], array[f"{name}.bias"]
        if w.ndim == 1:
            return {"scale": w, "bias": b}
        if w.shape[2:] == (1, 1):  # a dense layer here
            w = w[:, :, 0, 0]
        return {"kernel": w.transpose(2, 3, 1, 0) if w.ndim == 4 else w.T, "bias": b}

    def residual(name):
        keys = {ours: f"{name}.{theirs}" for theirs, ours in _LAYERS.items()}
        return {ours: layer(key) for ours, key in keys.items() if f"{key}.weight" in array}

    def attention(name):
        parts = [layer(f"{name}.to_{part}") for part in "qkv"]
        qkv = {key: np.concatenate([part[key] for part in parts], axis=-1) for key in parts[0]}
        return {"norm": layer(f"{name}.group_norm"), "qkv": qkv, "proj_out": layer(f"{name}.to_out.0")}

    def stage(ours, name, i):
        params = {f"{ours}_0": residual(f"{name}.resnets.{i}")}
        if f"{name}.attentions.{i}.group_norm.weight" in array:
            params[f"{ours}_1"] = attention(f"{name}.attentions.{i}")
        return params

    top = len(network.widths) - 1
    params = {
        "embed": {f"time_{i}": layer(f"time_embedding.linear_{i + 1}") for i in range(2)},
        "input_blocks_0_0": layer("conv_in"),
        "middle_block_0": residual("mid_block.resnets.0"),
        "middle_block_1": attention("mid_block.attentions.0"),
        "middle_block_2": residual("mid_block.resnets.1"),
        "out_norm": layer("conv_norm_out"),
        "out_conv": layer("conv_out"),
    }
    block = 1
    for level in range(top + 1):
        for i in range(network.blocks):
            params |= stage(f"input_blocks_{block}", f"down_blocks.{level}", i)
            block += 1
        if level < top:
            params[f"input_blocks_{block}_0"] = {"op": layer(f"down_blocks.{level}.downsamplers.0.conv")}
            block += 1
    for level in range(top + 1):
        for i in range(network.blocks + 1):
            name = f"output_blocks_{level * (network.blocks + 1) + i}"
            params |= stage(name, f"up_blocks.{level}", i)
            if level < top and i == network.blocks:
                last = 2 if f"{name}_1" in params else 1
                params[f"{name}_{last}"] = {"conv": layer(f"up_blocks.{level}.upsamplers.0.conv")}
    return {"params": params}


def compare(network):
    """Compare the two.

    Args:
      network: a Network, or a Transformer.

    Returns:
      dict: `parameters`, the same on both sides; `output` and, of a U-Net, `images`, the largest difference
      of one call and of the images after 50 DDIM steps, over their standard deviations.

    Raises:
      ValueError: if parameters, outputs or images are not the same.
    """
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, network.size, network.size, network.channels), np.float32)
    t = rng.integers(0, CHAIN, BATCH)
    with torch.inference_mode():
        one = _transformers if isinstance(network, Transformer) else _unets
        params, model, difference = one(network, x, t)
    counts = {
        "ours": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "theirs": sum(p.numel() for p in model.parameters()),
    }
    if counts["ours"] != counts["theirs"] or any(value > LIMITS[key] for key, value in difference.items()):
        raise ValueError(f"the two sides do not compute the same: {counts}, {difference}, limits {LIMITS}")
    return {"parameters": counts["ours"], **difference}


def _unets(network, x, t):
    model, module = theirs.unet(network).eval(), ours.unet(network)
    params = convert(model.state_dict(), network)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x, t)
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, shapes):
        raise ValueError("the two networks are not the same: parameters differ in name or shape")
    apply = jax.jit(module.apply)
    output = _nhwc(model(_nchw(x), torch.from_numpy(t)).sample)
    difference = {"output": _difference(apply(params, x, t.astype(np.float32)), output)}
    for tensor in model.conv_out.parameters():
        tensor *= _DAMPING
    damped = convert(model.state_dict(), network)
    difference["images"] = _difference(_our_ddim(apply, damped, x), _nhwc(_ddim(model, _nchw(x))))
    return params, model, difference


def _transformers(network, x, t):
    model = theirs.dit(network).eval()
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    module, params = diffusers_dit.convert(weights, dit_arguments(network))
    label = np.zeros(BATCH, np.int32)
    output = model(_nchw(x), torch.from_numpy(t), class_labels=torch.from_numpy(label).long()).sample
    found = jax.jit(module.apply)(params, x, t.astype(np.float32), label)
    return params, model, {"output": _difference(found, _nhwc(output))}


def _ddim(model, x):
    scheduler = DDIMScheduler(CHAIN)
    scheduler.set_timesteps(DDIM_STEPS)
    for t in scheduler.timesteps:
        x = scheduler.step(model(x, t).sample, t, x).prev_sample
    return x


def _our_ddim(apply, params, x):
    # A chain's times are 1..T here; theirs are 0..T-1.
    denoise = prediction.denoiser(lambda x, t, cond: apply(params, x, t - 1, cond), "eps")
    times = samplers.grids.spaced(CHAIN, f"ddim{DDIM_STEPS}")
    denoise = guidance.clip(keep_eps=True)(denoise)
    chain = schedules.linear_beta(CHAIN)
    return samplers.sample(jax.random.key(0), denoise, chain, samplers.ddim(), times, x_init=x)


def _difference(a, b):
    return float(np.abs(np.asarray(a) - b).max() / b.std())


def _nchw(x):
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def _nhwc(x):
    return x.numpy().transpose(0, 2, 3, 1)


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    for name, network in NETWORKS.items():
        print(json.dumps({"network": name, **compare(network)}), flush=True)

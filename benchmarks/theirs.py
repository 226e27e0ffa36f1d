"""The same work in PyTorch diffusers, as its example of unconditional training and its pipeline do it."""

import diffusers
import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel

from benchmarks.networks import (
    BATCH,
    CHAIN,
    CLIP_NORM,
    DDIM_STEPS,
    EMA_DECAY,
    LEARNING_RATE,
    THREADS,
    TRAIN_STEPS,
)

VARIANTS = {"default": torch.contiguous_format, "channels_last": torch.channels_last}


def unet(network):
    """Return diffusers' U-Net of this shape."""
    plain = len(network.widths) - 1
    return UNet2DModel(
        sample_size=network.size,
        in_channels=network.channels,
        out_channels=network.channels,
        block_out_channels=network.widths,
        layers_per_block=network.blocks,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
        attention_head_dim=None,  # one head
        norm_num_groups=network.groups,
    )


def train(network, variant):
    """Return a function that makes training steps, and the number of them; see `benchmarks.ours.train`."""
    model = _prepared(network, variant)
    scheduler = DDPMScheduler(CHAIN)
    adamw = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.0, fused=True)
    average = EMAModel(model.parameters(), decay=EMA_DECAY, foreach=True)
    shape = (BATCH, network.channels, network.size, network.size)
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)

    def step():
        x0 = torch.from_numpy(x).to(memory_format=VARIANTS[variant])
        eps = torch.randn_like(x0)
        t = torch.randint(0, CHAIN, (BATCH,))
        loss = torch.nn.functional.mse_loss(model(scheduler.add_noise(x0, eps, t), t).sample, eps)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        average.step(model.parameters())

    def run():
        for _ in range(TRAIN_STEPS):
            step()

    return run, TRAIN_STEPS


def sample(network, variant):
    """Return a function that draws a batch of images, and the number of batches."""
    pipeline = DDIMPipeline(_prepared(network, variant).eval(), DDIMScheduler(CHAIN))
    pipeline.set_progress_bar_config(disable=True)
    return lambda: pipeline(BATCH, num_inference_steps=DDIM_STEPS, output_type="np").images, 1


def versions():
    """Return the libraries and their versions."""
    return {"torch": torch.__version__, "diffusers": diffusers.__version__}


def _prepared(network, variant):
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    return unet(network).to(memory_format=VARIANTS[variant])
